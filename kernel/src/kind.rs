//! The grammar of `body.kind`: `scope.category.entity[.vN]`.
//!
//! The server stores records of any kind; the grammar is what senders agree on, and what the command line
//! warns about.

/// Why a kind does not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// Fewer than two or more than four segments.
    #[error("a kind has two to four segments separated by dots, as in music.catalog.track")]
    Segments,
    /// A segment is empty or has a character outside `[a-z0-9_-]`.
    #[error("segment {0:?} must be of a-z, 0-9, '_' and '-'")]
    Segment(String),
    /// Two segments outside `core` and `@name`.
    #[error("two segments are for the scope core or an @name; write scope.category.entity")]
    TwoSegments,
    /// A fourth segment that is not `v` and a number.
    #[error("the fourth segment is a version such as v2")]
    Version,
}

/// Checks a kind against the grammar.
///
/// # Errors
/// The first departure.
pub fn check(kind: &str) -> Result<(), KindError> {
    let segments: Vec<&str> = kind.split('.').collect();
    let plain =
        |s: &str| !s.is_empty() && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !(2..=4).contains(&segments.len()) {
        return Err(KindError::Segments);
    }
    for (i, segment) in segments.iter().enumerate() {
        let bare = if i == 0 { segment.strip_prefix('@').unwrap_or(segment) } else { segment };
        if !plain(bare) {
            return Err(KindError::Segment((*segment).to_owned()));
        }
    }
    match segments.as_slice() {
        [scope, _] if *scope != "core" && !scope.starts_with('@') => Err(KindError::TwoSegments),
        [_, _, _, version]
            if !version
                .strip_prefix('v')
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Err(KindError::Version)
        }
        _ => Ok(()),
    }
}
