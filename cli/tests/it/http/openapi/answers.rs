//! What the routes of accounts, tokens and configuration answer, member by member, against the description.

use serde_json::{Value, json};

use super::schema::{faults, resolve};
use crate::http::{
    client::{Answer, Ask},
    documented::operation_of,
    server::{Server, record},
};

/// An instance with an account, made as the command line makes it.
struct Operated {
    server: Server,
    account: String,
    token: String,
}

/// Sends a request, and compares the answer with its description.
#[track_caller]
fn send(server: &Server, ask: &Ask) -> Answer {
    let answer = server.send(ask);
    let operation = operation_of(&ask.method, &ask.target).expect("a described operation");
    let described = resolve(&operation.value["responses"][answer.status.to_string()]);
    let shown = format!("{} {}: {} {}", ask.method, ask.target, answer.status, answer.text());
    let media = described["content"].as_object().and_then(|c| c.iter().next()).expect("a described answer");
    assert!(answer.header("content-type").is_some_and(|t| t.starts_with(media.0.as_str())), "{shown}");
    if media.0 == "application/json" {
        assert_eq!(faults(&media.1["schema"], &answer.json()), Vec::<String>::new(), "{shown}");
    }
    if answer.status >= 400 {
        assert!(described["x-codes"].as_array().expect("codes").contains(&answer.json()["code"]), "{shown}");
    }
    answer
}

impl Operated {
    #[track_caller]
    fn start() -> Self {
        let server = Server::start_with(&["--memory"]);
        let wanted =
            json!({ "display_name": "admin", "actors": ["did:sync:user:alice"], "with_token": true });
        let ask = Ask::post("/v1/bootstrap/service-account", wanted.to_string());
        send(&server, &ask).refuses(403, "BOOTSTRAP_LOCAL_ONLY");
        let made = send(&server, &ask.header("x-syncropel-local", &server.proof)).is(201).json();
        let text = |key: &str| made[key].as_str().expect("a string").to_owned();
        let (account, token) = (text("service_account_id"), text("api_key"));
        Self { server, account, token }
    }

    /// Sends a request with a token.
    #[track_caller]
    fn ask(&self, token: &str, method: &str, target: &str, body: Option<Value>) -> Answer {
        let ask = match body {
            Some(body) => Ask { method: method.to_owned(), ..Ask::post(target, body.to_string()) },
            None => Ask::new(method, target),
        };
        send(&self.server, &ask.header("authorization", &format!("Bearer {token}")))
    }

    #[track_caller]
    fn get(&self, target: &str) -> Answer {
        self.ask(&self.token, "GET", target, None)
    }

    #[track_caller]
    fn post(&self, target: &str, body: Value) -> Answer {
        self.ask(&self.token, "POST", target, Some(body))
    }

    /// An account with a token: both, by id and text.
    #[track_caller]
    fn account(&self, more: Value) -> (String, String) {
        let mut wanted = json!({ "name": "device", "actors": ["did:sync:svc:device"], "with_token": true });
        for (key, value) in more.as_object().into_iter().flatten() {
            wanted[key] = value.clone();
        }
        let made = self.post("/v1/service-accounts", wanted).is(201).json();
        let text = |key: &str| made[key].as_str().expect("a string").to_owned();
        (text("id"), text("api_key"))
    }
}

#[test]
fn the_instance_says_what_it_is_described_to_say() {
    let at = Operated::start();
    for target in
        ["/health", "/health/ready", "/v1/capabilities", "/v1/scope_presets", "/.well-known/syncropel"]
    {
        send(&at.server, &Ask::get(target)).is(200);
    }
    let report = at.get("/v1/health").is(200).json();
    let deciders: Vec<&Value> = report["authorization"]["deciders"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| &d["decider"])
        .collect();
    assert_eq!(deciders, ["scope", "actor_claim", "permission_rules"]);
    let caller = &at.get("/v1/identity").is(200).json()["caller"];
    assert_eq!((&caller["service_account_id"], &caller["scopes"]), (&json!(at.account), &json!(["admin"])));
    at.get("/v1/log/head").is(200);
    send(&at.server, &Ask::get("/v1/health")).refuses(401, "AUTH_REQUIRED");
    at.ask("no-token", "GET", "/v1/identity", None).refuses(401, "AUTH_INVALID");
}

