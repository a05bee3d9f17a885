//! An instance with people of its own, what it tells others of itself, and what others send it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spl_fixtures::builders;
use spl_kernel::{
    canonical::canonical,
    commit::{Commit, Entry},
    identity::{PrivateKey, PublicKey, encode},
    log::{Log, LogSource, NewCommit},
    record::{Act, Origin, Provenance},
    time::UnixMillis,
};
use zeroize::Zeroizing;

pub(crate) use crate::access::kit::{ADMIN, Caller, Node, Token};
use crate::{
    raw::Reply,
    support::{Ran, Sandbox},
};

/// Whom an instance of these tests vouches for.
pub(crate) const BOB: &str = "did:sync:user:bob";

/// An instance, and its first admin, whose token its home keeps.
pub(crate) struct Home {
    pub(crate) node: Node,
    pub(crate) token: Token,
    pub(crate) admin: Caller,
    pub(crate) did: String,
}

impl Home {
    /// One on disk.
    #[track_caller]
    pub(crate) fn disk() -> Self {
        Self::of(Node::disk())
    }

    /// One in memory.
    #[track_caller]
    pub(crate) fn memory() -> Self {
        Self::of(Node::memory())
    }

    /// One in memory that trusts these authorities.
    #[track_caller]
    pub(crate) fn trusting(authorities: &str) -> Self {
        let mut node = Node::stopped(Sandbox::new());
        node.run_in(&["--memory"], &[("SSL_CERT_FILE", authorities)]);
        Self::of(node)
    }

    #[track_caller]
    fn of(node: Node) -> Self {
        let token = node.bootstrap();
        let admin = node.as_token(&token);
        let did = admin.get("/v1/identity").is(200).json()["did"].as_str().expect("a DID").to_owned();
        node.sandbox.spl(&["token", "save", &token.text]).ok();
        Self { node, token, admin, did }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.node.port)
    }

    /// Starts it where it was, so that its address stays.
    pub(crate) fn starts_again(&mut self) {
        let port = self.node.port.to_string();
        self.node.run(&["--port", &port]);
    }

    /// Has time go by: stops, finds a record in the log that was committed so much later, and starts again.
    pub(crate) fn later(&mut self, by: Duration) {
        self.node.stop();
        let log = Log::open(LogSource::File(self.node.sandbox.home().join("log.redb")), &mut |_, _| {});
        let log = log.expect("the log opens");
        let draft = builders::draft("time", "did:sync:user:time", Act::Put, "{}");
        let (facts, id) = (draft.facts.clone(), draft.id_at(0).expect("an id"));
        let entry = Entry {
            record: draft.into_record(id, 0),
            provenance: Provenance::without_credential(Origin::Posted),
        };
        let committed_at = UnixMillis(now_ms() + u64::try_from(by.as_millis()).expect("a time"));
        let commit = Commit { first_sequence: log.head().sequence + 1, committed_at, entries: vec![entry] };
        builders::append(&log, &[NewCommit { commit, facts: vec![facts] }]);
        drop(log);
        self.starts_again();
    }

    /// Somebody who reads and writes here, whose token the home keeps from now on.
    #[track_caller]
    pub(crate) fn is_of(&self, actor: &str) -> Token {
        let token = self.admin.account(&[actor], &["records:read", "records:write"]);
        self.spl(&["token", "save", &token.text]).ok();
        token
    }

    /// `spl` with the token that the home keeps.
    pub(crate) fn spl(&self, args: &[&str]) -> Ran {
        self.node.sandbox.spl(args)
    }

    /// Issues an invite; gives its id and its link.
    #[track_caller]
    pub(crate) fn issue(&self, body: &Value) -> Link {
        let made = self.admin.post("/v1/invites", body).is(201).json();
        Link::of(made["redirect_url"].as_str().expect("a link"))
    }

    /// An invite for so many federated holders.
    #[track_caller]
    pub(crate) fn federated(&self, max_uses: u64) -> Link {
        self.issue(&json!({ "accept_holder_types": ["federated"], "preset": "reader", "max_uses": max_uses }))
    }

    /// The row of an invite.
    #[track_caller]
    pub(crate) fn row(&self, id: &str) -> Value {
        let rows = self.admin.rows("/v1/invites?limit=1000");
        rows.into_iter().find(|row| row["invite_id"] == id).unwrap_or_else(|| panic!("no invite {id}"))
    }

    /// Pairs with another one, and gives the pair.
    #[track_caller]
    pub(crate) fn pairs_with(&self, peer: &Self) -> Value {
        let asked = json!({ "peer_url": peer.url(), "expected_did": peer.did });
        self.admin.post("/v1/federation/pairs", &asked).is(201).json()
    }

    /// Has this instance vouch for its person to another one, and redeems there.
    #[track_caller]
    pub(crate) fn person_redeems(&self, person: &Token, issuer: &Self, link: &Link) -> Reply {
        let asked = json!({ "invite_id": link.id, "audience": issuer.did, "issuer_url": issuer.url() });
        let signed = self.node.as_token(person).post("/v1/invites/sign-attestation", &asked).is(200).json();
        issuer.node.anyone().post(&link.redeem_at(), &sent_of(&signed))
    }

    /// Insists that the latest of what this signer brought is a refusal, recorded with this reason.
    #[track_caller]
    pub(crate) fn recorded(&self, link: &Link, reason: &str, signer: &str) {
        let page = self.admin.get("/v1/invites/audit?limit=100").is(200).json();
        let all = page["data"].as_array().expect("events");
        let event = all.iter().find(|event| event["signer_instance_did"] == signer);
        let event = event.unwrap_or_else(|| panic!("nothing of {signer}: {page}"));
        for (member, value) in
            [("event_kind", "refused"), ("refusal_reason", reason), ("invite_id", link.id.as_str())]
        {
            assert_eq!(event[member], value, "{member}: {event}");
        }
    }

    /// What it logged about one host's document.
    pub(crate) fn logged_of(&self, host: &str) -> Vec<String> {
        let lines = self.node.logged();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_host = lines.filter(|line| line["fields"]["host"] == host);
        of_host.filter_map(|line| line["fields"]["reason"].as_str().map(str::to_owned)).collect()
    }
}

