//! The modes in which a request may act without a bearer.

use serde_json::json;

use super::{
    cast::{Caller, Field},
    routes::{Expected, Mode, PROBES, Probe, Strict, expected},
};
use crate::http::{client::Ask, server::Server};

const PROOF: &str = "x-syncropel-local";

/// Enough of everybody to tell the modes apart.
fn some(field: &Field) -> Vec<Caller> {
    let all = field.everybody();
    let by_key = |c: &Caller| !c.name.ends_with("by both") && !c.name.ends_with("by key");
    all.into_iter().filter(by_key).collect()
}

fn run(field: &Field, mode: Mode, strict: Strict, callers: &[Caller], headers: &[(&str, &str)]) {
    let before = field.head();
    let page = headers.iter().any(|(name, _)| *name == "origin");
    // Metrics are open to this machine, but to no page on it.
    for probe in PROBES.iter().filter(|p| !(page && p.target == "/metrics")) {
        for caller in callers {
            let ask =
                headers.iter().fold(caller.sends(probe.ask()), |ask, (name, value)| ask.header(name, value));
            field.check(mode, strict, probe, caller, &ask);
        }
        assert_eq!(field.head(), before, "{} {} wrote", probe.method, probe.target);
    }
}

#[test]
fn without_auth_required_the_data_plane_is_free_and_nothing_else() {
    let field = Field::new(&["--memory"]);
    let callers = some(&field);
    field.posts("/v1/config/auth_required", &json!({ "enabled": false }));
    run(&field, Mode::Open, Strict::default(), &callers, &[]);
    // The proof frees nothing here.
    let nobody = [Caller::nobody()];
    run(&field, Mode::Open, Strict::default(), &nobody, &[(PROOF, &field.server.proof)]);
    field.posts("/v1/config/strict_actor_header", &json!({ "enabled": true }));
    let strict = Strict { header: true, ..Strict::default() };
    let claiming: Vec<Caller> = callers.into_iter().filter(|c| c.name.contains(" as ")).collect();
    run(&field, Mode::Open, strict, &claiming, &[]);
    field.posts("/v1/config/auth_required", &json!({ "enabled": true }));
    run(&field, Mode::Secure, strict, &nobody, &[(PROOF, &field.server.proof)]);
}

#[test]
fn insecure_localhost_frees_the_data_plane_and_with_proof_recovery() {
    let field = Field::new(&["--insecure-localhost", "--memory"]);
    let callers = some(&field);
    let mode = |proof| Mode::InsecureLocalhost { proof };
    run(&field, mode(false), Strict::default(), &callers, &[]);
    run(&field, mode(true), Strict::default(), &callers, &[(PROOF, &field.server.proof)]);
    let origin = format!("http://127.0.0.1:{}", field.server.port);
    for not_proof in [vec![(PROOF, "0")], vec![(PROOF, field.server.proof.as_str()), ("origin", &origin)]] {
        run(&field, mode(false), Strict::default(), &[Caller::nobody()], &not_proof);
    }
    // Switches of layers that do not run change nothing where they do not run.
    let auth = Ask::post("/v1/config/strict_actor_header", json!({ "enabled": true }).to_string());
    field.as_admin(auth).is(201);
    let strict = Strict { header: true, ..Strict::default() };
    let claiming: Vec<Caller> = callers.into_iter().filter(|c| c.name.contains(" as ")).collect();
    run(&field, mode(false), strict, &claiming, &[]);
}

#[test]
fn before_the_first_account_only_the_open_routes_answer() {
    // Tokens of another instance are as good as none.
    let other = Field::new(&["--memory"]);
    let callers = some(&other);
    let server = Server::start_with(&["--memory"]);
    for proof in [false, true] {
        for probe in PROBES {
            for caller in &callers {
                let mut ask = caller.sends(probe.ask());
                if proof {
                    ask = ask.header(PROOF, &server.proof);
                }
                check_bootstrap(&server, probe, caller, &ask);
            }
        }
    }
    assert_eq!(server.get("/health").json()["auth"]["mode"], "bootstrap");
    assert_eq!(server.get("/health").json()["records"], 0);
    let field = Field::of(server);
    // The name, and what made the account: nothing of all that was written.
    let kinds = |kind: &str| {
        let query = json!({ "filter": { "body.kind": kind } }).to_string();
        field.as_admin(Ask::post("/v1/records/query", query)).rows().len()
    };
    assert_eq!((kinds("core.identity.created.v1"), kinds("core.service_account.v1")), (1, 1));
    assert_eq!(kinds("core.api_token.v1"), 1);
}

#[track_caller]
fn check_bootstrap(server: &Server, probe: &Probe, caller: &Caller, ask: &Ask) {
    let shown = format!("{} {} from {}", ask.method, ask.target, caller.name);
    let answer = server.send(ask);
    match expected(Mode::Bootstrap, Strict::default(), probe, &caller.standing) {
        Expected::Reached => assert!(probe.reaches(answer.status), "{shown}: {}", answer.status),
        Expected::Refused { status, code, .. } => {
            assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{shown}");
        }
    }
    assert!(probe.is_open() || answer.status == 503, "{shown}");
}
