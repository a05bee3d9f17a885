//! The proxies of docs/exposing.md: its configuration files, run as they stand by the real nginx and the real Caddy,
//! and its commands, run as they stand by a shell. Replaced are ports, certificates and paths alone.

mod rig;

use std::fs;

use serde_json::{Value, json};

use self::rig::{DOCUMENTED, Kind, Proxy, SITE, documented, make_first_account, port_of, proof_of};
use crate::support::{Instance, wait_until};

const PAGE: &str = "https://app.example.org";
const EVENTS: &str = "/v1/events/stream";

/// A secured instance that was set up as documented, its token's header, and a proxy in front.
fn set_up(kind: Kind) -> (Instance, String, Proxy) {
    let instance = Instance::start_with(&["--memory"]);
    let bearer = make_first_account(&instance);
    let proxy = Proxy::start(kind, &instance);
    for block in documented("console setup") {
        proxy.run_documented(&instance, &block, None);
    }
    (instance, bearer, proxy)
}

fn record(n: u64) -> Value {
    let login = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users").expect("a user").name;
    json!({ "thread": "proxied", "actor": format!("did:sync:user:{login}"), "act": "PUT", "body": { "n": n } })
}

/// Everything that makes or mends a way in.
const RECOVERY: [&str; 3] = ["/v1/service-accounts", "/v1/tokens", "/v1/config"];

fn first_account() -> Value {
    json!({ "display_name": "mallory", "actors": ["did:sync:user:mallory"], "with_token": true })
}

#[test]
fn records_pass_with_a_token_and_not_without() {
    for kind in DOCUMENTED {
        let (instance, bearer, proxy) = set_up(kind);
        let stored = proxy.post("/v1/records", &record(1), &["-H", &bearer]).is(201).json();
        let id = stored["id"].as_str().expect("an id");
        assert_eq!(instance.spl(&["record", "get", id, "-o", "json"]).ok().json(), stored, "{kind:?}");
        let key = bearer.replace("authorization: Bearer ", "x-api-key: ");
        assert_eq!(proxy.ask(&format!("/v1/records/{id}"), &["-H", &key]).is(200).json(), stored);

        let own = format!("origin: {SITE}");
        proxy.post("/v1/records", &record(2), &["-H", &bearer, "-H", &own]).is(201);
        let other = ["-H", &bearer, "-H", "origin: https://evil.example"];
        proxy.post("/v1/records", &record(3), &other).refuses(403, "ORIGIN_FORBIDDEN");

        proxy.post("/v1/records", &record(3), &[]).refuses(401, "AUTH_REQUIRED");
        proxy.post("/v1/records", &record(3), &["-H", &format!("{bearer}x")]).refuses(401, "AUTH_INVALID");
        let claimed = ["-H", &bearer, "-H", "x-syncropel-actor: did:sync:user:mallory"];
        proxy.post("/v1/records", &record(3), &claimed).refuses(403, "DID_CLAIM_DENIED");
        let proof = proof_of(&instance);
        for path in RECOVERY {
            proxy.ask(path, &["-H", &proof]).refuses(401, "AUTH_REQUIRED");
        }
        let bootstrap = proxy.post("/v1/bootstrap/service-account", &first_account(), &["-H", &proof]);
        bootstrap.refuses(403, "BOOTSTRAP_LOCAL_ONLY");
        let records = proxy.ask("/v1/records?thread=proxied", &["-H", &bearer]).is(200);
        assert_eq!(records.json()["data"].as_array().map(Vec::len), Some(2), "{records:?}");
        assert_eq!(records.all("strict-transport-security"), ["max-age=31536000"]);
        assert_eq!(records.all("cache-control"), ["no-store"]);
    }
}

#[test]
fn large_bodies_are_the_instances_to_judge() {
    for kind in DOCUMENTED {
        let (_instance, bearer, proxy) = set_up(kind);
        let send = |bytes: usize| {
            // White space is the part of a body that no other limit is about.
            let mut body = record(bytes as u64).to_string();
            body.push_str(&" ".repeat(bytes - body.len()));
            fs::write(proxy.dir.path().join("body"), body).expect("a file");
            let body = format!("@{}", proxy.dir.path().join("body").display());
            let json = "content-type: application/json";
            proxy.ask("/v1/records", &["-H", json, "-H", &bearer, "--data-binary", &body])
        };
        send(8 * 1024 * 1024).is(201);
        send(8 * 1024 * 1024 + 1).refuses(413, "BODY_TOO_LARGE");
    }
}

