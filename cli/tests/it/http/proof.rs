//! The operator's routes, and what proves that a request is the operator's.

use serde_json::Value;

use super::{client::Ask, server::Server};

const PROOF: &str = "x-syncropel-local";

fn operators() -> [Ask; 4] {
    [
        Ask::get("/v1/verify"),
        Ask::new("POST", "/v1/backup"),
        Ask::get("/v1/export?reserved=true"),
        Ask::new("HEAD", "/v1/export?reserved=true"),
    ]
}

fn refused(server: &Server, ask: &Ask) {
    if ask.method == "HEAD" {
        assert_eq!(server.send(ask).status, 401, "{:?}", ask.headers);
    } else {
        server.refuses(ask, 401, "AUTH_REQUIRED");
    }
}

#[test]
fn nothing_but_the_proof_proves_anything() {
    let server = Server::start();
    let proof = server.proof.as_str();
    assert_eq!(proof.len(), 64);
    let own = format!("http://127.0.0.1:{}", server.port);
    let wrong = [
        "".to_owned(),
        "0".repeat(64),
        proof[..63].to_owned(),
        format!("{proof}0"),
        format!("{proof},{proof}"),
        proof.to_uppercase() + "x",
        "*".to_owned(),
        format!("\"{proof}\""),
    ];
    for ask in operators() {
        refused(&server, &ask);
        for wrong in &wrong {
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
        refused(&server, &ask.clone().header("authorization", &format!("Bearer {proof}")));
        refused(&server, &ask.clone().header("x-api-key", proof));
        let separator = if ask.target.contains('?') { '&' } else { '?' };
        let mut in_query = ask.clone();
        in_query.target = format!("{}{separator}{PROOF}={proof}", ask.target);
        let status = server.send(&in_query).status;
        assert!(matches!(status, 400 | 401), "{status}");
        for header in ["via", "forwarded", "x-forwarded-for", "x-real-ip", "cf-ray"] {
            let forwarded = ask.clone().header(PROOF, proof).header(header, "1");
            assert_eq!(server.send(&forwarded).status, 403, "{header}");
        }
        assert_eq!(server.send(&ask.clone().header(PROOF, proof).header("host", "evil.example")).status, 403);
        server.send(&ask.header(PROOF, proof)).is(200);
    }
}

#[test]
fn verify_tells_of_the_whole_log() {
    let server = Server::start();
    server.instance.sample_thread();
    let head = server.get("/v1/log/head").is(200).json();
    let kept = format!("{}:{}", head["sequence"], head["chain"].as_str().expect("a chain"));
    let verify = |query: &str| Ask::get(&format!("/v1/verify{query}")).header(PROOF, &server.proof);
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
fn an_export_of_everything_is_the_proved_only() {
    let server = Server::start();
    server.instance.sample_thread();
    let (all, visible) = (server.exported(true), server.exported(false));
    assert_eq!((all.len(), visible.len()), (4, 3));
    assert_eq!(all[0]["thread"], "th_identity");
    assert_eq!(all[1..], visible[..]);
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
