//! An instance with a history on its reserved threads, and everyone who looks at it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    client::{Answer, Ask},
    server::{Server, record},
};
use crate::matrix::cast::Field;

pub(super) const ENGINE: &str = "did:sync:system:engine";
pub(super) const CONFIG: &str = "th_engine_config";
/// Only with a consent grant, for admins too.
const FAMILY: [&str; 3] = ["th_invites", "th_audit_invites", "th_invite_templates"];
const OWN: &str = "did:sync:user:reader";

/// Who looks, and which reserved threads exist for them.
pub(super) struct Looker {
    pub(super) name: &'static str,
    pub(super) token: Option<String>,
    pub(super) sees: fn(&str) -> bool,
    /// What of ordinary threads exists: a narrowed token's thread, or everything.
    pub(super) narrowed: bool,
}

/// An instance with a history, and everyone who looks at it.
pub(super) struct Scene {
    pub(super) server: Server,
    /// All reserved records, as an admin exports them.
    pub(super) reserved: Vec<Value>,
    pub(super) thread: String,
    pub(super) lookers: Vec<Looker>,
}

impl Looker {
    pub(super) fn sends(&self, ask: Ask) -> Ask {
        match &self.token {
            Some(token) => ask.bearer(token),
            None => ask,
        }
    }

    /// What must not come before these eyes.
    pub(super) fn hidden<'a>(&self, scene: &'a Scene) -> Vec<&'a Value> {
        let sees = |record: &&Value| !(self.sees)(record["thread"].as_str().expect("a thread"));
        scene.reserved.iter().filter(sees).collect()
    }

    /// The words that would give hidden records away.
    pub(super) fn secrets(&self, scene: &Scene) -> BTreeSet<String> {
        let hidden = self.hidden(scene);
        let words = |record: &&Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            [text(&record["id"]), text(&record["thread"]), text(&record["body"]["kind"])]
        };
        let mut secrets: BTreeSet<String> = hidden.iter().flat_map(words).collect();
        secrets.retain(|word| !word.is_empty());
        if !(self.sees)(CONFIG) {
            secrets.extend([ENGINE, "\"key_fp\"", "allowed_actors"].map(str::to_owned));
        }
        secrets
    }
}

impl Scene {
    fn fill(server: Server) -> Self {
        let field = Field::of(server);
        let thread = "mark.narrow".to_owned();
        let grains = ["records:read", "records:write", "thread:mark.narrow:read", "thread:mark.narrow:write"];
        let none: fn(&str) -> bool = |_| false;
        let holder = |name, scopes: &[&str], sees, narrowed| {
            let token = Some(field.account(scopes, &[OWN]).text);
            Looker { name, token, sees, narrowed }
        };
        let lookers = vec![
            Looker { name: "nobody", token: None, sees: none, narrowed: false },
            holder("a reader", &["records:read"], none, false),
            holder("a contributor", &["records:read", "records:write", "threads:write"], none, false),
            holder("a thread's token", &grains, none, true),
            holder(
                "a reader of settings",
                &["records:read", "config:read"],
                |thread| thread == CONFIG,
                false,
            ),
            holder("an admin without grants", &["admin"], |thread| !FAMILY.contains(&thread), false),
        ];
        field.posts("/v1/config/strict_impersonation_enforcement", &json!({ "enabled": false }));
        field.posts("/v1/config/federation_did_web", &json!({ "enabled": false }));
        let write = |body: Value| {
            field.server.send(&Ask::post("/v1/records", body.to_string()).bearer(&field.admin)).is(201).json()
        };
        for act in ["INTEND", "DO", "KNOW"] {
            let mut own = record(&thread, json!({ "goal": "g", "task": true, "alias": "a" }));
            own["act"] = act.into();
            own["actor"] = crate::support::ADMIN.into();
            write(own);
            let mut other = record("mark.other", json!({ "goal": "g", "n": act }));
            other["act"] = act.into();
            other["actor"] = crate::support::ADMIN.into();
            write(other);
        }
        // Written as somebody else, so that the trail has that too.
        write(record("mark.other", json!({ "text": "as alice" })));
        let Field { server, .. } = field;
        let mut scene = Self { server, reserved: Vec::new(), thread, lookers };
        scene.reserved = scene.all_reserved();
        let threads: BTreeSet<&str> = scene.reserved.iter().filter_map(|r| r["thread"].as_str()).collect();
        let written = ["th_identity", "th_service_accounts", "th_api_tokens", "th_consent", CONFIG];
        for thread in written.into_iter().chain(["th_audit_tokens", "th_audit_consent"]) {
            assert!(threads.contains(thread), "nothing is written on {thread}");
        }
        scene
    }

    /// One where nobody needs a token, and those who send one are checked.
    pub(super) fn open() -> Self {
        let mut scene = Self::fill(Server::start_with(&["--memory"]));
        let off = json!({ "enabled": false }).to_string();
        scene.server.send(&scene.server.as_admin(Ask::post("/v1/config/auth_required", off))).is(201);
        scene.reserved = scene.all_reserved();
        assert!(scene.reserved.iter().any(|r| r["thread"] == "th_audit_impersonation"));
        scene
    }

    fn all_reserved(&self) -> Vec<Value> {
        let all = self.server.exported(true);
        all.into_iter().filter(|r| !r["thread"].as_str().unwrap_or_default().starts_with("mark.")).collect()
    }

    /// One with `--insecure-localhost`: whoever has no token is not checked at all.
    pub(super) fn insecure() -> Self {
        let mut scene = Self::fill(Server::start());
        scene.lookers.truncate(1);
        let proof = Looker { name: "local proof", token: None, sees: |_| false, narrowed: false };
        let bad =
            Looker { name: "a bad token", token: Some("x".to_owned()), sees: |_| false, narrowed: false };
        scene.lookers.extend([proof, bad]);
        scene
    }

    pub(super) fn get(&self, looker: &Looker, target: &str) -> Answer {
        let ask = looker.sends(Ask::get(target));
        let proves = looker.name == "local proof";
        self.server.send(&if proves { ask.header("x-syncropel-local", &self.server.proof) } else { ask })
    }

    #[track_caller]
    pub(super) fn query(&self, looker: &Looker, query: &Value) -> Value {
        self.server.send(&looker.sends(Ask::post("/v1/records/query", query.to_string()))).is(200).json()
    }

    /// How many records there are for a looker.
    pub(super) fn visible(&self, looker: &Looker) -> u64 {
        let reserved =
            self.reserved.iter().filter(|r| (looker.sees)(r["thread"].as_str().unwrap_or_default()));
        let narrowed = if looker.narrowed { 3 } else { 7 };
        reserved.count() as u64 + narrowed
    }
}
