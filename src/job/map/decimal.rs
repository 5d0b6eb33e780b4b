//! Decimal numbers as the digits they are written with: read, compared and brought to a number of places without ever
//! passing through a float.

use std::cmp::Ordering;
use std::fmt;

/// A number with an exponent beyond this is a mistake rather than an amount, and would be a very long text.
const MAX_EXPONENT: i64 = 400;

/// A decimal number. Zeros at the end of the fraction are kept, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without leading zeros, but never empty.
    whole: String,
    fraction: String,
}

/// What becomes of digits beyond the places that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// They round to the nearest; a half goes away from zero.
    HalfUp,
    /// They round to the nearest; a half goes to the even neighbour.
    HalfEven,
}

impl Decimal {
    /// Reads `12.50`, `-.5`, `+007`, `1.5e3`. Nothing else is a number: no commas, no spaces inside.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (digits, exponent) = match digits.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let (whole, fraction) = shifted(whole, fraction, exponent);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole }.to_owned();
        Some(Self { negative, whole, fraction })
    }

    /// With exactly this many places. Nothing if digits other than zero would be lost and no rounding is given.
    #[must_use]
    pub fn with_places(mut self, places: usize, rounding: Option<Rounding>) -> Option<Self> {
        if self.fraction.len() <= places {
            self.fraction.extend(std::iter::repeat_n('0', places - self.fraction.len()));
            return Some(self);
        }
        let lost = self.fraction.split_off(places);
        if lost.bytes().all(|b| b == b'0') {
            return Some(self);
        }
        let last = self.fraction.bytes().last().or_else(|| self.whole.bytes().last()).unwrap_or(b'0');
        let half = lost.bytes().next().unwrap_or(b'0').cmp(&b'5');
        let beyond = lost.bytes().skip(1).any(|b| b != b'0');
        let up = match (half, rounding?) {
            (Ordering::Less, _) => false,
            (Ordering::Equal, Rounding::HalfEven) if !beyond => last % 2 == 1,
            _ => true,
        };
        if up {
            self.increment();
        }
        if self.is_zero() {
            self.negative = false;
        }
        Some(self)
    }

    /// By value: `1.50` and `1.5` are equal although their texts differ.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let size = |number: &Self, other: &Self| {
            let fractions = number.fraction.trim_end_matches('0').cmp(other.fraction.trim_end_matches('0'));
            let wholes =
                number.whole.len().cmp(&other.whole.len()).then_with(|| number.whole.cmp(&other.whole));
            wholes.then(fractions)
        };
        match (self.negative && !self.is_zero(), other.negative && !other.is_zero()) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// Whether it has no fraction but zeros.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fraction.bytes().all(|b| b == b'0')
    }

    fn is_zero(&self) -> bool {
        self.whole == "0" && self.is_whole()
    }

    /// One more in the last place.
    fn increment(&mut self) {
        let places = self.fraction.len();
        let mut digits = std::mem::take(&mut self.whole).into_bytes();
        digits.extend(self.fraction.bytes());
        let mut at = digits.len();
        loop {
            if at == 0 {
                digits.insert(0, b'1');
                break;
            }
            at -= 1;
            if digits[at] == b'9' {
                digits[at] = b'0';
            } else {
                digits[at] += 1;
                break;
            }
        }
        let digits: String = digits.into_iter().map(char::from).collect();
        let (whole, fraction) = digits.split_at(digits.len() - places);
        (self.whole, self.fraction) = (whole.to_owned(), fraction.to_owned());
    }
}

