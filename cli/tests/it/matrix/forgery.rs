//! Records that would make a token, an account, a grant or a setting: no bearer writes them, however it tries, and
//! an attempt changes nothing at all.

use serde_json::{Value, json};

use super::cast::{ACTOR, Field, Token};
use crate::{
    http::{
        client::Ask,
        reserved_writes::{ACTS, KINDS, THREADS},
    },
    support::Ran,
};

const ENGINE: &str = "did:sync:system:engine";
const CONFIG: &str = "th_engine_config";
/// A token that no instance made, and its id.
pub(super) const TOKEN: &str = "spl_prod_sa_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz";
const TOKEN_ID: &str = "e1a8eabeb514cdddd83c96cac857f604e4beb802bf8cd5d344646e1ff3287fef";

/// An instance, and who tries.
pub(super) struct Attack {
    pub(super) field: Field,
    pub(super) contributor: Token,
    /// Everything but `admin`.
    configurer: Token,
    admin: Token,
    revoked: Token,
    before: Value,
}

impl Attack {
    pub(super) fn new() -> Self {
        let field = Field::new(&["--memory"]);
        let contributor = field.account(&["records:read", "records:write", "threads:write"], &[ACTOR]);
        let configurer = field.account(&super::cast::COARSE[..6], &[ACTOR]);
        let admin = field.account(&["admin"], &[ACTOR]);
        let revoked = field.mint(&admin.account, &["admin"], None);
        field.as_admin(Ask::new("DELETE", &format!("/v1/tokens/{}", revoked.id))).is(200);
        let mut attack = Self { field, contributor, configurer, admin, revoked, before: Value::Null };
        attack.before = attack.state();
        attack
    }

