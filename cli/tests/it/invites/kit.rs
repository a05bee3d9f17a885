//! An instance that issues invites, the links that it hands out, and whoever redeems them.

use std::{sync::Barrier, thread};

use serde_json::{Value, json};
use spl_kernel::identity::{PrivateKey, encode};
use zeroize::Zeroizing;

pub(super) use crate::access::kit::{ADMIN, ALICE, Caller, Node, Token, random, sha256};
use crate::{
    http::openapi::misfits,
    raw::{Client, Reply},
    support::Sandbox,
};

/// Insists that an answer is as it is described.
#[track_caller]
pub(super) fn described(method: &str, target: &str, reply: Reply) -> Reply {
    let found = misfits(method, target, reply.status, &reply.body);
    assert!(found.is_empty(), "{method} {target}: {} {found:?} {}", reply.status, reply.text());
    reply
}

/// Requests whose answers are compared with the description.
pub(super) trait Asks {
    fn asks(&self, method: &str, target: &str, body: Option<&Value>) -> Reply;

    #[track_caller]
    fn reads(&self, target: &str) -> Reply {
        self.asks("GET", target, None)
    }

    #[track_caller]
    fn sends(&self, target: &str, body: &Value) -> Reply {
        self.asks("POST", target, Some(body))
    }

    #[track_caller]
    fn removes(&self, target: &str) -> Reply {
        self.asks("DELETE", target, None)
    }

    /// The rows of a list, all pages.
    #[track_caller]
    fn lists(&self, target: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.reads(&format!("{target}{cursor}")).is(200).json();
            rows.extend(page["data"].as_array().expect("rows").clone());
            match page["next_cursor"].as_str() {
                Some(next) => {
                    let separator = if target.contains('?') { '&' } else { '?' };
                    cursor = format!("{separator}cursor={next}");
                }
                None => return rows,
            }
        }
    }
}

impl Asks for Caller {
    #[track_caller]
    fn asks(&self, method: &str, target: &str, body: Option<&Value>) -> Reply {
        let body = body.map(|b| b.to_string().into_bytes());
        described(method, target, self.call(method, target, body.as_deref()))
    }
}

/// An instance, and its first admin, who has every grant.
pub(super) struct Desk {
    pub(super) node: Node,
    pub(super) token: Token,
    pub(super) admin: Caller,
}

impl Desk {
    pub(super) fn memory() -> Self {
        Self::with(&["--memory"])
    }

    pub(super) fn disk() -> Self {
        Self::with(&[])
    }

    pub(super) fn with(options: &[&str]) -> Self {
        let node = Node::on(Sandbox::new(), options);
        let token = node.bootstrap();
        let admin = node.as_token(&token);
        Self { node, token, admin }
    }

    /// After a start at another port.
    pub(super) fn found_again(&mut self) {
        self.admin = self.node.as_token(&self.token);
    }

    /// Issues an invite.
    #[track_caller]
    pub(super) fn issue(&self, body: &Value) -> Link {
        Link::of(&self.admin.sends("/v1/invites", body).is(201).json())
    }

    /// The row of an invite.
    #[track_caller]
    pub(super) fn row(&self, id: &str) -> Value {
        let rows = self.admin.lists("/v1/invites?limit=1000");
        rows.into_iter().find(|row| row["invite_id"] == id).unwrap_or_else(|| panic!("no {id}"))
    }

    /// All records, reserved ones too.
    #[track_caller]
    pub(super) fn log(&self) -> Vec<Value> {
        self.admin.exported(true)
    }

    /// Another admin, with these grants: resource and access. Made so that nobody else has them.
    #[track_caller]
    pub(super) fn admin_with(&self, actor: &str, grants: &[(&str, &str)]) -> (Caller, Vec<String>) {
        let token = self.admin.account(&[actor], &["admin"]);
        let ids = grants.iter().map(|(resource, access)| self.grant(actor, resource, access)).collect();
        (self.node.as_token(&token), ids)
    }

    #[track_caller]
    pub(super) fn grant(&self, actor: &str, resource: &str, access: &str) -> String {
        let grant = json!({ "grantee": actor, "resource": resource, "access": access });
        let made = self.admin.sends("/v1/consent/grants", &grant).is(201).json();
        made["grant_id"].as_str().expect("an id").to_owned()
    }

    /// Redeems as a new guest.
    #[track_caller]
    pub(super) fn guest(&self, link: &Link) -> Token {
        Token::of(&link.redeem(&self.node.anyone(), &key()).is(200).json())
    }

