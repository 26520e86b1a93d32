//! Tables and texts as a reader of a terminal wants them: whole where they are short, and never long.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::Value;

use super::snapshot::{self, Snapshot};

/// The most items of a table that are shown.
const MAX_ITEMS: usize = 30;

/// The most characters of a value that are shown.
pub(super) const MAX_VALUE: usize = 100;

/// The last lines that are shown of a failed invocation's log, and the most characters of each.
pub(super) const MAX_LOG_LINES: usize = 20;
pub(super) const MAX_LOG_LINE: usize = 300;

/// Shows each table's items, an attribute a line.
pub(super) fn tables(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    for (table, items) in snapshot {
        writeln!(out, "\n{table}: {} items", items.len())?;
        for item in items.iter().take(MAX_ITEMS) {
            writeln!(out, "  {}", shorten(&snapshot::key(item), MAX_VALUE))?;
            let attributes = item.as_object().into_iter().flatten();
            for (name, value) in
                attributes.filter(|(name, _)| !["PK", "SK"].contains(&name.as_str()))
            {
                writeln!(
                    out,
                    "    {}: {}",
                    shorten(name, MAX_VALUE),
                    shorten(&plain(value), MAX_VALUE)
                )?;
            }
        }
        if items.len() > MAX_ITEMS {
            writeln!(out, "  and {} more", items.len() - MAX_ITEMS)?;
        }
    }
    Ok(())
}

/// The counts that are not zero.
pub(super) fn counts(counts: &[(&str, u64)]) -> String {
    let counts = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// A text on one line and of at most so many characters, a note on what is left out aside.
pub(super) fn shorten(text: &str, max_characters: usize) -> String {
    let mut characters =
        text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut short: String = characters.by_ref().take(max_characters).collect();
    let rest = characters.count();
    if rest > 0 {
        // Writing to a string does not fail.
        let _ = write!(short, "... ({rest} more characters)");
    }
    short
}

/// A value of `DynamoDB`'s JSON without the types: a text is itself, and within lists and maps in quotes.
fn plain(value: &Value) -> String {
    match tagged(value) {
        Some(("S", Value::String(text))) => text.clone(),
        _ => nested(value),
    }
}

fn nested(value: &Value) -> String {
    match tagged(value) {
        Some(("N", Value::String(number))) => number.clone(),
        Some(("NULL", _)) => "null".to_owned(),
        Some(("B", Value::String(base64))) => format!("<{base64}>"),
        Some(("L", Value::Array(elements))) => {
            format!("[{}]", elements.iter().map(nested).collect::<Vec<_>>().join(", "))
        }
        Some(("M", Value::Object(members))) => {
            let members = members.iter().map(|(name, value)| format!("{name}: {}", nested(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Some((_, other)) => other.to_string(),
        None => value.to_string(),
    }
}

/// The type and the content of a value of `DynamoDB`'s JSON.
fn tagged(value: &Value) -> Option<(&str, &Value)> {
    let (name, content) = value.as_object()?.iter().next()?;
    Some((name.as_str(), content))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_without_their_types() {
        #[track_caller]
        fn check(value: &Value, expected: &str) {
            assert_eq!(plain(value), expected);
        }

        check(&json!({"S": "a \"b\""}), "a \"b\"");
        check(&json!({"N": "1.50"}), "1.50");
        check(&json!({"BOOL": true}), "true");
        check(&json!({"NULL": true}), "null");
        check(&json!({"B": "AAE="}), "<AAE=>");
        check(&json!({"SS": ["a"]}), r#"["a"]"#);
        check(&json!({"L": [{"S": "a"}, {"N": "1"}]}), r#"["a", 1]"#);
        check(
            &json!({"M": {"a": {"S": "b"}, "c": {"M": {}}, "d": {"L": []}}}),
            r#"{a: "b", c: {}, d: []}"#,
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        #[track_caller]
        fn check(text: &str, max_characters: usize, expected: &str) {
            assert_eq!(shorten(text, max_characters), expected);
        }

        check("", 0, "");
        check("äöü", 3, "äöü");
        check("äöü", 2, "äö... (1 more characters)");
        check("a\nb\t\u{1b}[0m", 9, "a b  [0m");
    }

    #[test]
    fn tables_are_bounded() {
        let item = |number: usize| json!({"PK": {"S": number.to_string()}, "SK": {"S": number.to_string()}});
        let mut report = Vec::new();
        let many = Snapshot::from([("t".to_owned(), (0..MAX_ITEMS + 2).map(item).collect())]);
        tables(&many, &mut report).unwrap();
        let report = String::from_utf8(report).unwrap();
        assert!(report.starts_with("\nt: 32 items\n  0\n  1\n"));
        assert!(report.ends_with("\n  29\n  and 2 more\n"));

        let mut report = Vec::new();
        let item = json!({"PK": {"S": "p"}, "SK": {"S": "s"}, "v": {"S": "x".repeat(101)}, "n": {"N": "1"}});
        tables(&Snapshot::from([("t".to_owned(), vec![item])]), &mut report).unwrap();
        let expected = format!(
            "\nt: 1 items\n  p / s\n    n: 1\n    v: {}... (1 more characters)\n",
            "x".repeat(100)
        );
        assert_eq!(String::from_utf8(report).unwrap(), expected);
    }

    #[test]
    fn zero_counts_are_left_out() {
        assert_eq!(counts(&[("received", 3), ("written", 0), ("stale", 3)]), "received 3, stale 3");
    }
}
