//! Durations, as people write them.

/// Seconds in `90d`, `12h`, `30m`, `45s`, or a plain number.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    const HELP: &str = "write it as a number with s, m, h, d or w, such as 90d";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let seconds_each: u64 = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(HELP.to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| HELP.to_owned())?;
    match number.checked_mul(seconds_each) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("it must be more than nothing, and end some day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        for (text, seconds) in [("45", 45), ("45s", 45), ("30m", 1_800), ("12h", 43_200), ("90d", 7_776_000)]
        {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
        for bad in
            ["", "d", "0d", "-1d", "1y", "1 d", "1.5h", "99999999999999999999d", "9999999999999999999w"]
        {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
