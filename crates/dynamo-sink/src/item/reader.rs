//! Reads a JSON text token by token, strictly by RFC 8259.

use std::borrow::Cow;

use wide::u8x16;

use super::error::ItemError;

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A string, found well-formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonString<'a> {
    /// Where its opening quote stands.
    pub(super) at: usize,
    /// The string with its quotes and escapes.
    pub(super) quoted: &'a str,
    /// Its bytes in UTF-8 when decoded.
    pub(super) decoded_len: usize,
}

impl JsonString<'_> {
    /// Whether it has escapes, each of which is longer than what it stands for.
    pub(super) fn has_escapes(&self) -> bool {
        self.decoded_len + 2 != self.quoted.len()
    }
}

/// A number, found well-formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonNumber<'a> {
    /// Where it begins.
    pub(super) at: usize,
    /// All of it.
    pub(super) text: &'a str,
    pub(super) is_negative: bool,
    /// The digits before the point.
    pub(super) integer: &'a str,
    /// The digits after the point; may be empty.
    pub(super) fraction: &'a str,
    /// The exponent with its sign; may be empty.
    pub(super) exponent: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(json: &'a [u8]) -> Result<Self, ItemError> {
        // The standard library's check is slower, but says where the text is wrong.
        let text = simdutf8::basic::from_utf8(json)
            .or_else(|_| str::from_utf8(json))
            .map_err(|error| ItemError::InvalidUtf8 { at: error.valid_up_to() })?;
        Ok(Self { text, at: 0 })
    }

    /// Where the next token begins, once [`Self::peek`] was called.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the next token. At the end it is 0, which begins no token either.
    pub(super) fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    /// Makes sure that nothing follows.
    pub(super) fn finish(&mut self) -> Result<(), ItemError> {
        self.peek();
        if self.at < self.text.len() {
            return Err(self.problem("expected the end of the text"));
        }
        Ok(())
    }

    /// Steps into an object or array, whose opening bracket was peeked.
    pub(super) fn open(&mut self) {
        self.at += 1;
    }

    /// Reads on to the value of an object's next member and returns the member's name; none at the object's end.
    #[expect(
        clippy::inline_always,
        reason = "measured: copying the results costs a fifth of the whole pass"
    )]
    #[inline(always)]
    pub(super) fn next_member(
        &mut self,
        is_first: bool,
    ) -> Result<Option<JsonString<'a>>, ItemError> {
        match (self.peek(), is_first) {
            (b'}', _) => {
                self.at += 1;
                return Ok(None);
            }
            (b',', false) => {
                self.at += 1;
                self.peek();
            }
            (_, true) => {}
            (_, false) => return Err(self.problem("expected `,` or `}`")),
        }
        if self.byte() != b'"' {
            return Err(self.problem("expected a member name"));
        }
        let name = self.string()?;
        if self.peek() != b':' {
            return Err(self.problem("expected `:`"));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Reads on to an array's next element; false at the array's end.
    pub(super) fn next_element(&mut self, is_first: bool) -> Result<bool, ItemError> {
        match (self.peek(), is_first) {
            (b']', _) => {
                self.at += 1;
                return Ok(false);
            }
            (b',', false) => {
                self.at += 1;
                if self.peek() == b']' {
                    return Err(self.problem("expected a value"));
                }
            }
            (_, true) => {}
            (_, false) => return Err(self.problem("expected `,` or `]`")),
        }
        Ok(true)
    }

    /// Reads a string, whose opening quote was peeked.
    #[expect(
        clippy::inline_always,
        reason = "measured: copying the results costs a fifth of the whole pass"
    )]
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<JsonString<'a>, ItemError> {
        let at = self.at;
        self.at = find_special(self.text.as_bytes(), at + 1);
        let mut decoded_len = self.at - at - 1;
        if self.byte() != b'"' {
            decoded_len += self.rest_of_string()?;
        }
        self.at += 1;
        Ok(JsonString { at, quoted: &self.text[at..self.at], decoded_len })
    }

    /// Reads on to a string's closing quote from the first byte that doesn't stand for itself, and returns the decoded
    /// length of what lies between.
    fn rest_of_string(&mut self) -> Result<usize, ItemError> {
        let mut decoded_len = 0;
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => return Ok(decoded_len),
                Some(b'\\') => decoded_len += self.escape()?.len_utf8(),
                Some(_) => return Err(self.problem("control character in a string")),
                None => return Err(self.problem("string without an end")),
            }
            let plain_start = self.at;
            self.at = find_special(self.text.as_bytes(), plain_start);
            decoded_len += self.at - plain_start;
        }
    }

    /// The text that a string of this reader stands for.
    #[expect(
        clippy::inline_always,
        reason = "measured: copying the results costs a fifth of the whole pass"
    )]
    #[inline(always)]
    pub(super) fn decode(&self, string: &JsonString<'a>) -> Result<Cow<'a, str>, ItemError> {
        if string.has_escapes() {
            return self.unescape(string).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(&string.quoted[1..string.quoted.len() - 1]))
    }

    fn unescape(&self, string: &JsonString<'a>) -> Result<String, ItemError> {
        let (start, end) = (string.at + 1, string.at + string.quoted.len() - 1);
        let mut decoded = String::with_capacity(string.decoded_len);
        let mut reader = Self { text: &self.text[..end], at: start };
        loop {
            let part_start = reader.at;
            reader.at = find_special(reader.text.as_bytes(), part_start);
            decoded.push_str(&reader.text[part_start..reader.at]);
            if reader.at == end {
                return Ok(decoded);
            }
            decoded.push(reader.escape()?);
        }
    }

    /// Reads an escape, which begins at the present position, and returns what it stands for.
    fn escape(&mut self) -> Result<char, ItemError> {
        let start = self.at;
        self.at += 2;
        let decoded = match self.text.as_bytes().get(start + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.hex_digits()?;
                let is_high_surrogate = (0xD800..0xDC00).contains(&code);
                if is_high_surrogate && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex_digits()?;
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    }
                }
                char::from_u32(code).ok_or(ItemError::LoneSurrogate { at: start })?
            }
            _ => {
                self.at = start;
                return Err(self.problem("unknown escape in a string"));
            }
        };
        Ok(decoded)
    }

    /// Reads the four digits of an escape, behind its `\u`.
    fn hex_digits(&mut self) -> Result<u32, ItemError> {
        let mut code = 0;
        for digit_at in self.at..self.at + 4 {
            let digit = self.text.as_bytes().get(digit_at).copied().unwrap_or(0);
            let Some(value) = char::from(digit).to_digit(16) else {
                self.at -= 2;
                return Err(self.problem("escape without four hexadecimal digits"));
            };
            code = code << 4 | value;
        }
        self.at += 4;
        Ok(code)
    }

    /// Reads a number, whose first byte, a digit or a minus sign, was peeked.
    pub(super) fn number(&mut self) -> Result<JsonNumber<'a>, ItemError> {
        let start = self.at;
        let is_negative = self.byte() == b'-';
        self.at += usize::from(is_negative);
        let integer = self.digits()?;
        if integer.len() > 1 && integer.starts_with('0') {
            self.at = start;
            return Err(self.problem("number with a leading zero"));
        }
        let mut fraction = "";
        if self.byte() == b'.' {
            self.at += 1;
            fraction = self.digits()?;
        }
        let mut exponent = "";
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            let exponent_start = self.at;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits()?;
            exponent = &self.text[exponent_start..self.at];
        }
        let text = &self.text[start..self.at];
        Ok(JsonNumber { at: start, text, is_negative, integer, fraction, exponent })
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Result<&'a str, ItemError> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.problem("expected a digit"));
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads `true`, `false` or `null`, whose first byte was peeked.
    pub(super) fn literal(&mut self, literal: &str) -> Result<(), ItemError> {
        if !self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.problem("expected a value"));
        }
        self.at += literal.len();
        Ok(())
    }

    /// Reads over a value of any kind.
    pub(super) fn skip_value(&mut self) -> Result<(), ItemError> {
        // The objects (true) and arrays (false) that are open. Data must not be able to exhaust the stack.
        let mut open: Vec<bool> = Vec::new();
        loop {
            let mut is_first = true;
            let token = self.peek();
            if open.len() == MAX_SKIPPED_LEVELS {
                return Err(ItemError::NestedTooDeep { at: self.at, limit: MAX_SKIPPED_LEVELS });
            }
            match token {
                b'{' | b'[' => {
                    self.open();
                    open.push(token == b'{');
                }
                _ => {
                    self.skip_scalar()?;
                    is_first = false;
                }
            }
            // On to the next value, out of all that ends before it.
            loop {
                let has_next_value = match open.last() {
                    Some(true) => self.next_member(is_first)?.is_some(),
                    Some(false) => self.next_element(is_first)?,
                    None => return Ok(()),
                };
                if has_next_value {
                    break;
                }
                open.pop();
                is_first = false;
            }
        }
    }

    fn skip_scalar(&mut self) -> Result<(), ItemError> {
        match self.byte() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.problem("expected a value")),
        }
    }

    /// The byte at the present position, or 0 at the end.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    pub(super) fn problem(&self, problem: &'static str) -> ItemError {
        ItemError::InvalidJson { at: self.at, problem }
    }
}

