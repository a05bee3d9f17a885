//! Accepting connections within bounds, and ending them in time.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt as _;

use crate::connection::{Answering, Patient, STALLED_MAX};

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 8192;
/// Most HTTP/2 streams of a connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// What hyper buffers of a request's head. Above the documented bound on headers, so that the documented
/// answer can be given.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long open connections may take to end.
const DRAIN_MAX: Duration = Duration::from_millis(1500);
/// After an accept fails (too many open files, say), wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` says so, then lets connections end for a moment.
pub(crate) async fn serve(listeners: Vec<TcpListener>, router: Router, shutdown: watch::Receiver<bool>) {
    let graceful = Arc::new(GracefulShutdown::new());
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            tokio::spawn(accept(
                listener,
                router.clone(),
                graceful.clone(),
                permits.clone(),
                shutdown.clone(),
            ))
        })
        .collect();
    for task in accepting {
        // Ends only by shutdown; a panic in it is reported by the runtime.
        let _ = task.await;
    }
    if let Some(graceful) = Arc::into_inner(graceful)
        && tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err()
    {
        tracing::info!("closing connections that did not end by themselves");
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    graceful: Arc<GracefulShutdown>,
    permits: Arc<Semaphore>,
    mut shutdown: watch::Receiver<bool>,
) {
    let builder = builder();
    loop {
        // Beyond the bound connections wait in the system's backlog.
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            _ = shutdown.wait_for(|stopping| *stopping) => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stopping| *stopping) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                crate::env::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(&builder, stream, peer, router.clone(), &graceful);
        tokio::spawn(async move {
            let _permit = permit;
            connection.await;
        });
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The connection itself sees to it.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(STALLED_MAX)
        .keep_alive_timeout(STALLED_MAX);
    builder
}

fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Without this a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let (stream, turns) = Patient::new(stream);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let turn = turns.begin(request.version());
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Answering { body, _turn: turn })) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    async move {
        // A connection that breaks is the client's affair.
        let _ = watched.await;
    }
}
