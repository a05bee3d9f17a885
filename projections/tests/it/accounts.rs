//! Accounts and tokens: every decision and every refusal, one line per case, and what is written for each.

use spl_kernel::{refusal::Code, time::UnixMillis};
use spl_projections::{
    Command,
    accounts::{ChosenToken, Create, Update},
    authority::Caller,
    decision::{Issued, Outcome},
    scope::{Scope, Scopes},
    tokens::{Mint, Renew, Revoke, TokenId, parse},
};

use crate::kit::{ALICE, BOB, Kit, code, first};

fn scopes(names: &[&str]) -> Scopes {
    Scopes::parse(names.iter().copied()).expect("scopes")
}

fn mint(id: &str) -> Mint {
    Mint { service_account_id: id.to_owned(), scopes: None, env_tag: None, expires_in_seconds: None }
}

fn minted(kit: &mut Kit, mint: Mint, caller: &Caller) -> Issued {
    match kit.run(Command::MintToken(mint), caller).expect("a token") {
        Outcome::Token { issued, .. } => issued,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bootstrap_is_for_the_owner_once() {
    let mut kit = Kit::new();
    let command = || Command::Bootstrap(first(&[ALICE]));
    assert_eq!(code(kit.run(command(), &Caller::nobody())), Some(Code::BootstrapLocalOnly));
    let no_token = Command::Bootstrap(spl_projections::accounts::Bootstrap {
        token: ChosenToken::None,
        ..first(&[ALICE])
    });
    assert_eq!(code(kit.run(no_token, &Caller::local())), Some(Code::InvalidBody));
    assert_eq!(kit.records.len(), 1, "nothing was written");
    let issued = kit.bootstrap(&[ALICE, BOB]).expect("the first");
    assert_eq!(code(kit.run(command(), &Caller::local())), Some(Code::BootstrapClosed));
    // Account, token, three grants for each actor, and a mirror of each.
    assert_eq!(kit.records.len(), 1 + 2 * (1 + 1 + 6));
    let threads: Vec<&str> = kit.records[1..5].iter().map(|s| s.record.thread.as_str()).collect();
    assert_eq!(threads, ["th_service_accounts", "th_audit_tokens", "th_api_tokens", "th_audit_tokens"]);
    let text = issued.text.expect("a text");
    assert_eq!(parse(text.reveal()).map(|p| p.service_account_id), Some(issued.service_account_id.as_str()));
    assert_eq!(TokenId::of(text.reveal()), issued.token_id);
    assert!(kit.records.iter().all(|s| !s.record.body.contains(text.reveal())), "the log keeps no token");
}

#[test]
fn an_instance_whose_accounts_are_all_revoked_begins_again_only_in_recovery() {
    let (mut kit, issued) = Kit::bootstrapped();
    let revoke = Command::RevokeAccount { service_account_id: issued.service_account_id, reason: None };
    kit.run(revoke, &Caller::local()).expect("the owner may");
    let again =
        |insecure| Command::Bootstrap(spl_projections::accounts::Bootstrap { insecure, ..first(&[ALICE]) });
    assert_eq!(code(kit.run(again(false), &Caller::local())), Some(Code::BootstrapClosed));
    let before = kit.records.len();
    kit.run(again(true), &Caller::local()).expect("recovery");
    assert_eq!(kit.records.len() - before, 4, "grants that live are not given twice");
}

#[test]
fn mirrors_follow_their_sources() {
    let (kit, _) = Kit::bootstrapped();
    for pair in kit.records[1..].chunks(2) {
        let [source, mirror] = pair else { panic!("a record without its mirror") };
        assert_eq!(mirror.record.parents, [source.record.id]);
        let body = crate::kit::parse(&mirror.record.body);
        assert_eq!(body.str("source_record"), Some(source.record.id.to_string().as_str()));
        assert!(mirror.record.thread.starts_with("th_audit_"));
    }
}

#[test]
fn creating_is_refused_for_what_is_wrong() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let named = |name: &str| Create { name: name.to_owned(), ..Create::default() };
    let acting = |actor: &str| Create { actors: vec![actor.to_owned()], ..named("x") };
    let instance = kit.world.identity.did.clone().expect("a name");
    let cases = [
        (named("grafana"), None),
        (named(""), Some(Code::InvalidName)),
        (named(" x"), Some(Code::InvalidName)),
        (Create { namespace: "other".into(), ..named("x") }, Some(Code::NamespaceRejected)),
        (acting("alice"), Some(Code::InvalidBody)),
        (acting("did:sync:system:engine"), Some(Code::DidClaimDenied)),
        (acting(&instance), Some(Code::DidClaimDenied)),
        (Create { expires_in_seconds: Some(5), ..named("x") }, Some(Code::InvalidBody)),
        (Create { expires_in_seconds: Some(0), with_token: true, ..named("x") }, Some(Code::InvalidBody)),
        (acting(ALICE), None),
    ];
    for (create, expected) in cases {
        let shown = format!("{create:?}");
        assert_eq!(code(kit.run(Command::CreateAccount(create), &caller)), expected, "{shown}");
    }
}

#[test]
fn who_speaks_for_a_grantee_is_not_for_every_admin() {
    let (mut kit, alice) = Kit::bootstrapped();
    let other = kit.account(&alice, "other admin", &["admin"], &[BOB]);
    let bob = kit.admin(&other);
    let listing = || {
        Command::CreateAccount(Create {
            name: "mine".into(),
            actors: vec![ALICE.into()],
            with_token: true,
            ..Create::default()
        })
    };
    let id = alice.service_account_id.clone();
    let denied = Some(Code::ConsentDenied);
    assert_eq!(code(kit.run(listing(), &bob)), denied);
    assert_eq!(code(kit.run(Command::MintToken(mint(&id)), &bob)), denied);
    assert_eq!(code(kit.run(Command::RotateKey { service_account_id: id.clone() }, &bob)), denied);
    let revoke = || Command::RevokeAccount { service_account_id: id.clone(), reason: None };
    assert_eq!(code(kit.run(revoke(), &bob)), denied);
    let last = Revoke { token_id: alice.token_id, service_account_id: None, reason: None };
    assert_eq!(code(kit.run(Command::RevokeToken(last), &bob)), denied);
    // Claiming to be alice lends none of her grants.
    let claiming = kit.admit(other.token_id, Scope::Admin, Some(ALICE)).expect("admins may");
    assert_eq!(code(kit.run(listing(), &claiming)), denied);
    let take_over = Update {
        service_account_id: other.service_account_id.clone(),
        actors: Some(vec![BOB.into(), ALICE.into()]),
        ..Update::default()
    };
    assert_eq!(code(kit.run(Command::UpdateAccount(take_over), &bob)), denied);
    let owner = kit.admin(&alice);
    assert_eq!(code(kit.run(listing(), &owner)), None);
    assert_eq!(code(kit.run(listing(), &Caller::local())), None);
}

#[test]
fn tokens_keep_the_scopes_of_their_minting() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let token = kit.account(&admin, "a", &["records:read", "records:write"], &[BOB]);
    let id = token.service_account_id.clone();
    let update = Update {
        service_account_id: id.clone(),
        scopes: Some(scopes(&["records:read"])),
        ..Update::default()
    };
    match kit.run(Command::UpdateAccount(update), &caller).expect("an update") {
        Outcome::Updated { tokens_still_wider } => assert_eq!(tokens_still_wider, [token.token_id]),
        other => panic!("{other:?}"),
    }
    assert!(kit.admit(token.token_id, Scope::RecordsWrite, None).is_ok(), "a snapshot");
    let narrower = minted(&mut kit, mint(&id), &caller);
    assert_eq!(code(kit.admit(narrower.token_id, Scope::RecordsWrite, None)), Some(Code::ScopeForbidden));
    let wider = Mint { scopes: Some(scopes(&["records:write"])), ..mint(&id) };
    assert_eq!(code(kit.run(Command::MintToken(wider), &caller)), Some(Code::InvalidBody));
    let grained = Mint { scopes: Some(scopes(&["records:read", "thread:t:read"])), ..mint(&id) };
    assert!(kit.run(Command::MintToken(grained), &caller).is_ok());
}

