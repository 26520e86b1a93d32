//! The `PartiQL` statements that write.

use super::condition::{Condition, Token, tokens};

/// A statement that writes one item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) table: String,
    pub(super) verb: Verb,
    /// How many parameters it has.
    pub(super) parameters: usize,
}

/// What a statement does: its first parameters are those of the attributes that it sets, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    Insert { set: Vec<String> },
    Update { set: Vec<String>, remove: Vec<String>, condition: Condition },
    Delete { condition: Condition },
}

impl Statement {
    /// Reads a statement's text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let count = |tokens: &[Token]| tokens.iter().filter(|token| token.is("?")).count();
        let word = |position: usize, word| tokens.get(position).is_some_and(|it| it.is(word));
        let table = |position: usize, verb| match tokens.get(position) {
            Some(Token::Name(table) | Token::Word(table)) => {
                Ok(Self { table: table.clone(), verb, parameters: count(&tokens) })
            }
            _ => Err("a table's name was expected".to_owned()),
        };
        if word(0, "INSERT") && word(1, "INTO") && word(3, "VALUE") {
            return table(2, Verb::Insert { set: members(&tokens[4..])? });
        }
        let position = tokens.iter().position(|token| token.is("WHERE"));
        let position = position.ok_or("a write of one item needs a `WHERE`")?;
        let (head, tail) = (&tokens[..position], &tokens[position + 1..]);
        let condition = Condition::of_tokens(tail.to_vec(), count(head), Vec::new())?;
        if word(0, "DELETE") && word(1, "FROM") && position == 3 {
            return table(2, Verb::Delete { condition });
        }
        if word(0, "UPDATE") && position >= 2 {
            let (set, remove) = assignments(&head[2..])?;
            return table(1, Verb::Update { set, remove, condition });
        }
        Err("only `INSERT INTO`, `UPDATE` and `DELETE FROM` write".to_owned())
    }

    /// The parameter that the attribute of that name must equal.
    pub(super) fn key(&self, name: &str) -> Option<usize> {
        let condition = match &self.verb {
            Verb::Insert { set } => return set.iter().position(|member| member == name),
            Verb::Update { condition, .. } | Verb::Delete { condition } => condition,
        };
        let parts = match condition {
            Condition::All(parts) => parts.as_slice(),
            single => std::slice::from_ref(single),
        };
        parts.iter().find_map(|part| match part {
            Condition::Compare(path, "=", it) if *path == [name] => Some(*it),
            _ => None,
        })
    }
}

/// `{'name':?,…}`
fn members(tokens: &[Token]) -> Result<Vec<String>, String> {
    let [Token::Sign("{"), inner @ .., Token::Sign("}")] = tokens else {
        return Err("an insert must spell out its members in braces".to_owned());
    };
    let member = |member: &[Token]| match member {
        [Token::Text(name), Token::Sign(":"), Token::Sign("?")] => Ok(name.clone()),
        _ => Err("a member must be a name in single quotes, `:` and `?`".to_owned()),
    };
    inner.split(|token| token.is(",")).map(member).collect()
}

/// What `SET "name"=? … REMOVE "name" …` sets and removes.
fn assignments(mut tokens: &[Token]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    while let [word, Token::Name(name), rest @ ..] = tokens {
        tokens = match rest {
            [Token::Sign("="), Token::Sign("?"), rest @ ..] if word.is("SET") => {
                set.push(name.clone());
                rest
            }
            rest if word.is("REMOVE") => {
                remove.push(name.clone());
                rest
            }
            _ => break,
        };
    }
    if !tokens.is_empty() {
        return Err("an update must be `SET \"name\"=?` or `REMOVE \"name\"`".to_owned());
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
