//! The routes as the protocol has them, a harmless request for each, and the rules by which a request gets there.

use spl_server::routes::ROUTES;

use super::cast::{Claim, Standing};
use crate::http::{
    client::Ask,
    documented::{NO_INVITE, is_open},
};

/// When a route asks for nobody's credential; the names are those of the server's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freed {
    Always,
    DataPlane,
    Insecure,
    Recovery,
    Never,
}

/// A route, and a request that changes nothing where it gets through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) method: &'static str,
    /// As in the server's table; empty for paths that are kept for what comes later.
    path: &'static str,
    scope: &'static str,
    freed: Freed,
    pub(super) target: &'static str,
    body: &'static str,
    /// What the handler answers to it.
    reached: &'static [u16],
}

const fn get(path: &'static str, scope: &'static str, freed: Freed, reached: &'static [u16]) -> Probe {
    Probe { method: "GET", path, scope, freed, target: path, body: "", reached }
}

const fn post(path: &'static str, scope: &'static str, freed: Freed, reached: &'static [u16]) -> Probe {
    // No JSON: refused by whoever reads it.
    Probe { method: "POST", body: "{", ..get(path, scope, freed, reached) }
}

impl Probe {
    const fn at(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    const fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    const fn without_body(self) -> Self {
        Self { body: "", ..self }
    }

    pub(super) fn ask(&self) -> Ask {
        if self.body.is_empty() {
            Ask::new(self.method, self.target)
        } else {
            Ask::post(self.target, self.body)
        }
        .with_method(self.method)
    }

    /// Whether it answers with events that have no end.
    pub(super) fn streams(&self) -> bool {
        (self.path.ends_with("/watch") || self.path.ends_with("/stream")) && self.reaches(200)
    }

    /// Whether it answers anybody, in every mode.
    pub(super) fn is_open(&self) -> bool {
        self.freed == Freed::Always
    }

    pub(super) fn reaches(&self, status: u16) -> bool {
        self.reached.contains(&status)
    }
}

use Freed::{Always, DataPlane, Insecure, Never, Recovery};

const READ: &str = "records:read";
const WRITE: &str = "records:write";
const THREADS: &str = "threads:write";
const FEDERATION: &str = "federation:manage";
const ADMIN: &str = "admin";
const NONE: &str = "";

const RECORD: &str = "/v1/records/0000000000000000000000000000000000000000000000000000000000000000";
const TOKEN: &str = "/v1/tokens/0000000000000000000000000000000000000000000000000000000000000000";
const RENEW: &str = "/v1/tokens/0000000000000000000000000000000000000000000000000000000000000000/rotate";

const ATTEST: &str = "/v1/invites/sign-attestation";
const NO_REDEMPTION: &str = "/v1/invites/inv_0000000000000000/redeem";

/// Sections 5, 7, 8 and 9 of the protocol.
pub(super) const PROBES: &[Probe] = &[
    post("/v1/records", WRITE, DataPlane, &[400]),
    get("/v1/records", READ, DataPlane, &[200]).at("/v1/records?thread=nothing"),
    get("/v1/records/{id}", READ, DataPlane, &[404]).at(RECORD),
    post("/v1/records/query", READ, DataPlane, &[400]),
    get("/v1/export", READ, DataPlane, &[200]).at("/v1/export?since_sequence=9223372036854775807"),
    get("/v1/threads", READ, DataPlane, &[200]).at("/v1/threads?limit=1"),
    post("/v1/threads", THREADS, DataPlane, &[400]),
    get("/v1/threads/{id}", READ, DataPlane, &[404]).at("/v1/threads/nothing"),
    // Whoever is nobody has to say as whom.
    get("/v1/threads/{id}", THREADS, DataPlane, &[400, 404]).by("DELETE").at("/v1/threads/nothing"),
    get("/v1/threads/{id}/state", READ, DataPlane, &[404]).at("/v1/threads/nothing/state"),
    get("/v1/threads/{id}/participants", READ, DataPlane, &[404]).at("/v1/threads/nothing/participants"),
    get("/v1/threads/{id}/records", READ, DataPlane, &[200]).at("/v1/threads/nothing/records"),
    get("/v1/threads/{id}/watch", READ, DataPlane, &[200]).at("/v1/threads/nothing/watch"),
    get("/v1/events/stream", READ, DataPlane, &[200]),
    get("/v1/tasks", READ, DataPlane, &[200]).at("/v1/tasks?limit=1"),
    get("/health", NONE, Always, &[200]),
    get("/health/ready", NONE, Always, &[200]),
    get("/v1/health", NONE, Insecure, &[200]),
    get("/v1/identity", NONE, DataPlane, &[200]),
    // Open to this machine, where these tests run; see `http::callers` for all others.
    get("/metrics", NONE, Always, &[200]),
    get("/v1/log/head", NONE, Insecure, &[200]),
    get("/v1/capabilities", NONE, Always, &[200]),
    get("/v1/scope_presets", NONE, Always, &[200]),
    get("/.well-known/syncropel", NONE, Always, &[200]),
    get("/.well-known/did.json", NONE, Always, &[200]),
    // An admin who acts as somebody else has no grants.
    post("/v1/backup", ADMIN, Never, &[400, 403]).at("/v1/backup?no=1").without_body(),
    get("/v1/verify", ADMIN, Never, &[400]).at("/v1/verify?head=x"),
    post("/v1/bootstrap/service-account", NONE, Always, &[400, 403]),
    get("/v1/service-accounts", ADMIN, Recovery, &[200]).at("/v1/service-accounts?limit=1"),
    post("/v1/service-accounts", ADMIN, Recovery, &[400]),
    get("/v1/service-accounts/{id}", ADMIN, Recovery, &[404]).at("/v1/service-accounts/nobody"),
    post("/v1/service-accounts/{id}", ADMIN, Recovery, &[400]).by("PATCH").at("/v1/service-accounts/nobody"),
    get("/v1/service-accounts/{id}", ADMIN, Recovery, &[404]).by("DELETE").at("/v1/service-accounts/nobody"),
    post("/v1/service-accounts/{id}/rotate-key", ADMIN, Recovery, &[400])
        .at("/v1/service-accounts/nobody/rotate-key"),
    get("/v1/tokens", ADMIN, Recovery, &[200]).at("/v1/tokens?limit=1"),
    post("/v1/tokens", ADMIN, Recovery, &[400]),
    get("/v1/tokens/{token_id}", ADMIN, Recovery, &[404]).by("DELETE").at(TOKEN),
    post("/v1/tokens/{token_id}/rotate", NONE, Never, &[403]).at(RENEW).without_body(),
    // An admin without the grant is told so by whoever decides on grants.
    get("/v1/consent/grants", ADMIN, Recovery, &[200, 403]).at("/v1/consent/grants?limit=1"),
    post("/v1/consent/grants", ADMIN, Recovery, &[400, 403]),
    get("/v1/consent/grants/{id}", ADMIN, Recovery, &[404, 403])
        .by("DELETE")
        .at("/v1/consent/grants/nothing"),
    // The same of those on invites: their gate is `admin`, whatever the mode.
    get("/v1/invites", ADMIN, Never, &[200, 403]).at("/v1/invites?limit=1"),
    post("/v1/invites", ADMIN, Never, &[400, 403]),
    get("/v1/invites/stream", ADMIN, Never, &[400, 403]).at("/v1/invites/stream?since_clock=x"),
    get("/v1/invites/audit", ADMIN, Never, &[200, 403]).at("/v1/invites/audit?limit=1"),
    post("/v1/invites/bulk-revoke", ADMIN, Never, &[400, 403]),
    // Ten a minute an account: some of these callers share one.
    post(ATTEST, WRITE, Never, &[400, 429]),
    get("/v1/invites/{id}", NONE, Always, &[404]).at(NO_INVITE),
    post("/v1/invites/{id}/redeem", NONE, Always, &[400]).at(NO_REDEMPTION),
    post("/v1/invites/{id}/revoke", ADMIN, Never, &[400, 403]).at("/v1/invites/nothing/revoke"),
    get("/v1/invite-templates", ADMIN, Never, &[200, 403]).at("/v1/invite-templates?limit=1"),
    post("/v1/invite-templates", ADMIN, Never, &[400, 403]),
    get("/v1/invite-templates/{id}", ADMIN, Never, &[404, 403])
        .by("DELETE")
        .at("/v1/invite-templates/nothing"),
    get("/v1/federation/pairs", FEDERATION, Never, &[200]).at("/v1/federation/pairs?limit=1"),
    post("/v1/federation/pairs", FEDERATION, Never, &[400]),
    get("/v1/federation/pairs/{id}", FEDERATION, Never, &[404]).at("/v1/federation/pairs/nothing"),
    get("/v1/federation/pairs/{id}", FEDERATION, Never, &[404])
        .by("DELETE")
        .at("/v1/federation/pairs/nothing"),
    get("/v1/config", "config:read", Never, &[200]),
    post("/v1/config/{topic}", "config:write", Never, &[404]).at("/v1/config/nothing"),
    get("/v1/config/permission-rules", "config:read", Never, &[200]),
    get("/", NONE, Always, &[200]),
    get("/local", NONE, Always, &[200]),
    get("/local/dashboard", NONE, Always, &[200]),
    get("/local/pair", NONE, Always, &[200]),
    get("/local/tasks", NONE, Always, &[200]),
    get("/local/threads", NONE, Always, &[200]),
    get("/local/threads/{id}", NONE, Always, &[200]).at("/local/threads/nothing"),
    get("/settings/devices", NONE, Always, &[200]),
    get("/i/{id}", NONE, Always, &[200]).at("/i/inv_0000000000000000"),
    get("/pair", NONE, Always, &[200]),
    get("/pair/federated", NONE, Always, &[200]),
    get("/pair/complete", NONE, Always, &[200]),
    get("/studio/{file}", NONE, Always, &[200]).at("/studio/main.js"),
    get("/openapi.json", NONE, Always, &[200]),
    get("/docs/api", NONE, Always, &[200]),
    get("/docs/api/{asset}", NONE, Always, &[200]).at("/docs/api/api.css"),
    // Kept for what comes later: 401 and 403 come before 404.
    get("", FEDERATION, Never, &[404]).at("/v1/sync/pull"),
    get("", FEDERATION, Never, &[404]).by("DELETE").at("/v1/federation/peers/nothing"),
    post("", FEDERATION, Never, &[404]).at("/v1/federation/nothing"),
    post("", FEDERATION, Never, &[404]).at("/v1/discovery/find"),
];

#[test]
fn every_route_asks_what_the_protocol_says() {
    let name =
        |method: &str, path: &str, scope: &str, freed: String| format!("{method} {path} [{scope}] {freed}");
    let mut table: Vec<String> = ROUTES
        .iter()
        .map(|r| {
            name(r.method, r.path, r.gate.scope.map_or("", |s| s.as_str()), format!("{:?}", r.gate.freed))
        })
        .collect();
    let named = PROBES.iter().filter(|p| !p.path.is_empty());
    let mut expected: Vec<String> =
        named.map(|p| name(p.method, p.path, p.scope, format!("{:?}", p.freed))).collect();
    table.sort_unstable();
    expected.sort_unstable();
    let missing: Vec<_> = table.iter().filter(|r| !expected.contains(r)).collect();
    assert!(missing.is_empty(), "no probe, or another gate: {missing:#?}");
    assert_eq!(table, expected);
    let takes_config: Vec<_> =
        ROUTES.iter().filter(|r| r.gate.takes_config).map(|r| (r.method, r.path)).collect();
    assert_eq!(takes_config, [("POST", "/v1/records"), ("POST", "/v1/config/{topic}")]);
}

/// Who may act without a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Secure,
    /// No account was ever made.
    Bootstrap,
    /// `auth_required` is off.
    Open,
    /// `--insecure-localhost`, with local proof or without.
    InsecureLocalhost {
        proof: bool,
    },
}