#[test]
fn a_rotation_mints_first_and_ends_the_others() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let one = kit.account(&admin, "a", &["records:read"], &[BOB]);
    let id = one.service_account_id.clone();
    let two = minted(&mut kit, Mint { expires_in_seconds: Some(60), ..mint(&id) }, &caller);
    let before = kit.records.len();
    let outcome =
        kit.run(Command::RotateKey { service_account_id: id.clone() }, &caller).expect("a rotation");
    let Outcome::Token { issued, revoked } = outcome else { panic!("{outcome:?}") };
    assert_eq!(revoked, [one.token_id, two.token_id]);
    assert_eq!(issued.expires_at, Some(UnixMillis(kit.now.0 + 60_000)), "the newest one's lifetime");
    let kinds: Vec<String> = kit.records[before..]
        .iter()
        .filter(|s| s.record.thread == "th_api_tokens")
        .map(|s| crate::kit::parse(&s.record.body).str("kind").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(kinds, ["core.api_token.v1", "core.api_token.revocation.v1", "core.api_token.revocation.v1"]);
    assert!(kit.admit(issued.token_id, Scope::RecordsRead, None).is_ok());
    for ended in [&one, &two] {
        assert_eq!(code(kit.admit(ended.token_id, Scope::RecordsRead, None)), Some(Code::AuthInvalid));
        assert!(kit.world.was_rotated(&ended.token_id));
    }
    // Revoking what a rotation ended revokes what came in its place.
    let revoke = Revoke { token_id: one.token_id, service_account_id: None, reason: None };
    match kit.run(Command::RevokeToken(revoke), &caller).expect("a revocation") {
        Outcome::TokensRevoked { already: false, revoked } => assert_eq!(revoked, [issued.token_id]),
        other => panic!("{other:?}"),
    }
    assert_eq!(code(kit.admit(issued.token_id, Scope::RecordsRead, None)), Some(Code::AuthInvalid));
}

