//! Colours, where they are wanted.

use std::{
    borrow::Cow,
    ffi::OsStr,
    io::{self, IsTerminal as _},
};

/// Whether standard output may have colours.
#[expect(clippy::disallowed_methods, reason = "they are the user's wishes, and no settings")]
pub fn has_colours() -> bool {
    may_have_colours(
        io::stdout().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
        std::env::var_os("TERM").as_deref(),
    )
}

/// See <https://no-color.org>.
fn may_have_colours(is_terminal: bool, no_color: Option<&OsStr>, terminal: Option<&OsStr>) -> bool {
    let is_refused = no_color.is_some_and(|value| !value.is_empty());
    is_terminal && !is_refused && terminal.is_none_or(|it| it != "dumb")
}

/// A colour, or another way to stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Not of interest at first sight.
    Dim,
    /// Right.
    Green,
    /// Wrong.
    Red,
    /// Not known, or to be looked at.
    Yellow,
}

/// The text in a colour, if it may have one.
pub fn coloured(text: &str, colour: Colour, has_colours: bool) -> Cow<'_, str> {
    if !has_colours {
        return Cow::Borrowed(text);
    }
    let code = match colour {
        Colour::Dim => 2,
        Colour::Green => 32,
        Colour::Red => 31,
        Colour::Yellow => 33,
    };
    Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        #[track_caller]
        fn check(is_terminal: bool, no_color: Option<&str>, term: Option<&str>, expected: bool) {
            let may = may_have_colours(is_terminal, no_color.map(OsStr::new), term.map(OsStr::new));
            assert_eq!(may, expected);
        }

        check(true, None, Some("xterm-256color"), true);
        check(true, Some(""), Some("xterm"), true);
        check(true, None, None, true);
        check(false, None, Some("xterm"), false);
        check(true, Some("1"), Some("xterm"), false);
        check(true, Some("0"), Some("xterm"), false);
        check(true, None, Some("dumb"), false);
        assert_eq!(coloured("a", Colour::Red, false), "a");
        assert_eq!(coloured("a", Colour::Red, true), "\u{1b}[31ma\u{1b}[0m");
    }
}
