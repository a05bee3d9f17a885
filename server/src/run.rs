//! One instance from start to end.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use serde_json::json;
use spl_kernel::log::verify::chain_of_causes;
use spl_projections::Secret;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use zeroize::Zeroizing;

use crate::{
    access::has_loopback_host,
    activity::{self, Activity, Thefts},
    app::{App, Instance, KeyShown, Mode},
    boot::{BootError, Booted, boot},
    budget::Budget,
    env, first,
    home::{Home, HomeError, HomeLock, KeptHead, write_private},
    listen,
    metrics::Metrics,
    outgoing::Outgoing,
    published::Published,
    rate::Rate,
    request_ids::RequestIds,
    routes::{InviteRates, Rows, router},
    telemetry,
    writer::Writer,
};

/// Memory for request bodies, and for answers, in bytes each.
const BUDGET_BYTES: usize = 128 * 1024 * 1024;
/// Memory for chunks of streams, in bytes.
const STREAM_BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// Large bodies parsed at a time.
const PARSING_MAX: usize = 4;
/// Renewals of one account's tokens in a minute: each leaves four records for ever.
const RENEWALS_A_MINUTE: u32 = 30;
/// Attestations that one account may ask for in a minute.
const ATTESTATIONS_A_MINUTE: u32 = 10;
/// Walks over records at a time; each may hold a body's tree and a chunk of records.
const SCANNING_MAX: usize = 16;
/// After this the process ends whatever is still open.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How an instance is started.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The home directory.
    pub home: PathBuf,
    /// Address to bind besides 127.0.0.1.
    pub host: IpAddr,
    /// Port; 0 for any free one.
    pub port: u16,
    /// Keep the log in memory, under a throw-away identity.
    pub memory: bool,
    /// Local requests act on the data plane without a bearer.
    pub insecure_localhost: bool,
    /// The origin others reach this instance under.
    pub public_url: Option<String>,
    /// Start an empty log under an existing key.
    pub new_log: bool,
    /// Accept a log that does not contain the head acknowledged last.
    pub accept_older_log: bool,
    /// The one token that survives an older log.
    pub keep_token: Option<String>,
    /// Start though the wall clock is more than a day behind the log.
    pub accept_clock: bool,
    /// Log lines to the terminal too.
    pub foreground: bool,
    /// What is logged, as `RUST_LOG` has it.
    pub log_filter: Option<String>,
    /// `SPL_BOOTSTRAP_TOKEN`: the secret of a first account's token, where no account was ever made.
    pub bootstrap_token: Option<Secret>,
    /// The actor of that account.
    pub bootstrap_actor: String,
}

/// Why an instance did not start, or not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not start. No record, key or kept head was changed.
    #[error("{}", chain_of_causes(.0))]
    Boot(#[from] BootError),
    /// Its home directory cannot be used.
    #[error("{}", chain_of_causes(.0))]
    Home(#[from] HomeError),
    /// The address cannot be bound.
    #[error(
        "{address} cannot be bound: {source}; is another instance running? see `spl serve --status`, or choose a --port"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The first commits of this start could not be written.
    #[error("the first commit could not be written; logs/spl.log in the home directory says why")]
    FirstCommit,
    /// `--keep-token` is no token's id.
    #[error(
        "--keep-token {0:?} is not the id of a token: 64 lowercase hex digits, as `spl token info` prints them"
    )]
    KeepToken(String),
    /// The public URL is none.
    #[error(
        "--public-url {0:?} is not an origin such as https://spl.example.com; plain http is for localhost, private and tailnet addresses"
    )]
    PublicUrl(String),
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Serves an instance until a signal, and returns when all is on disk. A second signal ends the process at
/// once.
///
/// # Errors
/// [`ServeError`].
pub fn run(options: ServeOptions) -> Result<(), ServeError> {
    serve_until(options, first_signal())
}

