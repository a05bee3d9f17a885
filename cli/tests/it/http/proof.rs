//! The operator's routes, which take an admin's bearer, and the routes of recovery, which take local proof.

use serde_json::Value;

use super::{client::Ask, server::Server};

const PROOF: &str = "x-syncropel-local";

/// What always needs a bearer.
fn operators() -> [Ask; 4] {
    [
        Ask::get("/v1/verify"),
        Ask::new("POST", "/v1/backup"),
        Ask::get("/v1/export?reserved=true"),
        Ask::new("HEAD", "/v1/export?reserved=true"),
    ]
}

/// What local proof frees where `--insecure-localhost` is on.
fn recovery() -> [Ask; 4] {
    [
        Ask::get("/v1/service-accounts"),
        Ask::get("/v1/tokens"),
        Ask::get("/v1/tokens?limit=1"),
        Ask::new("HEAD", "/v1/service-accounts"),
    ]
}

fn refused_as(server: &Server, ask: &Ask, code: &str) {
    if ask.method == "HEAD" {
        assert_eq!(server.send(ask).status, 401, "{:?}", ask.headers);
    } else {
        server.refuses(ask, 401, code);
    }
}

fn refused(server: &Server, ask: &Ask) {
    refused_as(server, ask, "AUTH_REQUIRED");
}

/// What looks like the proof and is none.
fn wrong_proofs(proof: &str) -> [String; 8] {
    [
        "".to_owned(),
        "0".repeat(64),
        proof[..63].to_owned(),
        format!("{proof}0"),
        format!("{proof},{proof}"),
        proof.to_uppercase() + "x",
        "*".to_owned(),
        format!("\"{proof}\""),
    ]
}

#[test]
fn nothing_but_the_proof_proves_anything() {
    let server = Server::start();
    let proof = server.proof.as_str();
    assert_eq!(proof.len(), 64);
    let own = format!("http://127.0.0.1:{}", server.port);
    for ask in recovery() {
        refused(&server, &ask);
        for wrong in &wrong_proofs(proof) {
            refused(&server, &ask.clone().header(PROOF, wrong));
        }
        refused(&server, &ask.clone().header(PROOF, proof).header(PROOF, proof));
        refused(&server, &ask.clone().header(PROOF, proof).header(PROOF, ""));
        for origin in [own.as_str(), "null", ""] {
            let with_origin = ask.clone().header(PROOF, proof).header("origin", origin);
            let answer = server.send(&with_origin);
            assert!(matches!(answer.status, 401 | 403), "{origin:?}: {}", answer.status);
        }
        refused(&server, &ask.clone().header(PROOF, proof).header("origin", &own));
        refused_as(&server, &ask.clone().bearer(proof), "AUTH_INVALID");
        refused_as(&server, &ask.clone().header("x-api-key", proof), "AUTH_INVALID");
        let separator = if ask.target.contains('?') { '&' } else { '?' };
        let mut in_query = ask.clone();
        in_query.target = format!("{}{separator}{PROOF}={proof}", ask.target);
        refused(&server, &in_query);
        for header in ["via", "forwarded", "x-forwarded-for", "x-real-ip", "cf-ray"] {
            let forwarded = ask.clone().header(PROOF, proof).header(header, "1");
            assert_eq!(server.send(&forwarded).status, 403, "{header}");
        }
        assert_eq!(server.send(&ask.clone().header(PROOF, proof).header("host", "evil.example")).status, 403);
        // Where no layer runs a bearer that is none is ignored.
        server.send(&ask.clone().header(PROOF, proof).bearer("none")).is(200);
        server.send(&ask.header(PROOF, proof)).is(200);
    }
}

#[test]
fn the_proof_is_no_operators_bearer() {
    let server = Server::start();
    let proof = server.proof.as_str();
    let admin = server.instance.sandbox.admin();
    for ask in operators() {
        refused(&server, &ask);
        refused(&server, &ask.clone().header(PROOF, proof));
        for wrong in &wrong_proofs(proof) {
            refused(&server, &ask.clone().header(PROOF, wrong));
        }
        for bad in [proof, "", "x", &admin[..admin.len() - 1], &format!("{admin}0"), &admin.to_uppercase()] {
            refused_as(&server, &ask.clone().bearer(bad), "AUTH_INVALID");
            refused_as(&server, &ask.clone().bearer(bad).header(PROOF, proof), "AUTH_INVALID");
            refused_as(&server, &ask.clone().header("x-api-key", bad), "AUTH_INVALID");
        }
        for name in ["authorization", "x-api-key", "token", "access_token"] {
            let separator = if ask.target.contains('?') { '&' } else { '?' };
            let mut in_query = ask.clone();
            in_query.target = format!("{}{separator}{name}={admin}", ask.target);
            refused(&server, &in_query);
        }
        server.send(&ask.clone().bearer(&admin)).is(200);
        server.send(&ask.header("x-api-key", &admin)).is(200);
    }
}

#[test]
fn verify_tells_of_the_whole_log() {
    let server = Server::start();
    server.instance.sample_thread();
    let head = server.get("/v1/log/head").is(200).json();
    let kept = format!("{}:{}", head["sequence"], head["chain"].as_str().expect("a chain"));
    let verify = |query: &str| server.as_admin(Ask::get(&format!("/v1/verify{query}")));
    let answer = server.send(&verify(&format!("?head={kept}"))).is(200);
    assert!(answer.header("content-type").is_some_and(|t| t.starts_with("text/event-stream")));
    assert!(answer.text().contains("event: result"), "{}", answer.text());
    let last = server.get("/v1/health").is(200).json()["last_verify"].clone();
    assert!(last.is_object(), "{last}");
    for malformed in
        ["?head=", "?head=1", "?head=x:y", "?head=1:", "?head=-1:00", "?head=1:zz", "?head=1&head=1"]
    {
        server.refuses(&verify(malformed), 400, "INVALID_QUERY");
    }
}

#[test]
fn an_export_of_everything_is_the_admins_only() {
    let server = Server::start();
    server.instance.sample_thread();
    let (all, visible) = (server.exported(true), server.exported(false));
    assert_eq!((all.len() as u64, visible.len()), (server.head(), 3));
    assert_eq!(all[0]["thread"], "th_identity");
    let ids = |records: &[Value]| records.iter().map(|r| r["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all[1..4]), ids(&visible));
    for record in &all[4..] {
        let kind = record["body"]["kind"].as_str().unwrap_or_default();
        assert!(kind.starts_with("core."), "{record}");
    }
    // Asked for without reserved threads an admin gets none of them either.
    let plain = server.send(&server.as_admin(Ask::get("/v1/export"))).is(200).text();
    assert_eq!(plain.lines().count(), 3);
    let since = server.get("/v1/export?since_sequence=3").is(200).text();
    let rows: Vec<Value> = since.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows, visible[2..]);
    for query in [
        "reserved=1",
        "reserved=TRUE",
        "reserved=",
        "since_sequence=-1",
        "since_sequence=x",
        "since_sequence=%2B1",
        "since_sequence=9223372036854775808",
        "since_sequence=1&since_sequence=1",
        "reserved=true&reserved=false",
    ] {
        server.refuses(&Ask::get(&format!("/v1/export?{query}")), 400, "INVALID_QUERY");
    }
    assert_eq!(server.get("/v1/export?since_sequence=9223372036854775807").is(200).text(), "");
}