/// Switches that make layer 2 stricter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Strict {
    pub(super) header: bool,
    pub(super) impersonation: bool,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    Reached,
    Refused { status: u16, code: &'static str, scope: Option<&'static str> },
}

const fn refused(status: u16, code: &'static str) -> Expected {
    Expected::Refused { status, code, scope: None }
}

/// What becomes of a request.
pub(super) fn expected(mode: Mode, strict: Strict, probe: &Probe, who: &Standing) -> Expected {
    let as_engine = matches!(who, Standing::Live { claim: Claim::Engine | Claim::System, .. });
    match layers(mode, strict, probe, who) {
        // Section 3, in every mode: whoever gets there may still not write as the instance itself.
        Expected::Reached if as_engine && (probe.method, probe.scope) == ("DELETE", THREADS) => {
            refused(403, "DID_CLAIM_DENIED")
        }
        expected => expected,
    }
}

/// The rules of sections 4 and 7, in their order.
fn layers(mode: Mode, strict: Strict, probe: &Probe, who: &Standing) -> Expected {
    let path = probe.target.split('?').next().unwrap_or_default();
    if mode == Mode::Bootstrap && !is_open(path) && path != "/v1/bootstrap/service-account" {
        return refused(503, "BOOTSTRAP_REQUIRED");
    }
    if matches!(who, Standing::Ambiguous) {
        return refused(401, "AUTH_INVALID");
    }
    let free = match (probe.freed, mode) {
        (Always, _) => true,
        (DataPlane | Insecure, Mode::InsecureLocalhost { .. }) => true,
        (Recovery, Mode::InsecureLocalhost { proof }) => proof,
        _ => false,
    };
    if free {
        return Expected::Reached;
    }
    let (scopes, listed, claim) = match who {
        Standing::Nothing { claims } if mode == Mode::Open && probe.freed == DataPlane => {
            let denied = *claims && strict.header;
            return if denied { refused(403, "DID_CLAIM_DENIED") } else { Expected::Reached };
        }
        Standing::Nothing { .. } => return refused(401, "AUTH_REQUIRED"),
        Standing::Invalid | Standing::Ambiguous => return refused(401, "AUTH_INVALID"),
        Standing::Live { scopes, listed, claim } => (scopes, *listed, *claim),
    };
    let has = |scope: &str| scopes.iter().any(|s| s == scope);
    if !probe.scope.is_empty() && !has(probe.scope) && !has(ADMIN) {
        return Expected::Refused { status: 403, code: "SCOPE_FORBIDDEN", scope: Some(probe.scope) };
    }
    let impersonates = has(ADMIN) && !strict.impersonation && !strict.header;
    let takes_config = matches!(probe.path, "/v1/records" | "/v1/config/{topic}") && probe.method == "POST";
    let configures = takes_config && (has("config:write") || has(ADMIN)) && !strict.header;
    let may_claim = match claim {
        Claim::Own => true,
        Claim::Other => impersonates,
        // Not even an admin: that name in the trail is the instance's.
        Claim::Engine => configures,
        Claim::System => false,
    };
    if !listed || !may_claim {
        return refused(403, "DID_CLAIM_DENIED");
    }
    // What narrows a token has no place in what the instance says of it elsewhere.
    let narrowed = scopes.iter().any(|s| s.starts_with("thread:") || s.starts_with("namespace:"));
    if probe.path == ATTEST && narrowed {
        return Expected::Refused { status: 403, code: "SCOPE_FORBIDDEN", scope: Some(WRITE) };
    }
    Expected::Reached
}
