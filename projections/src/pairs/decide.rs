use spl_kernel::{
    identity::PublicKey,
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
};

use super::{EVENT_KIND, KIND, PREFIX, Pair, THREAD};
use crate::{
    World,
    accounts::{self, Account},
    audit::{PAIRS_KIND, PAIRS_THREAD},
    context::Context,
    decision::{Change, Decision, Outcome, Parent},
    tokens::is_base32,
};

/// Characters of an id after its prefix.
const ID_CHARS: usize = 16;

/// An instance to pair with: what it states has been checked.
#[derive(Debug, Clone)]
pub struct NewPair {
    /// The id of the pair; chosen before, since what is kept beside the log is named after it.
    pub pair_id: String,
    /// The peer's DID.
    pub peer_did: String,
    /// Its address.
    pub peer_url: String,
    /// Its key.
    pub peer_key: PublicKey,
    /// Its version, where it states one.
    pub peer_version: Option<String>,
    /// SHA-256 of the manifest, in hex.
    pub manifest_sha256: String,
    /// Which token of the peer's is kept, by its hash.
    pub peer_token_id: Option<String>,
}

/// A pair to remove.
#[derive(Debug, Clone)]
pub struct Unpair {
    /// Which.
    pub pair_id: String,
    /// Why.
    pub reason: Option<String>,
}

/// Pins an instance's key.
pub(crate) fn pair(world: &World, new: &NewPair, context: &Context<'_>) -> Result<Decision, Refusal> {
    let exists = |message: String, hint: &str| Err(Refusal::new(Code::PairExists, message).hint(hint));
    let well_formed = new.pair_id.strip_prefix(PREFIX).is_some_and(|rest| is_base32(rest, ID_CHARS));
    if !well_formed || world.pairs.get(&new.pair_id).is_some() {
        return Err(Refusal::new(Code::IngestFailed, "the pair's id is in use"));
    }
    if world.identity.did.as_deref() == Some(new.peer_did.as_str()) {
        return exists("this is the instance itself".into(), "pair with another one");
    }
    let peer_key = new.peer_key.base64url();
    let known = world.pairs.iter().filter(|p| p.peer_did == new.peer_did);
    for known in known {
        if known.peer_key != peer_key {
            let hint = "whoever answers there may be somebody else; ask its operator, over another way";
            return exists(format!("{} is known here with another key", new.peer_did), hint);
        }
        if known.is_active() {
            let hint = "`spl federation list` shows it; `spl federation unpair` removes it";
            return exists(format!("{} is paired already, as {}", new.peer_did, known.id), hint);
        }
    }
    let change = Change::new(
        THREAD,
        KIND,
        Act::Put,
        context,
        [
            ("pair_id", Some(new.pair_id.as_str().into())),
            ("peer_did", Some(new.peer_did.as_str().into())),
            ("peer_url", Some(new.peer_url.as_str().into())),
            ("peer_key", Some(peer_key.into())),
            ("peer_key_fp", Some(new.peer_key.fingerprint().into())),
            ("peer_version", new.peer_version.as_deref().map(Json::from)),
            ("manifest_sha256", Some(new.manifest_sha256.as_str().into())),
            ("peer_token_id", new.peer_token_id.as_deref().map(Json::from)),
            ("state", Some("active".into())),
            ("paired_at", Some(context.now.to_string().into())),
        ],
    );
    let change = mirrored(change, (&new.pair_id, &new.peer_did), "none->active", None, context);
    Ok(Decision { changes: vec![change], outcome: Outcome::Paired { pair_id: new.pair_id.clone() } })
}

fn mirrored(
    change: Change,
    (pair_id, peer_did): (&str, &str),
    transition: &str,
    bearers_revoked: Option<i64>,
    context: &Context<'_>,
) -> Change {
    let given = [
        ("pair_id", Some(pair_id.into())),
        ("peer_did", Some(peer_did.into())),
        ("transition", Some(transition.into())),
        ("bearers_revoked", bearers_revoked.map(Json::from)),
        ("timestamp", Some(context.now.to_string().into())),
        ("by", context.caller.by()),
    ];
    change.mirrored_as(PAIRS_THREAD, PAIRS_KIND, given)
}

/// The accounts that came through a pair and live.
fn living<'a>(world: &'a World, pair: &'a Pair) -> Vec<&'a Account> {
    let account = |id: &str| world.accounts.get(id).filter(|a| a.is_alive());
    world.pairs.accounts_of(&pair.id).filter_map(account).map(|a| &**a).collect()
}

/// Removes a pair, and the accounts that came through it with all that they hold.
pub(crate) fn unpair(world: &World, unpair: &Unpair, context: &Context<'_>) -> Result<Decision, Refusal> {
    let pair = world.pairs.get(&unpair.pair_id).ok_or_else(|| {
        Refusal::new(Code::PairNotFound, "there is no such pair")
            .hint("`spl federation list` shows all of them")
    })?;
    if !pair.is_active() {
        let outcome = Outcome::Unpaired { already: true, accounts: 0, bearers: 0 };
        return Ok(Decision { changes: Vec::new(), outcome });
    }
    let accounts = living(world, pair);
    let (ended, bearers) =
        accounts::end_all(world, &accounts, "pair_removed", unpair.reason.as_deref(), context)?;
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let change = Change::new(
        THREAD,
        EVENT_KIND,
        Act::Do,
        context,
        [
            ("pair_id", Some((*pair.id).into())),
            ("peer_did", Some(pair.peer_did.as_str().into())),
            ("event_kind", Some("removed".into())),
            ("reason", unpair.reason.as_deref().map(Json::from)),
            ("accounts_revoked", Some(number(accounts.len()).into())),
            ("bearers_revoked", Some(number(bearers).into())),
            ("at", Some(context.now.to_string().into())),
        ],
    )
    .parent(Parent::Id(pair.record));
    let named = (&*pair.id, pair.peer_did.as_str());
    let change = mirrored(change, named, "active->removed", Some(number(bearers)), context);
    let changes = std::iter::once(change).chain(ended).collect();
    let outcome = Outcome::Unpaired { already: false, accounts: accounts.len(), bearers };
    Ok(Decision { changes, outcome })
}
