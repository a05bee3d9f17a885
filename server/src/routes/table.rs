//! Every route, what it asks of its caller, and when it is free. A route that is not here has no caller: its
//! handler cannot be reached with one, and a test compares the list with the published document.

use spl_projections::{
    authority::{Freed, Gate},
    policies::Resource,
    scope::Scope,
};

/// A route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// What it asks of its caller.
    pub gate: Gate,
    /// What permission rules are asked about before its handler runs.
    pub resource: Option<Resource>,
}

const fn gate(scope: Option<Scope>, freed: Freed) -> Gate {
    Gate { scope, freed, takes_config: false }
}

const OPEN: Gate = gate(None, Freed::Always);
const READ: Gate = gate(Some(Scope::RecordsRead), Freed::DataPlane);
const ANY: Gate = gate(None, Freed::Insecure);
const RECOVERY: Gate = gate(Some(Scope::Admin), Freed::Recovery);
const ADMIN: Gate = gate(Some(Scope::Admin), Freed::Never);
/// What the invite family asks of operators, beside a consent grant.
pub(super) const INVITES: Gate = ADMIN;
/// What those are asked who have the instance vouch for them.
const ATTEST: Gate = gate(Some(Scope::RecordsWrite), Freed::Never);
const FEDERATION: Gate = gate(Some(Scope::FederationManage), Freed::Never);

/// What reading everything, reserved threads too, asks: no mode frees it.
pub(crate) const RESERVED_EXPORT: Gate = ADMIN;
/// What metrics ask where they are not open.
pub(crate) const METRICS: Gate = gate(Some(Scope::RecordsRead), Freed::Never);

const fn route(method: &'static str, path: &'static str, gate: Gate) -> Route {
    Route { method, path, gate, resource: None }
}

impl Route {
    const fn about(self, resource: Resource) -> Self {
        Self { resource: Some(resource), ..self }
    }

    const fn takes_config(self) -> Self {
        Self { gate: Gate { takes_config: true, ..self.gate }, ..self }
    }
}

const WRITE: Gate = gate(Some(Scope::RecordsWrite), Freed::DataPlane);
const THREADS: Gate = gate(Some(Scope::ThreadsWrite), Freed::DataPlane);
const CONFIG_READ: Gate = gate(Some(Scope::ConfigRead), Freed::Never);
const CONFIG_WRITE: Gate = gate(Some(Scope::ConfigWrite), Freed::Never);

