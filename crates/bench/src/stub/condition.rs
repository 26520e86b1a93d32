//! Conditions, as they stand behind a statement's `WHERE` and in a call's `ConditionExpression`, and the names that a
//! `ProjectionExpression` lists.

use std::{cmp::Ordering, collections::HashMap};

use super::attribute::Scalar;

/// A condition on an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Exists(Path),
    Compare(Path, Operator, Operand),
}

/// An attribute's name, and those of the members on the way into it.
pub(super) type Path = Vec<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where the value on a comparison's right side is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A statement's parameter, by its position.
    Parameter(usize),
    /// A call's `ExpressionAttributeValues`.
    Placeholder(String),
}

impl Condition {
    /// Whether it holds for the item whose attributes `attribute` finds.
    pub(super) fn holds(
        &self,
        attribute: &impl Fn(&[String]) -> Option<Scalar>,
        operand: &impl Fn(&Operand) -> Option<Scalar>,
    ) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(attribute, operand)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(attribute, operand)),
            Self::Not(part) => !part.holds(attribute, operand),
            Self::Exists(path) => attribute(path).is_some(),
            Self::Compare(path, operator, right) => {
                let (Some(left), Some(right)) = (attribute(path), operand(right)) else {
                    return false;
                };
                let ordering = left.compare(&right);
                match operator {
                    Operator::Equal => ordering == Some(Ordering::Equal),
                    Operator::NotEqual => ordering != Some(Ordering::Equal),
                    Operator::Less => ordering.is_some_and(Ordering::is_lt),
                    Operator::LessOrEqual => ordering.is_some_and(Ordering::is_le),
                    Operator::Greater => ordering.is_some_and(Ordering::is_gt),
                    Operator::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
                }
            }
        }
    }

    /// A condition of a call: names and values stand in maps beside it.
    pub(super) fn of_expression(
        text: &str,
        names: &HashMap<String, String>,
    ) -> Result<Self, String> {
        Self::of_tokens(named_tokens(text, names)?, 0)
    }

    /// A condition whose first parameter is that of the given position.
    pub(super) fn of_tokens(tokens: Vec<Token>, first_parameter: usize) -> Result<Self, String> {
        let mut parser = Parser { tokens, position: 0, parameter: first_parameter };
        let condition = parser.any()?;
        match parser.peek() {
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
    tokens.split(|token| *token == Token::Sign(",")).map(name).collect()
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
    /// A word that is not quoted, in upper case.
    Word(String),
    /// A name: quoted, or with `#` before it.
    Name(String),
    /// A string in single quotes.
    Text(String),
    /// A value with `:` before it.
    Value(String),
    /// `?`
    Parameter,
    /// Anything else.
    Sign(&'static str),
}

const SIGNS: [&str; 15] =
    ["<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ".", ",", "{", "}", ":", "<<"];

/// The tokens of a statement or an expression.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let is_name = |character: char| character.is_alphanumeric() || "_-".contains(character);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let name_end = after.find(|it| !is_name(it)).unwrap_or(after.len());
        let (token, length) = match first {
            '"' | '\'' => {
                let (quoted, length) = quoted(after, first)?;
                let token = if first == '"' { Token::Name(quoted) } else { Token::Text(quoted) };
                (token, 1 + length)
            }
            '?' => (Token::Parameter, 1),
            '#' => (Token::Name(rest[..=name_end].to_owned()), 1 + name_end),
            ':' if name_end > 0 => (Token::Value(rest[..=name_end].to_owned()), 1 + name_end),
            _ if is_name(first) => {
                let end = rest.find(|it| !is_name(it)).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
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
        if character != quote {
            name.push(character);
        } else if characters.next_if(|&(_, next)| next == quote).is_some() {
            name.push(quote);
        } else {
            return Ok((name, position + 1));
        }
    }
    Err("a quote is not closed".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    parameter: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Condition, String> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take_word("OR") {
            parts.push(self.all()?);
        }
        Ok(single_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.take_word("AND") {
            parts.push(self.one()?);
        }
        Ok(single_or(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take_sign("(") {
            let inner = self.any()?;
            return self.close(inner);
        }
        if self.take_word("attribute_exists") {
            return self.exists();
        }
        if self.take_word("attribute_not_exists") {
            return Ok(Condition::Not(Box::new(self.exists()?)));
        }
        let path = self.path()?;
        if self.take_word("IS") {
            let is_negated = self.take_word("NOT");
            if !self.take_word("MISSING") {
                return Err("only `MISSING` may follow `IS`".to_owned());
            }
            let exists = Condition::Exists(path);
            return Ok(if is_negated { exists } else { Condition::Not(Box::new(exists)) });
        }
        let operator = match self.next() {
            Some(Token::Sign("=")) => Operator::Equal,
            Some(Token::Sign("<>" | "!=")) => Operator::NotEqual,
            Some(Token::Sign("<")) => Operator::Less,
            Some(Token::Sign("<=")) => Operator::LessOrEqual,
            Some(Token::Sign(">")) => Operator::Greater,
            Some(Token::Sign(">=")) => Operator::GreaterOrEqual,
            other => return Err(format!("a comparison was expected, not {other:?}")),
        };
        let operand = match self.next() {
            Some(Token::Parameter) => {
                self.parameter += 1;
                Operand::Parameter(self.parameter - 1)
            }
            Some(Token::Value(name)) => Operand::Placeholder(name),
            other => return Err(format!("a value was expected, not {other:?}")),
        };
        Ok(Condition::Compare(path, operator, operand))
    }

    fn exists(&mut self) -> Result<Condition, String> {
        if !self.take_sign("(") {
            return Err("`(` was expected".to_owned());
        }
        let path = self.path()?;
        self.close(Condition::Exists(path))
    }

    fn close(&mut self, inner: Condition) -> Result<Condition, String> {
        if self.take_sign(")") { Ok(inner) } else { Err("`)` was expected".to_owned()) }
    }

    fn path(&mut self) -> Result<Path, String> {
        let mut path = Vec::new();
        loop {
            match self.next() {
                Some(Token::Name(name) | Token::Word(name)) => path.push(name),
                other => return Err(format!("a name was expected, not {other:?}")),
            }
            if !self.take_sign(".") {
                return Ok(path);
            }
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.position).cloned();
        self.position += 1;
        token
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_it =
            matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.position += usize::from(is_it);
        is_it
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.position += usize::from(is_it);
        is_it
    }
}

fn single_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        #[track_caller]
        fn check(text: &str, expected: &Result<Condition, &str>) {
            let names = HashMap::from([("#a".to_owned(), "A".to_owned())]);
            let read = Condition::of_expression(text, &names);
            assert_eq!(read.as_ref().map_err(String::as_str), expected.as_ref().map_err(|it| *it));
        }

        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Path>();
        let a = || Condition::Exists(path(&["A"]));
        let b = || {
            let value = Operand::Placeholder(":v".to_owned());
            Condition::Compare(path(&["b", "A"]), Operator::LessOrEqual, value)
        };
        check("attribute_exists(#a)", &Ok(a()));
        check("b.#a <= :v", &Ok(b()));
        check("not (attribute_exists ( #a ))", &Ok(Condition::Not(Box::new(a()))));
        check(
            "attribute_exists(#a) AND b.#a <= :v or attribute_exists(#a)",
            &Ok(Condition::Any(vec![Condition::All(vec![a(), b()]), a()])),
        );
        check("#b = :v", &Err("the name `#b` is not given"));
        check("b = ", &Err("a value was expected, not None"));
        check("b = :v :w", &Err(r#"Value(":w") is one too many"#));
        check("size(#a) > :v", &Err(r#"a comparison was expected, not Some(Sign("("))"#));
        check("(b = :v", &Err("`)` was expected"));
    }
}