#[test]
fn accounts_answer_as_described() {
    let at = Operated::start();
    let (id, token) = at.account(json!({ "expires_in_seconds": 60 }));
    let one = format!("/v1/service-accounts/{id}");
    at.post("/v1/service-accounts", json!({ "name": "no token" })).is(201);
    assert_eq!(at.get("/v1/service-accounts?limit=2").rows().len(), 2);
    at.get(&one).is(200);
    let change = |body: Value| at.ask(&at.token, "PATCH", &one, Some(body));
    let changed = change(json!({ "scopes": ["records:read"] })).is(200).json();
    assert_eq!(changed["tokens_still_wider"].as_array().map(Vec::len), Some(1));
    assert!(change(json!({ "scopes": ["records:read"] })).is(200).json()["record_id"].is_null());
    change(json!({ "name": " " })).refuses(400, "INVALID_NAME");
    change(json!({})).refuses(400, "INVALID_BODY");
    let rotated = at.post(&format!("{one}/rotate-key"), json!({})).is(200).json();
    assert_eq!(rotated["revoked"].as_array().map(Vec::len), Some(1));
    at.ask(&token, "GET", "/v1/identity", None).refuses(401, "AUTH_INVALID");
    let target = format!("{one}?reason=lost");
    assert_eq!(at.ask(&at.token, "DELETE", &target, None).is(200).json()["status"], "revoked");
    assert_eq!(at.ask(&at.token, "DELETE", &target, None).is(200).json()["status"], "already_revoked");
    assert_eq!(at.get(&one).is(200).json()["active"], false);
    change(json!({ "name": "again" })).refuses(409, "SERVICE_ACCOUNT_REVOKED");
    at.post(&format!("{one}/rotate-key"), json!({})).refuses(409, "SERVICE_ACCOUNT_REVOKED");
    at.get("/v1/service-accounts/sa_0000000000000000").refuses(404, "SERVICE_ACCOUNT_NOT_FOUND");
    at.ask(&at.token, "DELETE", &format!("/v1/service-accounts/{}", at.account), None)
        .refuses(409, "LAST_ADMIN");
    let again = json!({ "display_name": "again", "with_token": true });
    let ask = Ask::post("/v1/bootstrap/service-account", again.to_string());
    send(&at.server, &ask.header("x-syncropel-local", &at.server.proof)).refuses(409, "BOOTSTRAP_CLOSED");
}

#[test]
fn tokens_answer_as_described() {
    let at = Operated::start();
    let (id, token) = at.account(json!({}));
    let narrowed =
        json!({ "service_account_id": id, "scopes": ["records:read", "thread:music.library:read"] });
    let minted = at.post("/v1/tokens", narrowed).is(201).json();
    let (narrow, narrow_id) = (minted["api_key"].as_str().unwrap(), minted["token_id"].as_str().unwrap());
    let too_wide = json!({ "service_account_id": id, "scopes": ["admin"] });
    at.post("/v1/tokens", too_wide).refuses(400, "INVALID_BODY");
    assert_eq!(at.get(&format!("/v1/tokens?service_account_id={id}")).rows().len(), 2);
    // Who is narrowed is told less of the instance.
    assert!(at.ask(narrow, "GET", "/v1/health", None).is(200).json().get("writer").is_none());
    let refused = at.ask(&token, "GET", "/v1/tokens", None);
    refused.refuses(403, "SCOPE_FORBIDDEN");
    assert_eq!(refused.json()["required_scope"], "admin");
    let rotate = format!("/v1/tokens/{narrow_id}/rotate");
    at.post(&rotate, json!({})).refuses(403, "ROTATE_NOT_SELF");
    let renewed = at.ask(narrow, "POST", &rotate, None).is(200).json();
    assert_eq!(renewed["scopes"], minted["scopes"]);
    let renewed_id = renewed["token_id"].as_str().unwrap();
    let ended = at.ask(&at.token, "DELETE", &format!("/v1/tokens/{narrow_id}"), None).is(200).json();
    assert_eq!(ended["revoked"], json!([renewed_id]));
    let target = format!("/v1/tokens/{narrow_id}?service_account_id={id}");
    assert_eq!(at.ask(&at.token, "DELETE", &target, None).is(200).json()["status"], "already_revoked");
    let others = format!("/v1/tokens/{narrow_id}?service_account_id={}", at.account);
    at.ask(&at.token, "DELETE", &others, None).refuses(404, "TOKEN_NOT_FOUND");
}

#[test]
fn grants_answer_as_described() {
    let at = Operated::start();
    let wanted = json!({
        "grantee": "did:sync:user:bob", "resource": "th_consent", "access": "write", "purpose": "stand-in",
        "expires_at": "2999-01-01T00:00:00.000Z",
    });
    let given = at.post("/v1/consent/grants", wanted.clone()).is(201).json();
    at.post("/v1/consent/grants", json!({ "grantee": "did:sync:user:bob" })).refuses(400, "INVALID_BODY");
    let rows = at.get("/v1/consent/grants").rows();
    assert_eq!(rows.len(), 4);
    let take_back = |id: &Value| {
        let target = format!("/v1/consent/grants/{}?reason=done", id.as_str().unwrap());
        at.ask(&at.token, "DELETE", &target, None)
    };
    assert_eq!(take_back(&given["grant_id"]).is(200).json()["status"], "revoked");
    assert_eq!(take_back(&given["grant_id"]).is(200).json()["status"], "already_revoked");
    let last = rows.iter().find(|r| r["resource"] == "th_consent").unwrap();
    take_back(&last["grant_id"]).refuses(409, "LAST_GRANT");
    take_back(&json!("cg_0000000000000000")).refuses(404, "GRANT_NOT_FOUND");
    let (_, other) = at.account(json!({ "scopes": ["admin"] }));
    at.ask(&other, "GET", "/v1/consent/grants", None).refuses(403, "CONSENT_DENIED");
    at.ask(&other, "POST", "/v1/consent/grants", Some(wanted)).refuses(403, "CONSENT_DENIED");
}

