//! Signatures and keys that must not pass: of attestations, links and manifests.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, HEXLOWER};
use sha2::{Digest as _, Sha512};
use spl_kernel::{
    identity::{PrivateKey, PublicKey, encode},
    refusal::Code,
};
use spl_projections::invites::{ATTESTATION_DOMAIN, Attestation, Holder, Reason, Redeem, link, opens};

use super::{CAROL, Desk, Peer, URL, claim, key, open_to_all};
use crate::kit::own_key;

/// The points of small order, in every encoding that decoders take: where `x` is zero its sign may be set, and
/// `y` may be written with the prime added.
pub(crate) const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(crate) fn point(hex: &str) -> [u8; 32] {
    HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("32 bytes")
}

/// The sum of two numbers, little-endian, without a reduction.
fn plus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let (mut sum, mut carry) = ([0; 32], 0);
    for (at, out) in sum.iter_mut().enumerate() {
        let digit = u16::from(a[at]) + u16::from(b[at]) + carry;
        (*out, carry) = (digit.to_le_bytes()[0], digit >> 8);
    }
    sum
}

/// What is left of a number below twice the order.
fn reduced(n: [u8; 32]) -> [u8; 32] {
    if n.iter().rev().lt(ORDER.iter().rev()) {
        return n;
    }
    let (mut rest, mut borrow) = ([0; 32], 0);
    for (at, out) in rest.iter_mut().enumerate() {
        let digit = i16::from(n[at]) - i16::from(ORDER[at]) - borrow;
        (*out, borrow) = (digit.to_le_bytes()[0], i16::from(digit < 0));
    }
    rest
}

/// `a * b` modulo the order, one bit of `a` after the other.
fn times(a: &[u8], b: &[u8; 32]) -> [u8; 32] {
    let bits = a.iter().rev().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    bits.fold([0; 32], |sum, bit| {
        let doubled = reduced(plus(&sum, &sum));
        if bit == 1 { reduced(plus(&doubled, b)) } else { doubled }
    })
}

/// The secret number of a seed.
fn scalar(seed: [u8; 32]) -> [u8; 32] {
    let mut scalar: [u8; 32] = Sha512::digest(seed)[..32].try_into().expect("32 bytes");
    scalar[0] &= 0xf8;
    scalar[31] = scalar[31] & 0x7f | 0x40;
    let mut one = [0; 32];
    one[0] = 1;
    times(&scalar, &one)
}

/// The signature with a nonce of one's choice: the point, and its secret number.
fn with_nonce(nonce: ([u8; 32], [u8; 32]), seed: [u8; 32], signed: &[u8]) -> [u8; 64] {
    let key = PrivateKey::from_seed(&seed.into()).public();
    let (point, secret) = nonce;
    let hash = Sha512::new().chain_update(point).chain_update(key.as_bytes()).chain_update(signed).finalize();
    let s = reduced(plus(&secret, &times(&hash, &scalar(seed))));
    [point, s].concat().try_into().expect("64 bytes")
}

/// Texts that are no key, or none to be trusted.
pub(crate) fn bad_keys() -> Vec<String> {
    let good = *key(3).public().as_bytes();
    let mut bad: Vec<String> = SMALL_ORDER.iter().map(|hex| encode(&point(hex))).collect();
    bad.extend([0, 31, 33, 64].map(|n| encode(&vec![1; n])));
    // No point of the curve has this `y`.
    bad.push(encode(&point("0200000000000000000000000000000000000000000000000000000000000000")));
    bad.extend(texts(&good));
    bad.push(key(3).public().multibase());
    bad.push(HEXLOWER.encode(&good));
    bad
}

