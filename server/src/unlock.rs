//! The way back from permission rules that lock everybody out: taking them out of force in a stopped home.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use spl_kernel::json::Object;
use spl_projections::{Command as Control, Entropy, authority::Ticket, config::Set};
use zeroize::Zeroizing;

use crate::{
    ServeOptions,
    boot::{Booted, boot},
    env,
    home::Home,
    offline::OfflineError,
    published::Published,
    writer::{Admission, Command, Writer},
};

/// Turns permission rules off in a stopped home, as whoever can read it. False where they were off already.
///
/// # Errors
/// [`OfflineError`]: the home is in use or holds no log, or its log cannot be read or written.
pub fn permissions_unlock(home: &Path) -> Result<bool, OfflineError> {
    if !Home::open(home)?.log().exists() {
        return Err(OfflineError::NoLog(home.display().to_string()));
    }
    let Booted { home, lock: _lock, log, world, .. } = boot(&as_it_is(home))?;
    if !world.config.permissions_enabled.value {
        return Ok(false);
    }
    let admission = Admission {
        ticket: Ticket { local_proof: true, ..Ticket::instance() },
        policy_version: world.config.policy_version,
    };
    let body = Object::from_members(vec![
        ("topic".to_owned(), "permissions_enabled".into()),
        ("enabled".to_owned(), false.into()),
    ]);
    let set = Set { body: body.unwrap_or_default() };
    let mut seed = Zeroizing::new([0; 32]);
    env::fill_random(&mut *seed)?;
    let published = Arc::new(Published::new(world.clone(), log.head()));
    let writer = Writer::start(log, world, published, Some(home))?;
    let command = Command::Control {
        command: Box::new(Control::SetConfig(set)),
        admission,
        entropy: Entropy::new(seed),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let written = runtime.block_on(writer.submit(command));
    writer.stop();
    match written {
        Ok(_) => Ok(true),
        Err(why) => Err(OfflineError::Mismatch(format!("the log could not be written: {why:?}"))),
    }
}

/// Opens a home as it stands: nothing is forgiven that a start would refuse.
fn as_it_is(home: &Path) -> ServeOptions {
    ServeOptions {
        home: home.to_owned(),
        host: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        memory: false,
        insecure_localhost: false,
        public_url: None,
        new_log: false,
        accept_older_log: false,
        keep_token: None,
        accept_clock: false,
        foreground: false,
        log_filter: None,
        bootstrap_token: None,
        bootstrap_actor: String::new(),
    }
}