#[test]
fn the_configuration_answers_as_described() {
    let at = Operated::start();
    at.post("/v1/config/auth_cors_origins", json!({ "origins": ["https://App.example.com"] })).is(201);
    at.post("/v1/config/public_url", json!({ "url": "https://spl.example.com" })).is(201);
    at.post("/v1/config/trusted_proxies", json!({ "cidrs": ["10.0.0.0/8"] })).is(201);
    let rule = json!({
        "name": "admins", "action": "allow", "priority": 1, "expression": "\"admin\" in scopes", "enabled": true,
    });
    at.post("/v1/config/permission_rule", rule).is(201);
    let settings = at.get("/v1/config").is(200).json();
    let topics: Vec<&str> =
        settings["settings"].as_array().unwrap().iter().filter_map(|s| s["topic"].as_str()).collect();
    let set = crate::http::documented::DOCUMENT["components"]["schemas"]["ConfigTopic"]["enum"].clone();
    let listed: Vec<&str> = set
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(|t| *t != "permission_rule")
        .collect();
    assert_eq!(topics, listed);
    assert_eq!(at.get("/v1/config/permission-rules").rows().len(), 1);
    at.post("/v1/config/colour", json!({ "enabled": true })).refuses(404, "NOT_FOUND");
    at.post("/v1/config/auth_required", json!({ "enabled": 1 })).refuses(400, "INVALID_BODY");
    let (_, token) = at.account(json!({ "scopes": ["config:read", "config:write"] }));
    let refused = at.ask(&token, "POST", "/v1/config/auth_required", Some(json!({ "enabled": false })));
    refused.refuses(403, "SCOPE_FORBIDDEN");
    assert_eq!(refused.json()["required_scope"], "admin");
    let strict = json!({ "enabled": true });
    at.ask(&token, "POST", "/v1/config/strict_actor_header", Some(strict)).is(201);
}

#[test]
fn records_tell_admins_who_wrote_them_and_blind_writers_next_to_nothing() {
    let at = Operated::start();
    let (id, writer) = at.account(json!({ "scopes": ["records:write", "threads:write"] }));
    let mut one = record("music.library", json!({ "title": "Blue" }));
    one["actor"] = "did:sync:svc:device".into();
    let receipt = at.ask(&writer, "POST", "/v1/records", Some(one.clone())).is(201).json();
    assert_eq!(receipt.as_object().map(|o| o.len()), Some(3), "{receipt}");
    let batch = at.ask(&writer, "POST", "/v1/records", Some(json!({ "records": [one.clone()] })));
    assert_eq!(batch.is(201).rows()[0].as_object().map(|o| o.len()), Some(3));
    let opened = at.ask(&writer, "POST", "/v1/threads", Some(json!({ "goal": "play it" }))).is(201).json();
    assert_eq!(opened["record"].as_object().map(|o| o.len()), Some(3), "{opened}");
    let thread = opened["id"].as_str().unwrap();
    at.ask(&writer, "DELETE", &format!("/v1/threads/{thread}"), None).is(200);
    let rows = at.get("/v1/records?thread=music.library").rows();
    let by = (&rows[0]["origin"], &rows[0]["service_account_id"]);
    assert_eq!(by, (&json!("posted"), &json!(id)));
    let token_id = rows[0]["token_id"].as_str().unwrap();
    assert_eq!(at.get(&format!("/v1/records?token_id={token_id}")).rows().len(), 4);
    at.get(&format!("/v1/records/{}", rows[0]["id"].as_str().unwrap())).is(200);
    let (_, reader) = at.account(json!({ "scopes": ["records:read"] }));
    let plain = at.ask(&reader, "GET", "/v1/records?thread=music.library", None).rows();
    assert!(plain[0].get("origin").is_none() && plain[0].get("token_id").is_none());
    let filter = format!("/v1/records?token_id={token_id}");
    at.ask(&reader, "GET", &filter, None).refuses(400, "INVALID_QUERY");
    at.ask(&reader, "GET", "/v1/export?reserved=true", None).refuses(403, "SCOPE_FORBIDDEN");
    let (_, other) = at.account(json!({ "scopes": ["admin"] }));
    at.ask(&other, "GET", "/v1/export?reserved=true", None).refuses(403, "CONSENT_DENIED");
    at.ask(&other, "POST", "/v1/backup", None).refuses(403, "CONSENT_DENIED");
    let taken = json!({ "actors": ["did:sync:user:alice"], "name": "mine" });
    at.ask(&other, "POST", "/v1/service-accounts", Some(taken)).refuses(403, "CONSENT_DENIED");
    at.get("/v1/export?reserved=true").is(200);
    at.get("/v1/verify").is(200);
}