#[test]
fn nginx_keeps_no_query_and_sends_plain_requests_elsewhere() {
    let (_instance, bearer, proxy) = set_up(Kind::Nginx);
    proxy.ask("/v1/records?thread=proxied&limit=7", &["-H", &bearer]).is(200);
    let redirect = proxy.ask("http://spl.example.org/v1/threads?limit=1", &[]).is(308);
    assert_eq!(redirect.all("location"), [format!("{SITE}/v1/threads?limit=1")]);
    let log = wait_until("nginx has written its log", || {
        let log = fs::read_to_string(proxy.dir.path().join("spl.log")).ok()?;
        log.contains("\"GET /v1/records\" 200").then_some(log)
    });
    let other = fs::read_to_string(proxy.dir.path().join("access.log")).unwrap_or_default();
    for secret in ["limit", "spl_prod"] {
        assert!(!log.contains(secret) && !other.contains(secret), "{log}{other}");
    }
}

#[test]
fn nobody_makes_the_first_account_through_a_proxy() {
    for kind in DOCUMENTED {
        let mut instance = Instance::start_with(&["--memory"]);
        let proxy = Proxy::start(kind, &instance);
        let proof = proof_of(&instance);
        let bootstrap = |proxy: &Proxy, more: &[&str]| {
            let reply = proxy.post("/v1/bootstrap/service-account", &first_account(), more);
            reply.refuses(403, "BOOTSTRAP_LOCAL_ONLY");
        };
        bootstrap(&proxy, &[]);
        bootstrap(&proxy, &["-H", &proof]);
        // What a client wants dropped on the way does not take the proxy's own headers along.
        let drop = "connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, via";
        bootstrap(&proxy, &["--http1.1", "-H", &proof, "-H", drop]);
        // No public URL is set: the name is nobody's.
        for path in RECOVERY.into_iter().chain(["/v1/threads"]) {
            proxy.ask(path, &["-H", &proof]).refuses(403, "ORIGIN_FORBIDDEN");
        }
        assert_eq!(proxy.ask("/health", &[]).is(200).json()["auth"]["mode"], "bootstrap");
        if kind == Kind::Nginx {
            bootstrap(&proxy, &["-H", &proof, "-H", "host: localhost"]);
        }
        drop_proxy_and_stop(proxy, &mut instance);

        instance.run_with(&["--memory", "--public-url", SITE]);
        let (proxy, proof) = (Proxy::start(kind, &instance), proof_of(&instance));
        bootstrap(&proxy, &["-H", &proof]);
        for path in RECOVERY.into_iter().chain(["/v1/threads"]) {
            proxy.ask(path, &["-H", &proof]).refuses(503, "BOOTSTRAP_REQUIRED");
        }
        proxy.post("/v1/records", &record(1), &[]).refuses(503, "BOOTSTRAP_REQUIRED");
        // On the machine itself it works all the while.
        make_first_account(&instance);
    }
}

fn drop_proxy_and_stop(proxy: Proxy, instance: &mut Instance) {
    drop(proxy);
    instance.stop();
}

#[test]
fn insecure_localhost_serves_nothing_through_a_proxy() {
    for kind in DOCUMENTED {
        let instance = Instance::start_with(&["--memory", "--insecure-localhost", "--public-url", SITE]);
        let (proxy, proof) = (Proxy::start(kind, &instance), proof_of(&instance));
        let drop = "connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, via";
        let mut ways = vec![vec![], vec!["-H", proof.as_str()], vec!["--http1.1", "-H", drop]];
        if kind == Kind::Nginx {
            ways.push(vec!["-H", "host: 127.0.0.1", "-H", &proof]);
        }
        for way in &ways {
            for path in RECOVERY.into_iter().chain(["/health", "/v1/threads", "/openapi.json", "/nothing"]) {
                proxy.ask(path, way).refuses(403, "ORIGIN_FORBIDDEN");
            }
            for (path, body) in
                [("/v1/records", record(1)), ("/v1/bootstrap/service-account", first_account())]
            {
                proxy.post(path, &body, way).refuses(403, "ORIGIN_FORBIDDEN");
            }
        }
        assert_eq!(instance.spl(&["status", "-o", "json"]).ok().json()["records"], 0);
    }
}

#[test]
fn a_proxy_that_adds_no_header_makes_nobody_the_owner() {
    let mut instance = Instance::start_with(&["--memory"]);
    let proxy = Proxy::start(Kind::Bare, &instance);
    let guessed = format!("x-syncropel-local: {}", "0".repeat(64));
    for way in [&[][..], &["-H", &guessed]] {
        let reply = proxy.post("/v1/bootstrap/service-account", &first_account(), way);
        reply.refuses(403, "BOOTSTRAP_LOCAL_ONLY");
        proxy.ask("/v1/threads", way).refuses(503, "BOOTSTRAP_REQUIRED");
    }
    drop_proxy_and_stop(proxy, &mut instance);

    instance.run_with(&["--memory", "--insecure-localhost"]);
    let proxy = Proxy::start(Kind::Bare, &instance);
    for way in [&[][..], &["-H", &guessed]] {
        let reply = proxy.post("/v1/bootstrap/service-account", &first_account(), way);
        reply.refuses(403, "BOOTSTRAP_LOCAL_ONLY");
        for path in RECOVERY {
            let reply = proxy.ask(path, way);
            assert_eq!(reply.status, 401, "{path}: {reply:?}");
        }
    }
    // Why the flag and a proxy do not go together: this is what docs/exposing.md warns of.
    proxy.post("/v1/records", &record(1), &[]).is(201);
}

