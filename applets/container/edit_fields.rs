//! Fields of a JSON document by their names, as container edit has them: `mounts[destination=/tmp].options`.

use isobox::error::{Error, Result};
use isobox::json::Value;

/// What is done to a field.
pub(super) enum Change {
    Set(Value),
    Add(Value),
    Away,
}

/// Follows a change as it was typed.
pub(super) fn change(all: &mut Value, word: &str) -> Result<()> {
    let json = |text: &str| Value::parse(text.as_bytes(), "value").unwrap_or_else(|_| text.into());
    // An equals sign in brackets belongs to the key.
    let mut depth = 0;
    let at = word.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        (c == '=' && depth == 0).then_some(at)
    });
    let Some(at) = at else {
        let key = word.strip_suffix('-');
        let key = key.ok_or_else(|| {
            Error::new("no change:")
                .on(word)
                .because("KEY=VALUE, KEY+=VALUE or KEY- is expected")
        })?;
        return put(all, key, Change::Away);
    };
    let (key, value) = (
        word.get(..at).unwrap_or_default(),
        word.get(at + 1..).unwrap_or_default(),
    );
    match key.strip_suffix('+') {
        Some(key) => put(all, key, Change::Add(json(value))),
        None => put(all, key, Change::Set(json(value))),
    }
}

/// The parts of a key: names, and what stands in brackets.
fn parts(key: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let inside = rest.starts_with('[');
        let end = match inside {
            true => rest.find(']').map_or(rest.len(), |at| at + 1),
            false => rest.find(['.', '[']).unwrap_or(rest.len()),
        };
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    parts
}

/// The field of this key, made where there is none.
pub(super) fn find<'v>(all: &'v mut Value, key: &str) -> Result<&'v mut Value> {
    let bad = |why: &'static str| Error::new("no such field:").on(key).because(why);
    let mut here = all;
    for part in parts(key) {
        let entry = part
            .strip_prefix('[')
            .and_then(|part| part.strip_suffix(']'));
        here = match (entry, here) {
            (None, fields) => fields
                .members()
                .and_then(|fields| fields.entry(part))
                .ok_or_else(|| bad("what is before it is no object"))?,
            (Some(entry), list) => {
                let list = list
                    .items()
                    .ok_or_else(|| bad("what is before the bracket is no list"))?;
                let at = index(list, entry).ok_or_else(|| bad("there is no such entry"))?;
                list.get_mut(at)
                    .ok_or_else(|| bad("there is no such entry"))?
            }
        };
    }
    Ok(here)
}

/// Which entry is meant; one that is chosen by a field is made where there is none.
fn index(list: &mut Vec<Value>, entry: &str) -> Option<usize> {
    let Some((field, text)) = entry.split_once('=') else {
        return entry.parse().ok();
    };
    let fits = |one: &Value| match one {
        Value::Object(fields) => fields.value(field).and_then(Value::as_text) == Some(text),
        _ => false,
    };
    if let Some(at) = list.iter().position(fits) {
        return Some(at);
    }
    list.push(Value::object([(field, text.into())]));
    Some(list.len() - 1)
}

pub(super) fn put(all: &mut Value, key: &str, change: Change) -> Result<()> {
    let bad = |why: &'static str| Error::new("cannot change").on(key).because(why);
    match change {
        Change::Set(value) => *find(all, key)? = value,
        Change::Add(value) => {
            let list = find(all, key)?.items();
            list.ok_or_else(|| bad("it is no list"))?.push(value);
        }
        Change::Away => {
            let mut parts = parts(key);
            let last = parts.pop().ok_or_else(|| bad("it names no field"))?;
            let above = key.strip_suffix(last).unwrap_or_default();
            let above = find(all, above.strip_suffix('.').unwrap_or(above))?;
            let entry = last
                .strip_prefix('[')
                .and_then(|part| part.strip_suffix(']'));
            match (entry, above) {
                (Some(entry), Value::List(list)) => {
                    if let Some(at) = index(list, entry).filter(|at| *at < list.len()) {
                        list.remove(at);
                    }
                }
                (None, Value::Object(fields)) => fields.0.retain(|(key, _)| key != last),
                (_, Value::Null) => {}
                _ => return Err(bad("there is no such field")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::parse(text.as_bytes(), "x").unwrap()
    }

    #[test]
    fn changes_are_made_where_they_are_meant() {
        let cases = [
            ("a=1", r#"{"l": [1, 2], "n": [{"type": "x"}], "a": 1}"#),
            (
                "a.b.c=text",
                r#"{"l": [1, 2], "n": [{"type": "x"}], "a": {"b": {"c": "text"}}}"#,
            ),
            ("l+=\"3\"", r#"{"l": [1, 2, "3"], "n": [{"type": "x"}]}"#),
            ("l[0]-", r#"{"l": [2], "n": [{"type": "x"}]}"#),
            ("l-", r#"{"n": [{"type": "x"}]}"#),
            (
                "n[type=x].path=/p=q",
                r#"{"l": [1, 2], "n": [{"type": "x", "path": "/p=q"}]}"#,
            ),
            (
                "n[type=y].path=/p",
                r#"{"l": [1, 2], "n": [{"type": "x"}, {"type": "y", "path": "/p"}]}"#,
            ),
            ("n[type=x]-", r#"{"l": [1, 2], "n": []}"#),
            (
                "new+=1",
                r#"{"l": [1, 2], "n": [{"type": "x"}], "new": [1]}"#,
            ),
        ];
        for (word, want) in cases {
            let mut all = json(r#"{"l": [1, 2], "n": [{"type": "x"}]}"#);
            change(&mut all, word).unwrap();
            assert_eq!(all, json(want), "{word}");
        }
        for word in ["a", "l.x=1", "n[5].x=1", "l[x]=1", "n[type=x].type.y=1"] {
            let mut all = json(r#"{"l": [1, 2], "n": [{"type": "x"}]}"#);
            assert!(change(&mut all, word).is_err(), "{word}");
        }
    }
}
