//! Numbers from JSON's text to DynamoDB's, digit by digit.

use std::{fmt, ops::RangeInclusive};

use super::{error::ItemError, reader::JsonNumber};

/// A number, exact to its last digit, as it is written into the item.
///
/// There is one text for each number: without leading zeros, a trailing zero behind the point, or a plus sign, and zero
/// is always `0`. It has no exponent as long as at most 38 digits are needed without one, beside the zero before a
/// point; otherwise it is one digit, the others behind a point, `E` and the exponent. So 1.50 is `1.5`, 1e2 is `100`,
/// -0.0 is `0`, 1E-38 is `0.` and 38 digits, and 0.1e-38 is `1E-39`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    pub(super) fn from_canonical(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The number's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits of an integer, with its sign if it is negative; none if the number is no integer or needs more than
    /// 38 digits. It goes by the value: `21782.0` and `2.1782e4` are integers.
    pub fn integer(&self) -> Option<&str> {
        (!self.0.contains(['.', 'E'])).then_some(&self.0)
    }

    /// Whether the value has no fraction. [`Self::integer`] is none for such a number too if it is 1E38 or more.
    pub fn is_whole(&self) -> bool {
        match self.0.split_once('E') {
            Some((_, exponent)) => !exponent.starts_with('-'),
            None => !self.0.contains('.'),
        }
    }

    /// The value, if it is an integer in the range of `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        self.integer()?.parse().ok()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Number").finish_non_exhaustive()
    }
}

/// The size of an integer as a value, in DynamoDB's measure.
pub fn number_size(number: i64) -> usize {
    let mut magnitude = number.unsigned_abs();
    while magnitude != 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
    }
    let digits = magnitude.checked_ilog10().map_or(0, |log| log as usize + 1);
    size(digits, 0, number < 0)
}

/// Appends the text of a number, as [`Number`] describes it, and returns its size in DynamoDB's measure.
pub(super) fn write_number(number: &JsonNumber<'_>, out: &mut String) -> Result<usize, ItemError> {
    let &JsonNumber { at, text, is_negative, integer, fraction, exponent } = number;
    let is_plain_integer = fraction.is_empty() && exponent.is_empty();
    if is_plain_integer && integer.len() <= MAX_DIGITS && integer != "0" {
        out.push_str(text);
        return Ok(size(integer.trim_end_matches('0').len(), 0, is_negative));
    }

    // The value is 0.`digits` times ten to the power of `point`.
    let written = [integer, fraction].concat();
    let from_first = written.trim_start_matches('0');
    let digits = from_first.trim_end_matches('0');
    if digits.is_empty() {
        out.push('0');
        return Ok(size(0, 0, false));
    }
    if digits.len() > MAX_DIGITS {
        return Err(ItemError::NumberTooPrecise { at });
    }
    let exponent = match exponent {
        "" => 0,
        // The exponent is well-formed: it fails only beyond the range, where the extremes serve as well.
        _ if exponent.starts_with('-') => exponent.parse().unwrap_or(isize::MIN),
        _ => exponent.parse().unwrap_or(isize::MAX),
    };
    let leading_zeros = written.len() - from_first.len();
    let point =
        (integer.len().cast_signed() - leading_zeros.cast_signed()).saturating_add(exponent);
    if !POINTS.contains(&point) {
        return Err(ItemError::NumberOutOfRange { at });
    }

    if is_negative {
        out.push('-');
    }
    let (n_digits, max_digits) = (digits.len().cast_signed(), MAX_DIGITS.cast_signed());
    let n_integer_digits = point.clamp(0, n_digits).unsigned_abs();
    let (integer_digits, fraction_digits) = digits.split_at(n_integer_digits);
    if point > max_digits || n_digits - point > max_digits {
        let (first, others) = digits.split_at(1);
        out.push_str(first);
        if !others.is_empty() {
            out.push('.');
            out.push_str(others);
        }
        out.push('E');
        out.push_str(&(point - 1).to_string());
    } else if integer_digits.is_empty() {
        out.push_str("0.");
        out.extend((point..0).map(|_| '0'));
        out.push_str(fraction_digits);
    } else {
        out.push_str(integer_digits);
        out.extend((n_digits..point).map(|_| '0'));
        if !fraction_digits.is_empty() {
            out.push('.');
            out.push_str(fraction_digits);
        }
    }
    Ok(size(integer_digits.len(), fraction_digits.len(), is_negative))
}

