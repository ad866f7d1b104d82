//! Sorting. The standard library compiles its sort anew for every type, three to five kilobytes each, and this program
//! sorts thirty kinds of short lists: here one copy sorts their places.

use std::cmp::Ordering;

/// Sorts, least first; what is equal stays in its order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts by what `key` makes of an item.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts by a comparison.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut places = places(
        items.len(),
        &|one, other| match (items.get(one), items.get(other)) {
            (Some(one), Some(other)) => compare(one, other),
            _ => Ordering::Equal,
        },
    );
    for at in 0..places.len() {
        while let Some(to) = places.get(at).copied().filter(|to| *to != at) {
            items.swap(at, to);
            places.swap(at, to);
        }
    }
}

/// Where each of `count` items belongs. By merging, lists of one, two, four and so on: in a tenth of the code of the
/// standard library's, which would do it.
fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..count).collect();
    let mut merged = Vec::with_capacity(count);
    let mut width = 1;
    while width < count {
        merged.clear();
        for pair in sorted.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([one, behind_one @ ..], [other, behind_other @ ..]) = (left, right) {
                // Of two that are equal the left one.
                if compare(*other, *one).is_lt() {
                    merged.push(*other);
                    right = behind_other;
                } else {
                    merged.push(*one);
                    left = behind_one;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut sorted, &mut merged);
        width *= 2;
    }
    let mut places = merged;
    places.resize(count, 0);
    for (place, item) in sorted.into_iter().enumerate() {
        if let Some(of_item) = places.get_mut(item) {
            *of_item = place;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the standard library's, which is stable too.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "the oracle")]
    fn it_sorts_as_the_standard_library_does() {
        let mut random = 1_u32;
        for count in (0..40).chain([1000]) {
            let mut ours: Vec<(u32, usize)> = (0..count)
                .map(|at| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 27, at)
                })
                .collect();
            let mut theirs = ours.clone();
            theirs.sort_by_key(|(key, _)| *key);
            sort_by_key(&mut ours, |(key, _)| *key);
            assert_eq!(ours, theirs);
            sort_by(&mut ours, |one, other| other.cmp(one));
            theirs.sort_by(|one, other| other.cmp(one));
            assert_eq!(ours, theirs);
            sort(&mut ours);
            theirs.sort();
            assert_eq!(ours, theirs);
        }
    }
}
