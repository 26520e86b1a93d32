//! The texts of DynamoDB's answers, of which only what the writer compares is kept.
//!
//! An item that refused a write is shown whole, and there is one for each duplicate. So an answer is read by a scanner
//! of its own: what nobody asks for is passed over by its brackets and quotes alone, which costs least, and nothing in
//! it can make an answer unreadable.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::AttributeValue;
use memchr::memchr2;

use crate::{
    order::stored::{Attributes, STATE_ATTRIBUTES},
    wire::look::Found,
};

/// More than any code has: it goes into logs and answers.
const MAX_CODE_CHARS: usize = 100;

/// Why a statement or an action of a transaction failed. What the answer does not say is empty.
#[derive(Debug, Default)]
pub(super) struct ElementError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) item: Option<Attributes>,
}

/// Why a whole request failed. What the answer does not say is empty.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// The error's name without its namespace.
    pub(super) code: String,
    pub(super) message: String,
    pub(super) item: Option<Attributes>,
    pub(super) cancellation_reasons: Vec<ElementError>,
}

/// For each statement why it failed, if it did; none where the text is no answer to statements.
pub(super) fn statements(body: &[u8]) -> Option<Vec<Option<ElementError>>> {
    let mut statements = Vec::new();
    let mut answer = Scanner::new(body);
    answer.members(|name, answer| {
        if name != "Responses" {
            return answer.skip();
        }
        answer.elements(|answer| {
            let mut error = None;
            answer.members(|name, answer| {
                if name == "Error" && !answer.is_null() {
                    error = Some(element_error(answer)?);
                    return Some(());
                }
                answer.skip()
            })?;
            statements.push(error);
            Some(())
        })
    })?;
    answer.finish()?;
    Some(statements)
}

/// What a look found; none where the text is no answer to one.
pub(super) fn found(body: &[u8]) -> Option<Found> {
    let mut found = Found::default();
    let mut answer = Scanner::new(body);
    answer.members(|name, answer| match name {
        "Responses" => answer.members(|table, answer| {
            let found = found.tables.entry(table.to_owned()).or_default();
            answer.elements(|answer| {
                let (key, attributes) = keyed_attributes(answer)?;
                found.items.insert(key, attributes);
                Some(())
            })
        }),
        "UnprocessedKeys" if !answer.is_null() => answer.members(|table, answer| {
            let found = found.tables.entry(table.to_owned()).or_default();
            answer.members(|name, answer| match name {
                "Keys" => answer.elements(|answer| {
                    found.unprocessed.insert(keyed_attributes(answer)?.0);
                    Some(())
                }),
                _ => answer.skip(),
            })
        }),
        "ConsumedCapacity" if !answer.is_null() => answer.elements(|answer| {
            answer.members(|name, answer| match name {
                "CapacityUnits" => {
                    found.read_units +=
                        answer.number().filter(|units| (0.0..1e6).contains(units))?;
                    Some(())
                }
                _ => answer.skip(),
            })
        }),
        _ => answer.skip(),
    })?;
    answer.finish()?;
    Some(found)
}

/// An item's partition key, which is its sort key too, and the attributes that say which state it holds.
fn keyed_attributes(answer: &mut Scanner<'_>) -> Option<(String, Attributes)> {
    let (mut key, mut attributes) = (None, Attributes::new());
    answer.members(|name, answer| {
        if name == "PK" {
            let AttributeValue::S(text) = state_value(answer)? else { return None };
            key = Some(text);
        } else if STATE_ATTRIBUTES.contains(&name) {
            attributes.insert(name.to_owned(), state_value(answer)?);
        } else {
            answer.skip()?;
        }
        Some(())
    })?;
    Some((key?, attributes))
}

/// Whether the text is a JSON object, as every answer is.
pub(super) fn is_object(body: &[u8]) -> bool {
    let mut answer = Scanner::new(body);
    answer.members(|_, answer| answer.skip()).and_then(|()| answer.finish()).is_some()
}

