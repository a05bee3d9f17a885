//! The published description against the routes that there are, and against what they answer.

mod answers;
mod schema;
mod scopes;

use std::collections::BTreeSet;

use serde_json::Value;
use spl_kernel::refusal::Code;
use spl_server::routes::{ROUTES, Route};

use self::schema::{faults, resolve};
use super::{
    client::Ask,
    documented::{DOCUMENT, is_page, operation_of, operations},
    server::Server,
};

/// What a route asks, as the description and the documents say it.
fn scope_of(route: &Route) -> &'static str {
    // It asks by itself, because a local request need not have the scope.
    if (route.method, route.path) == ("GET", "/metrics") {
        return "records:read";
    }
    match route.gate.scope {
        Some(scope) => scope.as_str(),
        None if format!("{:?}", route.gate.freed) == "Always" => "open",
        None => "any bearer",
    }
}

/// The routes that the description has: all but the pages.
fn described() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| !is_page(route.path))
}

/// What of an answer is not as it is described.
pub(crate) fn misfits(method: &str, target: &str, status: u16, body: &[u8]) -> Vec<String> {
    let Some(operation) = operation_of(method, target) else { return vec!["no such operation".to_owned()] };
    let responses = &operation.value["responses"];
    let exact = &responses[status.to_string()];
    let described = resolve(if exact.is_null() { &responses["default"] } else { exact });
    let schema = &described["content"]["application/json"]["schema"];
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return vec!["no JSON".to_owned()] };
    let mut found = faults(schema, &value);
    if schema.is_null() {
        found.push(format!("{status} is not described"));
    }
    let codes = described["x-codes"].as_array();
    if status >= 400 && !codes.is_some_and(|codes| codes.contains(&value["code"])) {
        found.push(format!("{} is not described", value["code"]));
    }
    found
}

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
    let routes: BTreeSet<(String, String)> =
        self::described().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_operation_names_the_scope_that_its_route_asks() {
    let operations = operations();
    for route in described() {
        let operation =
            operations.iter().find(|o| (o.method.as_str(), o.path.as_str()) == (route.method, route.path));
        let operation =
            operation.unwrap_or_else(|| panic!("{} {} is not described", route.method, route.path));
        let (described, asked) = (operation.value["x-scope"].as_str(), scope_of(route));
        assert_eq!(described, Some(asked), "{} {}", route.method, route.path);
        // Whoever needs no token is not told to send one.
        let anonymous = operation.value["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(anonymous, asked == "open", "{} {}", route.method, route.path);
        assert!(operation.documents(401) && operation.documents(403), "{} {}", route.method, route.path);
    }
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
fn every_reference_leads_somewhere_and_every_part_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(elements) => elements.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(!found.is_empty());
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["parameters", "headers", "responses", "examples", "schemas"] {
        for name in DOCUMENT["components"][kind].as_object().expect("components").keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "nothing uses {kind} {name}");
        }
    }
}

/// Every code that the description has words for.
fn described_codes() -> BTreeSet<&'static str> {
    let codes = DOCUMENT["components"]["schemas"]["ErrorCode"]["x-codes"].as_array().expect("codes");
    codes.iter().filter_map(|c| c["code"].as_str()).collect()
}

#[test]
fn every_code_is_described() {
    let described = described_codes();
    let listed = DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"].as_array().expect("codes");
    assert_eq!(described, listed.iter().filter_map(Value::as_str).collect());
    for code in Code::ALL {
        assert!(described.contains(code.as_str()), "{}", code.as_str());
    }
    for (name, response) in DOCUMENT["components"]["responses"].as_object().expect("responses") {
        let codes: Vec<&str> =
            response["x-codes"].as_array().expect("codes").iter().filter_map(Value::as_str).collect();
        assert!(codes.iter().all(|c| described.contains(c)), "{name}: {codes:?}");
        let example = response["content"]["application/json"]["example"]["code"].as_str().unwrap_or_default();
        assert!(codes.contains(&example), "{name}: {example}");
    }
}

/// The examples of a body, with the schema that each must fit.
fn examples(content: &Value) -> Vec<(String, &Value, &Value)> {
    let mut found = Vec::new();
    for (kind, media) in content.as_object().into_iter().flatten() {
        let one = media.get("example").map(|value| (kind.clone(), value));
        let several = media["examples"].as_object().into_iter().flatten();
        let several = several.map(|(name, example)| (format!("{kind} {name}"), &resolve(example)["value"]));
        found.extend(one.into_iter().chain(several).map(|(name, value)| (name, &media["schema"], value)));
    }
    found
}

#[test]
fn every_example_fits_its_schema() {
    for operation in operations() {
        let name = operation.value["operationId"].as_str().unwrap_or_default().to_owned();
        let answers = operation.value["responses"].as_object().expect("responses").values();
        let contents =
            answers.map(|r| &resolve(r)["content"]).chain([&operation.value["requestBody"]["content"]]);
        for content in contents {
            for (which, schema, value) in examples(content) {
                assert_eq!(faults(schema, value), Vec::<String>::new(), "{name}: {which}");
            }
        }
        for parameter in operation.value["parameters"].as_array().into_iter().flatten().map(resolve) {
            let found = parameter.get("example").map_or_else(Vec::new, |e| faults(&parameter["schema"], e));
            assert_eq!(found, Vec::<String>::new(), "{name}: {}", parameter["name"]);
        }
    }
}

#[test]
fn every_route_answers() {
    let server = Server::start();
    let thread = server.instance.sample_thread();
    let record = server.exported(false)[0]["id"].as_str().expect("an id").to_owned();
    let issued = server.send(&server.as_admin(Ask::post("/v1/invites", "{}"))).is(201).json();
    let invite = issued["invite_id"].as_str().expect("an id").to_owned();
    for Route { method, path, .. } in ROUTES {
        let id = match () {
            () if path.contains("/records/{id}") => &record,
            () if path.contains("/invites/{id}") => &invite,
            () => &thread,
        };
        let target = path.replace("{id}", id).replace("{asset}", "api.css").replace("{file}", "main.js");
        let target = target.replace("{token_id}", &record).replace("{topic}", "auth_required");
        if target.ends_with("/watch") || target.ends_with("/stream") {
            // These have no end: what they are is told by a parameter that they refuse.
            let refused = server.as_admin(Ask::get(&format!("{target}?since_clock=x")));
            server.send(&refused).refuses(400, "INVALID_QUERY");
            continue;
        }
        // Without any signature there is no such invite.
        let target = if *path == "/v1/invites/{id}" { format!("{target}?sig=x") } else { target };
        let answer = server.send(&Ask::new(method, &target));
        assert!(!matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
        server.send(&Ask::new("PUT", &target)).refuses(405, "METHOD_NOT_ALLOWED");
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
