//! Wall-clock instants as values. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted. Shown as RFC 3339 with exactly three
/// decimals and `Z`, so that the order of texts is the order of instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// 9999-12-31T23:59:59.999Z, the last instant with a four-digit year.
const LAST_MS: u64 = 253_402_300_799_999;

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.min(LAST_MS);
        let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hours, minutes) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (seconds, millis) = (in_day / 1000 % 60, in_day % 1000);
        // Digit by digit: every record that is shown has a time, and widths and zeros cost more than the rest of it.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields =
            [(3, year), (6, month), (9, day), (12, hours), (15, minutes), (18, seconds), (22, millis)];
        for (last, mut value) in fields {
            let mut at = last;
            while value > 0 {
                text[at] += u8::try_from(value % 10).unwrap_or_default();
                (value, at) = (value / 10, at.saturating_sub(1));
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl UnixMillis {
    /// Parses exactly what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shape = "0000-00-00T00:00:00.000Z".bytes();
        let fits = text.len() == 24
            && text.bytes().zip(shape).all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s });
        if !fits {
            return None;
        }
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hours, minutes) = (number(11..13)?, number(14..16)?);
        let (seconds, millis) = (number(17..19)?, number(20..23)?);
        let days = days_from_civil(year, month, day)?;
        let parsed = Self((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + millis);
        // February 30th or 25 o'clock would come out as another instant.
        (parsed.to_string() == text).then_some(parsed)
    }
}

/// The inverse of [`civil`]; `None` before 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Year, month and day of a day count since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that start on March 1st, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