    #[track_caller]
    pub(super) fn revoke(&self, id: &str) -> Value {
        self.admin.sends(&format!("/v1/invites/{id}/revoke"), &json!({})).is(200).json()
    }

    /// Insists that a bearer lives, or does not.
    #[track_caller]
    pub(super) fn lives(&self, token: &Token) -> bool {
        let reply = self.node.as_token(token).get("/v1/identity");
        if reply.status == 401 {
            reply.refuses(401, "AUTH_INVALID");
            return false;
        }
        assert_eq!(reply.is(200).json()["caller"]["service_account_id"], token.account);
        true
    }
}

/// What was handed out.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) id: String,
    pub(super) sig: String,
    pub(super) url: String,
    pub(super) answer: Value,
}

impl Link {
    #[track_caller]
    pub(super) fn of(answer: &Value) -> Self {
        let text =
            |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
        let url = text("redirect_url");
        let (_, sig) = url.split_once("?sig=").unwrap_or_else(|| panic!("no signature: {url}"));
        Self { id: text("invite_id"), sig: sig.to_owned(), url: url.clone(), answer: answer.clone() }
    }

    /// Where it is looked at.
    pub(super) fn preview(&self) -> String {
        format!("/v1/invites/{}?sig={}", self.id, self.sig)
    }

    /// Where it is redeemed.
    pub(super) fn redeem_at(&self) -> String {
        format!("/v1/invites/{}/redeem?sig={}", self.id, self.sig)
    }

    #[track_caller]
    pub(super) fn redeem(&self, caller: &Caller, key: &PrivateKey) -> Reply {
        caller.sends(&self.redeem_at(), &as_guest(key))
    }
}

/// A key that nobody has.
pub(super) fn key() -> PrivateKey {
    let mut seed = Zeroizing::new([0; 32]);
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::try_from((random() >> (at % 8)) & 0xff).expect("a byte");
    }
    PrivateKey::from_seed(&seed)
}

/// The body of a guest's redemption.
pub(super) fn as_guest(key: &PrivateKey) -> Value {
    json!({ "holder_type": "guest", "holder_pubkey": key.public().base64url() })
}

/// Somebody of another instance, as that instance vouches for it.
pub(super) struct Claim<'a> {
    pub(super) link: &'a Link,
    pub(super) audience: &'a str,
    pub(super) issuer_url: &'a str,
    pub(super) signer: &'a PrivateKey,
    pub(super) holder: &'a str,
    pub(super) at_ms: u64,
}

impl Claim<'_> {
    /// The body of the redemption.
    pub(super) fn body(&self) -> Value {
        let (did, pubkey) = (self.signer.public().did(), self.signer.public().base64url());
        // In the order of the canonical form.
        let message = format!(
            "{{\"audience\":{},\"holder_did\":{},\"holder_pubkey\":{},\"invite_id\":{},\"issued_at_ms\":{},\"issuer_url\":{},\"signer_instance_did\":{}}}",
            json!(self.audience),
            json!(self.holder),
            json!(pubkey),
            json!(self.link.id),
            self.at_ms,
            json!(self.issuer_url),
            json!(did),
        );
        let proof = self.signer.sign("spl-holder-attestation-v1", message.as_bytes());
        json!({
            "holder_type": "federated",
            "holder_did": self.holder,
            "holder_pubkey": pubkey,
            "holder_proof": encode(&proof),
            "holder_proof_issued_at_ms": self.at_ms,
            "signer_instance_did": did,
            "issuer_url": self.issuer_url,
        })
    }
}

/// The clock of this machine, which is that of the instances.
#[expect(clippy::disallowed_methods, reason = "attestations are made by these tests, and say when")]
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

/// Has so many do something at the same moment, each over a connection of its own that is open already.
pub(super) fn at_once<T: Send>(
    port: u16,
    count: usize,
    job: impl Fn(usize, &mut Client) -> T + Sync,
) -> Vec<T> {
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        let run = |n: usize| {
            let (barrier, job) = (&barrier, &job);
            move || {
                let mut client = Client::connect(port);
                barrier.wait();
                job(n, &mut client)
            }
        };
        let all: Vec<_> = (0..count).map(|n| scope.spawn(run(n))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    })
}

/// Somebody behind a proxy, each a client of its own.
pub(super) fn from(caller: &Caller, n: usize) -> Caller {
    caller.header("x-forwarded-for", &format!("203.0.{}.{}", n / 250, 1 + n % 250))
}
