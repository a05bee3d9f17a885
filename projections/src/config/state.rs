use serde::Serialize;
use spl_kernel::{id::RecordId, record::StoredRecord, time::UnixMillis};

use super::Change;
use crate::policies::RuleSet;

/// The record that set a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetBy {
    /// The record.
    pub record: RecordId,
    /// Its actor.
    pub actor: String,
    /// The account of whoever wrote it.
    pub service_account_id: Option<String>,
    /// When.
    pub at: UnixMillis,
}

impl SetBy {
    fn of(stored: &StoredRecord) -> Self {
        Self {
            record: stored.record.id,
            actor: stored.record.actor.clone(),
            service_account_id: stored.provenance.service_account_id.clone(),
            at: stored.committed_at,
        }
    }
}

/// A value and the record that set it; none for a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub set_by: Option<SetBy>,
}

impl<T> Setting<T> {
    fn default_of(value: T) -> Self {
        Self { value, set_by: None }
    }

    fn set(&mut self, value: T, stored: &StoredRecord) {
        *self = Self { value, set_by: Some(SetBy::of(stored)) };
    }
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether the data plane needs a bearer.
    pub auth_required: Setting<bool>,
    /// Origins whose pages may call.
    pub auth_cors_origins: Setting<Vec<String>>,
    /// Whether a claimed actor must be the bearer's own.
    pub strict_actor_header: Setting<bool>,
    /// Whether admins act as their own actors only.
    pub strict_impersonation_enforcement: Setting<bool>,
    /// Whether keys of `did:web` signers are fetched.
    pub federation_did_web: Setting<bool>,
    /// Whether permission rules decide.
    pub permissions_enabled: Setting<bool>,
    /// Ranges of proxies whose word on a client's address is taken.
    pub trusted_proxies: Setting<Vec<String>>,
    /// The address that others reach this instance under.
    pub public_url: Setting<Option<String>>,
    /// The permission rules.
    pub rules: RuleSet,
    /// The record that set each rule, by its name.
    pub rules_set_by: imbl::OrdMap<String, SetBy>,
    /// Position of the last record that changed what rules decide: two equal ones decide alike.
    pub policy_version: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_required: Setting::default_of(true),
            auth_cors_origins: Setting::default_of(Vec::new()),
            strict_actor_header: Setting::default_of(false),
            strict_impersonation_enforcement: Setting::default_of(false),
            federation_did_web: Setting::default_of(false),
            permissions_enabled: Setting::default_of(false),
            trusted_proxies: Setting::default_of(Vec::new()),
            public_url: Setting::default_of(None),
            rules: RuleSet::default(),
            rules_set_by: imbl::OrdMap::new(),
            policy_version: 0,
        }
    }
}

impl Config {
    /// Takes in a change.
    pub(crate) fn fold(&mut self, change: Change, stored: &StoredRecord) {
        match change {
            Change::AuthRequired(value) => self.auth_required.set(value, stored),
            Change::AuthCorsOrigins(value) => self.auth_cors_origins.set(value, stored),
            Change::StrictActorHeader(value) => self.strict_actor_header.set(value, stored),
            Change::StrictImpersonation(value) => self.strict_impersonation_enforcement.set(value, stored),
            Change::FederationDidWeb(value) => self.federation_did_web.set(value, stored),
            Change::TrustedProxies(value) => self.trusted_proxies.set(value, stored),
            Change::PublicUrl(value) => self.public_url.set(Some(value), stored),
            Change::PermissionsEnabled(value) => {
                self.permissions_enabled.set(value, stored);
                self.policy_version = stored.sequence;
            }
            Change::PermissionRule(rule) => {
                let name = rule.name.clone();
                // It was checked when it was written, against the same rules.
                if let Ok(rules) = self.rules.with(rule) {
                    self.rules = rules;
                    self.rules_set_by.insert(name, SetBy::of(stored));
                    self.policy_version = stored.sequence;
                }
            }
        }
    }

    /// Feeds all of it to `take`.
    pub(crate) fn digest(&self, take: &mut dyn FnMut(&dyn crate::digest::Part)) {
        take(&self.auth_required);
        take(&self.auth_cors_origins);
        take(&self.strict_actor_header);
        take(&self.strict_impersonation_enforcement);
        take(&self.federation_did_web);
        take(&self.permissions_enabled);
        take(&self.trusted_proxies);
        take(&self.public_url);
        for rule in self.rules.iter() {
            take(rule.source());
        }
        take(&self.rules_set_by);
        take(&self.policy_version);
    }
}
