//! Resource quantities: `250m`, `64Mi`, `1e3` (apimachinery `resource.Quantity`), as floating numbers for those who weigh
//! and as exact [`Amount`]s for those who count.

mod amount;

pub use amount::Amount;

/// The number that a quantity means: 0.25, 67108864, 1000. Exact as far as an `f64` is.
///
/// # Errors
/// What is wrong with the text, in apimachinery's words.
pub fn parse(text: &str) -> Result<f64, &'static str> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")?;
    let amount = match suffix {
        "" => number,
        "n" => number * 1e-9,
        "u" => number * 1e-6,
        "m" => number * 1e-3,
        "k" => number * 1e3,
        "M" => number * 1e6,
        "G" => number * 1e9,
        "T" => number * 1e12,
        "P" => number * 1e15,
        "E" => number * 1e18,
        "Ki" => number * 1024_f64,
        "Mi" => number * 1024_f64.powi(2),
        "Gi" => number * 1024_f64.powi(3),
        "Ti" => number * 1024_f64.powi(4),
        "Pi" => number * 1024_f64.powi(5),
        "Ei" => number * 1024_f64.powi(6),
        exponent => exponent
            .strip_prefix(['e', 'E'])
            .filter(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest).parse::<u8>().is_ok())
            .and_then(|_| unsigned.parse().ok())
            .ok_or("unable to parse quantity's suffix")?,
    };
    Ok(sign * amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers() {
        let cases = [
            ("0", 0.0),
            ("2", 2.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1500m", 1.5),
            ("250m", 0.25),
            ("64Mi", 67_108_864.0),
            ("1.5Gi", 1_610_612_736.0),
            ("60M", 6e7),
            ("2E", 2e18),
            ("1e3", 1000.0),
            ("15E-1", 1.5),
            ("+1", 1.0),
            ("-1Ki", -1024.0),
        ];
        for (text, expected) in cases {
            let found = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert!((found - expected).abs() <= expected.abs() * 1e-12, "{text}: {found}");
        }
    }

    #[test]
    fn others_are_refused() {
        for text in ["", "much", ".", "1.2.3", "+-1", "Ki"] {
            assert!(parse(text).is_err_and(|why| why.starts_with("quantities must match")), "{text}");
        }
        for text in ["1x", "1ki", "1e", "1e+", "1e+-3", "1 "] {
            assert_eq!(parse(text), Err("unable to parse quantity's suffix"), "{text}");
        }
    }
}
