//! Names that look like reserved ones: either they are, however they are written, or they have no power at all.

use serde_json::{Value, json};

use super::{
    cast::ACTOR,
    forgery::{Attack, record},
};
use crate::http::client::{Answer, Ask, encode};

/// Ordinary threads, to whom they look like what they will.
const ALIKE: [&str; 24] = [
    "TH_API_TOKENS",
    "Th_api_tokens",
    "th_api_tokens ",
    " th_api_tokens",
    "th_api_tokens\u{a0}",
    "th_api_tokens\u{200b}",
    "\u{feff}th_api_tokens",
    "th_\u{430}pi_tokens",
    "\u{ff54}\u{ff48}_api_tokens",
    "th_api_tokens\u{301}",
    "th-api-tokens",
    "th_api_tokens/",
    "./th_api_tokens",
    "th%5Fapi%5Ftokens",
    "th_api_tokens%00",
    "th_api_tokens\\u0000",
    "th_auditx",
    "th_Audit_tokens",
    "th_audit",
    "TH_ENGINE_CONFIG",
    "th_engine_config ",
    "th_engine_conf\u{131}g",
    "th_service_accounts\u{202e}",
    "th_consent\u{ad}",
];

fn bodies(attack: &Attack) -> Vec<Value> {
    let kinds =
        ["core.api_token.v1", "core.service_account.v1", "core.consent.v1", "core.api_token.revocation.v1"];
    let mut bodies: Vec<Value> = kinds.iter().map(|kind| attack.body(kind)).collect();
    bodies.push(json!({ "topic": "auth_required", "enabled": false }));
    bodies
}

#[test]
fn threads_that_look_alike_have_no_power() {
    let attack = Attack::new();
    let token = &attack.contributor.text;
    let send = |ask: Ask| attack.field.server.send(&ask.bearer(token));
    for thread in ALIKE {
        for body in bodies(&attack) {
            // The kind is kept for the instance on any thread; without it, it is anybody's record.
            if body.get("kind").is_some() {
                let forged = record(thread, ACTOR, "PUT", &body).to_string();
                send(Ask::post("/v1/records", forged)).refuses(403, "RESERVED_KIND");
            }
            for kind in
                [None, Some("core.api_token.v2"), Some("CORE.API_TOKEN.V1"), Some("core.api_token.v1 ")]
            {
                let mut body = body.clone();
                body.as_object_mut().expect("an object").remove("kind");
                if let Some(kind) = kind {
                    body["kind"] = kind.into();
                }
                for act in ["PUT", "LEARN"] {
                    send(Ask::post("/v1/records", record(thread, ACTOR, act, &body).to_string())).is(201);
                }
            }
        }
        // It is read by whoever reads anything.
        let state = send(Ask::get(&format!("/v1/threads/{}", encode(thread)))).is(200).json();
        assert_eq!(state["record_count"], 40, "{thread:?}");
    }
    attack.changed_nothing();
}

#[test]
fn a_reserved_name_is_one_however_it_is_written() {
    let attack = Attack::new();
    let send = |ask: Ask| attack.field.server.send(&ask.bearer(&attack.contributor.text));
    let head = attack.field.head();
    let post = |text: &str| send(Ask::post("/v1/records", text));
    let body = attack.body("core.api_token.v1");
    let written =
        |thread: &str| format!(r#"{{"thread":{thread},"actor":"{ACTOR}","act":"PUT","body":{body}}}"#);
    let escaped: String = "th_api_tokens".chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    for name in [r#""th\u005fapi\u005Ftokens""#, &format!("\"{escaped}\""), r#""\u0074h_api_tokens""#] {
        post(&written(name)).refuses(403, "RESERVED_THREAD");
    }
    let key = written("\"th_api_tokens\"").replacen("\"thread\"", "\"thr\\u0065ad\"", 1);
    post(&key).refuses(403, "RESERVED_THREAD");
    let refused = [
        r#""th_api_tokens\u0000""#,
        r#""\u0000th_api_tokens""#,
        r#""th_api_tokens\n""#,
        r#""th_api_tokens\u0085""#,
        r#""th_api_tokens\u2028""#,
        r#""th_api_tokens\u2029""#,
        r#""th_api_tokens\ud800""#,
        r#"["th_api_tokens"]"#,
        r#"{"thread":"th_api_tokens"}"#,
        "\"\"",
        "null",
    ];
    for name in refused {
        post(&written(name)).refuses(400, "INVALID_BODY");
    }
    // Which of two is meant is not for the reader to choose.
    for twice in [r#""plain","thread":"th_api_tokens""#, r#""th_api_tokens","thread":"plain""#] {
        post(&written(twice)).refuses(400, "INVALID_BODY");
    }
    for kind in [
        r#"{"kind":"core.api_token.v1","kind":"x.y.z"}"#,
        r#"{"kind":"x.y.z","\u006bind":"core.consent.v1"}"#,
    ] {
        let text = format!(r#"{{"thread":"plain","actor":"{ACTOR}","act":"PUT","body":{kind}}}"#);
        post(&text).refuses(400, "INVALID_BODY");
    }
    assert_eq!(attack.field.head(), head);
    attack.changed_nothing();
}

#[test]
fn paths_lead_to_the_same_names() {
    let attack = Attack::new();
    let send = |ask: Ask| attack.field.server.send(&ask.bearer(&attack.contributor.text));
    let head = attack.field.head();
    // Percent-encoded in whole or in part it is the reserved name.
    let whole: String = "th_api_tokens".bytes().map(|b| format!("%{b:02x}")).collect();
    for name in ["th_api_tokens", "th%5Fapi%5ftokens", "%74h_api_tokens", &whole] {
        let unknown = |answer: Answer| (answer.status, answer.text().replace(name, "NAME"));
        for suffix in ["", "/state", "/participants", "/records"] {
            let hidden = send(Ask::get(&format!("/v1/threads/{name}{suffix}")));
            let none = send(Ask::get(&format!("/v1/threads/none{suffix}")));
            assert_eq!(unknown(hidden), (none.status, none.text()), "{name}{suffix}");
        }
        send(Ask::new("DELETE", &format!("/v1/threads/{name}"))).refuses(403, "RESERVED_THREAD");
        assert_eq!(send(Ask::get(&format!("/v1/records?thread={name}"))).rows(), Vec::<Value>::new());
    }
    // Anything else is another name, or none.
    for name in ["th_api_tokens%00", "th_api_tokens%0a", "%00", "th_api_tokens%ff", "%c0%afth_api_tokens"] {
        for method in ["GET", "DELETE"] {
            let answer = send(Ask::new(method, &format!("/v1/threads/{name}")));
            assert!(
                matches!(answer.status, 400 | 404),
                "{method} {name}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    for name in
        ["th%255Fapi_tokens", "..%2Fth_api_tokens", "th_api_tokens%20", "th_api_tokens%2F", "TH_API_TOKENS"]
    {
        for method in ["GET", "DELETE"] {
            send(Ask::new(method, &format!("/v1/threads/{name}"))).refuses(404, "NOT_FOUND");
        }
    }
    for path in
        ["/v1/threads/x/../th_api_tokens", "/v1/threads/./th_api_tokens", "/v1/threads//th_api_tokens"]
    {
        assert!(matches!(send(Ask::get(path)).status, 400 | 404), "{path}");
    }
    assert_eq!(attack.field.head(), head);
    attack.changed_nothing();
}