/// Texts that decode to these bytes somewhere, though they are not their one spelling.
pub(crate) fn texts(bytes: &[u8]) -> Vec<String> {
    let good = encode(bytes);
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).expect("of the alphabet");
    // The last character has bits that no byte needs; any other value of them is another spelling.
    let spare = if bytes.len() % 3 == 1 { 16 } else { 4 };
    let first = value - value % spare;
    let others = (first + 1..first + spare).map(|at| format!("{rest}{}", &alphabet[at..=at]));
    let mut all: Vec<String> = others.collect();
    all.extend([BASE64URL.encode(bytes), BASE64.encode(bytes)]);
    all.extend(Some(BASE64_NOPAD.encode(bytes)).filter(|text| *text != good));
    all.extend([
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}A"),
        format!("{good}="),
        rest.into(),
    ]);
    all.push(format!("{}\n{}", &good[..10], &good[10..]));
    all
}

/// Everything that is near a good signature, and is none. `seed` is the signer's, `signed` what it signed.
pub(crate) fn bad_signatures(seed: [u8; 32], signed: &[u8], good: &[u8; 64]) -> Vec<(String, String)> {
    let (nonce, scalar): ([u8; 32], [u8; 32]) =
        (good[..32].try_into().expect("32 bytes"), good[32..].try_into().expect("32 bytes"));
    let of = |nonce: [u8; 32], scalar: [u8; 32]| encode(&[nonce, scalar].concat());
    let mut bad: Vec<(String, String)> = Vec::new();
    bad.extend([0, 1, 32, 63, 65, 128].map(|n| (format!("{n} bytes"), encode(&vec![7; n]))));
    bad.push(("its first 63 bytes".into(), encode(&good[..63])));
    bad.push(("and one more byte".into(), encode(&[&good[..], &[0]].concat())));
    bad.push(("its halves the other way round".into(), of(scalar, nonce)));
    bad.push(("zeros".into(), encode(&[0; 64])));
    bad.push(("ones".into(), encode(&[0xff; 64])));
    bad.push(("the order added to s".into(), of(nonce, plus(&scalar, &ORDER))));
    bad.push(("the order as s".into(), of(nonce, ORDER)));
    bad.push(("no s".into(), of(nonce, [0; 32])));
    // The equation holds for this one. Only a strict check refuses it.
    let neutral = with_nonce((point(SMALL_ORDER[0]), [0; 32]), seed, signed);
    bad.push(("a neutral nonce".into(), encode(&neutral)));
    for hex in SMALL_ORDER {
        bad.push((format!("R {hex}"), of(point(hex), scalar)));
        bad.push((format!("R {hex}, no s"), of(point(hex), [0; 32])));
    }
    for bit in 0..512 {
        let mut flipped = *good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        bad.push((format!("bit {bit}"), encode(&flipped)));
    }
    bad.extend(texts(good).into_iter().map(|text| (format!("written {text:?}"), text)));
    bad.push(("empty".into(), String::new()));
    bad
}

