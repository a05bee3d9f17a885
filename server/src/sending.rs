//! Bytes on their way to a client: bodies made of what arrives in a channel, and the memory that pieces of them hold.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use spl_kernel::log::{error::StoreError, verify::chain_of_causes};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{
    app::App,
    budget::{Budget, Share},
    connection::STALLED_MAX,
};

/// Chunks that wait for a client, beside the one that waits for its turn: between steps a stream holds nothing
/// else.
pub(crate) const QUEUED_CHUNKS: usize = 1;
/// Chunks larger than this are counted against the memory of streams.
const CHARGED_BYTES: usize = 4 * 1024;

/// A body of what arrives in a channel.
pub(crate) fn channel_body(receiver: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>))
}

/// A body of what arrives in a channel that breaks off, rather than ends, unless `complete` was set: whoever
/// reads it must be able to tell the whole from a part.
pub(crate) fn whole_body(receiver: mpsc::Receiver<Bytes>, complete: Arc<AtomicBool>) -> Body {
    let broken = std::iter::from_fn(move || {
        let cut_short = !complete.swap(true, Ordering::AcqRel);
        cut_short.then(|| Err(std::io::Error::other("the answer could not be finished")))
    });
    Body::from_stream(ReceiverStream::new(receiver).map(Ok).chain(tokio_stream::iter(broken)))
}

/// A body made piece by piece on threads that may block; a piece is made when the client has taken the one
/// before. A piece may be empty: the walk goes on.
pub(crate) fn pump(
    app: &App,
    mut next: impl FnMut() -> Result<Option<Bytes>, StoreError> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let complete = Arc::new(AtomicBool::new(false));
    let (app, done) = (app.clone(), complete.clone());
    tokio::spawn(async move {
        // A client that is gone ends it, also where there is nothing to send.
        while !sender.is_closed() {
            // Like other walks over records: so many at a time, the others wait for their turn.
            let Ok(turn) = app.scanning.clone().acquire_owned().await else { return };
            let looked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                (next(), next)
            });
            let Ok((result, again)) = looked.await else { return };
            next = again;
            match result {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    if !deliver(&app.answer_budget, &sender, bytes).await {
                        return;
                    }
                }
                Ok(None) => {
                    done.store(true, Ordering::Release);
                    return;
                }
                Err(error) => {
                    tracing::error!(cause = %chain_of_causes(&error), "an answer could not be finished");
                    return;
                }
            }
        }
    });
    whole_body(receiver, complete)
}

/// Bytes that hold their share of the memory for answers until they are sent.
struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes with their share of a budget, waited for where they are many.
pub(crate) async fn charged(budget: &Budget, bytes: Bytes) -> Bytes {
    if bytes.len() <= CHARGED_BYTES {
        return bytes;
    }
    let share = budget.take(bytes.len()).await;
    Bytes::from_owner(Charged { bytes, _share: share })
}

/// Queues bytes for a client. False when it is gone, or has taken nothing for too long. The wait for memory is
/// not the client's doing and not counted: whoever holds it lets go in that time.
pub(crate) async fn deliver(budget: &Budget, sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    let bytes = tokio::select! {
        bytes = charged(budget, bytes) => bytes,
        () = sender.closed() => return false,
    };
    hand_over(sender, bytes).await
}

/// Queues bytes that hold their memory already.
pub(crate) async fn hand_over(sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    matches!(tokio::time::timeout(STALLED_MAX, sender.send(bytes)).await, Ok(Ok(())))
}