/// An error's text, as far as it can be read.
pub(super) fn error(body: &[u8]) -> ErrorBody {
    let mut error = ErrorBody::default();
    let read = Scanner::new(body).members(|name, answer| {
        match name {
            "__type" => {
                let name = answer.text()?;
                let code = name.rsplit('#').next()?;
                error.code = code.chars().take(MAX_CODE_CHARS).collect();
            }
            "message" | "Message" if !answer.is_null() => error.message = answer.text()?,
            "Item" if !answer.is_null() => error.item = Some(state_attributes(answer)?),
            "CancellationReasons" if !answer.is_null() => answer.elements(|answer| {
                error.cancellation_reasons.push(element_error(answer)?);
                Some(())
            })?,
            _ => answer.skip()?,
        }
        Some(())
    });
    if read.is_some() { error } else { ErrorBody::default() }
}

fn element_error(answer: &mut Scanner<'_>) -> Option<ElementError> {
    let mut error = ElementError::default();
    answer.members(|name, answer| {
        match name {
            "Code" => error.code = answer.text()?,
            "Message" => error.message = answer.text()?,
            "Item" if !answer.is_null() => error.item = Some(state_attributes(answer)?),
            _ => answer.skip()?,
        }
        Some(())
    })?;
    Some(error)
}

/// The attributes of an item or a tombstone that say which state it holds.
fn state_attributes(answer: &mut Scanner<'_>) -> Option<Attributes> {
    let mut attributes = Attributes::new();
    answer.members(|name, answer| {
        if STATE_ATTRIBUTES.contains(&name) {
            attributes.insert(name.to_owned(), state_value(answer)?);
            return Some(());
        }
        answer.skip()
    })?;
    Some(attributes)
}

/// A string, a number or a map of them. Other types are none that a stamp has: null stands for them.
fn state_value(answer: &mut Scanner<'_>) -> Option<AttributeValue> {
    let mut value = AttributeValue::Null(true);
    answer.members(|kind, answer| {
        match kind {
            "S" => value = AttributeValue::S(answer.text()?),
            "N" => value = AttributeValue::N(answer.text()?),
            "M" => value = AttributeValue::M(state_attributes(answer)?),
            _ => answer.skip()?,
        }
        Some(())
    })?;
    Some(value)
}

