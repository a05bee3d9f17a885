use spl_kernel::{
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use super::{KIND, Settled, Shape, THREAD, link::PREFIX};
use crate::{
    World,
    audit::{INVITES_KIND, INVITES_THREAD, list, scope_list},
    config::is_loopback_origin,
    consent::{self, Access, Resource},
    context::Context,
    decision::{Change, Decision, Outcome},
    scope::Scope,
    templates,
};

/// An invite to issue.
#[derive(Debug, Clone)]
pub struct Issue {
    /// What it looks like.
    pub shape: Shape,
    /// The template that fills in what is left out.
    pub template_id: Option<String>,
    /// The address that its link names.
    pub public_url: String,
}

/// Issues an invite.
pub(crate) fn issue(world: &World, issue: &Issue, context: &Context<'_>) -> Result<Decision, Refusal> {
    consent::may(world, context, Resource::Invites, Access::Write)?;
    let template = match &issue.template_id {
        None => None,
        Some(id) => Some(templates::own(world, id, context)?),
    };
    let settled = issue.shape.settle(template)?;
    let nameless = || Refusal::new(Code::IngestFailed, "the instance has no identity yet");
    let issuer = world.identity.did.as_deref().ok_or_else(nameless)?;
    let key = world.identity.key().ok_or_else(nameless)?;
    let invite_id = format!("{PREFIX}{}", *context.entropy.base32::<10>("invite"));
    let expires_at = UnixMillis(context.now.0.saturating_add(u64::from(settled.ttl_seconds) * 1000));
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    let accepted = list(settled.accepts.names());
    let change = Change::new(
        THREAD,
        KIND,
        Act::Put,
        context,
        [
            ("invite_id", Some(invite_id.as_str().into())),
            ("issuer_did", Some(issuer.into())),
            ("issuer_key_fp", Some(key.fingerprint().into())),
            ("public_url", Some(issue.public_url.as_str().into())),
            ("scope_target", Some(settled.target.record_form().into())),
            ("scopes", Some(scope_list(&settled.held))),
            ("ttl_seconds", Some(i64::from(settled.ttl_seconds).into())),
            ("max_uses", Some(i64::from(settled.max_uses).into())),
            ("accept_holder_types", Some(accepted)),
            ("device_label", text(&settled.device_label)),
            ("notes", text(&settled.notes)),
            ("bearer_ttl_seconds", Some(i64::from(settled.bearer_ttl()).into())),
            ("template_id", text(&issue.template_id)),
            ("issued_at", Some(context.now.to_string().into())),
            ("expires_at", Some(expires_at.to_string().into())),
        ],
    )
    .mirrored(
        INVITES_THREAD,
        INVITES_KIND,
        context,
        [
            ("invite_id", Some(invite_id.as_str().into())),
            ("event_kind", Some("issued".into())),
            ("scopes", Some(scope_list(&settled.held))),
            ("max_uses", Some(i64::from(settled.max_uses).into())),
            ("expires_at", Some(expires_at.to_string().into())),
            ("device_label", text(&settled.device_label)),
            ("notes", text(&settled.notes)),
        ],
    );
    let warnings = warnings(&settled, &issue.public_url);
    Ok(Decision { changes: vec![change], outcome: Outcome::Invite { invite_id, warnings } })
}

/// What the issuer should know before handing the link out.
fn warnings(settled: &Settled, public_url: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_loopback_origin(public_url) {
        warnings.push(format!(
            "the link begins with {public_url}, which is this machine's own: no other device can open it; set an address with `spl config set public_url <url>`"
        ));
    }
    let strong = [Scope::Admin, Scope::ConfigWrite, Scope::FederationManage];
    let held: Vec<&str> = strong.iter().filter(|s| settled.held.hold(**s)).map(|s| s.as_str()).collect();
    if !held.is_empty() && settled.max_uses > 1 {
        warnings.push(format!(
            "whoever gets hold of the link gets {}, {} times: one use is safer",
            held.join(", "),
            settled.max_uses
        ));
    }
    if settled.scopes_left_out {
        warnings.push(
            "the template's scopes are wider than contributor's and were not taken: name them again to grant them".to_owned(),
        );
    }
    warnings
}
