//! What a bad token was is told by nothing in the answer: not by its status, its headers or its length.

use super::{cast::Field, routes::PROBES};
use crate::http::client::{Answer, Ask};

/// All of an answer that may not differ: the id is drawn, the time passes.
fn whole(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let same = |(name, _): &&(String, String)| name != "x-request-id" && name != "date";
    let mut headers: Vec<_> = answer.headers.iter().filter(same).cloned().collect();
    headers.sort();
    (answer.status, headers, answer.text())
}

#[test]
fn unknown_expired_and_revoked_tokens_are_answered_alike() {
    let field = Field::new(&["--memory"]);
    let dead = field.dead();
    for probe in PROBES.iter().filter(|p| !p.is_open()) {
        let answer = |ask: Ask| whole(&field.server.send(&ask));
        let (_, unknown) = &dead[0];
        let expected = answer(probe.ask().bearer(unknown));
        assert_eq!(expected.0, 401, "{}", probe.target);
        for (name, token) in &dead {
            assert_eq!(
                answer(probe.ask().bearer(token)),
                expected,
                "{} {}: {name}",
                probe.method,
                probe.target
            );
            let by_key = probe.ask().header("x-api-key", token);
            assert_eq!(answer(by_key), expected, "{} {}: {name}", probe.method, probe.target);
            // Nor does what it claims: who may not act learns nothing of accounts.
            let claims = probe.ask().bearer(token).header("x-syncropel-actor", "did:sync:user:nobody");
            assert_eq!(answer(claims), expected, "{} {}: {name}", probe.method, probe.target);
        }
    }
}