#[test]
fn a_token_renews_itself_and_no_other() {
    let (mut kit, admin) = Kit::bootstrapped();
    let one = kit.account(&admin, "a", &["records:read"], &[BOB]);
    let caller = kit.admit(one.token_id, Scope::RecordsRead, None).expect("a caller");
    let renew = |token_id, new_token_id| Command::RenewToken(Renew { token_id, new_token_id });
    assert_eq!(code(kit.run(renew(admin.token_id, None), &caller)), Some(Code::RotateNotSelf));
    assert_eq!(code(kit.run(renew(one.token_id, None), &Caller::nobody())), Some(Code::RotateNotSelf));
    assert_eq!(code(kit.run(renew(one.token_id, Some(admin.token_id)), &caller)), Some(Code::InvalidBody));
    let chosen = TokenId::of("made by the client");
    match kit.run(renew(one.token_id, Some(chosen)), &caller).expect("a renewal") {
        Outcome::Token { issued, revoked } => {
            assert!(issued.text.is_none(), "the client has it");
            assert_eq!((issued.token_id, revoked), (chosen, vec![one.token_id]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(code(kit.admit(one.token_id, Scope::RecordsRead, None)), Some(Code::AuthInvalid));
    assert!(kit.admit(chosen, Scope::RecordsRead, None).is_ok());
}

#[test]
fn revoking_is_final_and_idempotent() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let token = kit.account(&admin, "a", &["records:read"], &[BOB]);
    let id = token.service_account_id.clone();
    let revoke = || Command::RevokeAccount { service_account_id: id.clone(), reason: Some("lost".into()) };
    for (already, tokens) in [(false, 1), (true, 0)] {
        match kit.run(revoke(), &caller).expect("a revocation") {
            Outcome::AccountRevoked { already: a, tokens_revoked } => {
                assert_eq!((a, tokens_revoked), (already, tokens));
            }
            other => panic!("{other:?}"),
        }
    }
    let revoked = Some(Code::ServiceAccountRevoked);
    assert_eq!(code(kit.run(Command::MintToken(mint(&id)), &caller)), revoked);
    assert_eq!(code(kit.run(Command::RotateKey { service_account_id: id.clone() }, &caller)), revoked);
    let update = Update { service_account_id: id.clone(), name: Some("b".into()), ..Update::default() };
    assert_eq!(code(kit.run(Command::UpdateAccount(update), &caller)), revoked);
    assert_eq!(code(kit.admit(token.token_id, Scope::RecordsRead, None)), Some(Code::AuthInvalid));
    let unknown = Command::RevokeAccount { service_account_id: "sa_0000000000000000".into(), reason: None };
    assert_eq!(code(kit.run(unknown, &caller)), Some(Code::ServiceAccountNotFound));
    let elsewhere = Revoke {
        token_id: token.token_id,
        service_account_id: Some(admin.service_account_id.clone()),
        reason: None,
    };
    assert_eq!(code(kit.run(Command::RevokeToken(elsewhere), &caller)), Some(Code::TokenNotFound));
}

#[test]
fn the_last_admin_stays_unless_the_owner_says_so() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let id = admin.service_account_id.clone();
    let last = Some(Code::LastAdmin);
    let revoke = || Command::RevokeAccount { service_account_id: id.clone(), reason: None };
    let token =
        || Command::RevokeToken(Revoke { token_id: admin.token_id, service_account_id: None, reason: None });
    let update = |scopes: Option<Scopes>, actors: Option<Vec<String>>| {
        Command::UpdateAccount(Update { service_account_id: id.clone(), name: None, scopes, actors })
    };
    assert_eq!(code(kit.run(revoke(), &caller)), last);
    assert_eq!(code(kit.run(token(), &caller)), last);
    assert_eq!(code(kit.run(update(None, Some(Vec::new())), &caller)), last);
    assert_eq!(code(kit.run(update(Some(scopes(&["records:read"])), None), &caller)), last);
    assert!(kit.run(Command::RotateKey { service_account_id: id.clone() }, &caller).is_ok(), "mints first");
    let (mut kit, admin) = Kit::bootstrapped();
    let second = kit.account(&admin, "second", &["admin"], &[BOB]);
    let second_caller = kit.admin(&second);
    let own = Command::RevokeAccount { service_account_id: second.service_account_id, reason: None };
    assert!(kit.run(own, &second_caller).is_ok(), "one is left");
    let first = Command::RevokeAccount { service_account_id: admin.service_account_id, reason: None };
    assert!(kit.run(first, &Caller::local()).is_ok(), "the owner may");
}

#[test]
fn expiry_is_an_instant() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let id = kit.account(&admin, "a", &["records:read"], &[BOB]).service_account_id;
    let token = minted(&mut kit, Mint { expires_in_seconds: Some(10), ..mint(&id) }, &caller);
    kit.now = UnixMillis(kit.now.0 + 9_999);
    assert!(kit.admit(token.token_id, Scope::RecordsRead, None).is_ok());
    kit.now = UnixMillis(kit.now.0 + 1);
    assert_eq!(code(kit.admit(token.token_id, Scope::RecordsRead, None)), Some(Code::AuthInvalid));
}

#[test]
fn an_empty_allow_list_opens_nothing_even_for_admins() {
    let (mut kit, admin) = Kit::bootstrapped();
    let empty = kit.account(&admin, "empty", &["admin"], &[]);
    let refusal = kit.admit(empty.token_id, Scope::Admin, None).expect_err("no actor");
    assert_eq!(refusal.code, Code::DidClaimDenied);
    assert!(refusal.hint.is_some_and(|h| h.contains("service-account update")), "the way out");
}

#[test]
fn state_is_a_fold_of_its_records() {
    let (mut kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    for n in 0..40 {
        let token = kit.account(&admin, &format!("account {n}"), &["records:read"], &[BOB]);
        let id = token.service_account_id.clone();
        match n % 4 {
            0 => drop(kit.run(Command::RotateKey { service_account_id: id }, &caller).expect("rotated")),
            1 => drop(
                kit.run(Command::RevokeAccount { service_account_id: id, reason: None }, &caller)
                    .expect("revoked"),
            ),
            2 => drop(minted(&mut kit, mint(&id), &caller)),
            _ => {}
        }
    }
    let replayed = kit.replayed();
    assert_eq!(replayed.digest(), kit.world.digest());
    let mut merged = kit.world.clone();
    while merged.tokens.wants_merge() {
        let merge = merged.tokens.begin_merge();
        assert!(merged.tokens.finish_merge(merge.run()));
    }
    assert_eq!(merged.digest(), kit.world.digest(), "its form is not its content");
}
