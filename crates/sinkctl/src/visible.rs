//! Other people's text on a terminal: shown, never obeyed.

use std::{
    fmt::{self, Display, Write as _},
    io,
};

use serde::Serialize;

/// A text in which everything is escaped that a terminal would obey, or not show.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_hidden(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Writes a value as one line of JSON, with the same things escaped.
pub fn write_json(value: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{}", visible_json(&serde_json::to_string(value)?))
}

/// A JSON text of the same meaning, on one line, with the same things escaped.
pub fn visible_json(json: &str) -> String {
    let mut visible = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, '\n' | '\r' | '\t') {
            // Strings hold them escaped, so this is space between tokens.
            visible.push(' ');
        } else if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _: fmt::Result = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(character);
        }
    }
    visible
}

/// Control characters, and those that only change how others are shown.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(Visible(text).to_string(), expected);
        }

        check("", "");
        check("plain, é, 日本, \\", "plain, é, 日本, \\");
        check("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}");
        check("a\r\nb\tc\0", "a\\u{d}\\u{a}b\\u{9}c\\u{0}");
        check("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}");
        check("abc\u{202e}txt.exe\u{200b}", "abc\\u{202e}txt.exe\\u{200b}");
        check("\u{e0041}\u{feff}", "\\u{e0041}\\u{feff}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        #[track_caller]
        fn check(json: &str, expected: &str) {
            assert_eq!(visible_json(json), expected);
            let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(value(json), value(expected));
        }

        check(r#"{"a":[1,"é"]}"#, r#"{"a":[1,"é"]}"#);
        check("{\r\n\t\"a\": 1 }", "{   \"a\": 1 }");
        check("\"\u{9b}31m\u{7f}\u{202e}\"", r#""\u009b31m\u007f\u202e""#);
        check("\"\u{e0041}\"", r#""\udb40\udc41""#);
    }
}