fn seed_of(seed: u64) -> [u8; 32] {
    let mut bytes = [0xa5; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn framed(domain: &str, message: &str) -> Vec<u8> {
    format!("{domain}\n{message}").into_bytes()
}

/// Refused as a bad proof, whoever is asked.
fn bad(desk: &mut Desk, id: &str, holder: Holder, shown: &str) {
    let redeem = desk.redemption(id, holder);
    desk.refuses(redeem, Code::BadProof, Reason::BadProof, shown);
}

#[test]
fn no_altered_signature_is_a_proof() {
    let mut desk = Desk::new();
    let (peer, id) = (Peer::new(1), desk.issue(open_to_all(5)));
    let attestation = peer.states(&desk, &id, CAROL);
    let signed = framed(ATTESTATION_DOMAIN, &attestation.message().expect("a message"));
    let good = peer.sign(&attestation);
    let all = bad_signatures(seed_of(1), &signed, &good);
    // The window of recorded refusals is wider than this list.
    assert!(all.len() < 990, "{}", all.len());
    for (name, text) in all {
        bad(&mut desk, &id, claim(&attestation, &text), &name);
    }
    assert!(desk.redeem(&id, claim(&attestation, &encode(&good))).is_ok(), "the good one still is");
}

#[test]
fn no_key_of_small_order_signs() {
    let mut desk = Desk::new();
    let id = desk.issue(open_to_all(5));
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    let web = "did:web:a.example.net";
    for hex in SMALL_ORDER {
        let weak = PublicKey::from_bytes(point(hex)).expect("a point");
        assert!(weak.is_weak(), "{hex}");
        // Holds for the neutral point and any message, where nobody is strict.
        let neutral = encode(&[point(SMALL_ORDER[0]), [0; 32]].concat());
        let peer = Peer::new(1);
        let mut attestation = peer.states(&desk, &id, CAROL);
        attestation.signer_instance_did = weak.did();
        let redeem = desk.redemption(&id, claim(&attestation, &neutral));
        desk.refuses(redeem, Code::KeyUnknown, Reason::KeyUnknown, hex);
        attestation.signer_instance_did = web.into();
        let resolved = spl_projections::invites::Resolved { did: web.into(), keys: vec![weak] };
        let redeem = desk.redemption(&id, claim(&attestation, &neutral));
        let redeem = Redeem { resolved: Some(resolved), ..redeem };
        desk.refuses(redeem, Code::BadProof, Reason::BadProof, hex);
        // As a holder's key it says nothing of who may sign, and is refused all the same.
        let mut attestation = peer.states(&desk, &id, CAROL);
        attestation.holder_pubkey = weak.base64url();
        bad(&mut desk, &id, claim(&attestation, &encode(&peer.sign(&attestation))), hex);
    }
    for (number, text) in bad_keys().into_iter().enumerate() {
        let peer = Peer::new(1);
        let attestation = Attestation { holder_pubkey: text.clone(), ..peer.states(&desk, &id, CAROL) };
        let proof = encode(&peer.sign(&attestation));
        bad(&mut desk, &id, claim(&attestation, &proof), &format!("{number}: {text}"));
    }
}

#[test]
fn a_weak_key_in_the_ledger_signs_nothing() {
    for hex in SMALL_ORDER {
        let mut desk = Desk::new();
        let id = desk.issue(open_to_all(5));
        let peer = Peer::named(1, "did:sync:instance:far");
        let weak = PublicKey::from_bytes(point(hex)).expect("a point");
        let entry =
            spl_projections::pairs::NewPair { peer_key: weak, ..peer.ledger_entry("pair_0000000000000000") };
        let alice = desk.alice.clone();
        let paired = desk.kit.run(spl_projections::Command::Pair(Box::new(entry)), &alice);
        if paired.is_ok() {
            let attestation = peer.states(&desk, &id, CAROL);
            let neutral = encode(&[point(SMALL_ORDER[0]), [0; 32]].concat());
            bad(&mut desk, &id, claim(&attestation, &neutral), hex);
        }
    }
}

#[test]
fn every_member_is_signed() {
    let mut desk = Desk::new();
    let (peer, id) = (Peer::new(1), desk.issue(open_to_all(9)));
    let other = desk.issue(open_to_all(9));
    let good = peer.states(&desk, &id, CAROL);
    let proof = encode(&peer.sign(&good));
    type Change = fn(&mut Attestation);
    let sent: [(&str, Change); 6] = [
        ("holder_did", |a| a.holder_did = "did:sync:user:dora".into()),
        ("holder_pubkey", |a| a.holder_pubkey = key(9).public().base64url()),
        ("a later time", |a| a.issued_at_ms += 1),
        ("an earlier time", |a| a.issued_at_ms -= 1),
        ("issuer_url", |a| a.issuer_url = format!("{URL}/")),
        ("the signer", |a| a.signer_instance_did = key(9).public().did()),
    ];
    for (name, change) in sent {
        let mut attestation = good.clone();
        change(&mut attestation);
        bad(&mut desk, &id, claim(&attestation, &proof), name);
    }
    bad(&mut desk, &other, claim(&good, &proof), "another invite");
    // What the holder does not send is part of the message too.
    let signed: [(&str, Change); 4] = [
        ("another audience", |a| a.audience = key(9).public().did()),
        ("no audience", |a| a.audience = String::new()),
        ("its own audience", |a| a.audience = a.signer_instance_did.clone()),
        ("another invite's", |a| a.invite_id = "inv_0000000000000000".into()),
    ];
    for (name, change) in signed {
        let mut attestation = good.clone();
        change(&mut attestation);
        let proof = encode(&peer.sign(&attestation));
        bad(&mut desk, &id, claim(&attestation, &proof), name);
    }
    let elsewhere = Attestation { issuer_url: "https://evil.example.com".into(), ..good.clone() };
    for url in ["https://spl.example.com/", "https://SPL.example.com", "http://spl.example.com", ""] {
        let at = Attestation { issuer_url: url.into(), ..good.clone() };
        bad(&mut desk, &id, claim(&at, &encode(&peer.sign(&at))), url);
    }
    bad(&mut desk, &id, claim(&elsewhere, &encode(&peer.sign(&elsewhere))), "made for another address");
    assert!(desk.redeem(&id, claim(&good, &proof)).is_ok());
}

#[test]
fn what_was_signed_for_something_else_is_no_proof() {
    let mut desk = Desk::new();
    let (peer, id) = (Peer::new(1), desk.issue(open_to_all(9)));
    let attestation = peer.states(&desk, &id, CAROL);
    let message = attestation.message().expect("a message");
    for domain in
        ["spl-invite-link-v1", "spl-manifest-v1", "spl-log-head-v1", "spl-holder-attestation-v2", "", "\n"]
    {
        let proof = encode(&peer.key.sign(domain, message.as_bytes()));
        bad(&mut desk, &id, claim(&attestation, &proof), domain);
    }
    // A text that brings the domain along, under another.
    let inside = format!("{ATTESTATION_DOMAIN}\n{message}");
    let proof = encode(&peer.key.sign("spl-manifest-v1", inside.as_bytes()));
    bad(&mut desk, &id, claim(&attestation, &proof), "the domain within");
    for (name, text) in [("spaces", message.replace(',', ", ")), ("a newline", format!("{message}\n"))] {
        let proof = encode(&peer.key.sign(ATTESTATION_DOMAIN, text.as_bytes()));
        bad(&mut desk, &id, claim(&attestation, &proof), name);
    }
    let proof = encode(&Peer::new(2).sign(&attestation));
    bad(&mut desk, &id, claim(&attestation, &proof), "another's key");
    let proof = encode(&own_key().sign(ATTESTATION_DOMAIN, message.as_bytes()));
    bad(&mut desk, &id, claim(&attestation, &proof), "the issuer's own key");
}

#[test]
fn a_message_is_used_once_whatever_signs_it() {
    let mut desk = Desk::new();
    let (peer, id) = (Peer::new(1), desk.issue(open_to_all(9)));
    let attestation = peer.states(&desk, &id, CAROL);
    let good = peer.sign(&attestation);
    let (_, token) = desk.redeem(&id, claim(&attestation, &encode(&good))).expect("the first use");
    bad(&mut desk, &id, claim(&attestation, &encode(&good)), "the very same");
    // A signer can make any number of signatures over one message: with another nonce each.
    let signed = framed(ATTESTATION_DOMAIN, &attestation.message().expect("a message"));
    for nonce in 10..15 {
        let nonce = (*key(nonce).public().as_bytes(), scalar(seed_of(nonce)));
        let second = with_nonce(nonce, seed_of(1), &signed);
        assert!(second != good && peer.key.public().verifies(ATTESTATION_DOMAIN, &signed[26..], &second));
        bad(&mut desk, &id, claim(&attestation, &encode(&second)), "another signature");
    }
    // Or with another of its keys.
    desk.set(r#"{"topic":"federation_did_web","enabled":true}"#);
    let web = "did:web:a.example.net";
    let statement = Peer::named(5, web).states(&desk, &id, "did:sync:user:dora");
    let resolved =
        spl_projections::invites::Resolved { did: web.into(), keys: vec![key(5).public(), key(6).public()] };
    let by = |desk: &Desk, seed| Redeem {
        resolved: Some(resolved.clone()),
        ..desk.redemption(&id, claim(&statement, &encode(&Peer::named(seed, web).sign(&statement))))
    };
    let (first, second) = (by(&desk, 5), by(&desk, 6));
    desk.run_redeem(first).expect("the first use");
    desk.refuses(second, Code::BadProof, Reason::BadProof, "signed by the other key");
    // Across restarts, and once its account is gone.
    desk.kit.world = desk.kit.replayed();
    bad(&mut desk, &id, claim(&attestation, &encode(&good)), "after a restart");
    let end = spl_projections::Command::RevokeAccount {
        service_account_id: token.service_account_id,
        reason: None,
    };
    let alice = desk.alice.clone();
    desk.kit.run(end, &alice).expect("an end");
    bad(&mut desk, &id, claim(&attestation, &encode(&good)), "once the account is gone");
    desk.wait(1);
    let again = peer.vouches(&desk, &id, CAROL);
    assert!(desk.redeem(&id, again).is_ok(), "a new message");
}

#[test]
fn only_the_links_signature_opens_an_invite() {
    let mut desk = Desk::new();
    let (id, other) = (desk.issue(open_to_all(9)), desk.issue(open_to_all(9)));
    let invite = desk.invite(&id).clone();
    let own = own_key();
    let text = link(&own, &invite);
    let (address, good) = text.split_once("?sig=").expect("a signature");
    assert_eq!(address, format!("{URL}/i/{id}"));
    let message = format!("{URL}\n{id}\n{}", invite.expires_at.0);
    let signature = own.sign("spl-invite-link-v1", message.as_bytes());
    assert_eq!(good, encode(&signature));
    assert!(opens(&own.public(), &invite, good));
    let signed = framed("spl-invite-link-v1", &message);
    for (name, text) in bad_signatures([7; 32], &signed, &signature) {
        assert!(!opens(&own.public(), &invite, &text), "{name}");
    }
    assert!(!opens(&own.public(), desk.invite(&other), good), "another invite");
    assert!(!opens(&key(1).public(), &invite, good), "another instance's key");
    assert!(!opens(&own.public(), &invite, &encode(&key(1).sign("spl-invite-link-v1", message.as_bytes()))));
    for domain in [ATTESTATION_DOMAIN, "spl-manifest-v1", "spl-invite-link-v2", ""] {
        assert!(!opens(&own.public(), &invite, &encode(&own.sign(domain, message.as_bytes()))), "{domain}");
    }
    let change = |change: fn(&mut spl_projections::invites::Invite)| {
        let mut invite = (*invite).clone();
        change(&mut invite);
        invite
    };
    let changed = [
        change(|i| i.public_url = "https://evil.example.com".into()),
        change(|i| i.id = "inv_0000000000000000".into()),
        change(|i| i.expires_at.0 += 1),
    ];
    for invite in changed {
        assert!(!opens(&own.public(), &invite, good), "{invite:?}");
    }
    for hex in SMALL_ORDER {
        let weak = PublicKey::from_bytes(point(hex)).expect("a point");
        let neutral = encode(&[point(SMALL_ORDER[0]), [0; 32]].concat());
        assert!(!opens(&weak, &invite, &neutral), "{hex}");
    }
    // It is made anew each time, and stands in no record.
    assert_eq!(link(&own, desk.invite(&id)), text);
    assert!(desk.kit.records.iter().all(|s| !s.record.body.contains(good)));
}