/// The members of an attestation that are sent on.
#[track_caller]
pub(crate) fn sent_of(attestation: &Value) -> Value {
    let names = [
        "holder_type",
        "holder_did",
        "holder_pubkey",
        "holder_proof",
        "holder_proof_issued_at_ms",
        "signer_instance_did",
        "issuer_url",
    ];
    names
        .iter()
        .map(|name| ((*name).to_owned(), attestation[*name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A link that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) sig: String,
    pub(crate) url: String,
}

impl Link {
    #[track_caller]
    pub(crate) fn of(url: &str) -> Self {
        let (_, rest) = url.split_once("/i/").unwrap_or_else(|| panic!("no link: {url}"));
        let (id, sig) = rest.split_once("?sig=").unwrap_or_else(|| panic!("no signature: {url}"));
        Self { id: id.to_owned(), sig: sig.to_owned(), url: url.to_owned() }
    }

    pub(crate) fn redeem_at(&self) -> String {
        format!("/v1/invites/{}/redeem?sig={}", self.id, self.sig)
    }
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what a test signs is judged by the clock of this machine")]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

/// A key of the tests.
pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&Zeroizing::new([seed; 32]))
}

fn canonical_text(value: &Value) -> String {
    canonical(&builders::json(&value.to_string()), 64 * 1024).expect("a short text")
}

/// What somebody sends whom `signer` vouches for under a DID that the key need not fit.
pub(crate) fn vouched(issuer: &Home, link: &Link, signer: (&str, &PrivateKey), holder: &str) -> Value {
    let (did, key) = signer;
    let mut claim = json!({
        "audience": issuer.did, "holder_did": holder, "holder_pubkey": key.public().base64url(),
        "invite_id": link.id, "issued_at_ms": now_ms(), "issuer_url": issuer.url(), "signer_instance_did": did,
    });
    let proof = key.sign("spl-holder-attestation-v1", canonical_text(&claim).as_bytes());
    claim["holder_type"] = json!("federated");
    claim["holder_proof"] = json!(encode(&proof));
    claim["holder_proof_issued_at_ms"] = claim["issued_at_ms"].clone();
    sent_of(&claim)
}

/// The DID document of somebody.
pub(crate) fn document(did: &str, key: &PublicKey) -> Value {
    let id = format!("{did}#key-1");
    let method = json!({
        "id": id, "type": "Ed25519VerificationKey2020", "controller": did, "publicKeyMultibase": key.multibase(),
    });
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"], "id": did, "verificationMethod": [method],
        "authentication": [id], "assertionMethod": [id],
    })
}

/// A manifest, before it is signed, that holds from `from` on for an hour.
pub(crate) fn manifest(did: &str, key: &PublicKey, url: &str, from_ms: u64) -> Value {
    let hour = Duration::from_secs(3600).as_millis();
    let until = from_ms + u64::try_from(hour).expect("an hour");
    json!({
        "object": "federation_manifest", "manifest_version": "1",
        "daemon": { "did": did, "name": "spl", "version": "9.9.9" }, "url": url,
        "public_key": key.base64url(), "public_key_multibase": key.multibase(),
        "federation": { "enabled": true, "pairs": true, "sync": false },
        "invites": { "guest": true, "federated": true },
        "signed_at": UnixMillis(from_ms).to_string(), "expires_at": UnixMillis(until).to_string(),
    })
}

/// What `/.well-known/syncropel` answers with this manifest in it, signed by this key.
pub(crate) fn signed(mut manifest: Value, key: &PrivateKey) -> Value {
    let proof = key.sign("spl-manifest-v1", canonical_text(&manifest).as_bytes());
    let key_id = format!("{}#key-1", manifest["daemon"]["did"].as_str().unwrap_or_default());
    manifest["signature"] = json!({ "alg": "Ed25519", "key_id": key_id, "signature": encode(&proof) });
    json!({ "instance_did": manifest["daemon"]["did"], "capabilities_manifest": {}, "federation_manifest": manifest })
}

/// A whole answer of this type, which a peer of these tests gives.
pub(crate) fn typed_answer(content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n");
    format!("{head}connection: close\r\n\r\n{body}").into_bytes()
}

/// A whole answer of JSON.
pub(crate) fn answer(body: &Value) -> Vec<u8> {
    typed_answer("application/json", &body.to_string())
}

/// The mirrors of a trail, oldest first.
pub(crate) fn on_thread<'a>(log: &'a [Value], thread: &str) -> Vec<&'a Value> {
    log.iter().filter(|record| record["thread"] == thread).collect()
}
