//! What is JSON and what is not, and that what is read is written again.

use super::*;

fn one_line(text: &[u8]) -> Result<String, String> {
    let value = Value::parse(text, "text").map_err(|error| error.to_string())?;
    compact(&value).map_err(|error| error.to_string())
}

#[test]
fn what_is_read_is_written() {
    let cases = [
        ("null", "null"),
        (" true ", "true"),
        ("false\n", "false"),
        ("0", "0"),
        ("-0", "-0"),
        ("-12.50e+3", "-12.50e+3"),
        ("1E400", "1E400"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        (r#""""#, r#""""#),
        (r#""a\"\\\/\b\f\n\r\t""#, r#""a\"\\/\u0008\u000c\n\r\t""#),
        (r#""\u00e9\ud83d\ude00é""#, r#""é😀é""#),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[ 1 , [ ] , { } ]", "[1,[],{}]"),
        (
            r#"{"b":1,"a":{"b":[null,true]}}"#,
            r#"{"b":1,"a":{"b":[null,true]}}"#,
        ),
    ];
    for (text, want) in cases {
        assert_eq!(one_line(text.as_bytes()).as_deref(), Ok(want), "{text}");
    }
    let value = Value::parse(br#"{"a":[1,{"b":[]}],"c":{}}"#, "text").unwrap();
    let lines = "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}";
    assert_eq!(value.pretty().unwrap(), lines);
}

#[test]
fn what_is_no_json_is_refused() {
    let cases = [
        ("", "line 1, column 1"),
        ("nul", "a value is expected"),
        ("nullx", "trailing"),
        ("TRUE", "a value is expected"),
        ("+1", "a value is expected"),
        ("01", "not a number"),
        ("-", "not a number"),
        ("1.", "not a number"),
        (".5", "a value is expected"),
        ("1e", "not a number"),
        ("0x10", "trailing"),
        ("Infinity", "a value is expected"),
        ("[1,]", "a value is expected"),
        ("[1 2]", "a comma or the end of the list"),
        ("[", "it ends here"),
        ("]", "a value is expected"),
        ("{,}", "a key in quotes"),
        (r#"{"a":1,}"#, "a key in quotes"),
        (r#"{"a" 1}"#, "a colon"),
        (r#"{"a":1 "b":2}"#, "a comma or the end of the object"),
        ("{a:1}", "a key in quotes"),
        (r#"{1:1}"#, "a key in quotes"),
        (r#"{"a":1}}"#, "trailing"),
        (r#"["a"#, "does not end"),
        (r#"["a\"#, "no such escape"),
        (r#"["\x"]"#, "no such escape"),
        (r#"["\u12"]"#, "no such escape"),
        (r#"["\u+123"]"#, "no such escape"),
        (r#"["\ud800"]"#, "no such escape"),
        (r#"["\ud800\u0041"]"#, "no such escape"),
        (r#"["\udc00\ud800"]"#, "no such escape"),
        (r#"["\u00e"]"#, "no such escape"),
        (r#"["\u0é"]"#, "no such escape"),
        ("[\"a\nb\"]", "a control character"),
        (r#"["\u0000"]"#, "a NUL"),
        ("'a'", "a value is expected"),
        ("[1] // no", "trailing"),
        (
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            "a.b: the key 'b' stands twice",
        ),
        (r#"{"a":1,"\u0061":2}"#, "'a' stands twice"),
    ];
    for (text, want) in cases {
        let said = one_line(text.as_bytes()).unwrap_err();
        assert!(said.contains(want), "{text}: {said}");
        // Nor is the beginning of anything, and nothing panics.
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            drop(one_line(&text.as_bytes()[..end]));
        }
    }
    assert!(one_line(b"[\"\xff\"]").unwrap_err().contains("not UTF-8"));
    assert!(one_line("\u{feff}{}".as_bytes()).is_err());
}

#[test]
fn depth_and_keys_are_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(one_line(nested(127).as_bytes()).is_ok());
    assert!(
        one_line(nested(128).as_bytes())
            .unwrap_err()
            .contains("127 levels")
    );
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert!(one_line(keys(10_000).as_bytes()).is_ok());
    assert!(
        one_line(keys(10_001).as_bytes())
            .unwrap_err()
            .contains("10000 keys")
    );
}

objects! {
    #[derive(Debug)]
    struct Outer in Exact {
        some_name: String,
        other as "Other-Name": Option<u16>,
        inner: Option<Inner>,
        always: Vec<String> = written,
        nowhere as "": String,
    }

    #[derive(Debug)]
    struct Inner {
        must_be: u32 = required,
        flag: bool,
        keys: Keys,
    }
}

#[test]
fn names_and_duties() {
    let cases = [
        ("{}", Ok(r#"{"always":[]}"#)),
        (
            r#"{"some_name":"x","Other-Name":7,"inner":{"mustBe":1,"flag":true,"keys":{"b":{},"a":1}},"new":[{}]}"#,
            Ok(
                r#"{"some_name":"x","Other-Name":7,"inner":{"mustBe":1,"flag":true,"keys":{"b":{},"a":{}}},"always":[]}"#,
            ),
        ),
        (
            r#"{"someName":"x","inner":null,"always":null}"#,
            Ok(r#"{"always":[]}"#),
        ),
        (r#"{"inner":{}}"#, Err("inner: 'mustBe' is missing")),
        (
            r#"{"inner":{"mustBe":null}}"#,
            Err("inner: 'mustBe' is missing"),
        ),
        (
            r#"{"Other-Name":65536}"#,
            Err("Other-Name: u16 is expected"),
        ),
        (
            r#"{"some_name":[]}"#,
            Err("some_name: a string is expected, and not a list"),
        ),
        (
            r#"{"always":{}}"#,
            Err("always: a list is expected, and not an object"),
        ),
        (
            r#"{"always":["a",1]}"#,
            Err("always[1]: a string is expected, and not the number 1"),
        ),
        (
            r#"{"inner":true}"#,
            Err("inner: an object is expected, and not true"),
        ),
        ("[]", Err("an object is expected, and not a list")),
    ];
    for (text, want) in cases {
        match (read::<Outer>(text.as_bytes(), "text"), want) {
            (Ok(outer), Ok(want)) => assert_eq!(compact(&outer).unwrap(), want),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{text}: {error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}
