//! Quantities as exact numbers that are added, compared and written in Kubernetes' canonical form (apimachinery
//! `resource.Quantity`): limits, requests and quotas are sums, and 0.1 + 0.2 must be 300m.

use std::cmp::Ordering;
use std::fmt;

/// Billionths in one.
const NANO: i128 = 1_000_000_000;

/// How a quantity likes to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `1Ki`, `64Mi`.
    Binary,
    /// `250m`, `2k`.
    Decimal,
    /// `1e3`.
    Exponent,
}

/// An exact quantity: billionths, and the form it was given in.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    nano: i128,
    form: Form,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { nano: 0, form: Form::Decimal };

    /// A whole number, such as a count of objects.
    pub fn whole(number: i64) -> Self {
        Self { nano: i128::from(number) * NANO, form: Form::Decimal }
    }

    /// Reads a quantity; fractions of a billionth round up, values beyond 10^20 stay there.
    ///
    /// # Errors
    /// What is wrong with the text, in apimachinery's words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        super::parse(text)?;
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits);
        let (form, base, power) = scale(suffix);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let shifted = format!("{whole}{fraction}");
        let shifted = shifted.trim_start_matches('0');
        let value = if shifted.is_empty() { 0 } else { shifted.parse::<i128>().unwrap_or(i128::MAX) };
        let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let nano = match base {
            2 => rescale(value.saturating_mul(1 << power), 9 - places),
            _ => rescale(value, power.saturating_add(9).saturating_sub(places)),
        };
        let form = if form == Form::Binary && nano < NANO { Form::Decimal } else { form };
        Ok(Self { nano: if negative { -nano } else { nano }, form })
    }

    /// Below, at or above zero.
    pub fn sign(self) -> i32 {
        self.nano.signum().try_into().unwrap_or(0)
    }

    /// The next whole number, where there is a fraction.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let whole = self.nano.div_euclid(NANO) + i128::from(!self.is_whole());
        Self { nano: whole.saturating_mul(NANO), form: self.form }
    }

    /// Without a fraction.
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// How many of `parts` to the unit it is, rounded up: thousandths with 1000, as Kubernetes counts cpu.
    pub fn in_parts(self, parts: i64) -> i64 {
        let scaled = self.nano.saturating_mul(i128::from(parts));
        let whole = scaled.div_euclid(NANO) + i128::from(scaled.rem_euclid(NANO) != 0);
        i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
    }

    /// As a floating number, for ratios.
    pub fn as_f64(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// The sum; an empty sum takes the form of what is added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let form = if self.nano == 0 { other.form } else { self.form };
        Self { nano: self.nano.saturating_add(other.nano), form }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let form = if self.nano == 0 { other.form } else { self.form };
        Self { nano: self.nano.saturating_sub(other.nano), form }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// The canonical form: no fraction, the largest suffix that needs none.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let binary = self.form == Form::Binary && self.is_whole() && self.nano.abs() >= 1024 * NANO;
        if binary {
            let (mut number, mut step) = (self.nano / NANO, 0);
            while number % 1024 == 0 && step < 6 {
                (number, step) = (number / 1024, step + 1);
            }
            return write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step]);
        }
        let (mut number, mut step) = (self.nano, 0);
        while number % 1000 == 0 && step < 9 {
            (number, step) = (number / 1000, step + 1);
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][step];
        match (self.form, i64::try_from(step).unwrap_or(0) * 3 - 9) {
            (Form::Exponent, 0) => write!(f, "{number}"),
            (Form::Exponent, power) => write!(f, "{number}e{power}"),
            _ => write!(f, "{number}{suffix}"),
        }
    }
}

/// The form, base and power that a suffix stands for; the suffix was checked before.
fn scale(suffix: &str) -> (Form, i32, i32) {
    const DECIMAL: &[(&str, i32)] =
        &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    const BINARY: &[(&str, i32)] = &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return (Form::Decimal, 10, *power);
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return (Form::Binary, 2, *power);
    }
    (Form::Exponent, 10, suffix.trim_start_matches(['e', 'E']).parse().unwrap_or(0))
}

/// `value * 10^power`, rounded up, at most 10^29.
fn rescale(value: i128, power: i32) -> i128 {
    const MOST: i128 = 10_i128.pow(29);
    if value == 0 {
        return 0;
    }
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    match (power >= 0, factor) {
        (true, Some(factor)) => value.saturating_mul(factor).min(MOST),
        (true, None) => MOST,
        (false, Some(factor)) => (value / factor + i128::from(value % factor != 0)).min(MOST),
        (false, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Amount::parse(text).map_or_else(str::to_owned, |amount| amount.to_string())
    }

    #[test]
    fn parts_are_counted_upwards() {
        let parts = |text: &str, parts: i64| Amount::parse(text).map(|amount| amount.in_parts(parts));
        assert_eq!((parts("1500m", 1000), parts("1500u", 1000), parts("1.5", 1)), (Ok(1500), Ok(2), Ok(2)));
        assert_eq!((parts("-1500m", 1), parts("2Gi", 1), parts("100E", 1000)), (Ok(-1), Ok(2 << 30), Ok(i64::MAX)));
    }

    #[test]
    fn quantities_are_written_canonically() {
        let cases = [
            ("0", "0"),
            ("0Mi", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("100Ki", "100Ki"),
            ("1000Ki", "1000Ki"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1e3", "1e3"),
            ("15E-1", "1500e-3"),
            ("0.0000000001", "1n"),
            ("-2", "-2"),
            ("12", "12"),
            ("1T", "1T"),
            ("0.5Ki", "512"),
        ];
        for (text, wanted) in cases {
            assert_eq!(canonical(text), wanted, "{text}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let sum = ["100m", "200m", "0.7"]
            .iter()
            .fold(Amount::ZERO, |sum, text| sum.plus(Amount::parse(text).expect("a quantity")));
        assert_eq!((sum, sum.to_string().as_str()), (Amount::whole(1), "1"));
        let memory = Amount::parse("1Gi").expect("a quantity").minus(Amount::parse("1Mi").expect("a quantity"));
        assert_eq!(memory.to_string(), "1023Mi");
        assert!(Amount::parse("2Ki") > Amount::parse("2k") && !Amount::parse("500m").is_ok_and(Amount::is_whole));
    }
}
