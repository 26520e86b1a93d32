//! The fingerprint of an item's top-level names.

use std::fmt;

use sha2::{Digest, Sha256};

/// A fingerprint of a set of attribute names.
///
/// It is stored in each item, so it never changes between releases: the names in UTF-8, sorted by their bytes, each
/// written as a netstring (its length in bytes as decimal digits, `:`, the name, `,`), one after the other; of that the
/// SHA-256, of which the first 16 bytes in lower-case hexadecimal. For an item of `payload` alone:
/// `printf '7:payload,' | sha256sum | cut -c 1-32`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shape(String);

impl Shape {
    /// The shape of these names, which come in the order of their bytes.
    pub(super) fn of_sorted<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut netstrings = String::new();
        for name in names {
            netstrings.push_str(&name.len().to_string());
            netstrings.push(':');
            netstrings.push_str(name);
            netstrings.push(',');
        }
        Self(fingerprint(netstrings.as_bytes()))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first half of a SHA-256, in lower-case hexadecimal.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * SHAPE_BYTES);
    for byte in Sha256::digest(bytes).iter().take(SHAPE_BYTES) {
        for nibble in [byte >> 4, byte & 0xf] {
            hex.push(char::from(HEX_DIGITS[usize::from(nibble)]));
        }
    }
    hex
}

const SHAPE_BYTES: usize = 16;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are stored in tables: a change here means that the function must not change.
    #[test]
    fn shapes_never_change() {
        #[track_caller]
        fn check(names: &[&str], shape: &str) {
            assert_eq!(Shape::of_sorted(names.iter().copied()).as_str(), shape);
        }

        check(&[], "e3b0c44298fc1c149afbf4c8996fb924");
        check(&["payload"], "6662f361f2461d352742385fb8d3b55f");
        check(&["payload", "schema"], "f453080b12651139d2c44a6a1237ea4c");
        check(&["STATE_PLAN"], "9b512d5848a42c07521db8220496c5c7");
        check(&["A", "a", "aa", "z", "é"], "402ba506a937b5a933384204b041af4b");
    }
}