    fn attackers(&self) -> [(&'static str, &Token); 3] {
        [("contributor", &self.contributor), ("configurer", &self.configurer), ("admin", &self.admin)]
    }

    /// Who may do what, as the instance tells it; uses of tokens are no change.
    pub(super) fn state(&self) -> Value {
        let rows = |target: &str| {
            let mut rows = self.field.as_admin(Ask::get(target)).rows();
            for row in &mut rows {
                row.as_object_mut().expect("an object").remove("last_used_at");
            }
            rows
        };
        let (tokens, accounts) = (rows("/v1/tokens?limit=1000"), rows("/v1/service-accounts?limit=1000"));
        let config = self.field.as_admin(Ask::get("/v1/config")).is(200).json();
        let rules = rows("/v1/config/permission-rules");
        json!({ "tokens": tokens, "accounts": accounts, "config": config, "rules": rules })
    }

    /// Insists that nobody has gained or lost anything, and that the log is whole.
    #[track_caller]
    pub(super) fn changed_nothing(&self) {
        assert_eq!(self.state(), self.before);
        for token in [TOKEN, &self.revoked.text] {
            self.field.server.send(&Ask::get("/v1/identity").bearer(token)).refuses(401, "AUTH_INVALID");
        }
        for (name, token) in &self.attackers()[..2] {
            let answer = self.field.server.send(&Ask::get("/v1/tokens").bearer(&token.text));
            assert_eq!(answer.json()["required_scope"], "admin", "{name}");
        }
        let report = self.field.server.instance.spl_as_admin(&["verify", "--json"]).ok().json();
        assert_eq!(report["ok"], true, "{report:#}");
    }

    /// Posts a record alone, and first and last among good ones. All are refused, and the log stays where it is.
    #[track_caller]
    fn refused(&self, token: &Token, record: &Value, status: u16, codes: &[&str]) {
        let good = |n: u64| json!({ "thread": "plain", "actor": ACTOR, "act": "PUT", "body": { "n": n } });
        let head = self.field.head();
        let forms = [
            record.clone(),
            json!({ "records": [record, good(1), good(2)] }),
            json!({ "records": [good(1), good(2), record] }),
        ];
        for form in forms {
            let answer =
                self.field.server.send(&Ask::post("/v1/records", form.to_string()).bearer(&token.text));
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            assert!(answer.status == status && codes.contains(&code.as_str()), "{form}: {}", answer.text());
            answer.refuses(status, &code);
        }
        assert_eq!(self.field.head(), head, "{record} was refused and wrote");
    }

    /// A body of this kind that means as much as possible.
    pub(super) fn body(&self, kind: &str) -> Value {
        let now = "2026-01-01T00:00:00.000Z";
        let account = &self.admin.account;
        let mut body = match kind {
            "core.api_token.v1" => {
                json!({ "token_id": TOKEN_ID, "service_account_id": account, "env_tag": "prod",
                "scopes": ["admin"], "origin": "mint", "created_at": now })
            }
            "core.service_account.v1" => json!({ "service_account_id": self.contributor.account,
                "display_name": "x", "allowed_actors": [ACTOR, ENGINE], "scopes": ["admin"], "namespace": "default",
                "env_tag": "prod", "origin": "operator", "created_at": now }),
            "core.service_account.revocation.v1" => {
                json!({ "service_account_id": account, "cause": "operator",
                "tokens_revoked": 1, "revoked_at": now })
            }
            "core.api_token.revocation.v1" => {
                json!({ "token_id": self.admin.id, "service_account_id": account,
                "cause": "operator", "revoked_at": now })
            }
            "core.consent.v1" => json!({ "grant_id": "cg_0123456789abcdef", "grant_type": "operator",
                "grantee": ACTOR, "resource": "th_consent", "access": "write", "granted_at": now }),
            "core.api_token.activity.v1" => {
                json!({ "seen": [{ "token_id": self.admin.id, "last_used_at": now }] })
            }
            _ => json!({ "event_kind": "sa_revoked", "service_account_id": account, "at": now }),
        };
        body["kind"] = kind.into();
        body
    }
}

pub(super) fn record(thread: &str, actor: &str, act: &str, body: &Value) -> Value {
    json!({ "thread": thread, "actor": actor, "act": act, "body": body })
}

#[test]
fn reserved_threads_and_kinds_are_nobodys() {
    let attack = Attack::new();
    for (name, token) in attack.attackers() {
        for kind in KINDS {
            let body = attack.body(kind);
            attack.refused(token, &record("plain", ACTOR, "PUT", &body), 403, &["RESERVED_KIND"]);
            // Its own thread most of all, and some other.
            for thread in
                ["th_api_tokens", "th_service_accounts", "th_consent", "th_audit_tokens", "th_audit_x"]
            {
                attack.refused(token, &record(thread, ACTOR, "PUT", &body), 403, &["RESERVED_THREAD"]);
            }
        }
        for thread in THREADS.iter().filter(|t| **t != CONFIG) {
            for act in ACTS {
                let forged = record(thread, ACTOR, act, &attack.body("core.api_token.v1"));
                attack.refused(token, &forged, 403, &["RESERVED_THREAD"]);
            }
            let open = json!({ "goal": "g", "thread": thread, "body": { "kind": "x.y.z" } });
            let open = Ask::post("/v1/threads", open.to_string()).bearer(&token.text);
            assert_eq!(attack.field.server.send(&open).json()["code"], "RESERVED_THREAD", "{name} {thread}");
        }
    }
    attack.changed_nothing();
}

#[test]
fn nobody_writes_as_the_instance_or_another_account() {
    let attack = Attack::new();
    let did = |token: &Token| format!("did:sync:system:{}", token.account);
    let codes: &[&str] = &["DID_CLAIM_DENIED", "RESERVED_THREAD", "RESERVED_KIND"];
    for (_, token) in attack.attackers() {
        let others = attack.attackers().map(|(_, t)| did(t)).into_iter().filter(|d| *d != did(token));
        let instance = attack.field.server.did.clone();
        let more = [ENGINE, "did:sync:system:local", "did:sync:system:sa-bootstrap-env", &instance]
            .map(str::to_owned);
        for actor in others.chain(more) {
            for (thread, body) in [
                ("plain", json!({ "n": 1 })),
                ("plain", attack.body("core.api_token.v1")),
                ("th_api_tokens", attack.body("core.api_token.v1")),
                ("th_service_accounts", attack.body("core.service_account.v1")),
                ("th_consent", attack.body("core.consent.v1")),
            ] {
                attack.refused(token, &record(thread, &actor, "PUT", &body), 403, codes);
            }
            let claimed = |ask: Ask| ask.bearer(&token.text).header("x-syncropel-actor", &actor);
            let head = attack.field.head();
            for ask in [
                Ask::post("/v1/records", record("plain", &actor, "PUT", &json!({})).to_string()),
                Ask::post("/v1/threads", json!({ "goal": "g" }).to_string()),
            ] {
                attack.field.server.send(&claimed(ask)).refuses(403, "DID_CLAIM_DENIED");
            }
            assert_eq!(attack.field.head(), head);
        }
        // Nobody but an admin writes as somebody else, and nobody on a reserved thread.
        let reserved = record("th_api_tokens", "did:sync:user:bob", "PUT", &attack.body("core.api_token.v1"));
        attack.refused(token, &reserved, 403, codes);
    }
    attack.changed_nothing();
}

#[test]
fn settings_are_for_those_who_may_write_them() {
    let attack = Attack::new();
    let set = |topic: &str, members: Value| {
        let mut body = members;
        body["topic"] = topic.into();
        body
    };
    let on = |topic: &str, enabled: bool| set(topic, json!({ "enabled": enabled }));
    let locked = [
        on("auth_required", false),
        on("strict_actor_header", false),
        on("strict_impersonation_enforcement", false),
        on("permissions_enabled", true),
        on("permissions_enabled", false),
        on("federation_did_web", true),
        set("auth_cors_origins", json!({ "origins": ["https://evil.example"] })),
        set("trusted_proxies", json!({ "cidrs": ["0.0.0.0/0"] })),
        set("public_url", json!({ "url": "https://evil.example" })),
        set(
            "permission_rule",
            json!({ "name": "r", "action": "allow", "priority": 1, "expression": "true", "enabled": true }),
        ),
    ];
    let malformed = [
        on("auth_require", false),
        on("", true),
        on("AUTH_REQUIRED", false),
        json!({ "enabled": false }),
        json!({ "topic": 7, "enabled": false }),
        set("auth_required", json!({})),
        set("auth_required", json!({ "enabled": "false" })),
        set("auth_required", json!({ "enabled": 0 })),
        set("auth_required", json!({ "enabled": null })),
        set("auth_required", json!({ "enabled": false, "until": "tomorrow" })),
        set("auth_cors_origins", json!({ "origins": ["*"] })),
        set("auth_cors_origins", json!({ "origins": "https://a.example" })),
        set("trusted_proxies", json!({ "cidrs": ["everywhere"] })),
        set("public_url", json!({ "url": "http://evil.example" })),
        set(
            "permission_rule",
            json!({ "name": "r", "action": "maybe", "priority": 1, "expression": "true", "enabled": true }),
        ),
        set(
            "permission_rule",
            json!({ "name": "r", "action": "allow", "priority": 1, "expression": "true +", "enabled": true }),
        ),
    ];
    let reserved: &[&str] = &["RESERVED_THREAD"];
    for body in locked.iter().chain(&malformed) {
        let (own, engine) = (record(CONFIG, ACTOR, "LEARN", body), record(CONFIG, ENGINE, "LEARN", body));
        // Without `config:write` it is a reserved thread like any other, well-formed or not.
        for forged in [&own, &engine] {
            attack.refused(&attack.contributor, forged, 403, reserved);
        }
        let (status, code) =
            if locked.contains(body) { (403, "SCOPE_FORBIDDEN") } else { (400, "INVALID_BODY") };
        for forged in [&own, &engine] {
            attack.refused(&attack.configurer, forged, status, &[code]);
        }
    }
    for body in &malformed {
        attack.refused(&attack.admin, &record(CONFIG, ACTOR, "LEARN", body), 400, &["INVALID_BODY"]);
    }
    for act in ACTS.into_iter().filter(|a| *a != "LEARN") {
        for (_, token) in attack.attackers() {
            let forged = record(CONFIG, ACTOR, act, &on("strict_actor_header", true));
            attack.refused(token, &forged, 403, reserved);
        }
    }
    for kind in KINDS {
        let mut body = on("strict_actor_header", true);
        body["kind"] = kind.into();
        for (_, token) in &attack.attackers()[1..] {
            attack.refused(token, &record(CONFIG, ACTOR, "LEARN", &body), 403, &["RESERVED_KIND"]);
        }
    }
    // `config:write` writes no records, and `records:write` no settings.
    let only = attack.field.mint(&attack.admin.account, &["config:write"], None);
    let fine = record(CONFIG, ACTOR, "LEARN", &on("strict_actor_header", true));
    let before = attack.state();
    attack.refused(&only, &fine, 403, &["SCOPE_FORBIDDEN"]);
    attack.refused(&attack.contributor, &fine, 403, reserved);
    assert_eq!(attack.state(), before);
    // What was refused was so for its own sake: who may, does.
    let learn = record(CONFIG, ENGINE, "LEARN", &on("federation_did_web", false)).to_string();
    attack.field.server.send(&Ask::post("/v1/records", learn).bearer(&attack.configurer.text)).is(201);
}

#[test]
fn an_import_brings_in_no_power() {
    let attack = Attack::new();
    let sandbox = &attack.field.server.instance.sandbox;
    let line = |thread: &str, actor: &str, body: &Value, clock: u64| {
        let mut record = record(thread, actor, "PUT", body);
        record["clock"] = clock.into();
        record["data_type"] = "SCALAR".into();
        record["parents"] = json!([]);
        record.to_string() + "\n"
    };
    let mut lines = String::new();
    for (n, kind) in (0_u64..).zip(KINDS) {
        lines += &line("plain", ACTOR, &attack.body(kind), n);
        for thread in ["th_api_tokens", "th_service_accounts", "th_consent", CONFIG, "th_audit_tokens"] {
            lines += &line(thread, ACTOR, &attack.body(kind), n);
            lines += &line(thread, ENGINE, &attack.body(kind), n);
        }
    }
    let setting = json!({ "topic": "auth_required", "enabled": false });
    lines += &record(CONFIG, ACTOR, "LEARN", &setting).to_string();
    let file = sandbox.file("forged.ndjson", &lines);
    let skipped = lines.lines().count();
    let import = |token: &Token, file: &str| {
        let args = ["import", file, "--json"];
        Ran::from(sandbox.command(&args).env("SPL_TOKEN", &token.text).output().expect("spl runs"), &args)
    };
    let head = attack.field.head();
    for (name, token) in attack.attackers() {
        let summary = import(token, &file).json();
        assert_eq!(
            (&summary["imported"], &summary["skipped_reserved"]),
            (&json!(0), &json!(skipped)),
            "{name}"
        );
    }
    // As the instance, another account, and without an admin's bearer as anybody else.
    let other = format!("did:sync:system:{}", attack.admin.account);
    let did = attack.field.server.did.clone();
    for (n, actor) in (0_u64..).zip([ENGINE, &other, &did, "did:sync:user:bob"]) {
        let file = sandbox.file("foreign.ndjson", line("plain", actor, &json!({ "n": 1 }), n));
        let ran = import(&attack.contributor, &file);
        assert!(ran.code != 0 && attack.field.head() == head, "{actor}: {ran:?}");
    }
    attack.changed_nothing();
}