/// The deepest level that is read in a value that is only skipped.
const MAX_SKIPPED_LEVELS: usize = 512;

/// Appends `text` as a JSON string literal.
pub fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, |part| out.extend_from_slice(part.as_bytes()));
    out.push(b'"');
}

/// Decodes a JSON text that must be one string; whitespace around it is allowed.
pub fn decode_json_string(json: &[u8]) -> Result<String, ItemError> {
    let mut reader = Reader::new(json)?;
    if reader.peek() != b'"' {
        reader.skip_value()?;
        reader.finish()?;
        return Err(ItemError::NotAString);
    }
    let string = reader.string()?;
    reader.finish()?;
    Ok(reader.decode(&string)?.into_owned())
}

/// Passes on `text` in parts that stand for it between the quotes of a JSON string.
pub(super) fn escape(text: &str, mut push: impl FnMut(&str)) {
    let mut at = 0;
    loop {
        let end = find_special(text.as_bytes(), at);
        push(&text[at..end]);
        match text.as_bytes().get(end) {
            None => return,
            Some(b'"') => push("\\\""),
            Some(b'\\') => push("\\\\"),
            Some(control) => push(&format!("\\u{control:04x}")),
        }
        at = end + 1;
    }
}

/// The position, from `at` on, of the first byte that cannot stand for itself in a JSON string: a quote, a backslash
/// or a control character. Without one it is the length.
fn find_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = mark_special(u8x16::new(*chunk));
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += 16;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..b' ')) {
        at += 1;
    }
    at
}