/// The size of a number with so many significant digits before and after the point.
fn size(integer_digits: usize, fraction_digits: usize, is_negative: bool) -> usize {
    1 + integer_digits.div_ceil(2) + fraction_digits.div_ceil(2) + usize::from(is_negative)
}

/// The most significant digits that DynamoDB stores.
const MAX_DIGITS: usize = 38;
/// Where the point of a number may stand, counted from its first significant digit: 1E-130 has it at -129, and
/// 9.99E+125 at 126.
const POINTS: RangeInclusive<isize> = -129..=126;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::reader::Reader;

    fn write(json: &str) -> Result<(String, usize), ItemError> {
        let mut out = String::new();
        let mut reader = Reader::new(json.as_bytes())?;
        let number = reader.number()?;
        reader.finish()?;
        let size = write_number(&number, &mut out)?;
        Ok((out, size))
    }

    #[track_caller]
    fn check(json: &str, text: &str, size: usize) {
        assert_eq!(write(json), Ok((text.to_owned(), size)), "{json}");
        // A negative number has a sign, which is one byte more; zero has none.
        let negative =
            if text == "0" { (text.to_owned(), size) } else { (format!("-{text}"), size + 1) };
        assert_eq!(write(&format!("-{json}")), Ok(negative), "-{json}");
    }

    #[test]
    fn integers_keep_every_digit() {
        check("1", "1", 2);
        check("9", "9", 2);
        check("12", "12", 2);
        check("123", "123", 3);
        check("21782", "21782", 4);
        check("1234567890123456789", "1234567890123456789", 11);
        check("9007199254740993", "9007199254740993", 9);
        check(
            "12345678901234567890123456789012345678",
            "12345678901234567890123456789012345678",
            20,
        );
        check("100", "100", 2);
        check("1010", "1010", 3);
        check("1763700000000", "1763700000000", 4);
        check(
            "10000000000000000000000000000000000000",
            "10000000000000000000000000000000000000",
            2,
        );
        check("100000000000000000000000000000000000000", "1E38", 2);
        check(
            "123456789012345678901234567890123456780",
            "1.2345678901234567890123456789012345678E38",
            20,
        );
    }

    #[test]
    fn fractions_keep_every_digit() {
        check("1.5", "1.5", 3);
        check("1.50", "1.5", 3);
        check("1.200", "1.2", 3);
        check("21782.0", "21782", 4);
        check("100.5", "100.5", 4);
        check("3.14159", "3.14159", 5);
        check("0.15", "0.15", 2);
        check("0.1", "0.1", 2);
        check("0.0000001", "0.0000001", 2);
        check(
            "0.10000000000000000000000000000000000001",
            "0.10000000000000000000000000000000000001",
            20,
        );
        check(
            "1.2345678901234567890123456789012345678",
            "1.2345678901234567890123456789012345678",
            21,
        );
        check(
            "0.00000000000000000000000000000000000001",
            "0.00000000000000000000000000000000000001",
            2,
        );
        check("0.000000000000000000000000000000000000001", "1E-39", 2);
        check(
            "0.012345678901234567890123456789012345678",
            "1.2345678901234567890123456789012345678E-2",
            20,
        );
    }

    #[test]
    fn exponents_are_spelled_out_up_to_38_digits() {
        check("1e2", "100", 2);
        check("1E+2", "100", 2);
        check("1e-2", "0.01", 2);
        check("1.5e3", "1500", 2);
        check("2.1782e4", "21782", 4);
        check("217820000e-4", "21782", 4);
        check("0.00021782e8", "21782", 4);
        check("12345e-3", "12.345", 4);
        check("1e0", "1", 2);
        check("1e+0000005", "100000", 2);
        check("1e-0000005", "0.00001", 2);
        check("1e37", "10000000000000000000000000000000000000", 2);
        check("1e38", "1E38", 2);
        check("1e-38", "0.00000000000000000000000000000000000001", 2);
        check("0.1e-38", "1E-39", 2);
        check("12e-39", "1.2E-38", 2);
        check("1.25e100", "1.25E100", 3);
    }

    #[test]
    fn zero_is_zero_in_every_spelling() {
        for zero in [
            "0",
            "0.0",
            "0.000",
            "0e0",
            "0e999",
            "0E-999",
            "0.0e+99999999999999999999",
            "0e-99999999999999999999",
        ] {
            check(zero, "0", 1);
        }
        check(&format!("0.{}", "0".repeat(1000)), "0", 1);
    }

    #[test]
    fn the_range_is_that_of_the_store() {
        #[track_caller]
        fn check_refused(json: &str, error: &ItemError) {
            assert_eq!(write(json).as_ref(), Err(error), "{json}");
            assert_eq!(write(&format!("-{json}")).as_ref(), Err(error), "-{json}");
        }

        let out_of_range = ItemError::NumberOutOfRange { at: 0 };
        let too_precise = ItemError::NumberTooPrecise { at: 0 };
        let zeros = "0".repeat(125);

        check(
            "9.9999999999999999999999999999999999999E+125",
            "9.9999999999999999999999999999999999999E125",
            20,
        );
        check(&format!("1{zeros}"), "1E125", 2);
        check(&format!("1{zeros}.0"), "1E125", 2);
        check("0.0001e129", "1E125", 2);
        check_refused("1E126", &out_of_range);
        check_refused(&format!("10{zeros}"), &out_of_range);
        check_refused("0.0001e130", &out_of_range);

        check("1E-130", "1E-130", 2);
        check(
            "1.2345678901234567890123456789012345678E-130",
            "1.2345678901234567890123456789012345678E-130",
            20,
        );
        check(&format!("0.{zeros}00001"), "1E-130", 2);
        check("100000e-135", "1E-130", 2);
        check_refused("9.9E-131", &out_of_range);
        check_refused(&format!("0.{zeros}000009"), &out_of_range);

        check_refused("1e99999999999999999999", &out_of_range);
        check_refused("1e+99999999999999999999", &out_of_range);
        check_refused("1e-99999999999999999999", &out_of_range);
        check_refused("10e9223372036854775807", &out_of_range);
        check_refused("0.01e-9223372036854775808", &out_of_range);

        check_refused("123456789012345678901234567890123456789", &too_precise);
        check_refused("1.23456789012345678901234567890123456789", &too_precise);
        check_refused("100000000000000000000000000000000000000.1", &too_precise);
        check_refused("1.00000000000000000000000000000000000001e200", &too_precise);
    }

    #[test]
    fn integers_are_told_by_their_value() {
        #[track_caller]
        fn check(json: &str, integer: Option<&str>, as_i64: Option<i64>) {
            let number = Number::from_canonical(&write(json).unwrap().0);
            assert_eq!((number.integer(), number.as_i64()), (integer, as_i64), "{json}");
            assert!(number.is_whole() || integer.is_none(), "{json}");
        }

        check("21782", Some("21782"), Some(21782));
        check("21782.0", Some("21782"), Some(21782));
        check("2.1782e4", Some("21782"), Some(21782));
        check("-5", Some("-5"), Some(-5));
        check("-0.0", Some("0"), Some(0));
        check("9223372036854775807", Some("9223372036854775807"), Some(i64::MAX));
        check("-9223372036854775808", Some("-9223372036854775808"), Some(i64::MIN));
        check("9223372036854775808", Some("9223372036854775808"), None);
        check("1.5", None, None);
        check("1e-2", None, None);
        check("1e38", None, None);
    }

    #[test]
    fn whole_numbers_are_told_by_their_value() {
        #[track_caller]
        fn check(json: &str, is_whole: bool) {
            let number = Number::from_canonical(&write(json).unwrap().0);
            assert_eq!(number.is_whole(), is_whole, "{json}");
        }

        for json in ["0", "-5", "21782.0", "2.1782e4", "1e38", "1.5E40", "-9.99E125"] {
            check(json, true);
        }
        for json in ["0.5", "-1.5", "1e-2", "1E-39", "1.5E-39", "-1E-130"] {
            check(json, false);
        }
        // 38 digits, of which the last is behind the point.
        check("1234567890123456789012345678901234567.8", false);
        check("1234567890123456789012345678901234567.8e1", true);
    }

    #[test]
    fn sizes_of_integers_are_those_of_their_text() {
        let powers = (0..19).map(|exponent| 10_i64.pow(exponent));
        let numbers =
            powers.flat_map(|power| [power - 1, power, power + 1, power.saturating_mul(5)]);
        for number in numbers.chain([0, 42, 110, 21782, i64::MAX, -i64::MAX]) {
            for number in [number, -number] {
                let (text, size) = write(&number.to_string()).unwrap();
                assert_eq!((text, size), (number.to_string(), number_size(number)));
            }
        }
        assert_eq!(number_size(i64::MIN), 12);
        assert_eq!(number_size(1_763_700_000_000), 4);
    }

    #[test]
    fn debug_does_not_show_a_number() {
        assert_eq!(format!("{:?}", Number::from_canonical("21782")), "Number(..)");
    }
}
