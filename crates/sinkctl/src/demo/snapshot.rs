//! What the tables hold, and how that differs from what they held before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// All items by table, sorted by their keys.
pub(super) type Snapshot = BTreeMap<String, Vec<Value>>;

/// The one attribute that another delivery of a rejected record may change: it may grow.
const ATTEMPTS: &str = "attempts";

/// All differences in words, except attempts that were counted in the quarantine.
pub(super) fn changes(
    before: &Snapshot,
    after: &Snapshot,
    quarantine: Option<&str>,
) -> Vec<String> {
    let mut changes = Vec::new();
    for table in before.keys().chain(after.keys().filter(|table| !before.contains_key(*table))) {
        let (old, new) = (by_key(before.get(table)), by_key(after.get(table)));
        let attempts_may_grow = quarantine == Some(table);
        for (key, old_item) in &old {
            let change = match new.get(key) {
                Some(new_item) => {
                    let names = changed_attributes(old_item, new_item, attempts_may_grow);
                    if names.is_empty() {
                        continue;
                    }
                    format!("changed in {}", names.join(", "))
                }
                None => "was removed".to_owned(),
            };
            changes.push(format!("{table}: {key} {change}"));
        }
        let added = new.keys().filter(|key| !old.contains_key(*key));
        changes.extend(added.map(|key| format!("{table}: {key} was added")));
    }
    changes
}

/// The key of an item as it is shown: once if both parts are the same.
pub(super) fn key(item: &Value) -> String {
    let part = |name: &str| item[name]["S"].as_str().unwrap_or_default();
    let (partition_key, sort_key) = (part("PK"), part("SK"));
    if partition_key == sort_key {
        partition_key.to_owned()
    } else {
        format!("{partition_key} / {sort_key}")
    }
}

fn by_key(items: Option<&Vec<Value>>) -> BTreeMap<String, &Value> {
    items.into_iter().flatten().map(|item| (key(item), item)).collect()
}

fn changed_attributes<'a>(old: &'a Value, new: &'a Value, attempts_may_grow: bool) -> Vec<&'a str> {
    let items = [old, new].into_iter().filter_map(Value::as_object);
    let names: BTreeSet<_> = items.flat_map(|item| item.keys().map(String::as_str)).collect();
    let attempts = |item: &Value| item[ATTEMPTS]["N"].as_str()?.parse::<u64>().ok();
    let may_differ = |name| attempts_may_grow && name == ATTEMPTS && attempts(new) >= attempts(old);
    names.into_iter().filter(|&name| old[name] != new[name] && !may_differ(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_differences_but_attempts_are_changes() {
        #[track_caller]
        fn check(before: &Value, after: &Value, expected: &[&str]) {
            let snapshot = |items: &Value| {
                let items = items.as_array().unwrap().clone();
                Snapshot::from([
                    ("data".to_owned(), items.clone()),
                    ("quarantine".to_owned(), items),
                ])
            };
            let changes = changes(&snapshot(before), &snapshot(after), Some("quarantine"));
            assert_eq!(changes, expected);
        }

        let item = |key: &str, attempts: &str| json!({"PK": {"S": key}, "SK": {"S": "s"}, "v": {"S": "x"}, "attempts": {"N": attempts}});
        let (a, b) = (item("a", "9"), item("b", "1"));
        check(&json!([]), &json!([]), &[]);
        check(&json!([a, b]), &json!([a, b]), &[]);
        check(
            &json!([a]),
            &json!([a, b]),
            &["data: b / s was added", "quarantine: b / s was added"],
        );
        check(
            &json!([a, b]),
            &json!([b]),
            &["data: a / s was removed", "quarantine: a / s was removed"],
        );
        check(&json!([a]), &json!([item("a", "10")]), &["data: a / s changed in attempts"]);
        check(
            &json!([a]),
            &json!([item("a", "8")]),
            &["data: a / s changed in attempts", "quarantine: a / s changed in attempts"],
        );
        check(
            &json!([{"PK": {"S": "a"}, "SK": {"S": "a"}, "v": {"S": "x"}}]),
            &json!([{"PK": {"S": "a"}, "SK": {"S": "a"}, "w": {"S": "x"}}]),
            &["data: a changed in v, w", "quarantine: a changed in v, w"],
        );
    }
}
