//! Text for people: made safe to print, shortened, relative times, counts.

use std::{borrow::Cow, fmt::Write as _};

use jiff::Timestamp;

/// Whether a character can move the cursor, reorder text or hide in it.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{feff}' | '\u{3164}' | '\u{ffa0}'
            | '\u{600}'..='\u{605}' | '\u{890}'..='\u{891}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes every character that could deceive a terminal: controls, bidirectional overrides, invisible ones.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_deceptive(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`safe`] over several lines: line breaks stay.
pub(crate) fn safe_lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// At most `width` characters, the last one an ellipsis where something was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// An actor without what all actors have in common: `did:sync:user:alice` is `alice`.
pub(crate) fn short_actor(did: &str) -> String {
    let last = did.rsplit(':').next().filter(|s| !s.is_empty()).unwrap_or(did);
    let last = safe(last);
    let length = last.chars().count();
    if length <= 24 {
        return last.into_owned();
    }
    let head: String = last.chars().take(12).collect();
    let tail: String = last.chars().skip(length - 6).collect();
    format!("{head}…{tail}")
}

/// The first hex digits of an id that nobody wants to read in full; other names stay whole.
pub(crate) fn short_id(id: &str) -> String {
    let (prefix, digits) = id.strip_prefix("th_").map_or(("", id), |rest| ("th_", rest));
    if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        format!("{prefix}{}", digits.get(..12).unwrap_or(digits))
    } else {
        safe(id).into_owned()
    }
}

/// How long ago a time was: `3 min ago`.
pub(crate) fn ago(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return safe(time).into_owned() };
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..=-5 => format!("in {}", span(seconds.unsigned_abs())),
        -4..=4 => "just now".to_owned(),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// A duration in its largest unit: `45 s`, `3 min`, `5 h`, `2 days`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=86_399 => format!("{} h", seconds / 3_600),
        86_400..=172_799 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The clock part of a time, and the day where it is not today: both in UTC.
pub(crate) fn clock_time(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return safe(time).into_owned() };
    let (then, now) = (then.to_string(), now.to_string());
    let (day, rest) = then.split_once('T').unwrap_or(("", &then));
    let clock = rest.get(..8).unwrap_or(rest);
    if now.starts_with(day) { clock.to_owned() } else { format!("{day} {clock}") }
}

/// A count with thousands separated: `20,000`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 record`, `20,000 records`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(n)) }
}

/// A size in a binary unit, with two digits or more: `12 MiB`, `9,000 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n;
    let mut unit = 0;
    while value >= 10_240 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{} {}", count(value), UNITS.get(unit).unwrap_or(&"B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn deceptive_characters_are_escaped() {
        assert_eq!(safe("plain ü 漢 🎉"), "plain ü 漢 🎉");
        assert_eq!(safe("a\u{1b}[31mb\u{202e}c\u{200b}d\ne"), "a\\u{1b}[31mb\\u{202e}c\\u{200b}d\\ne");
        assert_eq!(safe_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn times_are_relative() {
        let now = at("2026-03-04T05:06:07.000Z");
        assert_eq!(ago("2026-03-04T05:06:05.000Z", now), "just now");
        assert_eq!(ago("2026-03-04T05:03:00.000Z", now), "3 min ago");
        assert_eq!(ago("2026-03-01T05:06:07.000Z", now), "3 days ago");
        assert_eq!(ago("2026-03-04T06:06:07.000Z", now), "in 1 h");
        assert_eq!(ago("no time", now), "no time");
        assert_eq!(clock_time("2026-03-04T01:02:03.456Z", now), "01:02:03");
        assert_eq!(clock_time("2026-03-03T01:02:03.456Z", now), "2026-03-03 01:02:03");
    }

    #[test]
    fn names_are_shortened_only_where_nothing_is_lost() {
        assert_eq!(short_actor("did:sync:user:alice"), "alice");
        assert_eq!(short_id(&format!("th_{}", "ab".repeat(32))), "th_abababababab");
        assert_eq!(short_id("music.library"), "music.library");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    #[test]
    fn counts_are_readable() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(12 * 1024 * 1024), "12 MiB");
        assert_eq!(bytes(5 * 1024 * 1024), "5,120 KiB");
    }
}
