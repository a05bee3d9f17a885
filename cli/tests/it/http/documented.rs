//! The published description of the API, read once from the source tree.

use std::sync::LazyLock;

use serde_json::Value;

/// The document as it is published.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/src/pages/openapi.json");
    let text = std::fs::read_to_string(path).expect("the document");
    serde_json::from_str(&text).expect("the document is JSON")
});

/// One operation of the document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) value: Value,
}

impl Operation {
    /// Its parameters, references followed: name and place.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let given = self.value["parameters"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        given
            .iter()
            .map(|p| match p["$ref"].as_str() {
                Some(reference) => DOCUMENT.pointer(&reference[1..]).expect("a reference leads somewhere"),
                None => p,
            })
            .map(|p| (text(&p["name"]), text(&p["in"])))
            .collect()
    }

    /// Whether a status is among its documented answers.
    pub(crate) fn documents(&self, status: u16) -> bool {
        !self.value["responses"][status.to_string()].is_null()
    }

    /// Its path with every parameter filled in.
    pub(crate) fn path_with(&self, id: &str) -> String {
        ["{id}", "{asset}", "{token_id}", "{topic}"]
            .iter()
            .fold(self.path.clone(), |path, name| path.replace(name, id))
    }
}

/// Every operation, read once: each answer of the tests is looked up here.
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(read_operations);

/// Every operation.
pub(crate) fn operations() -> Vec<Operation> {
    OPERATIONS.clone()
}

fn read_operations() -> Vec<Operation> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let methods = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().expect("a path item");
            item.iter().filter(|(method, _)| methods.contains(&method.as_str())).map(|(method, value)| {
                Operation { method: method.to_ascii_uppercase(), path: path.clone(), value: value.clone() }
            })
        })
        .collect()
}

/// The operation that a request is for, if any.
pub(crate) fn operation_of(method: &str, target: &str) -> Option<Operation> {
    let path = target.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    let found = |o: &Operation| o.method == method && (o.path == path || fits(&o.path));
    let all = &*OPERATIONS;
    all.iter()
        .find(|o| o.method == method && o.path == path)
        .or_else(|| all.iter().find(|o| found(o)))
        .cloned()
}

/// An invite that there is not: its link is followed before anyone can be let in, too.
pub(crate) const NO_INVITE: &str = "/v1/invites/inv_0000000000000000";

/// Routes that answer before anyone can be let in.
pub(crate) fn is_open(path: &str) -> bool {
    let open = [
        "/health",
        "/health/ready",
        "/openapi.json",
        "/v1/capabilities",
        "/v1/scope_presets",
        "/.well-known/syncropel",
        "/.well-known/did.json",
    ];
    open.contains(&path)
        || path == "/docs/api"
        || path.starts_with("/docs/api/")
        || is_link(path)
        || is_page(path)
}

/// Whether a path is that of a page, or of a file of one. Pages are for people: the description has the API only.
pub(crate) fn is_page(path: &str) -> bool {
    let pages = [
        "/",
        "/local",
        "/local/dashboard",
        "/local/pair",
        "/local/tasks",
        "/local/threads",
        "/settings/devices",
        "/pair",
        "/pair/federated",
        "/pair/complete",
    ];
    let under = |prefix: &str| path.strip_prefix(prefix).is_some_and(|r| !r.is_empty() && !r.contains('/'));
    pages.contains(&path) || ["/local/threads/", "/i/", "/studio/"].into_iter().any(under)
}

/// Whether a path is where links of invites lead.
pub(crate) fn is_link(path: &str) -> bool {
    let symbol = |b: u8| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b));
    let id = path.strip_prefix("/v1/invites/inv_").map(|rest| rest.strip_suffix("/redeem").unwrap_or(rest));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(symbol))
}

/// Discovery routes that pages of any origin may read.
pub(crate) fn is_readable_anywhere(path: &str) -> bool {
    [
        "/health",
        "/health/ready",
        "/v1/capabilities",
        "/v1/scope_presets",
        "/.well-known/syncropel",
        "/.well-known/did.json",
    ]
    .contains(&path)
}