/// Has a bit for each byte that is special, the lowest for the first byte.
fn mark_special(chunk: u8x16) -> u32 {
    let is_quote = chunk.simd_eq(u8x16::splat(b'"'));
    let is_backslash = chunk.simd_eq(u8x16::splat(b'\\'));
    let is_control = chunk.min(u8x16::splat(b' ' - 1)).simd_eq(chunk);
    (is_quote | is_backslash | is_control).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_with_the_escapes_that_they_need() {
        #[track_caller]
        fn check(text: &str, literal: &str) {
            let mut out = b"before".to_vec();
            json_string(text, &mut out);
            assert_eq!(str::from_utf8(&out), Ok(format!("before{literal}").as_str()));
        }

        check("", r#""""#);
        check("MD-22-0001", r#""MD-22-0001""#);
        check(r#"a"b\c/d"#, r#""a\"b\\c/d""#);
        check("\n\t\u{0}\u{1f}\u{20}\u{7f}", "\"\\u000a\\u0009\\u0000\\u001f \u{7f}\"");
        check("é€😀", r#""é€😀""#);
    }

    #[test]
    fn strings_are_decoded() {
        #[track_caller]
        fn check(json: &str, text: &str) {
            assert_eq!(decode_json_string(json.as_bytes()).as_deref(), Ok(text));
        }

        check(r#""""#, "");
        check(r#""MD-22-0001""#, "MD-22-0001");
        check(" \t\r\n\"a\" \t\r\n", "a");
        check(r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t");
        check(r#""\u0041\u00e9\u20AC\ud83d\uDE00é€😀\u0000""#, "Aé€😀é€😀\0");
        check(
            r#""a string of more than sixteen bytes,\tand again as many behind the escape""#,
            "a string of more than sixteen bytes,\tand again as many behind the escape",
        );
    }

    #[test]
    fn what_is_no_string_is_refused() {
        #[track_caller]
        fn check(json: impl AsRef<[u8]>, code: &str, message: &str) {
            let error = decode_json_string(json.as_ref()).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (code, message));
        }

        let not_a_string = "the JSON text is not a string";
        for json in ["null", "12", "true", "[]", r#"{"a":"b"}"#, r#"["a"]"#] {
            check(json, "NOT_A_STRING", not_a_string);
        }
        check("", "INVALID_JSON", "invalid JSON at byte 0: expected a value");
        check("MD-22-0001", "INVALID_JSON", "invalid JSON at byte 0: expected a value");
        check(r#""a" "b""#, "INVALID_JSON", "invalid JSON at byte 4: expected the end of the text");
        check("12 x", "INVALID_JSON", "invalid JSON at byte 3: expected the end of the text");
        check(r#""a"#, "INVALID_JSON", "invalid JSON at byte 2: string without an end");
        check(b"\"a\xffb\"", "INVALID_UTF8", "invalid UTF-8 at byte 2");
        check(r#""\ud800""#, "LONE_SURROGATE", "lone surrogate in a string at byte 1");
    }

    #[test]
    fn special_bytes_are_found_at_every_position() {
        for len in 0..40 {
            for filler in *b"a \x7f!#[]" {
                let plain = vec![filler; len];
                assert_eq!(find_special(&plain, 0), len);
                assert_eq!(find_special(&[0xC3, 0xA9].repeat(len), 0), 2 * len);
                for special in (0..b' ').chain(*b"\"\\") {
                    for at in 0..len {
                        let mut bytes = plain.clone();
                        bytes[at] = special;
                        // What follows the first one must not matter.
                        bytes[len - 1] = if at + 1 < len { b'"' } else { special };
                        assert_eq!(find_special(&bytes, 0), at);
                        assert_eq!(find_special(&bytes, at), at);
                    }
                }
            }
        }
    }
}
