//! The operator's routes: verification and backup.

use std::{
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use spl_kernel::log::{backup, verify::chain_of_causes};
use tokio::sync::mpsc;

use super::{answer, export::may_have_all};
use crate::{
    app::App,
    env,
    offline::verify_log,
    page::Params,
    problem::Problem,
    sending::{channel_body, whole_body},
    session::Session,
    stream::sse_response,
    wire,
};

/// A client that takes nothing for this long is given up on.
const STALLED_MAX: Duration = Duration::from_secs(30);
/// Progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// A chunk of a backup.
const CHUNK_BYTES: usize = 64 * 1024;

/// Sends a chunk from a thread that may block. False when the client is gone or stalled.
fn send(sender: &mpsc::Sender<Bytes>, runtime: &tokio::runtime::Handle, bytes: Bytes) -> bool {
    runtime
        .block_on(async { matches!(tokio::time::timeout(STALLED_MAX, sender.send(bytes)).await, Ok(Ok(()))) })
}

/// `GET /v1/verify`
pub(super) async fn verify(State(app): State<App>, uri: Uri) -> Response {
    answer(start_verify(app, &uri))
}

fn start_verify(app: App, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::new(uri);
    let kept = params.one("head")?.map(|text| crate::offline::parse_head(&text)).transpose();
    params.finish()?;
    let kept = kept.map_err(|()| {
        Problem::invalid_query("`head` is <sequence>:<chain>, as GET /v1/log/head gives them")
    })?;
    let permit = app.verifying.clone().try_acquire_owned().map_err(|_| Problem::busy())?;
    let (sender, receiver) = mpsc::channel(4);
    let runtime = tokio::runtime::Handle::current();
    let world = app.published.world().clone();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut told = env::monotonic();
        let mut progress = |done, all| {
            if env::monotonic().duration_since(told) >= PROGRESS_EVERY {
                told = env::monotonic();
                let data = format!("{{\"records_checked\":{done},\"records_total\":{all}}}");
                // A client that is gone does not stop the verification: its result is kept for /v1/health.
                let _ = sender.try_send(wire::event("progress", None, &data));
            }
        };
        let (name, data) = match verify_log(&app.log, Some(&world), kept, &mut progress) {
            Ok(report) => {
                let value = serde_json::to_value(&report).unwrap_or_default();
                let text = value.to_string();
                *app.last_verify.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                ("result", text)
            }
            Err(error) => {
                tracing::error!(cause = %chain_of_causes(&error), "verification failed");
                ("error", "{\"code\":\"INTERNAL\",\"message\":\"the log could not be read\"}".to_owned())
            }
        };
        send(&sender, &runtime, wire::event(name, None, &data));
    });
    Ok(sse_response(channel_body(receiver)))
}

/// Writes to the client in chunks.
struct ChunkWriter {
    sender: mpsc::Sender<Bytes>,
    runtime: tokio::runtime::Handle,
    chunk: Vec<u8>,
}

impl io::Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        if chunk.is_empty() || send(&self.sender, &self.runtime, chunk) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}

/// `POST /v1/backup`
pub(super) async fn backup(State(app): State<App>, session: Session, uri: Uri) -> Response {
    answer(start_backup(app, &session, &uri))
}

fn start_backup(app: App, session: &Session, uri: &Uri) -> Result<Response, Problem> {
    may_have_all(session)?;
    Params::new(uri).finish()?;
    let permit = app.backing_up.clone().try_acquire_owned().map_err(|_| Problem::busy())?;
    let (sender, receiver) = mpsc::channel(2);
    let complete = Arc::new(AtomicBool::new(false));
    let done = complete.clone();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = ChunkWriter { sender, runtime, chunk: Vec::new() };
        let written =
            app.log.reader().map_err(Into::into).and_then(|r| backup::write(&r, &mut out, &mut |_, _| {}));
        match written {
            Ok(_) => done.store(true, Ordering::Release),
            // The client sees its answer break off, before a trailer without which no restore accepts it.
            Err(error) => tracing::warn!(cause = %chain_of_causes(&error), "a backup was not finished"),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.spl.backup"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"spl.backup\""),
    ];
    Ok((StatusCode::OK, headers, whole_body(receiver, complete)).into_response())
}
