//! Conditions, as they stand behind a statement's `WHERE` and in a call's `ConditionExpression`, and how statements and
//! expressions are read.

use std::{
    cmp::Ordering::{self, Equal},
    collections::HashMap,
};

use super::{
    attribute::{Attribute, Attributes, compare, find},
    tables::Item,
};

/// A condition on an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// By the names of an attribute and of the members on the way into it.
    Exists(Vec<String>),
    /// A comparison by one of [`COMPARISONS`] with a parameter.
    Compare(Vec<String>, &'static str, usize),
}

impl Condition {
    /// Whether it holds for an item, or where there is none, with these parameters.
    pub(super) fn holds(&self, item: Option<&Item>, parameters: &[&Attribute]) -> bool {
        let find = |path| item.and_then(|item| find(&item.attributes, path));
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(item, parameters)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(item, parameters)),
            Self::Not(part) => !part.holds(item, parameters),
            Self::Exists(path) => find(path).is_some(),
            Self::Compare(path, comparison, position) => {
                let Some((left, right)) = find(path).zip(parameters.get(*position)) else {
                    return false;
                };
                let ordering = compare(left, right);
                match *comparison {
                    "=" => ordering == Some(Equal),
                    "<" => ordering.is_some_and(Ordering::is_lt),
                    "<=" => ordering.is_some_and(Ordering::is_le),
                    ">" => ordering.is_some_and(Ordering::is_gt),
                    ">=" => ordering.is_some_and(Ordering::is_ge),
                    _ => ordering != Some(Equal),
                }
            }
        }
    }
}

const COMPARISONS: [&str; 7] = ["<>", "<=", ">=", "!=", "=", "<", ">"];

/// The condition of a call. Its parameters are the values in their order.
pub(super) fn condition(
    text: &str,
    names: &HashMap<String, String>,
    values: &Attributes,
) -> Result<Condition, String> {
    let mut parser = Parser::new(text, names, values);
    let condition = parser.any()?;
    parser.end()?;
    Ok(condition)
}

/// The attributes that a projection lists: their names, but no paths into them.
pub(super) fn projection(
    text: &str,
    names: &HashMap<String, String>,
) -> Result<Vec<String>, String> {
    let values = Attributes::new();
    let mut parser = Parser::new(text, names, &values);
    let mut wanted = vec![parser.name()?];
    while parser.take(",") {
        wanted.push(parser.name()?);
    }
    parser.end()?;
    Ok(wanted)
}

