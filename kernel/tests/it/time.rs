//! Instants as text.

use spl_kernel::time::UnixMillis;

#[test]
fn instants_are_rfc_3339_with_three_decimals() {
    let table = [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (86_399_999, "1970-01-01T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
        (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (u64::MAX, "9999-12-31T23:59:59.999Z"),
    ];
    for (ms, text) in table {
        assert_eq!(UnixMillis(ms).to_string(), text, "{ms}");
    }
}

/// Counts days one by one from 1970 to 2400 and compares.
#[test]
fn every_day_is_the_next_one() {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut day_ms = 0;
    for year in 1970_u64..2400 {
        for month in 1..=12 {
            let days = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            for day in 1..=days {
                let expected = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z");
                assert_eq!(UnixMillis(day_ms).to_string(), expected);
                day_ms += 86_400_000;
            }
        }
    }
}
