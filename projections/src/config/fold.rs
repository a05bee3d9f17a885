use spl_kernel::{
    json::{Json, Object},
    refusal::{Code, Refusal},
};

use super::origin::{Cidr, check_public_url, normal_origin};
use crate::{
    names::check_name,
    policies::{Action, RuleSource, compile},
};

/// Most origins, or ranges, of one list.
const LIST_MAX: usize = 100;

/// What a configuration record is about: its name and its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// Its members beside `topic`.
    pub members: &'static [&'static str],
}

/// All topics, in the order of the documents.
pub const TOPICS: [Topic; 9] = [
    Topic { name: "auth_required", members: &["enabled"] },
    Topic { name: "auth_cors_origins", members: &["origins"] },
    Topic { name: "strict_actor_header", members: &["enabled"] },
    Topic { name: "strict_impersonation_enforcement", members: &["enabled"] },
    Topic { name: "federation_did_web", members: &["enabled"] },
    Topic { name: "permissions_enabled", members: &["enabled"] },
    Topic { name: "trusted_proxies", members: &["cidrs"] },
    Topic { name: "permission_rule", members: &["name", "action", "priority", "expression", "enabled"] },
    Topic { name: "public_url", members: &["url"] },
];

/// A configuration record, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `auth_required`
    AuthRequired(bool),
    /// `auth_cors_origins`, normalised
    AuthCorsOrigins(Vec<String>),
    /// `strict_actor_header`
    StrictActorHeader(bool),
    /// `strict_impersonation_enforcement`
    StrictImpersonation(bool),
    /// `federation_did_web`
    FederationDidWeb(bool),
    /// `permissions_enabled`
    PermissionsEnabled(bool),
    /// `trusted_proxies`
    TrustedProxies(Vec<String>),
    /// `permission_rule`
    PermissionRule(RuleSource),
    /// `public_url`, normalised
    PublicUrl(String),
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidBody, message)
}

impl Change {
    /// Decodes a body, strictly: what is written is what is later folded.
    ///
    /// # Errors
    /// `INVALID_BODY` or `INVALID_NAME` with the topic, member or value that is not known.
    pub fn decode(body: &Object) -> Result<Self, Refusal> {
        let names = TOPICS.map(|t| t.name).join(", ");
        let topic = body
            .str("topic")
            .ok_or_else(|| invalid("a configuration record needs `topic`").hint(format!("one of {names}")))?;
        let topic = TOPICS.into_iter().find(|t| t.name == topic).ok_or_else(|| {
            let short: String = topic.chars().take(40).collect();
            invalid(format!("unknown topic {short:?}")).hint(format!("topics are {names}"))
        })?;
        let known = |key: &str| matches!(key, "topic" | "kind" | "_v") || topic.members.contains(&key);
        if let Some((key, _)) = body.iter().find(|(key, _)| !known(key)) {
            let short: String = key.chars().take(40).collect();
            return Err(invalid(format!("unknown member {short:?}")).hint(format!(
                "{} takes {}",
                topic.name,
                topic.members.join(", ")
            )));
        }
        let enabled = || {
            body.get("enabled")
                .and_then(Json::as_bool)
                .ok_or_else(|| invalid("`enabled` must be true or false"))
        };
        Ok(match topic.name {
            "auth_required" => Self::AuthRequired(enabled()?),
            "auth_cors_origins" => Self::AuthCorsOrigins(origins(body)?),
            "strict_actor_header" => Self::StrictActorHeader(enabled()?),
            "strict_impersonation_enforcement" => Self::StrictImpersonation(enabled()?),
            "federation_did_web" => Self::FederationDidWeb(enabled()?),
            "permissions_enabled" => Self::PermissionsEnabled(enabled()?),
            "trusted_proxies" => Self::TrustedProxies(cidrs(body)?),
            "permission_rule" => Self::PermissionRule(rule(body, enabled()?)?),
            _ => {
                let url = body.str("url").ok_or_else(|| invalid("`url` must be a string"))?;
                Self::PublicUrl(check_public_url(url)?)
            }
        })
    }

    /// Whether it opens, redirects or locks: then it is for admins.
    #[must_use]
    pub fn needs_admin(&self) -> bool {
        match self {
            Self::AuthRequired(enabled)
            | Self::StrictActorHeader(enabled)
            | Self::StrictImpersonation(enabled) => !enabled,
            Self::FederationDidWeb(enabled) => *enabled,
            Self::PermissionsEnabled(_)
            | Self::PermissionRule(_)
            | Self::AuthCorsOrigins(_)
            | Self::TrustedProxies(_)
            | Self::PublicUrl(_) => true,
        }
    }
}

fn list<'a>(body: &'a Object, key: &str) -> Result<Vec<&'a str>, Refusal> {
    let wrong = || invalid(format!("`{key}` must be a list of at most {LIST_MAX} strings"));
    let elements =
        body.get(key).and_then(Json::as_array).filter(|a| a.len() <= LIST_MAX).ok_or_else(wrong)?;
    elements.iter().map(|e| e.as_str().ok_or_else(wrong)).collect()
}

fn origins(body: &Object) -> Result<Vec<String>, Refusal> {
    let mut normal: Vec<String> = Vec::new();
    for origin in list(body, "origins")? {
        let one = normal_origin(origin).ok_or_else(|| {
            let short: String = origin.chars().take(80).collect();
            invalid(format!("{short:?} is no origin")).hint(
                "an origin is a scheme, a host and perhaps a port, such as https://app.example.com; never *",
            )
        })?;
        if !normal.contains(&one) {
            normal.push(one);
        }
    }
    Ok(normal)
}

fn cidrs(body: &Object) -> Result<Vec<String>, Refusal> {
    let check = |text: &str| {
        Cidr::parse(text).map(|_| text.to_owned()).ok_or_else(|| {
            let short: String = text.chars().take(80).collect();
            invalid(format!("{short:?} is no range of addresses"))
                .hint("a range is written 10.0.0.0/8 or fd00::/8")
        })
    };
    list(body, "cidrs")?.into_iter().map(check).collect()
}

fn rule(body: &Object, enabled: bool) -> Result<RuleSource, Refusal> {
    let name = body.str("name").ok_or_else(|| invalid("`name` must be a string"))?;
    check_name(name)?;
    let action = match body.str("action") {
        Some("allow") => Action::Allow,
        Some("deny") => Action::Deny,
        _ => return Err(invalid("`action` is allow or deny")),
    };
    let priority = body
        .get("priority")
        .and_then(Json::as_i64)
        .ok_or_else(|| invalid("`priority` must be an integer"))?;
    let expression = body.str("expression").ok_or_else(|| invalid("`expression` must be a string"))?;
    compile(expression)?;
    Ok(RuleSource { name: name.to_owned(), action, priority, expression: expression.to_owned(), enabled })
}