/// Reads a text from its start to its end.
pub(super) struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    /// What names with `#` before them stand for.
    names: &'a HashMap<String, String>,
    /// The parameters that have names, with `:` before them.
    values: &'a Attributes,
    /// How many others were read.
    pub(super) parameters: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(
        text: &'a str,
        names: &'a HashMap<String, String>,
        values: &'a Attributes,
    ) -> Self {
        Self { text, rest: text.trim_start(), names, values, parameters: 0 }
    }

    pub(super) fn any(&mut self) -> Result<Condition, String> {
        self.joined("OR", Self::all, Condition::Any)
    }

    fn all(&mut self) -> Result<Condition, String> {
        self.joined("AND", Self::one, Condition::All)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Condition, String>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, String> {
        let first = part(self)?;
        let mut parts = Vec::new();
        while self.take(word) {
            parts.push(part(self)?);
        }
        if parts.is_empty() {
            return Ok(first);
        }
        parts.insert(0, first);
        Ok(join(parts))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.take("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            return Ok(inner);
        }
        for (function, is_negated) in [("attribute_exists", false), ("attribute_not_exists", true)]
        {
            if self.take(function) {
                self.expect("(")?;
                let path = self.path()?;
                self.expect(")")?;
                return Ok(exists(path, is_negated));
            }
        }
        let path = self.path()?;
        if self.take("IS") {
            let is_negated = !self.take("NOT");
            self.expect("MISSING")?;
            return Ok(exists(path, is_negated));
        }
        let comparison = COMPARISONS.into_iter().find(|sign| self.take(sign));
        let comparison = comparison.ok_or_else(|| self.expected("a comparison"))?;
        Ok(Condition::Compare(path, comparison, self.value()?))
    }

    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = vec![self.name()?];
        while self.take(".") {
            path.push(self.name()?);
        }
        Ok(path)
    }

    /// A word, or a name that is quoted or has `#` before it.
    pub(super) fn name(&mut self) -> Result<String, String> {
        if self.rest.starts_with('"') {
            return self.quoted("\"");
        }
        if let Some(name) = self.word("#") {
            let known = self.names.get(name).cloned();
            return known.ok_or_else(|| format!("the name `{name}` is not given"));
        }
        self.word("").map(str::to_owned).ok_or_else(|| self.expected("a name"))
    }

    /// The position of a parameter.
    pub(super) fn value(&mut self) -> Result<usize, String> {
        if self.take("?") {
            self.parameters += 1;
            return Ok(self.parameters - 1);
        }
        let name = self.word(":").ok_or_else(|| self.expected("a value"))?;
        let known = self.values.keys().position(|value| value == name);
        known.ok_or_else(|| format!("the value `{name}` is not given"))
    }

    /// What stands in quotes: two in it stand for one.
    pub(super) fn quoted(&mut self, quote: &str) -> Result<String, String> {
        let start = self.rest.strip_prefix(quote);
        let mut rest = start.ok_or_else(|| self.expected(&format!("`{quote}`")))?;
        let mut text = String::new();
        loop {
            let (part, after) = rest.split_once(quote).ok_or("a quote is not closed")?;
            text.push_str(part);
            let Some(more) = after.strip_prefix(quote) else {
                self.rest = after.trim_start();
                return Ok(text);
            };
            text.push_str(quote);
            rest = more;
        }
    }

    /// Letters, digits, `_` and `-` with that mark before them.
    fn word(&mut self, mark: &str) -> Option<&'a str> {
        let after = self.rest.strip_prefix(mark)?;
        let length = after.find(|it| !is_name(it)).unwrap_or(after.len());
        let (word, rest) = self.rest.split_at(mark.len() + length);
        self.rest = rest.trim_start();
        (length > 0).then_some(word)
    }

    /// Whether that word or sign comes next; it is passed then.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let Some((next, rest)) = self.rest.split_at_checked(text.len()) else { return false };
        let is_it = next.eq_ignore_ascii_case(text)
            && !(text.ends_with(is_name) && rest.starts_with(is_name));
        if is_it {
            self.rest = rest.trim_start();
        }
        is_it
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(self.expected(&format!("`{text}`"))) }
    }

    pub(super) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&self, what: &str) -> String {
        format!("{what} was expected at byte {}", self.text.len() - self.rest.len())
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || "_-".contains(character)
}

fn exists(path: Vec<String>, is_negated: bool) -> Condition {
    let exists = Condition::Exists(path);
    if is_negated { Condition::Not(Box::new(exists)) } else { exists }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn conditions_are_read() {
        #[track_caller]
        fn check(text: &str, expected: &Result<Condition, &str>) {
            let names = HashMap::from([("#a".to_owned(), "A".to_owned())]);
            let value = RawValue::from_string("1".to_owned()).unwrap();
            let values = Attributes::from([(":v".to_owned(), value)]);
            let read = condition(text, &names, &values);
            assert_eq!(read.as_ref().map_err(String::as_str), expected.as_ref().map_err(|it| *it));
        }

        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let a = || Condition::Exists(path(&["A"]));
        let b = || Condition::Compare(path(&["b", "A"]), "<=", 0);
        check("attribute_exists(#a)", &Ok(a()));
        check("b.#a <= :v", &Ok(b()));
        check("not (attribute_exists ( #a ))", &Ok(Condition::Not(Box::new(a()))));
        check(
            "attribute_exists(#a) AND b.#a <= :v or attribute_exists(#a)",
            &Ok(Condition::Any(vec![Condition::All(vec![a(), b()]), a()])),
        );
        check("#b = :v", &Err("the name `#b` is not given"));
        check("b = :w", &Err("the value `:w` is not given"));
        check("b = ", &Err("a value was expected at byte 4"));
        check("b = :v :w", &Err("the end was expected at byte 7"));
        check("size(#a) > :v", &Err("a comparison was expected at byte 4"));
        check("(b = :v", &Err("`)` was expected at byte 7"));
        check("b. = :v", &Err("a name was expected at byte 3"));
        check("notb <> :v", &Ok(Condition::Compare(path(&["notb"]), "<>", 0)));
    }
}
