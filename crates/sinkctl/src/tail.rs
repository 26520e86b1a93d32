//! The functions' logs, as one readable line for each batch and each record that someone may have to look at.

pub mod format;

#[cfg(feature = "aws")]
pub mod logs;

use std::io::{self, BufRead, ErrorKind, Write};
/// Formats all lines that come.
pub fn copy(mut lines: impl BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some(text) = format::line(text.trim_end_matches(['\r', '\n']))
            && !write(&text, out)?
        {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}

/// Writes a line at once; `false` if nobody reads any more, as `head` does after its lines.
fn write(line: &str, out: &mut dyn Write) -> io::Result<bool> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one() {
        let lines = b"one\r\nSTART RequestId: 1 Version: 2\nt\xffwo\x1b\n\nthree";
        let mut out = Vec::new();
        copy(lines.as_slice(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "one\nt\u{fffd}wo\\u{1b}\n\nthree\n");
    }
}
