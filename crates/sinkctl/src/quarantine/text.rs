//! Numbers, times and tables as people read them.

use std::io::{self, Write};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

/// A count and what is counted.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Milliseconds since 1970 as a date and a time.
pub(super) fn time(milliseconds: i64) -> String {
    DateTime::from_millis(milliseconds)
        .fmt(DateTimeFormat::DateTime)
        .unwrap_or_else(|_| milliseconds.to_string())
}

/// How long ago something was, in one unit.
pub(super) fn age(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writes rows with columns below each other; the columns that are numbers by their headings are set to the right.
pub(super) fn write_rows(
    headings: &[&str],
    rows: &[Vec<String>],
    out: &mut dyn Write,
) -> io::Result<()> {
    let headings: Vec<_> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let length = |text: &String| text.chars().count();
    let all = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| all().map(|row| length(&row[column])).max().unwrap_or_default();
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    for row in all() {
        let mut line = String::new();
        for ((cell, width), heading) in row.iter().zip(&widths).zip(&headings) {
            let padding = " ".repeat(width - length(cell));
            if NUMBERS.contains(&heading.as_str()) {
                line.extend([padding.as_str(), cell, "  "]);
            } else {
                line.extend([cell, padding.as_str(), "  "]);
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The headings of columns of numbers.
const NUMBERS: [&str; 6] = ["records", "oldest", "offset", "epoch", "age", "attempts"];

/// Says how many were not shown.
pub(super) fn rest_of(
    count: usize,
    shown: usize,
    how: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    if count > shown { writeln!(out, "and {} more: {how}", count - shown) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        #[track_caller]
        fn check(seconds: i64, expected: &str) {
            assert_eq!(age(seconds * 1000), expected);
        }

        check(-5, "0 s");
        check(119, "119 s");
        check(120, "2 min");
        check(7199, "119 min");
        check(7200, "2 h");
        check(172_799, "47 h");
        check(172_800, "2 days");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "7", "x"]), row(["ü", "12345678", ""])];
        let mut out = Vec::new();
        write_rows(&["name", "records", "last"], &rows, &mut out).unwrap();
        let expected = "name   records  last\na            7  x\nü     12345678\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
