//! Server-sent events: parsing, and streams that come back after they broke off.

use std::time::Duration;

use serde_json::Value;

use crate::{
    client::{Request, Stream},
    clock, entropy,
    error::{Failure, Kind},
    output,
};

/// Three heartbeats: after that much silence the connection is taken for dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// Longest back-off before the next try.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Largest event; a record is at most 256 KiB and some.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Its name.
    pub(crate) name: String,
    /// Its id, where it has one.
    pub(crate) id: Option<String>,
    /// Its data.
    pub(crate) data: String,
}

/// Turns bytes into events.
#[derive(Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    event: Event,
}

impl Parser {
    /// Takes in bytes; gives the events that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Failure> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) =
            self.buffer.get(start..).and_then(|rest| rest.iter().position(|b| *b == b'\n'))
        {
            let line = String::from_utf8_lossy(self.buffer.get(start..start + length).unwrap_or_default());
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if event != Event::default() {
                    events.push(event);
                }
            } else {
                take_line(&mut self.event, line);
            }
            start += length + 1;
        }
        self.buffer.drain(..start);
        if self.buffer.len() + self.event.data.len() > EVENT_BYTES_MAX {
            return Err(Failure::refused("an event of the stream is larger than any instance would send"));
        }
        Ok(events)
    }
}

fn take_line(event: &mut Event, line: &str) {
    let (field, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match field {
        "event" => value.clone_into(&mut event.name),
        "id" => event.id = Some(value.to_owned()),
        "data" => {
            if !event.data.is_empty() {
                event.data.push('\n');
            }
            event.data.push_str(value);
        }
        // `retry` is for browsers: the back-off here is our own. A line without a name is a comment.
        _ => {}
    }
}

/// What to do after an event.
pub(crate) enum Next {
    /// Wait for the next one.
    Continue,
    /// Enough.
    Stop,
}

/// Reads one stream to its end, or until `take` has enough.
pub(crate) fn read(
    mut stream: Stream<'_>,
    take: &mut dyn FnMut(&Event) -> Result<Next, Failure>,
) -> Result<Next, Failure> {
    let mut parser = Parser::default();
    while let Some(bytes) = stream.next(SILENCE_LIMIT)? {
        for event in parser.feed(&bytes)? {
            if matches!(take(&event)?, Next::Stop) {
                return Ok(Next::Stop);
            }
        }
    }
    Ok(Next::Continue)
}

/// Follows a stream of records for as long as it takes: where it breaks off it is resumed after the last
/// event, so that nothing is lost and nothing comes twice.
pub(crate) fn follow<'a>(
    request: &dyn Fn() -> Request<'a>,
    take: &mut dyn FnMut(&Event) -> Result<Next, Failure>,
) -> Result<(), Failure> {
    let mut state = Resume::default();
    loop {
        let stream = request().header("last-event-id", state.last_id.as_deref()).stream();
        let ended = match stream {
            Ok(stream) => read(stream, &mut |event| state.take(event, take)),
            Err(failure) => Err(failure),
        };
        match ended {
            Ok(Next::Stop) => return Ok(()),
            Ok(Next::Continue) => {}
            Err(failure) if state.may_retry(&failure) => {}
            Err(failure) => return Err(failure),
        }
        let delay = state.delay()?;
        output::note(format_args!("stream ended, trying again in {:.1} s", delay.as_secs_f64()));
        clock::back_off(delay);
    }
}

/// How somebody watches a stream.
pub(crate) struct Watch {
    /// What is said once the stream stands, to people.
    pub(crate) greeting: Option<String>,
    /// The events that are printed.
    pub(crate) name: &'static str,
    /// How many of them, where there is an end to it.
    pub(crate) count: Option<u64>,
}

/// Follows a stream for somebody who watches, and prints what comes.
pub(crate) fn watch<'a>(
    request: &dyn Fn() -> Request<'a>,
    mut watch: Watch,
    print: &dyn Fn(&Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    follow(request, &mut |event| {
        // The first event says that the stream stands.
        if let Some(greeting) = watch.greeting.take() {
            output::note(greeting);
        }
        if event.name != watch.name {
            return Ok(Next::Continue);
        }
        print(event)?;
        watch.count = watch.count.map(|n| n.saturating_sub(1));
        Ok(if watch.count == Some(0) { Next::Stop } else { Next::Continue })
    })
}

/// Where a stream stands between two connections.
#[derive(Default)]
struct Resume {
    last_id: Option<String>,
    /// Tries since the last event.
    tries: u32,
    /// What the instance asked to wait.
    asked: Duration,
}

impl Resume {
    fn take(
        &mut self,
        event: &Event,
        take: &mut dyn FnMut(&Event) -> Result<Next, Failure>,
    ) -> Result<Next, Failure> {
        match event.name.as_str() {
            "server_shutdown" => {
                let data: Option<Value> = serde_json::from_str(&event.data).ok();
                let wait = data.and_then(|d| d.get("retry_after_ms").and_then(Value::as_u64)).unwrap_or(0);
                self.asked = Duration::from_millis(wait).min(BACK_OFF_MAX);
                return Ok(Next::Continue);
            }
            "error" => return Err(stream_error(&event.data)),
            _ => {}
        }
        let next = take(event)?;
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
            self.tries = 0;
            self.asked = Duration::ZERO;
        }
        Ok(next)
    }

    /// A stream that worked once is worth waiting for; one that never did is reported at once.
    fn may_retry(&self, failure: &Failure) -> bool {
        self.last_id.is_some() && (failure.kind() == Kind::Unreachable || failure.is_busy())
    }

    fn delay(&mut self) -> Result<Duration, Failure> {
        let most = Duration::from_millis(500).saturating_mul(1 << self.tries.min(6)).min(BACK_OFF_MAX);
        self.tries += 1;
        Ok(self.asked + entropy::jitter(most)?)
    }
}

fn stream_error(data: &str) -> Failure {
    let parsed: Option<Value> = serde_json::from_str(data).ok();
    let code = parsed.as_ref().and_then(|d| d.get("code")).and_then(Value::as_str).unwrap_or("unknown");
    if code == "revoked" {
        return Failure::not_authorised("the token was revoked or has expired; the stream has ended");
    }
    Failure::refused(format!("the instance ended the stream: {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let text =
            ": hello\nretry: 100\nevent: record.created\r\nid: 7\ndata: {\"a\":1}\n\ndata: x\ndata: y\n\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|chunk| parser.feed(chunk).unwrap()).collect();
            assert_eq!(events.len(), 2, "cut at {size}");
            assert_eq!(events[0].name, "record.created");
            assert_eq!(events[0].id.as_deref(), Some("7"));
            assert_eq!(events[0].data, "{\"a\":1}");
            assert_eq!(events[1].data, "x\ny");
        }
    }

    #[test]
    fn a_revoked_token_is_a_matter_of_authorisation() {
        assert_eq!(stream_error(r#"{"code":"revoked"}"#).kind().exit_code(), 4);
        assert_eq!(stream_error("{}").kind().exit_code(), 1);
    }
}
