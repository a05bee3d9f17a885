//! What every route shares.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::Value;
use spl_kernel::{
    identity::{PrivateKey, PublicKey},
    log::Log,
    time::UnixMillis,
};
use spl_projections::{Secret, World};
use tokio::sync::{Semaphore, watch};

use crate::{
    activity::{Activity, Thefts},
    budget::Budget,
    env,
    home::Home,
    metrics::Metrics,
    open_streams::OpenStreams,
    outgoing::Outgoing,
    published::Published,
    rate::Rate,
    request_ids::RequestIds,
    routes::{InviteRates, Rows},
    writer::Writer,
};

/// Who may act without a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No account was ever made: everything but the open routes answers 503.
    Bootstrap,
    /// Nobody, but on the open routes.
    Secure,
    /// `auth_required` is off: anybody acts on the data plane.
    Open,
    /// Local requests act on the data plane without a bearer.
    InsecureLocalhost,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Secure => "secure",
            Self::Open => "open",
            Self::InsecureLocalhost => "insecure_localhost",
        }
    }
}

/// The instance's public key as answers show it: computed once, for those who ask who they are ask often.
#[derive(Debug)]
pub(crate) struct KeyShown {
    pub(crate) base64url: String,
    pub(crate) multibase: String,
    pub(crate) fingerprint: String,
}

impl From<&PublicKey> for KeyShown {
    fn from(key: &PublicKey) -> Self {
        Self { base64url: key.base64url(), multibase: key.multibase(), fingerprint: key.fingerprint() }
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
    pub(crate) key_shown: KeyShown,
    pub(crate) did: String,
    /// Whether local requests act on the data plane without a bearer.
    pub(crate) insecure: bool,
    pub(crate) memory: bool,
    /// `--public-url`, as browsers write origins.
    pub(crate) public_url_given: Option<String>,
    /// Origins of this instance itself, beside its public URL: bind address, loopback names.
    pub(crate) own_origins: Vec<String>,
    pub(crate) bound: SocketAddr,
    /// The address under which somebody can call what is bound.
    pub(crate) bound_url: String,
    /// What proves that a local request comes from the home's owner.
    pub(crate) local_proof: Secret,
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
    /// Streams that read the log on a thread that serves, at a time: one such thread is left to requests where
    /// there are several.
    pub(crate) catching_up: Semaphore,
    pub(crate) streams: Arc<OpenStreams>,
    pub(crate) verifying: Arc<Semaphore>,
    pub(crate) backing_up: Arc<Semaphore>,
    pub(crate) last_verify: Mutex<Option<Value>>,
    pub(crate) metrics: Metrics,
    pub(crate) request_ids: RequestIds,
    /// When tokens were last used, and what their bearers were refused.
    pub(crate) activity: Activity,
    /// When tokens were presented that a rotation had ended, by account.
    pub(crate) thefts: Thefts,
    /// How often the tokens of an account may renew themselves.
    pub(crate) renewals: Rate<u32>,
    /// How often an account may have itself vouched for.
    pub(crate) attestations: Rate<u32>,
    pub(crate) preview_rates: InviteRates,
    pub(crate) redeem_rates: InviteRates,
    pub(crate) invite_rows: Rows,
    /// Calls to other instances.
    pub(crate) outgoing: Outgoing,
}

impl Instance {
    /// Who may act without a bearer, as of one state.
    pub(crate) fn mode(&self, world: &World) -> Mode {
        if self.insecure {
            Mode::InsecureLocalhost
        } else if !world.config.auth_required.value {
            Mode::Open
        } else if world.accounts.is_empty() {
            Mode::Bootstrap
        } else {
            Mode::Secure
        }
    }

    /// The address that others reach this instance under: as given at start, as configured, or as bound.
    pub(crate) fn public_url<'a>(&'a self, world: &'a World) -> &'a str {
        let said = self.public_url_given.as_deref().or(world.config.public_url.value.as_deref());
        said.unwrap_or(&self.bound_url)
    }

    /// Whether `origin` is one of the instance's own.
    pub(crate) fn is_own_origin(&self, world: &World, origin: &str) -> bool {
        self.own_origins.iter().any(|own| own == origin)
            || self.public_url_given.as_deref().or(world.config.public_url.value.as_deref()) == Some(origin)
    }

    /// The instant that requests are decided at: the later of the wall clock and the last commit's.
    pub(crate) fn now(&self) -> UnixMillis {
        env::now().max(self.log.head().committed_at)
    }
}

/// Shared state of the routes.
pub(crate) type App = Arc<Instance>;
