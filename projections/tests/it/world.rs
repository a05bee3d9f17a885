//! State is a fold: only of the instance's own records, and strict about what it does not know.

use spl_kernel::{
    draft::Draft,
    identity::{PrivateKey, PublicKey},
    json::Json,
    record::{Act, Origin, Provenance, StoredRecord},
    time::UnixMillis,
};
use spl_projections::{Command, Context, Entropy, World, authority::Caller, context::ENGINE_ACTOR, identity};

fn key(seed: u8) -> PublicKey {
    PrivateKey::from_seed(&[seed; 32].into()).public()
}

fn stored(sequence: u64, draft: Draft, origin: Origin) -> StoredRecord {
    let clock = sequence - 1;
    let id = draft.id_at(clock).expect("an id");
    StoredRecord {
        sequence,
        committed_at: UnixMillis(1_000),
        record: draft.into_record(id, clock),
        provenance: Provenance::without_credential(origin),
    }
}

/// The record that names an instance.
fn created(seed: u8) -> Draft {
    let key = key(seed);
    let body = Json::object([
        ("kind", identity::CREATED_KIND.into()),
        ("did", key.did().into()),
        ("method", "key".into()),
        ("public_key", key.base64url().into()),
        ("public_key_multibase", key.multibase().into()),
        ("key_fp", key.fingerprint().into()),
        ("created_at", UnixMillis(1_000).to_string().into()),
    ]);
    Draft::new(identity::THREAD, ENGINE_ACTOR, Act::Put, body).expect("a valid draft")
}

#[test]
fn an_identity_is_created_once_and_never_changes() {
    let mut world = World::default();
    world.fold(&stored(1, created(1), Origin::Command)).expect("known");
    assert_eq!(world.identity.did, Some(key(1).did()));
    let digest = world.digest();
    world.fold(&stored(2, created(2), Origin::Command)).expect("known");
    assert_eq!(world.identity.did, Some(key(1).did()));
    assert_ne!(world.digest(), digest, "how far it was folded is part of state");
    let entropy = Entropy::unused();
    let context = Context { now: UnixMillis(2_000), entropy: &entropy, caller: &Caller::nobody() };
    assert!(world.decide(&Command::NameInstance(key(2)), &context).is_err());
}

#[test]
fn a_record_has_no_power_because_of_its_thread() {
    for origin in [Origin::Posted, Origin::Import, Origin::Peer] {
        let mut world = World::default();
        world.fold(&stored(1, created(1), origin)).expect("passed over");
        assert_eq!(world.digest(), World::default().digest());
    }
}

#[test]
fn what_this_build_does_not_know_is_refused() {
    let draft = |thread: &str, members: &[(&str, &str)]| {
        let members = members.iter().map(|(k, v)| ((*k).to_owned(), Json::from(*v))).collect();
        let body = spl_kernel::json::Object::from_members(members).expect("distinct keys");
        Draft::new(thread, ENGINE_ACTOR, Act::Put, Json::Object(body)).expect("a valid draft")
    };
    let unknown = [
        draft("th_identity", &[("kind", "core.identity.created.v2")]),
        draft("th_identity", &[("kind", identity::CREATED_KIND)]),
        draft("th_identity", &[("kind", identity::CREATED_KIND), ("surprise", "x")]),
        draft("th_somewhere", &[("kind", identity::CREATED_KIND)]),
        draft("th_identity", &[]),
    ];
    for draft in unknown {
        let body = draft.body.clone();
        assert!(World::default().fold(&stored(1, draft, Origin::Command)).is_err(), "{body}");
    }
}

#[test]
fn the_fold_of_the_whole_is_the_fold_of_its_parts() {
    let records = [stored(1, created(1), Origin::Command), stored(2, created(2), Origin::Posted)];
    let mut whole = World::default();
    records.iter().for_each(|r| whole.fold(r).expect("known"));
    let mut first = World::default();
    first.fold(&records[0]).expect("known");
    let mut rest = first.clone();
    rest.fold(&records[1]).expect("known");
    assert_eq!(whole.digest(), rest.digest());
}
