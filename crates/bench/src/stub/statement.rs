//! The `PartiQL` statements that write.

use std::collections::HashMap;

use super::{
    attribute::Attributes,
    condition::{Condition, Parser},
};

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
        let (names, values) = (HashMap::new(), Attributes::new());
        let mut parser = Parser::new(text, &names, &values);
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let table;
        let verb = if parser.take("INSERT") {
            parser.expect("INTO")?;
            table = parser.name()?;
            parser.expect("VALUE")?;
            parser.expect("{")?;
            loop {
                set.push(parser.quoted("'")?);
                parser.expect(":")?;
                parser.value()?;
                if !parser.take(",") {
                    break;
                }
            }
            parser.expect("}")?;
            Verb::Insert { set }
        } else if parser.take("UPDATE") {
            table = parser.name()?;
            loop {
                if parser.take("SET") {
                    set.push(parser.name()?);
                    parser.expect("=")?;
                    parser.value()?;
                } else if parser.take("REMOVE") {
                    remove.push(parser.name()?);
                } else {
                    break;
                }
            }
            parser.expect("WHERE")?;
            Verb::Update { set, remove, condition: parser.any()? }
        } else if parser.take("DELETE") {
            parser.expect("FROM")?;
            table = parser.name()?;
            parser.expect("WHERE")?;
            Verb::Delete { condition: parser.any()? }
        } else {
            return Err("only `INSERT INTO`, `UPDATE` and `DELETE FROM` write".to_owned());
        };
        parser.end()?;
        Ok(Self { table, verb, parameters: parser.parameters })
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
        check("INSERT INTO t VALUE {' PK':?}", Ok(("t", 1, None)));
        check(
            r#"SELECT * FROM "t" WHERE "PK"=?"#,
            Err("only `INSERT INTO`, `UPDATE` and `DELETE FROM` write"),
        );
        check(r#"DELETE FROM "t""#, Err("`WHERE` was expected at byte 15"));
        check(r#"INSERT INTO "t" VALUE ?"#, Err("`{` was expected at byte 22"));
        check(r#"UPDATE "t" SET "a"=1 WHERE "PK"=?"#, Err("a value was expected at byte 19"));
        check(r#"UPDATE "t" SET "a=? WHERE"#, Err("a quote is not closed"));
    }
}