/// The digits before and after the point when it moves to the right (to the left, if the exponent is negative).
fn shifted(whole: &str, fraction: &str, exponent: i64) -> (String, String) {
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
    if exponent >= 0 {
        let moved = places.min(fraction.len());
        let zeros = "0".repeat(places - moved);
        (format!("{whole}{}{zeros}", &fraction[..moved]), fraction[moved..].to_owned())
    } else {
        let moved = places.min(whole.len());
        let (whole, first) = whole.split_at(whole.len() - moved);
        (whole.to_owned(), format!("{}{first}{fraction}", "0".repeat(places - moved)))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { negative, whole, fraction } = self;
        let sign = if *negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        Decimal::parse(text).unwrap().to_string()
    }

    #[test]
    fn digits_stay_and_notation_goes() {
        for (text, expected) in [
            ("12.50", "12.50"),
            ("-.5", "-0.5"),
            ("+007", "7"),
            ("5.", "5"),
            ("0012345678901234567890.10", "12345678901234567890.10"),
            ("1.5e3", "1500"),
            ("1.2345E+2", "123.45"),
            ("125e-1", "12.5"),
            ("1e-3", "0.001"),
            ("0.10", "0.10"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for text in
            ["", ".", "-", "1,5", "1 000", "0x1f", "1e", "1e999", "inf", "NaN", "A-17", "1.2.3", "--1"]
        {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn places_are_filled_and_digits_are_lost_only_where_rounding_is_asked_for() {
        use Rounding::{HalfEven, HalfUp};
        let table: [(&str, usize, Option<Rounding>, Option<&str>); 14] = [
            ("12.5", 2, None, Some("12.50")),
            ("12", 2, None, Some("12.00")),
            ("12.3400", 2, None, Some("12.34")),
            ("12.345", 2, None, None),
            ("12.345", 2, Some(HalfUp), Some("12.35")),
            ("12.345", 2, Some(HalfEven), Some("12.34")),
            ("12.3451", 2, Some(HalfEven), Some("12.35")),
            ("12.335", 2, Some(HalfEven), Some("12.34")),
            ("12.344", 2, Some(HalfUp), Some("12.34")),
            ("99.995", 2, Some(HalfUp), Some("100.00")),
            ("-0.005", 2, Some(HalfUp), Some("-0.01")),
            ("-0.004", 2, Some(HalfUp), Some("0.00")),
            ("2.5", 0, Some(HalfEven), Some("2")),
            ("9.5", 0, Some(HalfUp), Some("10")),
        ];
        for (text, places, rounding, expected) in table {
            let made = Decimal::parse(text).unwrap().with_places(places, rounding);
            assert_eq!(made.map(|made| made.to_string()).as_deref(), expected, "{text} to {places}");
        }
    }

    fn ordering(one: &str, other: &str) -> Option<Ordering> {
        Some(Decimal::parse(one)?.compare(&Decimal::parse(other)?))
    }

    proptest! {
        #[test]
        fn what_has_no_exponent_and_no_leading_zero_is_its_own_text(
            text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?"
        ) {
            prop_assert_eq!(shown(&text), text);
        }

        #[test]
        fn rounding_to_cents_agrees_with_whole_numbers(units in -1_000_000_000_i64..1_000_000_000) {
            // Tenths of cents, so that the arithmetic of integers is exact.
            let text = format!("{}{}.{:03}", if units < 0 { "-" } else { "" }, units.abs() / 1000, units.abs() % 1000);
            let (cents, rest) = (units.abs() / 10, units.abs() % 10);
            let up = cents + i64::from(rest >= 5);
            let even = cents + i64::from(rest > 5 || (rest == 5 && cents % 2 == 1));
            for (rounding, cents) in [(Rounding::HalfUp, up), (Rounding::HalfEven, even)] {
                let sign = if units < 0 && cents > 0 { "-" } else { "" };
                let made = Decimal::parse(&text).unwrap().with_places(2, Some(rounding)).unwrap();
                let expected = format!("{sign}{}.{:02}", cents / 100, cents % 100);
                if units != 0 { prop_assert_eq!(made.to_string(), expected); }
            }
        }

        #[test]
        fn an_exponent_says_the_same_as_the_digits(units in -1_000_000_i64..1_000_000, exponent in -9_i32..9) {
            let text = shown(&format!("{units}e{exponent}"));
            let back = shown(&format!("{text}e{}", -exponent));
            prop_assert_eq!(ordering(&back, &units.to_string()), Some(Ordering::Equal));
        }

        #[test]
        fn numbers_compare_as_numbers(one in -100_000_i64..100_000, other in -100_000_i64..100_000) {
            let hundredths = |units: i64| {
                format!("{}{}.{:02}", if units < 0 { "-" } else { "" }, units.abs() / 100, units.abs() % 100)
            };
            prop_assert_eq!(ordering(&hundredths(one), &hundredths(other)), Some(one.cmp(&other)));
        }
    }
}
