//! What every route shares.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Instant,
};

use serde_json::Value;
use spl_kernel::{identity::PrivateKey, log::Log};
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::{budget::Budget, home::Home, metrics::Metrics, published::Published, writer::Writer};

/// Who may act without a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No account exists: everything but the open routes answers 503.
    Bootstrap,
    /// Local requests act on the data plane without a bearer.
    InsecureLocalhost,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::InsecureLocalhost => "insecure_localhost",
        }
    }
}

/// The instance behind the routes.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) home: Home,
    pub(crate) log: Arc<Log>,
    pub(crate) writer: Writer,
    pub(crate) published: Arc<Published>,
    pub(crate) key: PrivateKey,
    pub(crate) did: String,
    pub(crate) mode: Mode,
    pub(crate) memory: bool,
    pub(crate) public_url: String,
    /// Origins of this instance itself: public URL, bind address, loopback names.
    pub(crate) own_origins: Vec<String>,
    pub(crate) bound: SocketAddr,
    /// What proves that a local request comes from the home's owner.
    pub(crate) local_proof: Zeroizing<String>,
    pub(crate) started: Instant,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Memory that request bodies may take, all together.
    pub(crate) body_budget: Budget,
    /// Memory that answers may take, all together.
    pub(crate) answer_budget: Budget,
    /// Memory that chunks of streams may take, all together. Apart from answers: streams that stall must not
    /// keep anyone from reading pages.
    pub(crate) stream_budget: Budget,
    /// Large bodies that are parsed at a time: what they grow to is in no budget until they are queued.
    pub(crate) parsing: Arc<Semaphore>,
    /// Walks over records that go on at a time.
    pub(crate) scanning: Arc<Semaphore>,
    pub(crate) streams: Arc<AtomicUsize>,
    pub(crate) verifying: Arc<Semaphore>,
    pub(crate) backing_up: Arc<Semaphore>,
    pub(crate) last_verify: Mutex<Option<Value>>,
    pub(crate) metrics: Metrics,
}

/// Shared state of the routes.
pub(crate) type App = Arc<Instance>;
