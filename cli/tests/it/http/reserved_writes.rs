//! What only the instance itself writes: threads, kinds and actors that are refused to everyone else.

use serde_json::{Value, json};

use super::{
    client::{Ask, encode},
    server::{Server, record},
};

/// Section 3 of the protocol: the table, and the names beside it.
pub(crate) const THREADS: [&str; 22] = [
    "th_service_accounts",
    "th_api_tokens",
    "th_invites",
    "th_invite_templates",
    "th_consent",
    "th_federation_pairs",
    "th_identity",
    "th_engine_config",
    "th_sync_control",
    "th_actor_registry",
    "th_namespace_registry",
    "th_instance_registry",
    "th_fleet_control",
    "th_secret_audit",
    "th_audit_invites",
    "th_audit_tokens",
    "th_audit_consent",
    "th_audit_federation_pairs",
    "th_audit_impersonation",
    "th_audit_x",
    "th_audit_",
    "th_audit_é \u{1f512}",
];

pub(crate) const KINDS: [&str; 18] = [
    "core.service_account.v1",
    "core.service_account.revocation.v1",
    "core.api_token.v1",
    "core.api_token.revocation.v1",
    "core.api_token.activity.v1",
    "core.invite.v1",
    "core.invite.event.v1",
    "core.invite_template.v1",
    "core.invite_template.removal.v1",
    "core.consent.v1",
    "core.consent_revoked.v1",
    "core.federation_pair.v1",
    "core.federation_pair.event.v1",
    "core.identity.created.v1",
    "core.token_lifecycle_event.v1",
    "core.consent_state_change.v1",
    "core.federation_pair_state_change.v1",
    "core.impersonation.event.v1",
];

pub(crate) const ACTS: [&str; 8] = ["INTEND", "DO", "KNOW", "LEARN", "GET", "PUT", "CALL", "MAP"];

fn refused_alone_and_in_a_batch(server: &Server, record: &Value, code: &str) {
    server.refuses(&Ask::post("/v1/records", record.to_string()), 403, code);
    let good = super::server::record("plain", json!({}));
    for records in [json!([good, record]), json!([record, good])] {
        let batch = json!({ "records": records }).to_string();
        server.refuses(&Ask::post("/v1/records", batch), 403, code);
    }
}

#[test]
fn reserved_threads_are_not_written_from_outside() {
    let server = Server::start();
    for thread in THREADS {
        refused_alone_and_in_a_batch(&server, &record(thread, json!({})), "RESERVED_THREAD");
        for act in ACTS {
            let mut record = record(thread, json!({ "topic": "retention", "kind": "x.y.z" }));
            record["act"] = act.into();
            server.refuses(&Ask::post("/v1/records", record.to_string()), 403, "RESERVED_THREAD");
        }
        let open = json!({ "goal": "g", "thread": thread, "actor": "did:sync:user:a" });
        server.refuses(&Ask::post("/v1/threads", open.to_string()), 403, "RESERVED_THREAD");
        // Whether such a thread has records or not.
        let cancel = Ask::new("DELETE", &format!("/v1/threads/{}", encode(thread)));
        let cancel = cancel.header("x-syncropel-actor", "did:sync:user:a");
        server.refuses(&cancel, 403, "RESERVED_THREAD");
    }
    let proved = Ask::post("/v1/records", record("th_api_tokens", json!({})).to_string())
        .header("x-syncropel-local", &server.proof);
    server.refuses(&proved, 403, "RESERVED_THREAD");
    for plain in ["TH_IDENTITY", "th_identity ", " th_identity", "th_auditx", "th_identity\u{200b}", "th_"] {
        server.wrote(&record(plain, json!({})));
    }
}

#[test]
fn reserved_kinds_are_not_written_on_any_thread() {
    let server = Server::start();
    for kind in KINDS {
        for body in [json!({ "kind": kind }), json!({ "a": 1, "kind": kind, "z": {} })] {
            refused_alone_and_in_a_batch(&server, &record("plain", body.clone()), "RESERVED_KIND");
            let open = json!({ "goal": "g", "actor": "did:sync:user:a", "body": body });
            server.refuses(&Ask::post("/v1/threads", open.to_string()), 403, "RESERVED_KIND");
        }
        let escaped: String = kind.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
        let text = format!(
            r#"{{"thread":"t","actor":"did:sync:user:a","act":"PUT","body":{{"\u006bind":"{escaped}"}}}}"#
        );
        server.refuses(&Ask::post("/v1/records", text), 403, "RESERVED_KIND");
    }
    let free =
        ["core.service_account", "core.api_token.v2", "CORE.API_TOKEN.V1", "core.api_token.v1 ", "a.b.c", ""];
    for kind in free {
        server.wrote(&record("plain", json!({ "kind": kind })));
    }
    for body in
        [json!({ "kind": 7 }), json!({ "kind": ["core.api_token.v1"] }), json!({ "a": { "kind": KINDS[0] } })]
    {
        server.wrote(&record("plain", body));
    }
}

#[test]
fn namespaces_are_well_formed() {
    let server = Server::start();
    let long = format!("{}/{}", "a".repeat(128), "b".repeat(128));
    let bad = [
        json!(""),
        json!("A"),
        json!("a//b"),
        json!("/a"),
        json!("a/"),
        json!("a/b/c/d/e"),
        json!("-a"),
        json!("_a"),
        json!("a.b"),
        json!("a b"),
        json!("é"),
        json!("a\u{0}"),
        json!(long),
        json!(7),
        json!(null),
        json!(["a"]),
        json!({}),
        json!("../a"),
    ];
    for namespace in bad {
        let body = json!({ "namespace": namespace });
        refused_alone_and_in_a_batch(&server, &record("plain", body.clone()), "NAMESPACE_REJECTED");
        let open = json!({ "goal": "g", "actor": "did:sync:user:a", "body": body });
        server.refuses(&Ask::post("/v1/threads", open.to_string()), 403, "NAMESPACE_REJECTED");
    }
    for namespace in ["a", "0", "a-b_c/d/e/f", "default", &long[..256]] {
        server.wrote(&record("plain", json!({ "namespace": namespace })));
    }
}

#[test]
fn nobody_speaks_for_the_instance() {
    let server = Server::start();
    let instance = server.did.clone();
    let actors = [
        "did:sync:system:engine",
        "did:sync:system:local",
        "did:sync:system:x",
        "did:sync:system:engine:x",
        &instance,
    ];
    server.wrote(&record("open", json!({ "goal": "g" })));
    for actor in actors {
        let mut bad = record("plain", json!({}));
        bad["actor"] = actor.into();
        refused_alone_and_in_a_batch(&server, &bad, "DID_CLAIM_DENIED");
        let open = json!({ "goal": "g", "actor": actor }).to_string();
        server.refuses(&Ask::post("/v1/threads", open), 403, "DID_CLAIM_DENIED");
        let claimed = |ask: Ask| ask.header("x-syncropel-actor", actor);
        server.refuses(&claimed(Ask::post("/v1/threads", "{\"goal\":\"g\"}")), 403, "DID_CLAIM_DENIED");
        for thread in ["open", "nothing"] {
            let cancel = claimed(Ask::new("DELETE", &format!("/v1/threads/{thread}")));
            server.refuses(&cancel, 403, "DID_CLAIM_DENIED");
        }
    }
    for actor in ["did:sync:systemx:a", "did:sync:user:system", "did:key:z6MkOther", "did:web:system:a"] {
        let mut good = record("plain", json!({}));
        good["actor"] = actor.into();
        server.wrote(&good);
    }
}
