//! Lists: query parameters, cursors, and pages bounded in rows and bytes.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use tokio::sync::mpsc;

use crate::{
    budget::{Budget, Share},
    connection::STALLED_MAX,
    problem::{Problem, excerpt},
    sending::channel_body,
};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 280;
/// What a reason is.
pub(crate) const REASON_RULE: &str = "`reason` is 1 to 280 characters, none of them control characters";
/// Rows of a page unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most rows of a page.
pub(crate) const LIMIT_MAX: usize = 1000;
/// A page ends once it has this many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much memory a page takes from the budget at a time.
const TAKE_BYTES: usize = 256 * 1024;
/// A page longer than this is sent in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The query parameters of a request, each taken by name; what is left over is refused.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    pub(crate) fn new(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self { pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), known: Vec::new() }
    }

    /// All values of a parameter.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may come once.
    pub(crate) fn one(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match (values.pop(), values.is_empty()) {
            (value, true) => Ok(value),
            (_, false) => Err(Problem::invalid_query(format!("`{name}` may be given once"))),
        }
    }

    /// A parameter that is a number from 0 to 2^63 - 1.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        let parse = |text: String| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>()
                .ok()
                .filter(|n| digits && i64::try_from(*n).is_ok())
                .ok_or_else(|| Problem::invalid_query(format!("`{name}` must be a number from 0 on")))
        };
        self.one(name)?.map(parse).transpose()
    }

    /// `limit`: at least 1, clamped to 1000.
    pub(crate) fn limit(&mut self) -> Result<usize, Problem> {
        match self.one("limit")? {
            None => Ok(LIMIT_DEFAULT),
            Some(text) => parse_limit(&text),
        }
    }

    /// `reason`: why something is taken back, for the trail.
    pub(crate) fn reason(&mut self) -> Result<Option<String>, Problem> {
        let reason = self.one("reason")?;
        if reason.as_deref().is_none_or(is_reason) {
            Ok(reason)
        } else {
            Err(Problem::invalid_query(REASON_RULE))
        }
    }

    /// Refuses what was not asked for.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let problem = Problem::invalid_query(format!("unknown parameter {:?}", excerpt(name)));
                Err(if self.known.is_empty() {
                    problem.hint("this route takes no parameters")
                } else {
                    problem.hint(format!("this route takes {}", self.known.join(", ")))
                })
            }
        }
    }
}

/// Whether a text can be a reason.
pub(crate) fn is_reason(text: &str) -> bool {
    (1..=REASON_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn parse_limit(text: &str) -> Result<usize, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (digits, text.parse::<usize>()) {
        (true, Ok(0)) | (false, _) => Err(Problem::invalid_query("`limit` must be a number from 1 on")),
        (true, Ok(n)) => Ok(n.min(LIMIT_MAX)),
        (true, Err(_)) => Ok(LIMIT_MAX),
    }
}

/// What a cursor belongs to: a hash of everything that must be the same on the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueryHash([u8; 8]);

impl QueryHash {
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hash = [0; 8];
        let text: Vec<String> = parts.iter().map(|p| format!("{}:{p}", p.len())).collect();
        let digest = spl_kernel::commit::Chain::GENESIS.after(text.join("|").as_bytes());
        hash.copy_from_slice(&digest.as_bytes()[..8]);
        Self(hash)
    }

    /// A cursor at a position.
    pub(crate) fn cursor(self, position: u64) -> String {
        let bytes: Vec<u8> = self.0.into_iter().chain(position.to_be_bytes()).collect();
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The position of a cursor of this very query.
    pub(crate) fn position(self, cursor: &str) -> Result<u64, Problem> {
        let refused = || {
            Problem::invalid_query("`cursor` is not one of this query")
                .hint("pass the next_cursor of the page before, with the same parameters, or none")
        };
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| refused())?;
        let (hash, position) = bytes.split_at_checked(8).ok_or_else(refused)?;
        let position: [u8; 8] = position.try_into().map_err(|_| refused())?;
        if hash == self.0 { Ok(u64::from_be_bytes(position)) } else { Err(refused()) }
    }
}

/// A list while it is built, in pieces: one text that grows would be moved again and again, and leave holes of
/// its sizes behind.
#[derive(Debug)]
pub(crate) struct Page {
    pieces: Vec<String>,
    /// Bytes of all pieces.
    length: usize,
    rows: usize,
    limit: usize,
    share: Share,
    held: usize,
    budget: Budget,
}

impl Page {
    pub(crate) fn new(budget: &Budget, limit: usize) -> Result<Self, Problem> {
        let share = budget.try_take(TAKE_BYTES).ok_or_else(Problem::busy)?;
        let mut page = Self {
            pieces: Vec::new(),
            length: 0,
            rows: 0,
            limit,
            share,
            held: TAKE_BYTES,
            budget: budget.clone(),
        };
        page.append("{\"object\":\"list\",\"data\":[");
        Ok(page)
    }

    /// Takes memory for so many bytes more.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), Problem> {
        self.share.merge(self.budget.try_take(bytes).ok_or_else(Problem::busy)?);
        self.held += bytes;
        Ok(())
    }

    /// Whether another row is wanted.
    pub(crate) fn has_room(&self) -> bool {
        self.rows < self.limit && self.length < PAGE_BYTES_MAX
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row of JSON text.
    pub(crate) fn push(&mut self, row: &str) -> Result<(), Problem> {
        if self.length + row.len() > self.held {
            self.reserve(row.len().max(TAKE_BYTES))?;
        }
        if self.rows > 0 {
            self.append(",");
        }
        self.append(row);
        self.rows += 1;
        Ok(())
    }

    fn append(&mut self, text: &str) {
        self.length += text.len();
        match self.pieces.last_mut() {
            Some(piece) if piece.len() + text.len() <= PIECE_BYTES => piece.push_str(text),
            _ => {
                let mut piece = String::with_capacity(if self.pieces.is_empty() { 0 } else { PIECE_BYTES });
                piece.push_str(text);
                self.pieces.push(piece);
            }
        }
    }

    /// The answer; `more` holds further members, each with a leading comma.
    pub(crate) fn finish(mut self, next_cursor: Option<String>, more: &str) -> Response {
        self.append("],\"next_cursor\":");
        match next_cursor {
            // Cursors are base64url: nothing to escape.
            Some(cursor) => {
                self.append("\"");
                self.append(&cursor);
                self.append("\"");
            }
            None => self.append("null"),
        }
        self.append(more);
        self.append("}");
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CONTENT_LENGTH, HeaderValue::from(self.length)),
        ];
        let mut pieces = self.pieces;
        let body = match pieces.as_mut_slice() {
            [one] => Body::from(std::mem::take(one)),
            _ => in_pieces(pieces, self.share),
        };
        (headers, body).into_response()
    }
}

/// A body in pieces. A client that takes none for a while loses the rest: the memory of a page is not held for
/// as long as a client likes, which over HTTP/2 no limit on the connection would see to.
fn in_pieces(pieces: Vec<String>, share: Share) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _share = share;
        for piece in pieces {
            let sent = sender.send(Bytes::from(piece));
            if !matches!(tokio::time::timeout(STALLED_MAX, sent).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    channel_body(receiver)
}

/// A JSON answer from text.
pub(crate) fn json_text(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A JSON answer from a value.
pub(crate) fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    // Values of this crate's own making always serialise.
    json_text(status, serde_json::to_string(value).unwrap_or_default())
}
