//! What the instance signs about its own people for others.

use spl_kernel::refusal::{Code, Refusal};
use spl_projections::{
    Command,
    authority::Caller,
    decision::Outcome,
    invites::{Attest, Attestation},
    scope::Scope,
    tokens::Mint,
};

use super::{CAROL, Desk, Peer, URL, claim, device, fields, key, open_to_all, scopes};
use crate::kit::{ALICE, BOB, Kit, code, own_key};

const AUDIENCE: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";

fn wanted() -> Attest {
    Attest {
        invite_id: "inv_0123456789abcdef".into(),
        audience: AUDIENCE.into(),
        issuer_url: URL.into(),
        holder_pubkey: None,
    }
}

fn attest(kit: &mut Kit, attest: Attest, caller: &Caller) -> Result<Attestation, Refusal> {
    match kit.run(Command::Attest(attest), caller)? {
        Outcome::Attested(attestation) => Ok(*attestation),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_instance_vouches_for_whom_the_token_speaks_for() {
    let mut desk = Desk::new();
    let dora = "did:sync:user:dora";
    let token = desk.kit.account(&desk.admin, "bob's", &["records:write"], &[BOB, dora]);
    for (claimed, holder) in [(None, BOB), (Some(BOB), BOB), (Some(dora), dora)] {
        let caller = desk.kit.admit(token.token_id, Scope::RecordsWrite, claimed).expect("a caller");
        let before = desk.kit.records.len();
        let signed = attest(&mut desk.kit, wanted(), &caller).expect("an attestation");
        assert_eq!(
            signed,
            Attestation {
                audience: AUDIENCE.into(),
                holder_did: holder.into(),
                holder_pubkey: own_key().public().base64url(),
                invite_id: "inv_0123456789abcdef".into(),
                issued_at_ms: desk.kit.now.0,
                issuer_url: URL.into(),
                signer_instance_did: desk.own_did(),
            }
        );
        let [record] = &desk.kit.records[before..] else { panic!("one record") };
        assert_eq!((record.record.thread.as_str(), record.record.act.as_str()), ("th_audit_tokens", "LEARN"));
        assert_eq!(
            serde_json::to_value(fields(record, &[])).expect("JSON"),
            serde_json::json!({
                "event_kind": "attestation_signed", "service_account_id": token.service_account_id,
                "token_id": token.token_id.to_string(), "at": desk.kit.now.to_string(),
                "reason": format!("inv_0123456789abcdef of {AUDIENCE} at {URL}"),
                "by": {
                    "actor": holder, "service_account_id": token.service_account_id,
                    "token_id": token.token_id.to_string(),
                },
            })
        );
    }
    let caller = desk.kit.admit(token.token_id, Scope::RecordsWrite, None).expect("a caller");
    let own = key(4).public().base64url();
    let signed = attest(&mut desk.kit, Attest { holder_pubkey: Some(own.clone()), ..wanted() }, &caller);
    assert_eq!(signed.map(|a| a.holder_pubkey), Ok(own));
    assert_eq!(desk.kit.replayed().digest(), desk.kit.world.digest());
}

#[test]
fn it_is_refused_for_whom_it_cannot_speak_or_what_it_cannot_name() {
    let mut desk = Desk::new();
    let invite = desk.issue(open_to_all(9));
    let guest = desk.redeem(&invite, device(1)).expect("a guest").1;
    let vouched = Peer::new(1).vouches(&desk, &invite, CAROL);
    let federated = desk.redeem(&invite, vouched).expect("a colleague").1;
    let narrowed = desk.kit.account(&desk.admin, "narrow", &["records:write", "thread:t:write"], &[BOB]);
    let mint = Mint {
        service_account_id: desk.admin.service_account_id.clone(),
        scopes: Some(scopes(&["records:read", "records:write", "namespace:team:write"])),
        env_tag: None,
        expires_in_seconds: None,
    };
    let alice = desk.alice.clone();
    let Ok(Outcome::Token { issued: minted, .. }) = desk.kit.run(Command::MintToken(mint), &alice) else {
        panic!("a token")
    };
    let caller = |desk: &Desk, token: &spl_projections::decision::Issued, claimed| {
        desk.kit.admit(token.token_id, Scope::RecordsWrite, claimed).expect("a caller")
    };
    let (denied, narrow) = (Some(Code::DidClaimDenied), Some(Code::ScopeForbidden));
    let callers = [
        ("nobody", Caller::nobody(), denied),
        ("local proof", Caller::local(), denied),
        ("a guest", caller(&desk, &guest, None), denied),
        ("whom another instance vouched for", caller(&desk, &federated, None), denied),
        ("a narrowed account", caller(&desk, &narrowed, None), narrow),
        ("a narrowed token of an admin", caller(&desk, &minted, None), narrow),
        ("an admin as somebody else", caller(&desk, &desk.admin, Some(BOB)), denied),
        ("an admin as somebody unknown", caller(&desk, &desk.admin, Some(CAROL)), denied),
        ("an admin as itself", caller(&desk, &desk.admin, Some(ALICE)), None),
    ];
    for (name, caller, expected) in callers {
        let before = desk.kit.records.len();
        assert_eq!(code(attest(&mut desk.kit, wanted(), &caller)), expected, "{name}");
        assert_eq!(desk.kit.records.len() - before, usize::from(expected.is_none()), "{name}");
    }
    // A renewed token of a redemption, and a second one that an admin mints, are that account's too.
    let renewed = super::renewal::renew(&mut desk, &guest);
    let again = caller(&desk, &renewed, None);
    assert_eq!(code(attest(&mut desk.kit, wanted(), &again)), denied);
    let mut cases = vec![
        Attest { invite_id: String::new(), ..wanted() },
        Attest { invite_id: "inv_0123456789abcde".into(), ..wanted() },
        Attest { invite_id: "inv_0123456789abcdeu".into(), ..wanted() },
        Attest { invite_id: "inv_0123456789ABCDEF".into(), ..wanted() },
        Attest { invite_id: "tpl_0123456789abcdef".into(), ..wanted() },
        Attest { audience: String::new(), ..wanted() },
        Attest { audience: "spl.example.com".into(), ..wanted() },
        Attest { audience: format!("did:key:{}", "z".repeat(300)), ..wanted() },
        Attest { issuer_url: String::new(), ..wanted() },
        Attest { issuer_url: "spl.example.com".into(), ..wanted() },
        Attest { issuer_url: "https://spl.example.com/".into(), ..wanted() },
        Attest { issuer_url: "https://spl.example.com/i".into(), ..wanted() },
        Attest { issuer_url: "https://spl.example.com:443".into(), ..wanted() },
        Attest { issuer_url: "https://SPL.example.com".into(), ..wanted() },
        Attest { issuer_url: "https://user@spl.example.com".into(), ..wanted() },
        Attest { issuer_url: "javascript:alert(1)".into(), ..wanted() },
        Attest { issuer_url: "null".into(), ..wanted() },
    ];
    let bad_keys = super::signatures::bad_keys();
    cases.extend(bad_keys.into_iter().map(|key| Attest { holder_pubkey: Some(key), ..wanted() }));
    for case in cases {
        let shown = format!("{case:?}");
        let before = desk.kit.records.len();
        assert_eq!(code(attest(&mut desk.kit, case, &alice)), Some(Code::InvalidBody), "{shown}");
        assert_eq!(desk.kit.records.len(), before, "{shown}");
    }
}

#[test]
fn an_instance_without_a_name_vouches_for_nobody() {
    let (kit, admin) = Kit::bootstrapped();
    let caller = kit.admin(&admin);
    let entropy = spl_projections::Entropy::unused();
    let context = spl_projections::Context { now: kit.now, entropy: &entropy, caller: &caller };
    let nameless = spl_projections::World { identity: Default::default(), ..kit.world.clone() };
    let decided = nameless.decide(&Command::Attest(wanted()), &context);
    assert_eq!(code(decided), Some(Code::IngestFailed));
    let issue = spl_projections::invites::Issue {
        shape: Default::default(),
        template_id: None,
        public_url: URL.into(),
    };
    assert_eq!(code(nameless.decide(&Command::IssueInvite(issue), &context)), Some(Code::IngestFailed));
}

#[test]
fn what_one_instance_signs_another_takes() {
    // Bob's instance has another key than Alice's, and nothing of hers.
    let mut desk = Desk::new();
    let invite = desk.issue(open_to_all(1));
    let home = key(11);
    let mut bobs = Kit::named(&home);
    bobs.now = desk.kit.now;
    let admin = bobs.bootstrap(&[BOB]).expect("a first account");
    let caller = bobs.admin(&admin);
    let request = Attest { invite_id: invite.clone(), audience: desk.own_did(), ..wanted() };
    let statement = attest(&mut bobs, request, &caller).expect("an attestation");
    let message = statement.message().expect("a message");
    let proof = home.sign(spl_projections::invites::ATTESTATION_DOMAIN, message.as_bytes());
    let (did, token) =
        desk.redeem(&invite, claim(&statement, &spl_kernel::identity::encode(&proof))).expect("a redemption");
    assert_eq!(did, BOB);
    assert!(desk.is_live(&token));
    let signer = desk.invite(&invite).redemptions[0].signer.clone().expect("a signer");
    assert_eq!(signer.did, home.public().did());
}
