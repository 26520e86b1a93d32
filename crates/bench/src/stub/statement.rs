//! The `PartiQL` statements that write.

use std::sync::Arc;

use super::condition::{Condition, Operand, Operator, Token, tokens};

/// A statement that writes one item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) table: String,
    pub(super) verb: Verb,
    /// How many parameters it has.
    pub(super) parameters: usize,
}

/// What a statement does. Numbers are positions of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    Insert { members: Members },
    Update { set: Members, remove: Vec<String>, condition: Condition },
    Delete { condition: Condition },
}

/// Names of attributes, and which parameters they get.
type Members = Vec<(Arc<str>, usize)>;

impl Statement {
    /// Reads a statement's text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let parameters = tokens.iter().filter(|&token| *token == Token::Parameter).count();
        let word = |position: usize, word: &str| matches!(tokens.get(position), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        let table = |position: usize| match tokens.get(position) {
            Some(Token::Name(table) | Token::Word(table)) => Ok(table.clone()),
            _ => Err("a table's name was expected".to_owned()),
        };
        if word(0, "INSERT") && word(1, "INTO") && word(3, "VALUE") {
            let members = members(&tokens[4..])?;
            return Ok(Self { table: table(2)?, verb: Verb::Insert { members }, parameters });
        }
        let position = tokens.iter().position(
            |token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("WHERE")),
        );
        let position = position.ok_or("a write of one item needs a `WHERE`")?;
        let (head, tail) = (&tokens[..position], &tokens[position + 1..]);
        let before = head.iter().filter(|&token| *token == Token::Parameter).count();
        let condition = Condition::of_tokens(tail.to_vec(), before)?;
        if word(0, "DELETE") && word(1, "FROM") && position == 3 {
            return Ok(Self { table: table(2)?, verb: Verb::Delete { condition }, parameters });
        }
        if word(0, "UPDATE") {
            let (set, remove) = assignments(&head[2..])?;
            let verb = Verb::Update { set, remove, condition };
            return Ok(Self { table: table(1)?, verb, parameters });
        }
        Err("only `INSERT INTO`, `UPDATE` and `DELETE FROM` write".to_owned())
    }

    /// The parameter that the attribute of that name must equal.
    pub(super) fn key(&self, name: &str) -> Option<usize> {
        let condition = match &self.verb {
            Verb::Insert { members } => {
                return members.iter().find(|(member, _)| **member == *name).map(|(_, it)| *it);
            }
            Verb::Update { condition, .. } | Verb::Delete { condition } => condition,
        };
        let parts = match condition {
            Condition::All(parts) => parts.as_slice(),
            single => std::slice::from_ref(single),
        };
        parts.iter().find_map(|part| match part {
            Condition::Compare(path, Operator::Equal, Operand::Parameter(parameter))
                if *path == [name] =>
            {
                Some(*parameter)
            }
            _ => None,
        })
    }
}

/// `{'name':?,…}`
fn members(tokens: &[Token]) -> Result<Members, String> {
    let [Token::Sign("{"), inner @ .., Token::Sign("}")] = tokens else {
        return Err("an insert must spell out its members in braces".to_owned());
    };
    let mut members = Vec::new();
    for member in inner.split(|token| *token == Token::Sign(",")) {
        let [Token::Text(name), Token::Sign(":"), Token::Parameter] = member else {
            return Err("a member must be a name in single quotes, `:` and `?`".to_owned());
        };
        members.push((name.as_str().into(), members.len()));
    }
    Ok(members)
}

/// What is set to which parameter, and what is removed.
type Assignments = (Members, Vec<String>);

/// `SET "name"=? … REMOVE "name" …`
fn assignments(mut tokens: &[Token]) -> Result<Assignments, String> {
    let mut set = Vec::new();
    let mut remove = Vec::new();
    while !tokens.is_empty() {
        match tokens {
            [
                Token::Word(word),
                Token::Name(name),
                Token::Sign("="),
                Token::Parameter,
                rest @ ..,
            ] if word.eq_ignore_ascii_case("SET") => {
                set.push((name.as_str().into(), set.len()));
                tokens = rest;
            }
            [Token::Word(word), Token::Name(name), rest @ ..]
                if word.eq_ignore_ascii_case("REMOVE") =>
            {
                remove.push(name.clone());
                tokens = rest;
            }
            _ => return Err("an update must be `SET \"name\"=?` or `REMOVE \"name\"`".to_owned()),
        }
    }
    Ok((set, remove))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        #[track_caller]
        fn check(text: &str, expected: Result<(&str, usize, Option<usize>), &str>) {
            let read = Statement::read(text);
            let found = match &read {
                Ok(read) => Ok((read.table.as_str(), read.parameters, read.key("PK"))),
                Err(error) => Err(error.as_str()),
            };
            assert_eq!(found, expected, "{text}");
        }

        check(r#"INSERT INTO "t-1" VALUE {'PK':?,'SK':?,'a b''c':?}"#, Ok(("t-1", 3, Some(0))));
        check(
            r#"UPDATE "t" SET "a"=? SET "_sink"=? REMOVE "b" WHERE "PK"=? AND "SK"=? AND "_sink"."version" < ?"#,
            Ok(("t", 5, Some(2))),
        );
        check(
            r#"DELETE FROM "t" WHERE "PK"=? AND "SK"=? AND ("a" < ? OR "a" IS MISSING)"#,
            Ok(("t", 3, Some(0))),
        );
        check(r#"UPDATE "t" SET "a"=? WHERE "SK"=?"#, Ok(("t", 2, None)));
        check(r#"SELECT * FROM "t" WHERE "PK"=?"#, Err("`*` is not understood"));
        check(r#"DELETE FROM "t""#, Err("a write of one item needs a `WHERE`"));
        check(r#"INSERT INTO "t" VALUE ?"#, Err("an insert must spell out its members in braces"));
        check(
            r#"UPDATE "t" SET "a"=1 WHERE "PK"=?"#,
            Err("an update must be `SET \"name\"=?` or `REMOVE \"name\"`"),
        );
        check(r#"UPDATE "t" SET "a=? WHERE"#, Err("a quote is not closed"));
    }
}