/// Serves an instance until `stop` is done, and returns when all is on disk. What [`run`] does, for those
/// who bring their own reason to stop.
///
/// # Errors
/// [`ServeError`].
pub fn serve_until(
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let public_url = options.public_url.as_deref().map(check_origin).transpose()?;
    let home = Home::open(&options.home)?;
    telemetry::start(&home.log_lines(), options.log_filter.as_deref(), options.foreground);
    let booted = boot(&options)
        .inspect_err(|error| tracing::error!(cause = %chain_of_causes(error), "not started"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(options, booted, public_url, stop));
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Nothing of this process uses the log any more: only now may another take the home.
    result.map(drop)
}

fn check_origin(url: &str) -> Result<String, ServeError> {
    let refused = || ServeError::PublicUrl(url.to_owned());
    spl_projections::config::check_public_url(url).map_err(|_| refused())
}

/// 127.0.0.1 always, and what was asked for besides; an unspecified address takes it in.
async fn bind(options: &ServeOptions) -> Result<Vec<TcpListener>, ServeError> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let wanted = if options.insecure_localhost { loopback } else { options.host };
    let first = if wanted.is_unspecified() { wanted } else { loopback };
    let mut listeners = vec![bind_one(SocketAddr::new(first, options.port)).await?];
    if !wanted.is_unspecified() && wanted != loopback {
        let port = listeners.first().map_or(Ok(options.port), |l| l.local_addr().map(|a| a.port()))?;
        listeners.push(bind_one(SocketAddr::new(wanted, port)).await?);
    }
    if !wanted.is_loopback() {
        tracing::warn!(
            host = %wanted,
            "bound to an address that others can reach, without TLS: put a proxy with TLS in front, or use a private network"
        );
    }
    Ok(listeners)
}

async fn bind_one(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// A bound address, as somebody can call it.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), bound.port())
    } else {
        bound
    }
}

async fn serve(
    options: ServeOptions,
    booted: Booted,
    public_url: Option<String>,
    stop_when: impl Future<Output = ()> + Send + 'static,
) -> Result<HomeLock, ServeError> {
    let Booted { home, lock, log, world, key, did } = booted;
    // What a process left behind that was killed names an address where anybody may listen by now.
    remove_run_files(&home, &RUN_FILES);
    let listeners = bind(&options).await?;
    let Some(bound) = listeners.last().map(TcpListener::local_addr).transpose()? else { return Ok(lock) };
    let (stop, stopping) = watch::channel(false);
    let published = Arc::new(Published::new(world.clone(), log.head()));
    let keeps_head = (!options.memory).then(|| home.clone());
    let writer = Writer::start(log.clone(), world, published.clone(), keeps_head.clone())?;
    let local_url = format!("http://127.0.0.1:{}", bound.port());
    let app: App = Arc::new(Instance {
        own_origins: own_origins(bound),
        public_url_given: public_url,
        local_proof: local_proof()?,
        home,
        log,
        writer,
        published,
        key_shown: KeyShown::from(&key.public()),
        key,
        did,
        insecure: options.insecure_localhost,
        memory: options.memory,
        bound,
        bound_url: format!("http://{}", reachable(bound)),
        started: env::monotonic(),
        shutdown: stopping.clone(),
        body_budget: Budget::new(BUDGET_BYTES),
        answer_budget: Budget::new(BUDGET_BYTES),
        stream_budget: Budget::new(STREAM_BUDGET_BYTES),
        parsing: Arc::new(Semaphore::new(PARSING_MAX)),
        scanning: Arc::new(Semaphore::new(SCANNING_MAX)),
        catching_up: Semaphore::new(Handle::current().metrics().num_workers().saturating_sub(1).max(1)),
        streams: Arc::default(),
        verifying: Arc::new(Semaphore::new(1)),
        backing_up: Arc::new(Semaphore::new(2)),
        last_verify: Mutex::new(None),
        metrics: Metrics::new(),
        request_ids: RequestIds::default(),
        activity: Activity::default(),
        thefts: Thefts::default(),
        renewals: Rate::a_minute(RENEWALS_A_MINUTE),
        attestations: Rate::a_minute(ATTESTATIONS_A_MINUTE),
        preview_rates: InviteRates::default(),
        redeem_rates: InviteRates::default(),
        invite_rows: Rows::default(),
        outgoing: Outgoing::new(),
    });
    first::commands(&app, &options).await?;
    if let Some(home) = &keeps_head {
        let head = app.log.head();
        home.keep_head(KeptHead { sequence: head.sequence, chain: head.chain })?;
    }
    app.sweep_peer_tokens()?;
    warn_at_start(&app);
    let noting = tokio::spawn(activity::keep_noted(app.clone()));
    // Who reads the run files may signal at once: the first look makes sure that signals are caught from here on.
    let mut stop_when = Box::pin(stop_when);
    let stops_already = (&mut stop_when).now_or_never().is_some();
    write_run_files(&app, &local_url)?;
    tracing::info!(url = local_url, instance = app.did, records = app.log.head().sequence, "ready");
    let told = app.home.clone();
    let stopper = tokio::spawn(async move {
        if !stops_already {
            stop_when.await;
        }
        tracing::info!("stopping; a second signal ends at once");
        // Before the port is free for anybody: nobody is to send a secret there any more.
        remove_run_files(&told, &[INSTANCE_FILE, PROOF_FILE]);
        stop.send_replace(true);
    });
    listen::serve(listeners, router(app.clone()), stopping).await;
    finish_writing(&app, noting).await;
    remove_run_files(&app.home, &RUN_FILES);
    stopper.abort();
    tracing::info!("stopped");
    Ok(lock)
}

