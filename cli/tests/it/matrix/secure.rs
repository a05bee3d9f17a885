//! Every route and every caller, where nobody acts without a token.

use super::{
    cast::{Caller, Field},
    routes::{Mode, PROBES, Strict},
};
use crate::http::client::Ask;

/// Sends every request of every caller. Nothing is written.
fn run(field: &Field, mode: Mode, strict: Strict, callers: &[Caller]) {
    let before = field.head();
    for probe in PROBES {
        for caller in callers {
            let ask = caller.sends(probe.ask());
            field.check(mode, strict, probe, caller, &ask);
            if probe.method == "GET" && !probe.streams() {
                field.check(mode, strict, probe, caller, &ask.with_method("HEAD"));
            }
            assert_eq!(field.head(), before, "{} {} from {} wrote", probe.method, probe.target, caller.name);
        }
    }
}

#[test]
fn every_route_and_every_caller() {
    let field = Field::new(&["--memory"]);
    let callers = field.everybody();
    run(&field, Mode::Secure, Strict::default(), &callers);
}

#[test]
fn paths_and_methods_that_are_not_there_are_told_to_everybody() {
    let field = Field::new(&["--memory"]);
    let before = field.head();
    for caller in field.everybody() {
        for (method, target, status, code) in [
            ("GET", "/v1/nothing", 404, "NOT_FOUND"),
            ("PUT", "/v1/records", 405, "METHOD_NOT_ALLOWED"),
            ("GET", "/v1/tokens/x/rotate", 405, "METHOD_NOT_ALLOWED"),
            ("GET", "/v1/service-accounts/", 404, "NOT_FOUND"),
            ("GET", "/v1//tokens", 404, "NOT_FOUND"),
            ("GET", "/V1/tokens", 404, "NOT_FOUND"),
        ] {
            field.server.send(&caller.sends(Ask::new(method, target))).refuses(status, code);
        }
    }
    assert!(field.head().0 > before.0, "only the tokens were written");
}

#[test]
fn flags_that_make_claims_stricter_hold_on_every_route() {
    let flags = [(true, false), (false, true), (true, true)];
    for (header, impersonation) in flags {
        let field = Field::new(&["--memory"]);
        let callers: Vec<Caller> =
            field.everybody().into_iter().filter(|c| c.name.contains(" as ")).collect();
        for (topic, on) in
            [("strict_actor_header", header), ("strict_impersonation_enforcement", impersonation)]
        {
            if on {
                let body = serde_json::json!({ "enabled": true });
                field.posts(&format!("/v1/config/{topic}"), &body);
            }
        }
        run(&field, Mode::Secure, Strict { header, impersonation }, &callers);
    }
}
