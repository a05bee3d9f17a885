//! What an instance says of itself, on every route that says anything.

use serde_json::{Value, json};

use super::{client::Ask, server::Server};

#[test]
fn every_route_names_the_same_instance() {
    let server = Server::start();
    let did = json!(server.did);
    let identity = server.get("/v1/identity").is(200).json();
    let manifest = server.get("/.well-known/syncropel").is(200).json();
    assert_eq!(identity["did"], did);
    assert_eq!(manifest["instance_did"], did);
    assert_eq!(server.get("/health").is(200).json()["instance_did"], did);
    assert_eq!(server.get("/v1/log/head").is(200).json()["instance_did"], did);
    assert_eq!(identity["key_fingerprint"].as_str().map(str::len), Some(16));
    let capabilities = server.get("/v1/capabilities").is(200).json();
    assert_eq!(manifest["capabilities_manifest"], capabilities);
    for (name, expected) in [
        ("records", true),
        ("query", true),
        ("invites", true),
        ("federation_pairs", true),
        ("sync", false),
        ("relay", false),
        ("discovery", false),
    ] {
        assert_eq!(capabilities["capabilities"][name], expected, "{name}");
    }
}

#[test]
fn a_caller_without_a_credential_is_nobody() {
    let server = Server::start();
    let caller = |ask: Ask| server.send(&ask).is(200).json()["caller"].clone();
    let nobody = |actor: Value| {
        json!({
            "actor": actor, "display_name": null, "scopes": [], "service_account_id": null, "expires_at": null,
            "is_authenticated": false,
        })
    };
    let ask = Ask::get("/v1/identity");
    assert_eq!(caller(ask.clone()), nobody(Value::Null));
    let claim = ask.header("x-syncropel-actor", "did:sync:user:a");
    assert_eq!(caller(claim.clone()), nobody(json!("did:sync:user:a")));
    assert_eq!(
        caller(claim.clone().header("x-syncropel-local", &server.proof)),
        nobody(json!("did:sync:user:a"))
    );
    server.refuses(&claim.header("x-syncropel-actor", "did:sync:user:a"), 400, "INVALID_BODY");
}

#[test]
fn health_counts_what_everyone_sees() {
    let server = Server::start();
    let health = server.get("/health").is(200).json();
    assert_eq!(
        (&health["records"], &health["store"], &health["status"]),
        (&json!(0), &json!("memory"), &json!("ok"))
    );
    assert_eq!(health["auth"], json!({ "required": false, "mode": "insecure_localhost" }));
    server.instance.sample_thread();
    assert_eq!(server.get("/health").json()["records"], 3);
    assert_eq!(server.get("/health/ready").is(200).json(), json!({ "status": "ready" }));
    let report = server.get("/v1/health").is(200).json();
    let folded = |name: &str| json!({ "name": name, "folded_through": 1 });
    let folds = [
        "identity",
        "service_accounts",
        "tokens",
        "consent",
        "config",
        "permission_rules",
        "invites",
        "invite_templates",
        "federation_pairs",
    ];
    assert_eq!(report["projections"], json!(folds.map(folded)));
    let deciders = report["authorization"]["deciders"].as_array().expect("deciders");
    let states: Vec<_> = deciders.iter().map(|d| (d["decider"].as_str(), d["state"].as_str())).collect();
    let disabled = |name| (Some(name), Some("disabled"));
    assert_eq!(states, [disabled("scope"), disabled("actor_claim"), disabled("permission_rules")]);
    assert_eq!((&report["authorization"]["live"], &report["authorization"]["of"]), (&json!(0), &json!(3)));
    assert_eq!(report["last_verify"], Value::Null);
    assert_eq!(server.get("/v1/log/head").json()["sequence"], 4);
}
