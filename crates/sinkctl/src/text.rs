//! Counts, ages, times and tables as people read them.

use std::{
    fmt::Display,
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anstyle::Style;

/// A count and what is counted, in the plural unless it is one.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    if count == N::from(1) {
        return format!("1 {noun}");
    }
    let (stem, ending) = match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with('e') => (stem, "ies"),
        _ if noun.ends_with("ch") => (noun, "es"),
        _ if noun.ends_with(char::is_uppercase) => (noun, "S"),
        _ => (noun, "s"),
    };
    format!("{count} {stem}{ending}")
}

/// What was counted and how often, without what was not, such as `2 written, 1 stale`.
pub fn counts<N: Display>(counts: impl IntoIterator<Item = (N, u64)>) -> String {
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// How long ago something was, or how long it took, in one unit.
pub fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Reads a time: a whole number with `s`, `m`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        text.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(*seconds)
    });
    let expected = || "expected a whole number with `s`, `m`, `h` or `d`, such as `90m`".to_owned();
    seconds.map(Duration::from_secs).ok_or_else(expected)
}

/// The time now, in milliseconds since 1970.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The time of day, in UTC, of milliseconds since 1970.
pub fn time_of_day(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Milliseconds since 1970 as a date and a time.
pub fn time(milliseconds: i64) -> String {
    use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

    DateTime::from_millis(milliseconds)
        .fmt(DateTimeFormat::DateTime)
        .unwrap_or_else(|_| milliseconds.to_string())
}

/// The text in a colour or another way to stand out. Whoever writes it takes that out where it is not wanted.
pub fn styled(text: &str, style: impl Into<Style>) -> String {
    let style = style.into();
    format!("{style}{text}{style:#}")
}

/// Writes rows with columns below each other; the columns that are numbers by their headings are set to the right.
pub fn write_rows(headings: &[&str], rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let headings: Vec<_> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let all = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..headings.len()).map(|it| width(it).unwrap_or_default()).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).zip(&headings).map(|((cell, &width), heading)| {
            if NUMBERS.contains(&heading.as_str()) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

const NUMBERS: [&str; 6] = ["records", "oldest", "offset", "epoch", "age", "attempts"];

/// Says how many were not shown, if any, and how to see them.
pub fn write_rest(count: usize, shown: usize, how: &str, out: &mut dyn Write) -> io::Result<()> {
    if count > shown { writeln!(out, "and {} more{how}", count - shown) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_have_their_plurals() {
        #[track_caller]
        fn check(noun: &str, one: &str, two: &str) {
            assert_eq!((counted(1_u64, noun), counted(2_usize, noun)), (one.into(), two.into()));
        }

        check("record", "1 record", "2 records");
        check("batch", "1 batch", "2 batches");
        check("retry", "1 retry", "2 retries");
        check("key", "1 key", "2 keys");
        check("ITEM", "1 ITEM", "2 ITEMS");
        assert_eq!(counted(0_u64, "record"), "0 records");
    }

    #[test]
    fn ages_have_one_unit() {
        #[track_caller]
        fn check(milliseconds: u64, expected: &str) {
            assert_eq!(age(milliseconds), expected);
        }

        check(0, "0 ms");
        check(999, "999 ms");
        check(1_000, "1 s");
        check(119_000, "119 s");
        check(120_000, "2 min");
        check(7_199_000, "119 min");
        check(7_200_000, "2 h");
        check(172_799_000, "47 h");
        check(172_800_000, "2 days");
    }

    #[test]
    fn durations_have_a_unit() {
        #[track_caller]
        fn check(text: &str, seconds: Option<u64>) {
            assert_eq!(duration(text).ok().map(|it| it.as_secs()), seconds);
        }

        check("0s", Some(0));
        check("90m", Some(5400));
        check("12h", Some(43_200));
        check("7d", Some(604_800));
        for wrong in ["", "s", "7", "7w", "-1d", "1.5h", "7é", "18446744073709551615d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "7", "x"]), row(["ü", "12345678", ""])];
        let mut out = Vec::new();
        write_rows(&["name", "records", "last"], &rows, &mut out).unwrap();
        let expected = "name   records  last\na            7  x\nü     12345678\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
