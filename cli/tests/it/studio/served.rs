//! What is served as pages, without a browser: the same document everywhere, its headers, its size.

use std::{fs, path::Path};

use serde_json::json;

use super::kit::Home;
use crate::{http::documented::is_page, raw::Reply};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

#[track_caller]
fn has_headers(reply: &Reply, path: &str) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(self)"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{path}: {name}");
    }
    assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    assert_eq!(reply.header("set-cookie"), None, "{path}");
}

#[test]
fn every_page_is_the_same_and_says_nothing_of_an_invite() {
    let home = Home::memory();
    let thread = home.admin.wrote(&crate::access::kit::record(
        "secret-plan",
        super::kit::ADMIN,
        json!({ "goal": "tea" }),
    ));
    let thread = thread["thread"].as_str().expect("a thread");
    let link = home.issue(&json!({ "device_label": "iPhone of Alice", "notes": "kitchen" }));
    let head = home.admin.head();
    let anyone = home.node.anyone();
    let root = anyone.get("/").is(200);
    let document = root.text();
    assert!(document.contains("noindex"));
    for word in [link.id.as_str(), link.sig.as_str(), "iPhone", "kitchen", "secret-plan", home.did.as_str()] {
        assert!(!document.contains(word), "{word}");
    }
    let live = format!("/i/{}?sig={}", link.id, link.sig);
    let threads = format!("/local/threads/{thread}");
    for path in [
        "/",
        "/local",
        "/local/dashboard",
        "/local/pair",
        "/local/tasks",
        "/local/threads",
        &threads,
        "/local/threads/none",
        "/settings/devices",
        &live,
        "/i/inv_0000000000000000",
        "/i/none?sig=x",
        "/pair",
        "/pair/federated",
        "/pair/complete",
        "/pair?invite=x",
        "/local/tasks?x=%00",
    ] {
        let reply = anyone.get(path).is(200);
        has_headers(&reply, path);
        assert!(reply.header("content-type").is_some_and(|t| t.starts_with("text/html")), "{path}");
        assert_eq!(reply.text(), document, "{path}");
    }
    assert_eq!(home.admin.head(), head, "looking changes nothing");
    assert_eq!(home.row(&link.id)["state"], "active");
    for path in [
        "/local/nothing",
        "/local/",
        "/local/threads/",
        "/local/threads/a/b",
        "/settings",
        "/settings/",
        "/settings/devices/",
        "/settings/other",
        "/i",
        "/i/",
        "/i/a/b",
        "/pair/",
        "/pair/nothing",
        "/pair/complete/",
        "/studio",
        "/studio/",
        "/studio/index.html",
        "/studio/nothing.js",
        "/studio/..%2fpages.rs",
        "/studio/%2e%2e",
        "/index.html",
        "/nothing",
        "/LOCAL",
    ] {
        let reply = anyone.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("<html"), "{path}");
    }
}

#[test]
fn the_pages_are_small_and_ask_for_what_is_served() {
    let home = Home::memory();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/pages/studio");
    let mut size = 0;
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let content = fs::read(&path).expect("a file");
        size += content.len();
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let at = if name == "index.html" { "/".to_owned() } else { format!("/studio/{name}") };
        assert!(is_page(&at), "{at}");
        let reply = home.node.anyone().get(&at).is(200);
        has_headers(&reply, &at);
        assert_eq!(reply.body, content, "{name} is served as it is");
        let kind = reply.header("content-type").unwrap_or_default().to_owned();
        let expected = match name.rsplit('.').next().unwrap_or_default() {
            "js" => "text/javascript",
            "css" => "text/css",
            "html" => "text/html",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "webmanifest" => "application/manifest+json",
            other => panic!("{other}"),
        };
        assert!(kind.starts_with(expected), "{name}: {kind}");
        if matches!(expected, "text/javascript" | "text/css" | "text/html") {
            let text = reply.text();
            for forbidden in [
                "innerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "postMessage(\"*",
                "localStorage",
                "document.cookie",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
            let addresses = text.matches("://").count();
            let known = [
                "http://www.w3.org/2000/svg",
                "https://bob.example.net",
                "https://alice.example.com/i/inv_…",
                "http://100.x.y.z:9100",
                "http://100.64.0.7:9100",
                "includes(\"://\")",
                "\"https://\"",
                "\"http://\"",
            ];
            let known: usize = known.iter().map(|k| text.matches(k).count()).sum();
            assert_eq!(addresses, known, "{name} names another address");
        }
    }
    assert!((1024..100 * 1024).contains(&size), "{size} bytes");
    let manifest = home.node.anyone().get("/studio/manifest.webmanifest").is(200).json();
    for icon in manifest["icons"].as_array().expect("icons") {
        home.node.anyone().get(icon["src"].as_str().expect("a path")).is(200);
    }
    home.node.anyone().get(manifest["start_url"].as_str().expect("a path")).is(200);
}