/// A position in a JSON text. Where something else stands than what is asked for, there is nothing.
struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// The next byte that is no white space; 0 at the end.
    fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek() == expected).then(|| self.at += 1)
    }

    fn finish(&mut self) -> Option<()> {
        self.peek();
        (self.at == self.json.len()).then_some(())
    }

    fn is_null(&mut self) -> bool {
        self.peek() == b'n'
    }

    /// Calls `read` with the name of each of an object's members; it must read the value.
    fn members(&mut self, mut read: impl FnMut(&str, &mut Self) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        let mut is_first = true;
        while self.peek() != b'}' {
            if !std::mem::take(&mut is_first) {
                self.take(b',')?;
            }
            let name = self.string()?;
            self.take(b':')?;
            read(&name, self)?;
        }
        self.take(b'}')
    }

    /// Calls `read` for each of an array's elements; it must read the element.
    fn elements(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        let mut is_first = true;
        while self.peek() != b']' {
            if !std::mem::take(&mut is_first) {
                self.take(b',')?;
            }
            read(self)?;
        }
        self.take(b']')
    }

    fn number(&mut self) -> Option<f64> {
        self.peek();
        let start = self.at;
        self.skip()?;
        str::from_utf8(&self.json[start..self.at]).ok()?.parse().ok()
    }

    /// A string, decoded; null counts as an empty one.
    fn text(&mut self) -> Option<String> {
        if self.is_null() {
            return self.skip().map(|()| String::new());
        }
        self.string().map(Cow::into_owned)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.peek();
        let start = self.at;
        self.skip_string()?;
        let quoted = &self.json[start..self.at];
        let plain = &quoted[1..quoted.len() - 1];
        if plain.contains(&b'\\') {
            return serde_json::from_slice(quoted).ok().map(Cow::Owned);
        }
        str::from_utf8(plain).ok().map(Cow::Borrowed)
    }

    /// Passes over a value of any kind.
    fn skip(&mut self) -> Option<()> {
        match self.peek() {
            b'"' => return self.skip_string(),
            b'{' | b'[' => {}
            _ => {
                let start = self.at;
                while !matches!(self.byte(), b',' | b'}' | b']' | b'"' | b'{' | b'[' | ..=b' ') {
                    self.at += 1;
                }
                return (self.at > start).then_some(());
            }
        }
        let mut depth = 0_usize;
        loop {
            match self.byte() {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                0 => return None,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let length = memchr2(b'"', b'\\', self.json.get(self.at..)?)?;
            self.at += length + 1;
            if self.json[self.at - 1] == b'"' {
                return Some(());
            }
            // Whatever is escaped, even a quote, ends nothing.
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::wire::look::Unprocessed;

    /// Attributes in the order of their names.
    fn show(item: Option<&Attributes>) -> String {
        let Some(item) = item else { return "no item".to_owned() };
        let mut shown: Vec<_> = item.iter().map(|(name, value)| show_one(name, value)).collect();
        shown.sort();
        format!("{{{}}}", shown.join(" "))
    }

    fn show_one(name: &str, value: &AttributeValue) -> String {
        match value {
            AttributeValue::M(members) => format!("{name}={}", show(Some(members))),
            AttributeValue::S(text) => format!("{name}=`{text}`"),
            AttributeValue::N(number) => format!("{name}={number}"),
            _ => format!("{name}=?"),
        }
    }

    fn show_error(error: &ElementError) -> String {
        format!("`{}` `{}` {}", error.code, error.message, show(error.item.as_ref()))
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn statements_are_answered_one_by_one() {
        #[track_caller]
        fn check(body: &str, expected: Expect) {
            let shown = match statements(body.as_bytes()) {
                Some(answers) => {
                    let show = |it: &Option<ElementError>| {
                        it.as_ref().map_or_else(|| "applied".to_owned(), show_error)
                    };
                    answers.iter().map(show).collect::<Vec<_>>().join("\n")
                }
                None => "unreadable".to_owned(),
            };
            expected.assert_eq(&shown);
        }

        let p = |error: &str, expected| {
            check(&format!(r#"{{"Responses":[{{"TableName":"t","Error":{error}}}]}}"#), expected);
        };
        check(
            r#"{"Responses":[{"TableName":"t"},{},{"Error":null}],"ConsumedCapacity":[{"a":1e999}]}"#,
            expect![[r"
                applied
                applied
                applied"]],
        );
        check(r#"{"Responses":[]}"#, expect![""]);
        check("{}", expect![""]);
        check("[]", expect!["unreadable"]);
        check(r#"{"Responses":[{"#, expect!["unreadable"]);
        check("", expect!["unreadable"]);
        check(r#"{"Responses":[]} x"#, expect!["unreadable"]);
        check(r#"{"Responses":[{} {}]}"#, expect!["unreadable"]);
        check(r#"{"Responses":7}"#, expect!["unreadable"]);
        check(
            " { \"Responses\" : [ { } , {\"Error\" : {} } ] } ",
            expect![[r"
            applied
            `` `` no item"]],
        );
        p(
            r#"{"Code":"DuplicateItem","Message":"a \"key\" exists"}"#,
            expect![[r#"`DuplicateItem` `a "key" exists` no item"#]],
        );
        p("{}", expect!["`` `` no item"]);
        p(r#"{"Code":null,"Message":null,"Item":null}"#, expect!["`` `` no item"]);
        p(
            r#"{"Code":"ConditionalCheckFailed","Item":{"PK":{"S":"k"},"payload":{"M":{"version":{"S":"x"}}}}}"#,
            expect!["`ConditionalCheckFailed` `` {}"],
        );
        p(
            r#"{"Item":{"payload":{"L":[{"B":"}\\\"]\ud800"},[{}],1e999]},"_\u0073ink":{"M":{"version":{"S":"0\u0031"},
                "offset":{"N":"7"},"topic":{"BOOL":true},"later":{"SS":["a"]}}}}}"#,
            expect!["`` `` {_sink={offset=7 topic=? version=`01`}}"],
        );
        p(
            r#"{"Item":{"version":{"S":"01"},"partition":{"N":"0"},"_sink":{"S":"x"}}}"#,
            expect!["`` `` {_sink=`x` partition=0 version=`01`}"],
        );
        p(r#"{"Item":{"_sink":7}}"#, expect!["unreadable"]);
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn a_look_finds_states_by_table_and_key() {
        /// Shows what is found under `k` in table `t`, and the read units.
        #[track_caller]
        fn check(body: &str, expected: Expect) {
            let shown = match found(body.as_bytes()) {
                Some(found) => {
                    let of_key = match found.of("t", "k") {
                        Ok(item) => show(item),
                        Err(Unprocessed) => "not known".to_owned(),
                    };
                    format!("{of_key}, {} read units", found.read_units)
                }
                None => "unreadable".to_owned(),
            };
            expected.assert_eq(&shown);
        }

        check(
            r#"{"Responses":{"u":[{"PK":{"S":"k"},"version":{"S":"2"}}],"t":[{"SK":{"S":"j"},"PK":{"S":"j"}},
                {"_sink":{"M":{"version":{"S":"1"}}},"SK":{"S":"k"},"PK":{"S":"k"},"other":{"L":[{}]}}]},
                "UnprocessedKeys":{},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":1.5},{"CapacityUnits":2}]}"#,
            expect!["{_sink={version=`1`}}, 3.5 read units"],
        );
        check(r#"{"Responses":{"t":[{"PK":{"S":"k"}}]}}"#, expect!["{}, 0 read units"]);
        check(r#"{"Responses":{"t":[]}}"#, expect!["no item, 0 read units"]);
        check(
            r#"{"Responses":{"t":[]},"UnprocessedKeys":{"t":{"Keys":[{"PK":{"S":"k"},"SK":{"S":"k"}}],"ConsistentRead":false}}}"#,
            expect!["not known, 0 read units"],
        );
        check(
            r#"{"UnprocessedKeys":{"t":{"Keys":[{"PK":{"S":"j"}}]}},"ConsumedCapacity":null}"#,
            expect!["no item, 0 read units"],
        );
        check(r#"{"Responses":{"u":[]}}"#, expect!["not known, 0 read units"]);
        check("{}", expect!["not known, 0 read units"]);
        check(r#"{"Responses":{"t":[{"SK":{"S":"k"}}]}}"#, expect!["unreadable"]);
        check(r#"{"Responses":{"t":[{"PK":{"N":"7"}}]}}"#, expect!["unreadable"]);
        check(r#"{"Responses":[]}"#, expect!["unreadable"]);
        check(r#"{"ConsumedCapacity":[{"CapacityUnits":"x"}]}"#, expect!["unreadable"]);
        check(r#"{"Responses":{}} x"#, expect!["unreadable"]);
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn errors_are_read_as_far_as_they_can_be() {
        #[track_caller]
        fn check(body: &str, expected: Expect) {
            let answer = error(body.as_bytes());
            let mut shown =
                format!("`{}` `{}` {}", answer.code, answer.message, show(answer.item.as_ref()));
            for reason in &answer.cancellation_reasons {
                shown += "\n";
                shown += &show_error(reason);
            }
            expected.assert_eq(&shown);
        }

        check("<html>", expect!["`` `` no item"]);
        check(
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}"#,
            expect!["`ResourceNotFoundException` `no table` no item"],
        );
        check(
            r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no","message":null}"#,
            expect!["`AccessDeniedException` `no` no item"],
        );
        check(
            r#"{"__type":"x#ConditionalCheckFailedException","Item":{"_sink":{"M":{"shape":{"S":"s"}}}}}"#,
            expect!["`ConditionalCheckFailedException` `` {_sink={shape=`s`}}"],
        );
        check(
            r#"{"__type":"x#TransactionCanceledException","Message":"Transaction cancelled","CancellationReasons":[
                {"Code":"None"},{"Code":"ConditionalCheckFailed","Message":"no","Item":{"offset":{"N":"1"}}}]}"#,
            expect![[r"
                `TransactionCanceledException` `Transaction cancelled` no item
                `None` `` no item
                `ConditionalCheckFailed` `no` {offset=1}"]],
        );
    }

    #[test]
    fn answers_that_say_nothing_are_objects_all_the_same() {
        for (body, expected) in [
            ("{}", true),
            (r#"{"Attributes":{}}"#, true),
            ("", false),
            ("[]", false),
            ("{", false),
            (r#"{"a":}"#, false),
            (r#"{"a":"b}"#, false),
            (r#"{"a":[{}}"#, false),
        ] {
            assert_eq!(is_object(body.as_bytes()), expected, "{body}");
        }
    }
}
