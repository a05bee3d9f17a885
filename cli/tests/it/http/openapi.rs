//! The published description against the routes that there are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    client::Ask,
    documented::{DOCUMENT, operations},
    server::Server,
};

/// Routes of the description itself.
const PAGES: [(&str, &str); 2] = [("GET", "/docs/api"), ("GET", "/docs/api/{asset}")];

#[test]
fn the_document_is_the_one_that_is_served() {
    let server = Server::start();
    let served = server.get("/openapi.json").is(200);
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(&served.json(), &*DOCUMENT);
    assert!(DOCUMENT["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
}

#[test]
fn the_document_describes_every_route_and_no_other() {
    let described: BTreeSet<(String, String)> =
        operations().into_iter().map(|o| (o.method, o.path)).collect();
    let routes: BTreeSet<(String, String)> = spl_server::routes::ROUTES
        .iter()
        .chain(&PAGES)
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn operations_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for operation in operations() {
        let name = operation.value["operationId"].as_str().unwrap_or_default().to_owned();
        let parts: Vec<&str> = name.split('.').collect();
        let word = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(parts.len() == 2 && parts.iter().all(word), "{name:?}");
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(operation.value["summary"].is_string(), "{name}");
        let in_path = operation.parameters().iter().filter(|(_, place)| place == "path").count();
        assert_eq!(in_path, operation.path.matches('{').count(), "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(elements) => elements.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&DOCUMENT, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_route_answers() {
    let server = Server::start();
    let thread = server.instance.sample_thread();
    let record = server.exported(false)[0]["id"].as_str().expect("an id").to_owned();
    for (method, path) in spl_server::routes::ROUTES.iter().chain(&PAGES) {
        let id = if path.contains("/records/{id}") { &record } else { &thread };
        let target = path.replace("{id}", id).replace("{asset}", "api.css");
        if target.ends_with("/watch") || target.ends_with("/stream") {
            // These have no end: what they are is told by a parameter that they refuse.
            server.get(&format!("{target}?since_clock=x")).refuses(400, "INVALID_QUERY");
            continue;
        }
        let answer = server.send(&Ask::new(method, &target));
        assert!(!matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
        let other = if *method == "GET" { "PUT" } else { "PATCH" };
        server.send(&Ask::new(other, &target)).refuses(405, "METHOD_NOT_ALLOWED");
    }
}

#[test]
fn the_page_works_without_anything_from_elsewhere() {
    let server = Server::start();
    let page = server.get("/docs/api").is(200);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.header("content-type").is_some_and(|t| t.starts_with("text/html")));
    let text = page.text();
    let links = text.replace("http://www.w3.org/2000/svg", "");
    assert!(!links.contains("http://") && !links.contains("https://"), "the page loads from elsewhere");
    for name in ["api.js", "api.css"] {
        assert!(text.contains(name));
        server.get(&format!("/docs/api/{name}")).is(200);
    }
    for name in ["api.html", "openapi.json", "..%2fapi.js", "%2e%2e", "api.js%00", "%FF"] {
        server.get(&format!("/docs/api/{name}")).refuses(404, "NOT_FOUND");
    }
}
