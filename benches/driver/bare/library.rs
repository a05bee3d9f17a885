//! The same over hyper and tokio, with a worker for each core: the floor of everything that is built on them.

use std::{
    convert::Infallible,
    io,
    net::TcpListener,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll},
};

use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Method, Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use spl_benches::behind::Behind;
use spl_kernel::{
    commit::{Commit, Entry, Head, encode_commit, encode_entry},
    draft::Draft,
    log::{Log, LogSource, NewCommit},
    record::{Origin, Provenance},
    refusal::Refusal,
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::{
    Script,
    http::{Prepared, joined},
    journal::{Journal, as_sent, committer},
};
use crate::Outcome;

/// What an answer's body is.
type Answer = Response<Either<Full<Bytes>, Events>>;

/// What is done with a request. Why it cannot be done ends the connection.
pub(super) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = io::Result<Answer>> + Send;
}

impl Prepared {
    fn response<B>(&self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }

    fn whole(&self) -> Answer {
        self.response(Either::Left(Full::new(self.body.clone())))
    }
}

/// Gives every request the same answer.
pub(super) struct Constant(Prepared);

impl Constant {
    pub(super) fn new(script: &Script) -> Outcome<Self> {
        Ok(Self(Prepared::parse(&script.answer)?))
    }
}

impl Service for Constant {
    async fn answer(&self, _: Request<Incoming>) -> io::Result<Answer> {
        Ok(self.0.whole())
    }
}

/// Gives a request its answer when its body is in the file.
pub(super) struct Append {
    answer: Prepared,
    queue: mpsc::Sender<(Bytes, oneshot::Sender<()>)>,
}

impl Append {
    pub(super) fn new(script: &Script, journal: Journal) -> Outcome<Self> {
        Ok(Self {
            answer: Prepared::parse(&script.answer)?,
            queue: committer(journal.writer(as_sent), tell)?,
        })
    }
}

fn tell(list: Vec<oneshot::Sender<()>>) {
    for sender in list {
        // Whoever is gone need not know.
        let _ = sender.send(());
    }
}

impl Service for Append {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let (sender, written) = oneshot::channel();
        self.queue.send((body, sender)).map_err(io::Error::other)?;
        written.await.map_err(io::Error::other)?;
        Ok(self.answer.whole())
    }
}

/// Gives a request its answer when the record that it holds is in the file: checked and brought into its canonical form,
/// named by its SHA-256, encoded as a commit and chained to the one before. That is what every record owes to the protocol.
pub(super) struct Records {
    answer: Prepared,
    queue: mpsc::Sender<(Draft, oneshot::Sender<()>)>,
}

impl Records {
    /// In a file: nobody could ever find one again, or know whether it came twice.
    pub(super) fn new(script: &Script, journal: Journal) -> Outcome<Self> {
        let mut head = Head::EMPTY;
        let write = journal.writer(move |group, draft| {
            let commit = commit_of(head, draft)?.commit;
            let records: Vec<_> =
                commit.entries.iter().map(|entry| encode_entry(&entry.record, &entry.provenance)).collect();
            let bytes = encode_commit(commit.first_sequence, head.committed_at, &records);
            head = Head { sequence: commit.first_sequence, chain: head.chain.after(&bytes), ..head };
            group.extend_from_slice(&bytes);
            group.extend_from_slice(head.chain.as_bytes());
            Ok(())
        });
        Ok(Self { answer: Prepared::parse(&script.answer)?, queue: committer(write, tell)? })
    }

    /// In the log of `spl` with its indexes, where each can be found by its id, thread, actor and clock. Nobody asks who
    /// sent it, which clock is the next one, or whether the disk has room, and nobody else is told.
    pub(super) fn found(script: &Script, directory: &Path) -> Outcome<Self> {
        let source = LogSource::File(directory.join("log.redb"));
        // For as long as the process.
        let log: &'static Log = Box::leak(Box::new(Log::open(source, &mut |_, _| {})?));
        let behind: &'static Behind = Box::leak(Box::default());
        std::thread::spawn(move || std::thread::scope(|scope| behind.follow(scope, log)));
        let write = move |drafts: Vec<Draft>| {
            let head = log.head();
            let mut next = head;
            let one = |draft| {
                let commit = commit_of(next, draft);
                next.sequence += 1;
                commit
            };
            let commits = drafts.into_iter().map(one).collect::<io::Result<Vec<_>>>()?;
            log.append(head, commits).map_err(io::Error::other)?;
            behind.appended(log);
            Ok(())
        };
        Ok(Self { answer: Prepared::parse(&script.answer)?, queue: committer(write, tell)? })
    }
}

/// A commit of one record, which has its position as its clock.
fn commit_of(head: Head, draft: Draft) -> io::Result<NewCommit> {
    let (sequence, facts) = (head.sequence + 1, draft.facts.clone());
    let id = draft.id_at(sequence).map_err(unfit)?;
    let provenance = Provenance::without_credential(Origin::Posted);
    let entry = Entry { record: draft.into_record(id, sequence), provenance };
    let commit = Commit { first_sequence: sequence, committed_at: head.committed_at, entries: vec![entry] };
    Ok(NewCommit { commit, facts: vec![facts] })
}

fn unfit(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal.message)
}

impl Service for Records {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let draft = Draft::from_json(&body).map_err(unfit)?;
        let (sender, written) = oneshot::channel();
        self.queue.send((draft, sender)).map_err(io::Error::other)?;
        written.await.map_err(io::Error::other)?;
        Ok(self.answer.whole())
    }
}

/// A stream's body: what was sent to it.
pub(super) struct Events(UnboundedReceiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Sends every subscriber the same event for each request that is posted; whoever posts nothing is one.
pub(super) struct Fanout {
    answer: Prepared,
    greeting: Prepared,
    event: Bytes,
    subscribers: Mutex<Vec<UnboundedSender<Bytes>>>,
}

impl Fanout {
    pub(super) fn new(script: &Script) -> Outcome<Self> {
        Ok(Self {
            answer: Prepared::parse(&script.answer)?,
            greeting: Prepared::parse(&script.greeting)?,
            event: joined(&script.event)?,
            subscribers: Mutex::default(),
        })
    }
}

impl Service for Fanout {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        if request.method() == Method::POST {
            subscribers.retain(|subscriber| subscriber.send(self.event.clone()).is_ok());
            return Ok(self.answer.whole());
        }
        let (sender, events) = unbounded_channel();
        sender.send(self.greeting.body.clone()).map_err(io::Error::other)?;
        subscribers.push(sender);
        Ok(self.greeting.response(Either::Right(Events(events))))
    }
}

/// Serves until it fails.
pub(super) fn serve(listener: TcpListener, service: impl Service) -> Outcome<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_io().build()?;
    let service = Arc::new(service);
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = service.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| service.answer(request));
                // A connection that breaks is the client's affair.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}
