//! The rule for names that people give to accounts, rules, templates and devices (protocol, section 4).

use spl_kernel::refusal::{Code, Refusal};

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Checks a name: 1 to 128 characters, none invisible or private, no white space at the ends.
///
/// # Errors
/// `INVALID_NAME` with the rule.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let refused = |why: &str| Err(Refusal::new(Code::InvalidName, format!("the name {why}")));
    let length = name.chars().count();
    if length == 0 || length > NAME_CHARS_MAX {
        return refused("must be 1 to 128 characters long");
    }
    if name.trim() != name {
        return refused("must not begin or end with white space");
    }
    if name.chars().any(is_deceptive) {
        return refused("must not hold control, formatting or private-use characters");
    }
    Ok(())
}

/// Unicode categories Cc, Cf, Zl, Zp and Co, of Unicode 16.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

/// What a DID looks like to people and to careless comparisons: lower case, escapes undone, no colon at the end.
/// Two that look alike are not both let in.
#[must_use]
pub fn likeness(did: &str) -> String {
    let mut bytes = Vec::with_capacity(did.len());
    let mut rest = did.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if digit(high).is_some() && digit(low).is_some() => {
                bytes.push(digit(high).unwrap_or(0) << 4 | digit(low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    text.trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        for (did, alike) in [
            ("did:sync:user:Root", "did:sync:user:root"),
            ("did:sync:user:%72oot", "did:sync:user:root"),
            ("did:sync:user:%52oot:", "did:sync:user:root"),
            ("did:sync:user:root::", "did:sync:user:root"),
            ("did:sync:user:a%", "did:sync:user:a%"),
            ("did:sync:user:a%zz", "did:sync:user:a%zz"),
            ("did:sync:user:%2572", "did:sync:user:%72"),
        ] {
            assert_eq!(likeness(did), alike, "{did}");
        }
    }

    #[test]
    fn names_are_what_people_can_see() {
        for good in
            ["a", "grafana", "Federation — peer did:sync:user:bob", "電話", "iPhone 17", &"x".repeat(128)]
        {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(129);
        let bad = [
            "",
            " a",
            "a ",
            "a\nb",
            "a\u{200b}b",
            "a\u{202e}b",
            "\u{e000}",
            "a\u{2028}b",
            "\u{feff}a",
            &long,
        ];
        for bad in bad {
            assert_eq!(check_name(bad).map_err(|r| r.code), Err(Code::InvalidName), "{bad:?}");
        }
    }
}
