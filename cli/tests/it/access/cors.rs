//! Pages of other origins: those that are listed.

use serde_json::{Value, json};

use super::kit::{ADMIN, Caller, Node, record};
use crate::raw::Reply;

const LISTED: &str = "https://app.example.com";
const OTHERS: [&str; 6] = [
    "null",
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:444",
    "https://app.example.com.evil.example",
    "HTTPS://APP.EXAMPLE.COM",
];

fn preflight(caller: &Caller, origin: &str, path: &str) -> Reply {
    caller
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-syncropel-local")
        .call("OPTIONS", path, None)
}

/// A list of a header, in lower case and in order.
fn list(reply: &Reply, name: &str) -> Vec<String> {
    let text = reply.header(name).unwrap_or_else(|| panic!("no {name}: {}", reply.head)).to_lowercase();
    let mut all: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
    all.sort_unstable();
    all
}

fn ask_everything(caller: &Caller) -> [Reply; 6] {
    [
        caller.get("/v1/threads"),
        caller.get("/v1/records/x"),
        caller.post("/v1/records/query", &json!({ "nonsense": 1 })),
        caller.post("/v1/records", &record("a", ADMIN, json!({}))),
        caller.get("/v1/nothing"),
        caller.call("PUT", "/v1/threads", None),
    ]
}

#[test]
fn a_listed_origin_is_named_exactly_and_no_other_is() {
    let node = Node::memory();
    let admin = node.admin();
    let pre = preflight(&node.anyone(), LISTED, "/v1/records");
    pre.refuses(403, "ORIGIN_FORBIDDEN");
    admin
        .set(
            "auth_cors_origins",
            &json!({ "origins": ["https://APP.example.com:443", "http://localhost:3000"] }),
        )
        .is(201);
    let page = admin.header("origin", LISTED);
    for reply in ask_everything(&page) {
        assert_eq!(reply.header("access-control-allow-origin"), Some(LISTED), "{}", reply.head);
        assert_eq!(list(&reply, "access-control-expose-headers"), ["retry-after", "x-request-id"]);
        assert!(reply.head.to_lowercase().contains("vary: origin"), "{}", reply.head);
        assert!(!reply.head.contains("access-control-allow-credentials"), "{}", reply.head);
        assert_ne!(reply.status, 403, "{}", reply.text());
    }
    // What is refused for another reason can be read too.
    let refused = node.anyone().header("origin", LISTED).get("/v1/threads").refuses(401, "AUTH_REQUIRED");
    assert_eq!(refused.header("access-control-allow-origin"), Some(LISTED));
    for origin in OTHERS {
        let page = admin.header("origin", origin);
        for reply in ask_everything(&page) {
            assert_eq!(reply.header("access-control-allow-origin"), None, "{origin}: {}", reply.head);
            assert_eq!(reply.header("access-control-expose-headers"), None, "{origin}: {}", reply.head);
        }
        page.post("/v1/records", &record("a", ADMIN, json!({}))).refuses(403, "ORIGIN_FORBIDDEN");
        let reply = preflight(&node.anyone(), origin, "/v1/records").refuses(403, "ORIGIN_FORBIDDEN");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{}", reply.head);
        assert_eq!(reply.header("access-control-allow-methods"), None, "{}", reply.head);
    }
    // The list is replaced as a whole, from the next request on.
    admin.set("auth_cors_origins", &json!({ "origins": [] })).is(201);
    preflight(&node.anyone(), LISTED, "/v1/records").refuses(403, "ORIGIN_FORBIDDEN");
    assert_eq!(page.get("/v1/threads").header("access-control-allow-origin"), None);
}

#[test]
fn a_preflight_tells_what_may_be_sent() {
    let node = Node::memory();
    let admin = node.admin();
    admin.set("auth_cors_origins", &json!({ "origins": [LISTED] })).is(201);
    for path in ["/v1/records", "/v1/tokens", "/v1/nothing", "/health"] {
        let reply = preflight(&node.anyone(), LISTED, path);
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{}", reply.head);
        let origin = reply.header("access-control-allow-origin");
        assert!(origin == Some(LISTED) || (path == "/health" && origin == Some("*")), "{}", reply.head);
        assert_eq!(list(&reply, "access-control-allow-methods"), ["delete", "get", "patch", "post"]);
        assert_eq!(
            list(&reply, "access-control-allow-headers"),
            ["authorization", "content-type", "last-event-id", "x-api-key", "x-syncropel-actor"]
        );
        assert_eq!(reply.header("access-control-max-age"), Some("600"));
        assert_eq!(reply.header("access-control-allow-private-network"), None, "nobody asked");
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
    let private = |origin: &str| {
        let asks = node.anyone().header("access-control-request-private-network", "true");
        let reply = preflight(&asks, origin, "/v1/records");
        (reply.status, reply.header("access-control-allow-private-network").map(str::to_owned))
    };
    assert_eq!(private(LISTED), (204, Some("true".to_owned())));
    for origin in OTHERS {
        assert_eq!(private(origin), (403, None), "{origin}");
    }
}

#[test]
fn the_instances_own_origin_is_never_refused() {
    let node = Node::memory();
    let admin = node.admin();
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let own = format!("http://{host}:{}", node.port);
        assert_eq!(preflight(&node.anyone(), &own, "/v1/records").status, 204, "{own}");
        let page = admin.header("origin", &own);
        page.wrote(&record("a", ADMIN, json!({ "from": own })));
        // What it was at another port, or as another scheme, is another.
        for other in
            [format!("http://{host}:1"), format!("https://{host}:{}", node.port), format!("http://{host}")]
        {
            admin
                .header("origin", &other)
                .post("/v1/records", &record("a", ADMIN, json!({})))
                .refuses(403, "ORIGIN_FORBIDDEN");
        }
    }
    admin
        .header("origin", LISTED)
        .header("origin", LISTED)
        .post("/v1/records", &record("a", ADMIN, json!({})))
        .refuses(403, "ORIGIN_FORBIDDEN");
}

#[test]
fn proof_never_comes_from_a_page() {
    let node = Node::with(&["--memory", "--insecure-localhost"]);
    let admin = node.admin();
    admin.set("auth_cors_origins", &json!({ "origins": [LISTED] })).is(201);
    node.owner().get("/v1/tokens").is(200);
    let own = format!("http://127.0.0.1:{}", node.port);
    for origin in [LISTED, own.as_str()] {
        node.owner().header("origin", origin).get("/v1/tokens").refuses(401, "AUTH_REQUIRED");
        let body = json!({ "name": "x" });
        node.owner()
            .header("origin", origin)
            .post("/v1/service-accounts", &body)
            .refuses(401, "AUTH_REQUIRED");
    }
}

#[test]
fn what_is_open_is_readable_from_anywhere() {
    let node = Node::memory();
    for path in
        ["/health", "/health/ready", "/v1/capabilities", "/v1/scope_presets", "/.well-known/syncropel"]
    {
        let reply = node.anyone().header("origin", "https://evil.example").get(path).is(200);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
        assert!(reply.json() != Value::Null);
    }
}
