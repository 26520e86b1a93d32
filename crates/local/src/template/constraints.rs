//! What a template's parameter may be.

use regex_lite::Regex;
use serde_yaml_ng::Value;

use super::resolve::scalar;

/// Which of the declaration's constraints `value` breaks, in words; none if it keeps to all of them.
pub(super) fn broken(declaration: &Value, value: &str) -> Option<String> {
    let number = |name: &str| declaration.get(name).and_then(|it| scalar(it).ok()?.parse().ok());
    if let Some(allowed) = declaration.get("AllowedValues").and_then(Value::as_sequence) {
        let allowed: Vec<String> = allowed.iter().filter_map(|it| scalar(it).ok()).collect();
        if !allowed.iter().any(|it| it == value) {
            return Some(format!("it is one of {}", allowed.join(", ")));
        }
    }
    if declaration.get("Type").and_then(Value::as_str) == Some("Number") {
        let Ok(found) = value.parse::<f64>() else { return Some("it is a number".to_owned()) };
        if let Some(least) = number("MinValue").filter(|least: &f64| found < *least) {
            return Some(format!("it is at least {least}"));
        }
        if let Some(most) = number("MaxValue").filter(|most: &f64| found > *most) {
            return Some(format!("it is at most {most}"));
        }
    }
    let length = value.chars().count();
    let most = declaration.get("MaxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
    if length as u64 > most {
        return Some(format!("it has at most {most} characters"));
    }
    let pattern = declaration.get("AllowedPattern").and_then(Value::as_str)?;
    // All of it must match. A pattern of another dialect says nothing here.
    let regex = Regex::new(&format!("^(?:{pattern})$")).ok()?;
    (!regex.is_match(value)).then(|| format!("it matches {pattern}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_keeps_to_its_constraints() {
        #[track_caller]
        fn check(declaration: &str, value: &str, expected: Option<&str>) {
            let declaration = serde_yaml_ng::from_str(declaration).unwrap();
            assert_eq!(broken(&declaration, value).as_deref(), expected);
        }

        check("{Type: String}", "any", None);
        let choice = "{Type: String, AllowedValues: [on-demand, 3, \"true\"]}";
        check(choice, "on-demand", None);
        check(choice, "3", None);
        check(choice, "On-demand", Some("it is one of on-demand, 3, true"));
        let number = "{Type: Number, MinValue: 0, MaxValue: 9999999999}";
        check(number, "0", None);
        check(number, "9999999999", None);
        check(number, "-1", Some("it is at least 0"));
        check(number, "10000000000", Some("it is at most 9999999999"));
        check(number, "one", Some("it is a number"));
        check("{Type: String, MaxLength: 2}", "éé", None);
        check("{Type: String, MaxLength: 2}", "abc", Some("it has at most 2 characters"));
        let pattern = "{Type: String, AllowedPattern: \"[a-z]+|x[0-9]\"}";
        check(pattern, "abc", None);
        check(pattern, "x9", None);
        check(pattern, "abc9", Some("it matches [a-z]+|x[0-9]"));
    }
}