/// Every route.
pub const ROUTES: &[Route] = &[
    route("POST", "/v1/records", WRITE).takes_config(),
    route("GET", "/v1/records", READ),
    route("GET", "/v1/records/{id}", READ),
    route("POST", "/v1/records/query", READ),
    route("GET", "/v1/export", READ),
    route("GET", "/v1/threads", READ),
    route("POST", "/v1/threads", THREADS),
    route("GET", "/v1/threads/{id}", READ).about(Resource::ThreadRead),
    route("DELETE", "/v1/threads/{id}", THREADS),
    route("GET", "/v1/threads/{id}/state", READ).about(Resource::ThreadRead),
    route("GET", "/v1/threads/{id}/participants", READ).about(Resource::ThreadRead),
    route("GET", "/v1/threads/{id}/records", READ).about(Resource::ThreadRead),
    route("GET", "/v1/threads/{id}/watch", READ).about(Resource::ThreadRead),
    route("GET", "/v1/events/stream", READ),
    route("GET", "/v1/tasks", READ),
    route("GET", "/health", OPEN),
    route("GET", "/health/ready", OPEN),
    route("GET", "/v1/health", ANY),
    route("GET", "/v1/identity", gate(None, Freed::DataPlane)),
    route("GET", "/metrics", OPEN),
    route("GET", "/v1/log/head", ANY),
    route("GET", "/v1/capabilities", OPEN),
    route("GET", "/v1/scope_presets", OPEN),
    route("GET", "/.well-known/syncropel", OPEN),
    route("GET", "/.well-known/did.json", OPEN),
    route("POST", "/v1/backup", ADMIN),
    route("GET", "/v1/verify", ADMIN),
    route("POST", "/v1/bootstrap/service-account", OPEN),
    route("GET", "/v1/service-accounts", RECOVERY).about(Resource::ServiceAccount),
    route("POST", "/v1/service-accounts", RECOVERY),
    route("GET", "/v1/service-accounts/{id}", RECOVERY).about(Resource::ServiceAccount),
    route("PATCH", "/v1/service-accounts/{id}", RECOVERY),
    route("DELETE", "/v1/service-accounts/{id}", RECOVERY),
    route("POST", "/v1/service-accounts/{id}/rotate-key", RECOVERY),
    route("GET", "/v1/tokens", RECOVERY).about(Resource::Token),
    route("POST", "/v1/tokens", RECOVERY),
    route("DELETE", "/v1/tokens/{token_id}", RECOVERY),
    route("POST", "/v1/tokens/{token_id}/rotate", gate(None, Freed::Never)),
    route("GET", "/v1/consent/grants", RECOVERY).about(Resource::Invite),
    route("POST", "/v1/consent/grants", RECOVERY),
    route("DELETE", "/v1/consent/grants/{id}", RECOVERY),
    route("GET", "/v1/invites", INVITES).about(Resource::Invite),
    route("POST", "/v1/invites", INVITES),
    route("GET", "/v1/invites/stream", INVITES).about(Resource::Invite),
    route("GET", "/v1/invites/audit", INVITES).about(Resource::Invite),
    route("POST", "/v1/invites/bulk-revoke", INVITES),
    route("POST", "/v1/invites/sign-attestation", ATTEST),
    route("GET", "/v1/invites/{id}", OPEN),
    route("POST", "/v1/invites/{id}/redeem", OPEN),
    route("POST", "/v1/invites/{id}/revoke", INVITES),
    route("GET", "/v1/invite-templates", INVITES).about(Resource::Invite),
    route("POST", "/v1/invite-templates", INVITES),
    route("DELETE", "/v1/invite-templates/{id}", INVITES),
    route("GET", "/v1/federation/pairs", FEDERATION).about(Resource::Federation),
    route("POST", "/v1/federation/pairs", FEDERATION),
    route("GET", "/v1/federation/pairs/{id}", FEDERATION).about(Resource::Federation),
    route("DELETE", "/v1/federation/pairs/{id}", FEDERATION),
    route("GET", "/v1/config", CONFIG_READ).about(Resource::ConfigRead),
    route("POST", "/v1/config/{topic}", CONFIG_WRITE).takes_config(),
    route("GET", "/v1/config/permission-rules", CONFIG_READ).about(Resource::ConfigRead),
    route("GET", "/", OPEN),
    route("GET", "/local", OPEN),
    route("GET", "/local/dashboard", OPEN),
    route("GET", "/local/pair", OPEN),
    route("GET", "/local/tasks", OPEN),
    route("GET", "/local/threads", OPEN),
    route("GET", "/local/threads/{id}", OPEN),
    route("GET", "/settings/devices", OPEN),
    route("GET", "/i/{id}", OPEN),
    route("GET", "/pair", OPEN),
    route("GET", "/pair/federated", OPEN),
    route("GET", "/pair/complete", OPEN),
    route("GET", "/studio/{file}", OPEN),
    route("GET", "/openapi.json", OPEN),
    route("GET", "/docs/api", OPEN),
    route("GET", "/docs/api/{asset}", OPEN),
];

/// Paths that are kept for what comes later: nothing is there, but only those who could use it learn that.
pub(super) const KEPT: [&str; 3] = ["/v1/sync/{*rest}", "/v1/federation/{*rest}", "/v1/discovery/{*rest}"];

const KEPT_ROUTE: Route = route("GET", "/v1/{kept}/{*rest}", FEDERATION).about(Resource::Federation);

/// The entry of a method and a matched path.
pub(crate) fn route_of(method: &str, path: &str) -> Option<&'static Route> {
    if KEPT.contains(&path) {
        return Some(&KEPT_ROUTE);
    }
    ROUTES.iter().find(|r| r.method == method && r.path == path)
}
