//! What was meant by a name that is not known.

/// The first of these names that is one slip of the finger away from what was typed (a letter too many, one missing, a
/// wrong one, or two that changed places), or begins with it.
pub(crate) fn nearest(
    typed: &str,
    mut names: &mut dyn Iterator<Item = &'static str>,
) -> Option<&'static str> {
    Iterator::find(&mut names, |name| {
        typed.len() > 2 && name.starts_with(typed) || is_one_slip(typed.as_bytes(), name.as_bytes())
    })
}

fn is_one_slip(typed: &[u8], name: &[u8]) -> bool {
    let same = typed.iter().zip(name).take_while(|(a, b)| a == b).count();
    let (typed, name) = (&typed[same..], &name[same..]);
    let pairs = typed.iter().rev().zip(name.iter().rev());
    let same_end = pairs.take_while(|(a, b)| a == b).count();
    let (typed, name) = (
        &typed[..typed.len() - same_end],
        &name[..name.len() - same_end],
    );
    match (typed, name) {
        ([a, b], [c, d]) => a == d && b == c,
        ([] | [_], [] | [_]) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_understood_and_no_more() {
        let names = ["ip", "exec", "lsns", "unshare", "cgexec", "cgset"];
        let near = |typed| nearest(typed, &mut names.into_iter());
        for (typed, want) in [
            ("unshar", Some("unshare")),
            ("unsharee", Some("unshare")),
            ("unahsre", None),
            ("unhsare", Some("unshare")),
            ("exce", Some("exec")),
            ("lsbs", Some("lsns")),
            ("nsns", Some("lsns")),
            ("cgs", Some("cgset")),
            ("un", None),
            ("ps", None),
            ("", None),
        ] {
            assert_eq!(near(typed), want, "{typed}");
        }
    }
}
