//! HTTP/1.1 with kept connections: one request, one answer with a `content-length`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Requests, Taken, Wire, refused};
use crate::Outcome;

/// Headers of an answer that are looked at.
const HEADERS_MAX: usize = 32;

/// A request's bytes.
pub(crate) fn request(line: &str, port: u16, token: Option<&str>, body: &str) -> Vec<u8> {
    let bearer = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let body_headers = if body.is_empty() && !line.starts_with("POST") {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{bearer}{body_headers}\r\n{body}").into_bytes()
}

/// The head of an answer: its status, where its body starts, how long that is where it says so.
pub(crate) fn head(input: &[u8]) -> Outcome<Option<(u16, usize, Option<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(input)? else { return Ok(None) };
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.map(|h| Ok::<_, Box<dyn std::error::Error>>(std::str::from_utf8(h.value)?.parse()?));
    Ok(Some((response.code.unwrap_or(0), body, length.transpose()?)))
}

/// How many answers had which status, over all connections of a workload.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// 2xx.
    pub(crate) done: AtomicU64,
    /// 409 and 410: somebody else was first.
    pub(crate) lost: AtomicU64,
    /// 429 and 503: come back later.
    pub(crate) later: AtomicU64,
}

/// See the module.
pub(crate) struct Http {
    requests: Requests,
    /// Where refusals are part of the workload they are counted; elsewhere they end it.
    statuses: Option<Arc<Statuses>>,
}

impl Http {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { requests, statuses: None }
    }

    /// One that counts refusals instead of failing.
    pub(crate) fn counting(requests: Requests, statuses: Arc<Statuses>) -> Self {
        Self { requests, statuses: Some(statuses) }
    }

    fn judge(&self, status: u16, answer: &[u8]) -> Outcome<()> {
        let counters = match (&self.statuses, status) {
            (None, 200..300) => return Ok(()),
            (Some(s), 200..300) => &s.done,
            (Some(s), 409 | 410) => &s.lost,
            (Some(s), 429 | 503) => &s.later,
            _ => return Err(refused("an HTTP answer", answer)),
        };
        counters.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Wire for Http {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.requests.next());
    }

    fn take(&mut self, input: &[u8], _: &mut Vec<u8>) -> Outcome<Taken> {
        let mut taken = Taken::default();
        while let Some((status, body, length)) = head(&input[taken.consumed..])? {
            let answer = &input[taken.consumed..];
            let end = body + length.ok_or_else(|| refused("an answer without a length", answer))?;
            if answer.len() < end {
                break;
            }
            self.judge(status, &answer[..end])?;
            taken.consumed += end;
            taken.answers += 1;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_whole_and_refusals_end_it() {
        let mut wire = Http::new(Requests::new(vec![b"x".to_vec()]));
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\nHTTP/1.1 2";
        let taken = wire.take(two, &mut Vec::new()).unwrap();
        assert_eq!(taken, Taken { consumed: two.len() - 10, answers: 2 });
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na";
        assert_eq!(wire.take(part, &mut Vec::new()).unwrap(), Taken::default());
        assert!(wire.take(b"HTTP/1.1 401 U\r\ncontent-length: 0\r\n\r\n", &mut Vec::new()).is_err());
    }

    #[test]
    fn statuses_are_counted_where_they_are_the_workload() {
        let statuses = Arc::new(Statuses::default());
        let mut wire = Http::counting(Requests::new(vec![]), statuses.clone());
        wire.take(b"HTTP/1.1 410 G\r\ncontent-length: 0\r\n\r\n", &mut Vec::new()).unwrap();
        assert_eq!((statuses.done.load(Relaxed), statuses.lost.load(Relaxed)), (0, 1));
    }
}
