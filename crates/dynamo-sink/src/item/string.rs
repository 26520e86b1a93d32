//! JSON strings: finding their end, and writing and reading them whole.

use wide::u8x16;

use super::{error::ItemError, reader::Reader};

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

/// The position, from `at` on, of the first byte that can't stand for itself in a JSON string: a quote, a backslash
/// or a control character. Without one it is the length.
pub(super) fn find_special(bytes: &[u8], mut at: usize) -> usize {
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
