//! `docs/scopes.md` against the table of routes and the presets that are served.

use std::{fmt::Write as _, fs, path::Path};

use spl_server::routes::Route;

use super::{described, scope_of};
use crate::http::server::Server;

/// In the order of the documents; what needs less comes last.
const GROUPS: [(&str, &str); 9] = [
    ("records:read", ""),
    ("records:write", ""),
    ("threads:write", ""),
    (
        "federation:manage",
        "What else lies under `/v1/sync`, `/v1/federation` and `/v1/discovery` is `404` to those who have the scope, and \
         `401` or `403` to all others.",
    ),
    ("config:read", ""),
    ("config:write", ""),
    ("admin", "All of the above, and:"),
    ("any bearer", "Any live token opens these, whatever its scopes:"),
    ("open", "These need no token:"),
];

/// When a route asks for no token.
fn freed(route: &Route) -> &'static str {
    if (route.method, route.path) == ("GET", "/metrics") {
        return "a local request, while `public_url` is a loopback address";
    }
    // The type is not of a crate that these tests know by name.
    match format!("{:?}", route.gate.freed).as_str() {
        "Always" => "always",
        "DataPlane" => "`auth_required: false`, `--insecure-localhost`",
        "Insecure" => "`--insecure-localhost`",
        "Recovery" => "`--insecure-localhost` with local proof",
        "Never" => "never",
        other => panic!("docs/scopes.md has no words for {other}"),
    }
}

fn routes() -> String {
    let mut text = String::new();
    let mut told = 0;
    for (scope, words) in GROUPS {
        let title = match scope {
            "any bearer" => "Any token".to_owned(),
            "open" => "No token".to_owned(),
            scope => format!("`{scope}`"),
        };
        let _ = writeln!(text, "\n### {title}\n");
        if !words.is_empty() {
            let _ = writeln!(text, "{words}");
        }
        let own: Vec<&Route> = described().filter(|route| scope_of(route) == scope).collect();
        told += own.len();
        if own.is_empty() {
            continue;
        }
        if !words.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "| route | asks for no token |\n|---|---|");
        for route in own {
            let _ = writeln!(text, "| `{} {}` | {} |", route.method, route.path, freed(route));
        }
    }
    assert_eq!(told, described().count(), "a route's scope is in no group");
    text
}

fn presets() -> String {
    let server = Server::start();
    let mut text = String::from("\n| preset | scopes | default |\n|---|---|---|\n");
    for preset in server.get("/v1/scope_presets").is(200).rows() {
        let scopes = preset["scopes"].as_array().expect("scopes");
        let scopes: Vec<String> =
            scopes.iter().map(|s| format!("`{}`", s.as_str().expect("a scope"))).collect();
        let default = if preset["default"] == true { "yes" } else { "" };
        let name = preset["name"].as_str().expect("a name");
        let _ = writeln!(text, "| {name} | {} | {default} |", scopes.join(", "));
    }
    text
}

/// Puts a generated part in its place.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no place for {name}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("a generated part ends");
    format!("{before}{begin}{part}\n<!-- end -->{after}")
}

#[test]
fn the_document_of_scopes_has_every_route_and_preset() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scopes.md");
    let before = fs::read_to_string(&path).expect("docs/scopes.md");
    let after = with_part(&with_part(&before, "routes", &routes()), "presets", &presets());
    #[expect(
        clippy::disallowed_methods,
        reason = "the one switch of the tests: whether to write golden files"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        fs::write(&path, after).expect("docs/scopes.md");
    } else {
        assert!(
            before == after,
            "docs/scopes.md is out of date; run: UPDATE_GOLDEN=1 cargo test -p spl-cli --test it openapi"
        );
    }
}
