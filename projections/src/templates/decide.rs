use std::sync::Arc;

use spl_kernel::{
    json::Json,
    record::Act,
    refusal::{Code, Refusal},
};

use super::{KIND, REMOVAL_KIND, THREAD, Template};
use crate::{
    World,
    audit::{list, scope_list},
    consent::{self, Access, Resource},
    context::Context,
    decision::{Change, Decision, Outcome, Parent},
    invites::Shape,
    names::check_name,
};

/// Most templates of one actor.
const TEMPLATES_MAX: usize = 1000;

/// A template to keep.
#[derive(Debug, Clone)]
pub struct Save {
    /// What its owner calls it; the same label replaces.
    pub label: String,
    /// What it fills in.
    pub shape: Shape,
}

/// A template to remove.
#[derive(Debug, Clone)]
pub struct Remove {
    /// Which.
    pub template_id: String,
}

fn not_found() -> Refusal {
    Refusal::new(Code::TemplateNotFound, "there is no such template of yours")
        .hint("`spl invite templates` lists those of your actor")
}

/// The caller's actor, which owns what it saves.
fn owner<'a>(context: &'a Context<'_>) -> Result<&'a str, Refusal> {
    context.caller.own_actor().ok_or_else(not_found)
}

/// A template of the caller's.
pub(crate) fn own<'a>(world: &'a World, id: &str, context: &Context<'_>) -> Result<&'a Template, Refusal> {
    let owner = owner(context)?;
    let found = world.templates.get(id).filter(|t| t.owner == owner && !t.removed);
    found.map(|t| &**t).ok_or_else(not_found)
}

/// Keeps a template.
pub(crate) fn save(world: &World, save: &Save, context: &Context<'_>) -> Result<Decision, Refusal> {
    consent::may(world, context, Resource::InviteTemplates, Access::Write)?;
    check_name(&save.label)?;
    let settled = save.shape.settle(None)?;
    let owner = owner(context)?;
    let before: Option<&Arc<Template>> = world.templates.of_owner(owner).find(|t| t.label == save.label);
    if before.is_none() && world.templates.of_owner(owner).count() >= TEMPLATES_MAX {
        return Err(Refusal::new(Code::InvalidBody, format!("more than {TEMPLATES_MAX} templates"))
            .hint("remove one with `spl invite templates remove <id>`"));
    }
    let template_id = match before {
        Some(before) => before.id.to_string(),
        None => format!("tpl_{}", *context.entropy.base32::<10>("template")),
    };
    let created_at = before.map_or(context.now, |t| t.created_at);
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    let change = Change::new(
        THREAD,
        KIND,
        Act::Put,
        context,
        [
            ("template_id", Some(template_id.as_str().into())),
            ("owner", Some(owner.into())),
            ("label", Some(save.label.as_str().into())),
            ("ttl_seconds", Some(i64::from(settled.ttl_seconds).into())),
            ("max_uses", Some(i64::from(settled.max_uses).into())),
            ("scopes", Some(scope_list(&settled.scopes))),
            ("scope_target", Some(settled.target.record_form().into())),
            ("accept_holder_types", Some(list(settled.accepts.names()))),
            ("device_label", text(&settled.device_label)),
            ("notes", text(&settled.notes)),
            ("bearer_ttl_seconds", settled.bearer_ttl_seconds.map(|s| i64::from(s).into())),
            ("created_at", Some(created_at.to_string().into())),
        ],
    );
    let change = match before {
        Some(before) => change.parent(Parent::Id(before.record)),
        None => change,
    };
    Ok(Decision { changes: vec![change], outcome: Outcome::Template { template_id } })
}

/// Removes a template of the caller's.
pub(crate) fn remove(world: &World, remove: &Remove, context: &Context<'_>) -> Result<Decision, Refusal> {
    consent::may(world, context, Resource::InviteTemplates, Access::Write)?;
    let owner = owner(context)?;
    let template =
        world.templates.get(&remove.template_id).filter(|t| t.owner == owner).ok_or_else(not_found)?;
    if template.removed {
        return Ok(Decision { changes: Vec::new(), outcome: Outcome::TemplateRemoved { already: true } });
    }
    let change = Change::new(
        THREAD,
        REMOVAL_KIND,
        Act::Do,
        context,
        [("template_id", Some((*template.id).into())), ("removed_at", Some(context.now.to_string().into()))],
    )
    .parent(Parent::Id(template.record));
    Ok(Decision { changes: vec![change], outcome: Outcome::TemplateRemoved { already: false } })
}
