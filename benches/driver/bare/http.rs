//! As much of HTTP/1.1 as is needed to know where a request ends, and to have a library say what `spl` has said.

use std::str::from_utf8;

use hyper::{
    HeaderMap, StatusCode,
    body::Bytes,
    header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING},
};

use crate::{Outcome, wire::refused};

/// Headers that a message may have.
const HEADERS_MAX: usize = 32;

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) posted: bool,
    pub(super) body: &'a [u8],
}

/// The request that some bytes begin with, and how many of them it takes.
pub(super) fn request(input: &[u8]) -> Outcome<Option<(Request<'_>, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = request.parse(input)? else { return Ok(None) };
    let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(Ok("0"), |h| from_utf8(h.value))?.parse()?;
    let end = start.checked_add(length).ok_or("a length beyond all bounds")?;
    let posted = request.method == Some("POST");
    Ok(input.get(start..end).map(|body| (Request { posted, body }, end)))
}

/// An answer as a library takes it: without what it writes by itself.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Prepared {
    /// From an answer's bytes.
    pub(super) fn parse(answer: &[u8]) -> Outcome<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(start) = response.parse(answer)? else {
            return Err(refused("no whole head", answer));
        };
        let mut map = HeaderMap::new();
        for header in response.headers.iter() {
            map.append(HeaderName::try_from(header.name)?, HeaderValue::from_bytes(header.value)?);
        }
        let body = &answer[start..];
        let chunked = map.remove(TRANSFER_ENCODING).is_some();
        map.remove(CONTENT_LENGTH);
        map.remove(DATE);
        let body = if chunked { joined(body)? } else { Bytes::copy_from_slice(body) };
        Ok(Self { status: StatusCode::from_u16(response.code.unwrap_or(0))?, headers: map, body })
    }
}

/// What chunks hold, as far as they are whole.
pub(super) fn joined(mut chunks: &[u8]) -> Outcome<Bytes> {
    let mut whole = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(chunks).map_err(|_| refused("no chunk", chunks))?;
        let httparse::Status::Complete((start, length)) = size else { break };
        let end = start.saturating_add(usize::try_from(length)?);
        let (Some(chunk), Some(rest)) = (chunks.get(start..end), chunks.get(end.saturating_add(2)..)) else {
            break;
        };
        whole.extend_from_slice(chunk);
        chunks = rest;
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_it_is_whole() {
        let bytes = b"POST / HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\nabGET / HTTP/1.1\r\n\r\n";
        let (first, length) = request(bytes).unwrap().unwrap();
        assert_eq!(first, Request { posted: true, body: b"ab" });
        let (second, rest) = request(&bytes[length..]).unwrap().unwrap();
        assert_eq!(second, Request { posted: false, body: b"" });
        assert_eq!(length + rest, bytes.len());
        assert_eq!(request(&bytes[..length - 1]).unwrap(), None);
        assert!(request(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n").is_err());
        assert!(request(b"\0\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_loses_its_framing() {
        let answer =
            b"HTTP/1.1 200 OK\r\nx: y\r\ndate: then\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let prepared = Prepared::parse(answer).unwrap();
        assert_eq!((prepared.status.as_u16(), prepared.body.as_ref()), (200, b"abc".as_slice()));
        assert_eq!(prepared.headers.len(), 1);
        assert_eq!(joined(b"2\r\nab\r\n5\r\nc").unwrap().as_ref(), b"ab");
        assert!(Prepared::parse(b"HTTP/1.1 200 OK\r\n").is_err() && joined(b"x\r\n").is_err());
    }
}
