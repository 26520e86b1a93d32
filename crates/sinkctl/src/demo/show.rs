//! Tables and texts as a reader of a terminal wants them: whole where they are short, and never long.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::Value;

use super::snapshot::{self, Snapshot};
use crate::text::counted;

/// The most items of a table that are shown.
const MAX_ITEMS: usize = 100;

/// The most characters of an item or an answer that are shown.
pub(super) const MAX_TEXT: usize = 150;

/// The attribute in which a sink notes which record an item comes from.
const SINK: &str = "_sink";

/// The most changes of the second round that are shown.
pub(super) const MAX_CHANGES: usize = 20;

/// The last lines that are shown of a failed invocation's log, and the most characters of each.
pub(super) const MAX_LOG_LINES: usize = 20;
pub(super) const MAX_LOG_LINE: usize = 300;

/// Shows each table's items: the key with the record that the item comes from, and the rest on a line of its own.
pub(super) fn tables(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    for (table, items) in snapshot {
        writeln!(out, "\n{table}: {}", counted(items.len(), "item"))?;
        for item in items.iter().take(MAX_ITEMS) {
            let key = shorten(&snapshot::key(item), MAX_TEXT);
            writeln!(
                out,
                "  {key}{}\n    {}",
                origin(&item[SINK]["M"]),
                shorten(&rest(item), MAX_TEXT)
            )?;
        }
        if items.len() > MAX_ITEMS {
            writeln!(out, "  and {} more", items.len() - MAX_ITEMS)?;
        }
    }
    Ok(())
}

/// The record that an item comes from, where the item says so.
fn origin(sink: &Value) -> String {
    match (sink["partition"]["N"].as_str(), sink["offset"]["N"].as_str()) {
        (Some(partition), Some(offset)) => format!(" from partition {partition}, offset {offset}"),
        _ => String::new(),
    }
}

/// What else an item holds; of a quarantined record only what is wrong with it.
fn rest(item: &Value) -> String {
    let text = |name: &str| item[name]["S"].as_str();
    if let (Some(reason), Some(message), Some(attempts)) =
        (text("reason"), text("message"), item["attempts"]["N"].as_str())
    {
        let attempts = counted(attempts.parse().unwrap_or(0_u64), "attempt");
        return format!("{reason} ({attempts}): {message}");
    }
    let all = item.as_object().into_iter().flatten();
    attributes(all.filter(|(name, _)| !["PK", "SK", SINK].contains(&name.as_str())))
}

/// The counts that are not zero.
pub(super) fn counts(counts: &[(&str, u64)]) -> String {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
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

/// A value of `DynamoDB`'s JSON without the types.
fn plain(value: &Value) -> String {
    let tagged = value.as_object().and_then(|tagged| tagged.iter().next());
    match tagged.map(|(kind, content)| (kind.as_str(), content)) {
        Some(("N", Value::String(number))) => number.clone(),
        Some(("NULL", _)) => "null".to_owned(),
        Some(("B", Value::String(base64))) => format!("<{base64}>"),
        Some(("L", Value::Array(elements))) => {
            format!("[{}]", elements.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        Some(("M", Value::Object(members))) => format!("{{{}}}", attributes(members.iter())),
        Some((_, other)) => other.to_string(),
        None => value.to_string(),
    }
}

fn attributes<'a>(attributes: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let attributes = attributes.map(|(name, value)| format!("{name}: {}", plain(value)));
    attributes.collect::<Vec<_>>().join(", ")
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

        check(&json!({"S": "a \"b\""}), r#""a \"b\"""#);
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
    fn an_item_is_its_key_its_origin_and_the_rest() {
        #[track_caller]
        fn check(item: Value, expected: &str) {
            let mut report = Vec::new();
            tables(&Snapshot::from([("t".to_owned(), vec![item])]), &mut report).unwrap();
            assert_eq!(String::from_utf8(report).unwrap(), format!("\nt: 1 item\n{expected}"));
        }

        check(json!({"PK": {"S": "p"}, "SK": {"S": "s"}}), "  p / s\n    \n");
        check(
            json!({
                "PK": {"S": "p"},
                "SK": {"S": "p"},
                "_sink": {"M": {"partition": {"N": "1"}, "offset": {"N": "2"}, "topic": {"S": "t"}}},
                "a": {"S": "b"},
                "c": {"M": {"d": {"N": "3"}}},
            }),
            "  p from partition 1, offset 2\n    a: \"b\", c: {d: 3}\n",
        );
        check(
            json!({
                "PK": {"S": "t-0"},
                "SK": {"S": "s"},
                "attempts": {"N": "2"},
                "message": {"S": "no JSON"},
                "reason": {"S": "INVALID_JSON"},
                "value": {"B": "AAE="},
            }),
            "  t-0 / s\n    INVALID_JSON (2 attempts): no JSON\n",
        );
        check(
            json!({"PK": {"S": "p"}, "SK": {"S": "p"}, "v": {"S": "x".repeat(MAX_TEXT)}}),
            &format!("  p\n    v: \"{}... (5 more characters)\n", "x".repeat(MAX_TEXT - 4)),
        );
    }

    #[test]
    fn tables_are_bounded() {
        let item = |number: usize| json!({"PK": {"S": number.to_string()}, "SK": {"S": number.to_string()}});
        let mut report = Vec::new();
        let many = Snapshot::from([("t".to_owned(), (0..MAX_ITEMS + 2).map(item).collect())]);
        tables(&many, &mut report).unwrap();
        let report = String::from_utf8(report).unwrap();
        assert!(report.starts_with("\nt: 102 items\n  0\n    \n  1\n"));
        assert!(report.ends_with("\n  99\n    \n  and 2 more\n"));
    }

    #[test]
    fn zero_counts_are_left_out() {
        assert_eq!(counts(&[("received", 3), ("written", 0), ("stale", 3)]), "received 3, stale 3");
    }
}
