//! Counts given as a number or as a percentage. Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The count for a total; percentages are rounded up or down. What is not a percentage counts as 0 (validation keeps
/// such values out).
pub(crate) fn scaled(value: Option<&IntOrString>, default: i32, total: i32, up: bool) -> i32 {
    match value {
        None => default,
        Some(IntOrString::Int(n)) => *n,
        Some(IntOrString::String(s)) => {
            let percent: i64 = s.strip_suffix('%').and_then(|n| n.parse().ok()).unwrap_or(0);
            let product = percent * i64::from(total);
            let count = if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
            i32::try_from(count).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!(scaled(Some(&quarter), 1, 10, true), 3);
        assert_eq!(scaled(Some(&quarter), 1, 10, false), 2);
        assert_eq!(scaled(Some(&quarter), 1, 1, true), 1);
        assert_eq!(scaled(Some(&quarter), 1, 1, false), 0);
        assert_eq!(scaled(Some(&IntOrString::Int(4)), 1, 10, true), 4);
        assert_eq!(scaled(None, 1, 10, true), 1);
    }
}
