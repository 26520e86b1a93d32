//! Conditions, as they stand behind a statement's `WHERE` and in a call's `ConditionExpression`, and the names that a
//! `ProjectionExpression` lists.

use std::{
    cmp::Ordering::{self, Equal},
    collections::HashMap,
};

use super::attribute::{Attribute, Attributes, compare, find};

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
    /// Whether it holds for an item, or where there is none.
    pub(super) fn holds(&self, item: Option<&Attributes>, parameters: &[Attribute]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(item, parameters)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(item, parameters)),
            Self::Not(part) => !part.holds(item, parameters),
            Self::Exists(path) => item.is_some_and(|item| find(item, path).is_some()),
            Self::Compare(path, comparison, parameter) => {
                let left = item.and_then(|item| find(item, path));
                let Some((left, right)) = left.zip(parameters.get(*parameter)) else {
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

    /// A condition of a call: names and values stand in maps beside it. Its parameters are the values in their order.
    pub(super) fn of_expression(
        text: &str,
        names: &HashMap<String, String>,
        values: &Attributes,
    ) -> Result<Self, String> {
        let values = values.keys().cloned().collect();
        Self::of_tokens(named_tokens(text, names)?, 0, values)
    }

    /// A condition whose first parameter is that of the given position.
    pub(super) fn of_tokens(
        tokens: Vec<Token>,
        parameter: usize,
        values: Vec<String>,
    ) -> Result<Self, String> {
        let mut parser = Parser { tokens, position: 0, parameter, values };
        let condition = parser.any()?;
        match parser.next() {
            None => Ok(condition),
            Some(token) => Err(format!("{token:?} is one too many")),
        }
    }
}

/// The attributes that a projection wants: their names, but no paths into them.
pub(super) fn projection(
    text: &str,
    names: &HashMap<String, String>,
) -> Result<Vec<String>, String> {
    let tokens = named_tokens(text, names)?;
    let name = |part: &[Token]| match part {
        [Token::Name(name) | Token::Word(name)] => Ok(name.clone()),
        _ => Err("a projection must list names of attributes".to_owned()),
    };
    tokens.split(|token| token.is(",")).map(name).collect()
}

/// The tokens of an expression, with the names that its placeholders stand for.
fn named_tokens(text: &str, names: &HashMap<String, String>) -> Result<Vec<Token>, String> {
    let mut tokens = tokens(text)?;
    for token in &mut tokens {
        if let Token::Name(name) = token
            && name.starts_with('#')
        {
            let known = names.get(name.as_str());
            *name = known.ok_or_else(|| format!("the name `{name}` is not given"))?.clone();
        }
    }
    Ok(tokens)
}

/// What statements and expressions consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word that is not quoted.
    Word(String),
    /// A name: quoted, or with `#` before it.
    Name(String),
    /// A string in single quotes.
    Text(String),
    /// A value with `:` before it.
    Value(String),
    /// Anything else.
    Sign(&'static str),
}

impl Token {
    /// Whether it is this sign or this word, in upper or lower case.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word.eq_ignore_ascii_case(text),
            Self::Sign(sign) => *sign == text,
            _ => false,
        }
    }
}

const COMPARISONS: [&str; 7] = ["<>", "<=", ">=", "!=", "=", "<", ">"];
const OTHER_SIGNS: [&str; 8] = ["?", "(", ")", ".", ",", "{", "}", ":"];

/// The tokens of a statement or an expression.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let is_name = |character: char| character.is_alphanumeric() || "_-".contains(character);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let name_end = after.find(|it| !is_name(it)).unwrap_or(after.len());
        let name_length = first.len_utf8() + name_end;
        let (token, length) = match first {
            '"' | '\'' => {
                let (quoted, length) = quoted(after, first)?;
                let token = if first == '"' { Token::Name(quoted) } else { Token::Text(quoted) };
                (token, 1 + length)
            }
            '#' => (Token::Name(rest[..name_length].to_owned()), name_length),
            ':' if name_end > 0 => (Token::Value(rest[..name_length].to_owned()), name_length),
            _ if is_name(first) => (Token::Word(rest[..name_length].to_owned()), name_length),
            _ => {
                let mut signs = COMPARISONS.into_iter().chain(OTHER_SIGNS);
                let sign = signs.find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| format!("`{first}` is not understood"))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The text up to the closing quote, where two stand for one, and how long it is with that quote.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut name = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((position, character)) = characters.next() {
        if character == quote && characters.next_if(|&(_, next)| next == quote).is_none() {
            return Ok((name, position + 1));
        }
        name.push(character);
    }
    Err("a quote is not closed".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    parameter: usize,
    /// The names of parameters that have some.
    values: Vec<String>,
}

impl Parser {
    fn any(&mut self) -> Result<Condition, String> {
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
            if !self.take("MISSING") {
                return Err("only `MISSING` may follow `IS`".to_owned());
            }
            return Ok(exists(path, is_negated));
        }
        let comparison = match self.next() {
            Some(Token::Sign(sign)) if COMPARISONS.contains(&sign) => sign,
            other => return Err(format!("a comparison was expected, not {other:?}")),
        };
        let parameter = match self.next() {
            Some(Token::Sign("?")) => {
                self.parameter += 1;
                self.parameter - 1
            }
            Some(Token::Value(name)) => {
                let known = self.values.iter().position(|value| *value == name);
                known.ok_or_else(|| format!("the value `{name}` is not given"))?
            }
            other => return Err(format!("a value was expected, not {other:?}")),
        };
        Ok(Condition::Compare(path, comparison, parameter))
    }

    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        loop {
            match self.next() {
                Some(Token::Name(name) | Token::Word(name)) => path.push(name),
                other => return Err(format!("a name was expected, not {other:?}")),
            }
            if !self.take(".") {
                return Ok(path);
            }
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.position).cloned();
        self.position += 1;
        token
    }

    /// Whether that word or sign comes next; it is passed then.
    fn take(&mut self, text: &str) -> bool {
        let is_it = self.tokens.get(self.position).is_some_and(|token| token.is(text));
        self.position += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("`{sign}` was expected")) }
    }
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
            let read = Condition::of_expression(text, &names, &values);
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
        check("b = ", &Err("a value was expected, not None"));
        check("b = :v :w", &Err(r#"Value(":w") is one too many"#));
        check("size(#a) > :v", &Err(r#"a comparison was expected, not Some(Sign("("))"#));
        check("(b = :v", &Err("`)` was expected"));
    }
}
