use std::sync::Arc;

use spl_kernel::{id::RecordId, time::UnixMillis};

use super::{Template, Templates, state::Kept};
use crate::{
    event::{FormatError, Members},
    invites::{Accepts, Target},
    scope::Scopes,
};

/// `core.invite_template.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    template_id: Arc<str>,
    owner: String,
    label: String,
    shape: Kept,
    created_at: UnixMillis,
}

impl Put {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 12] = [
        "template_id",
        "owner",
        "label",
        "ttl_seconds",
        "max_uses",
        "scopes",
        "scope_target",
        "accept_holder_types",
        "device_label",
        "notes",
        "bearer_ttl_seconds",
        "created_at",
    ];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        let unknown = |what: &str| FormatError(format!("member {what:?}"));
        let small = |key: &str| u32::try_from(members.number(key)?).map_err(|_| unknown(key));
        let text = |key: &str| Ok(members.optional_str(key)?.map(str::to_owned));
        let bearer_ttl = members.optional_number("bearer_ttl_seconds")?;
        let bearer_ttl = bearer_ttl.map(|s| u32::try_from(s).map_err(|_| unknown("bearer_ttl_seconds")));
        let target = Target::from_record_form(members.str("scope_target")?);
        let accepts = Accepts::parse(members.strings("accept_holder_types")?);
        Ok(Self {
            template_id: members.str("template_id")?.into(),
            owner: members.text("owner")?,
            label: members.text("label")?,
            shape: Kept {
                scopes: Scopes::parse(members.strings("scopes")?).map_err(|_| unknown("scopes"))?,
                ttl_seconds: small("ttl_seconds")?,
                max_uses: small("max_uses")?,
                target: target.ok_or_else(|| unknown("scope_target"))?,
                accepts: accepts.ok_or_else(|| unknown("accept_holder_types"))?,
                device_label: text("device_label")?,
                notes: text("notes")?,
                bearer_ttl_seconds: bearer_ttl.transpose()?,
            },
            created_at: members.time("created_at")?,
        })
    }
}

/// `core.invite_template.removal.v1`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    template_id: String,
}

impl Removed {
    /// Members of the record, beside `kind` and `by`.
    pub const MEMBERS: [&'static str; 2] = ["template_id", "removed_at"];

    pub(crate) fn decode(members: &Members<'_>) -> Result<Self, FormatError> {
        members.only(&Self::MEMBERS)?;
        members.time("removed_at")?;
        Ok(Self { template_id: members.text("template_id")? })
    }
}

impl Templates {
    /// Takes in a template's state: a new one, or the whole of one that is known.
    pub(crate) fn put(&mut self, put: Put, record: RecordId) {
        let template = Template {
            id: put.template_id.clone(),
            owner: put.owner,
            label: put.label,
            shape: put.shape,
            created_at: put.created_at,
            removed: false,
            record,
        };
        self.by_id.insert(put.template_id, Arc::new(template));
    }

    /// Takes in a template's end.
    pub(crate) fn remove(&mut self, removed: &Removed) {
        if let Some(template) = self.by_id.get_mut(&*removed.template_id) {
            Arc::make_mut(template).removed = true;
        }
    }
}