#[test]
fn an_open_instance_wants_to_be_called_by_its_name() {
    let (instance, bearer, proxy) = set_up(Kind::Nginx);
    instance.spl(&["config", "set", "auth_required", "false"]).ok();
    proxy.ask("/v1/threads", &[]).is(200);
    for host in ["evil.example", "spl.example.org.evil.example"] {
        proxy.ask("/v1/threads", &["-H", &format!("host: {host}")]).refuses(403, "ORIGIN_FORBIDDEN");
    }
    proxy.ask("/v1/service-accounts", &["-H", &proof_of(&instance)]).refuses(401, "AUTH_REQUIRED");
    instance.spl(&["config", "set", "auth_required", "true"]).ok();
    // Where a token is needed a name is not.
    proxy.ask("/v1/threads", &["-H", &bearer, "-H", "host: evil.example"]).is(200);
}

#[test]
fn a_stream_passes_on_each_record_as_it_comes() {
    for kind in DOCUMENTED {
        let (instance, bearer, proxy) = set_up(kind);
        proxy.ask(EVENTS, &[]).refuses(401, "AUTH_REQUIRED");
        let with_bearer = ["-H", bearer.as_str()];
        let mut stream = proxy.follow(&format!("{EVENTS}?thread=proxied"), &with_bearer);
        assert_eq!(stream.next().0, "heartbeat", "{kind:?}: the stream is open");
        // Nothing follows a record until it has arrived, no heartbeat either, that could push it along.
        for n in 1..=3 {
            let stored = proxy.post("/v1/records", &record(n), &with_bearer).is(201).json();
            let (event, data) = stream.next();
            assert_eq!((event.as_str(), &data["record"]), ("record.created", &stored), "{kind:?}");
        }
        // Who leaves is noticed, and no stream stays open behind the proxy.
        let metrics = format!("http://127.0.0.1:{}/metrics", port_of(&instance));
        let open = |count: usize| {
            let text = proxy.ask(&metrics, &with_bearer).is(200).body;
            text.lines().any(|line| line == format!("spl_streams {count}")).then_some(())
        };
        assert_eq!(open(1), Some(()), "{kind:?}: one stream is open");
        drop(stream);
        wait_until("the stream is closed", || open(0));
    }
}

#[test]
fn pages_of_listed_origins_are_answered_through_a_proxy() {
    for kind in DOCUMENTED {
        let (_instance, bearer, proxy) = set_up(kind);
        let asks_for = ["-X", "OPTIONS", "-H", "access-control-request-method: POST"];
        let preflight = |origin: &str| {
            let origin = format!("origin: {origin}");
            proxy.ask("/v1/records", &[&asks_for[..], &["-H", &origin]].concat())
        };
        let allowed = preflight(PAGE).is(204);
        assert_eq!(allowed.all("access-control-allow-origin"), [PAGE]);
        assert_eq!(allowed.all("vary"), ["origin"]);
        assert_eq!(allowed.all("access-control-allow-private-network").len(), 0, "nobody asked");
        let headers = allowed.all("access-control-allow-headers").join(",");
        assert!(headers.contains("authorization") && !headers.contains("x-syncropel-local"), "{headers}");
        for foreign in
            ["https://evil.example", "http://app.example.org", "https://app.example.org:8443", "null"]
        {
            let refused = preflight(foreign);
            refused.refuses(403, "ORIGIN_FORBIDDEN");
            assert!(!refused.head.contains("access-control-allow"), "{refused:?}");
        }
        let page = format!("origin: {PAGE}");
        let answer = proxy.post("/v1/records", &record(1), &["-H", &bearer, "-H", &page]).is(201);
        assert_eq!(answer.all("access-control-allow-origin"), [PAGE]);
        assert!(!answer.head.contains("access-control-allow-credentials"), "{answer:?}");
        // A page that may ask is not a page that may.
        let refused = proxy.post("/v1/records", &record(2), &["-H", &page]);
        refused.refuses(401, "AUTH_REQUIRED");
        assert_eq!(refused.all("access-control-allow-origin"), [PAGE], "the page can read why");
    }
}

#[test]
fn the_documented_checks_print_what_is_shown() {
    for kind in DOCUMENTED {
        let (instance, bearer, proxy) = set_up(kind);
        let token = bearer.rsplit(' ').next().expect("a token");
        for block in documented("console checked") {
            proxy.run_documented(&instance, &block, Some(token));
        }
    }
}