/// Writes what was noted and what waits, for as long as a stop may take.
async fn finish_writing(app: &App, noting: JoinHandle<()>) {
    if tokio::time::timeout(STOP_MAX, noting).await.is_err() {
        tracing::error!("activity was not written in time");
    }
    let finished = tokio::task::spawn_blocking({
        let app = app.clone();
        move || app.writer.stop()
    });
    if tokio::time::timeout(STOP_MAX, finished).await.is_err() {
        tracing::error!("the writer did not end in time");
    }
}

/// Waits for the first signal to stop. The second ends the process at once, which is always safe.
async fn first_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be caught: only a kill ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(1);
    });
}

fn own_origins(bound: SocketAddr) -> Vec<String> {
    let port = bound.port();
    let mut origins = vec![
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
    ];
    if !bound.ip().is_unspecified() {
        origins.push(format!("http://{bound}"));
    }
    origins
}

fn local_proof() -> Result<Secret, ServeError> {
    let mut random = Zeroizing::new([0; 32]);
    env::fill_random(&mut *random)?;
    Ok(Secret::new(Zeroizing::new(data_encoding::HEXLOWER.encode(&*random))))
}

fn warn_at_start(app: &Instance) {
    let world = app.published.world();
    match app.mode(&world) {
        Mode::InsecureLocalhost => {
            tracing::warn!("--insecure-localhost: every process on this machine may read and write records");
            if !has_loopback_host(app.public_url(&world)) {
                tracing::warn!(
                    "the public URL is not a loopback one: a proxy in front would expose every record"
                );
            }
        }
        Mode::Open => {
            tracing::warn!("auth_required is off: whoever reaches this instance reads and writes records");
        }
        Mode::Bootstrap => tracing::warn!(
            "no service account exists: all but the open routes answer 503; `spl up` makes the first one"
        ),
        Mode::Secure => {}
    }
}

/// Where the instance listens.
const INSTANCE_FILE: &str = "instance.json";
/// What proves that a local request is the owner's.
const PROOF_FILE: &str = "local";
const RUN_FILES: [&str; 3] = [INSTANCE_FILE, "spl.pid", PROOF_FILE];

fn write_run_files(app: &Instance, url: &str) -> Result<(), ServeError> {
    let pid = std::process::id();
    let description = json!({
        "url": url,
        "port": app.bound.port(),
        "pid": pid,
        "instance_did": app.did,
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": env::now().to_string(),
    });
    write_private(&app.home.run(PROOF_FILE), app.local_proof.reveal().as_bytes())?;
    write_private(
        &app.home.run("spl.pid"),
        format!("{pid} {}\n", start_ticks(pid).unwrap_or_default()).as_bytes(),
    )?;
    write_private(&app.home.run(INSTANCE_FILE), format!("{description}\n").as_bytes())?;
    Ok(())
}

/// When a process started, in clock ticks since boot: with its pid it names a process for good.
#[must_use]
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses: fields are counted after its end.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn remove_run_files(home: &Home, names: &[&str]) {
    for name in names {
        // What is already gone is as good as removed.
        let _ = std::fs::remove_file(home.run(name));
    }
}
