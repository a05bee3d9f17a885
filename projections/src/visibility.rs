//! Which records exist for a caller: the one predicate that every reading surface asks (protocol, sections 3
//! and 7).

use std::{borrow::Cow, sync::Arc};

use spl_kernel::{
    draft::{BodyFacts, Draft, namespace},
    json::{Bounds, Json},
    limits,
    record::StoredRecord,
    refusal::{Code, Refusal},
    time::UnixMillis,
};

use crate::{
    World,
    authority::Caller,
    config,
    consent::{Access, Resource as Consented},
    policies::{Question, RecordView, Resource, RuleSet},
    reserved::is_reserved_thread,
    scope::{Grain, Scope, Target, Verb},
};

/// Who is looking, as of one instant.
#[derive(Debug, Clone)]
pub struct Viewer {
    data: Reach,
    reserved: Reserved,
    policy: Option<Arc<Policy>>,
    /// Whether the caller is an admin: only then are origin and token of a record shown.
    sees_provenance: bool,
}

/// What a caller sees of ordinary records.
#[derive(Debug, Clone)]
enum Reach {
    All,
    Nothing,
    Grains(Arc<Vec<Grain>>),
}

/// What a caller sees of reserved threads.
#[derive(Debug, Clone, Copy, Default)]
struct Reserved {
    /// All but the ones below.
    all: bool,
    config: bool,
    invites: bool,
    templates: bool,
}

/// The rules that decide for a caller, and what they are told of it.
#[derive(Debug)]
pub struct Policy {
    rules: RuleSet,
    actor: Option<String>,
    scopes: Vec<String>,
    now: UnixMillis,
}

/// Whether a thread's records can be told without looking at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them exist for the viewer.
    Whole,
    /// None does.
    None,
    /// Each has to be looked at.
    Some,
}

/// The namespace of a stored record. A malformed one is of no namespace that a grain could name.
#[must_use]
pub fn namespace_of(stored: &StoredRecord) -> Cow<'static, str> {
    // Most bodies name none: do not parse those.
    if !stored.record.body.contains("\"namespace\":") {
        return Cow::Borrowed("default");
    }
    let bounds = Bounds { levels: limits::BODY_LEVELS_MAX, values: limits::BODY_VALUES_MAX };
    match Json::parse(stored.record.body.as_bytes(), bounds) {
        Ok(body) => {
            let facts = BodyFacts::of(stored.record.act, &body);
            namespace(&facts).map_or(Cow::Borrowed(""), |name| Cow::Owned(name.to_owned()))
        }
        Err(_) => Cow::Borrowed(""),
    }
}

impl World {
    /// The rules that decide for a caller; `None` where none do.
    #[must_use]
    pub fn policy(&self, caller: &Caller, now: UnixMillis) -> Option<Arc<Policy>> {
        (self.config.permissions_enabled.value && !caller.freed).then(|| {
            Arc::new(Policy {
                rules: self.config.rules.clone(),
                // What an anonymous caller claims to be is nothing that a rule could rely on.
                actor: caller.bearer.as_ref().and(caller.actor()).map(str::to_owned),
                scopes: caller.scope_names(),
                now,
            })
        })
    }

    /// What exists for a caller.
    #[must_use]
    pub fn viewer(&self, caller: &Caller, now: UnixMillis) -> Viewer {
        let admin = caller.covers(Scope::Admin);
        let grant = |resource| admin && self.consents(caller, resource, Access::Read, now);
        let data = match &caller.bearer {
            _ if caller.freed => Reach::All,
            None => Reach::All,
            Some(bearer) if !bearer.scopes.cover(Scope::RecordsRead) => Reach::Nothing,
            Some(bearer) => bearer.scopes.grains().cloned().map_or(Reach::All, Reach::Grains),
        };
        Viewer {
            data,
            reserved: Reserved {
                all: admin,
                config: caller.covers(Scope::ConfigRead),
                invites: grant(Consented::Invites),
                templates: grant(Consented::InviteTemplates),
            },
            policy: self.policy(caller, now),
            sees_provenance: admin,
        }
    }
}

impl Viewer {
    /// Whoever holds the home directory itself, offline: everything exists.
    #[must_use]
    pub fn home_owner() -> Self {
        Self {
            data: Reach::All,
            reserved: Reserved { all: true, config: true, invites: true, templates: true },
            policy: None,
            sees_provenance: false,
        }
    }

    /// The same viewer, for whom no reserved record exists.
    #[must_use]
    pub fn without_reserved(mut self) -> Self {
        self.reserved = Reserved::default();
        self
    }

    /// Whether origin and token of records are shown.
    #[must_use]
    pub fn sees_provenance(&self) -> bool {
        self.sees_provenance
    }

    /// Whether nothing can exist for the viewer.
    #[must_use]
    pub fn sees_nothing(&self) -> bool {
        let Reserved { all, config, .. } = self.reserved;
        matches!(self.data, Reach::Nothing) && !all && !config
    }

    /// Whether looking at a record may take a while: permission rules are asked about each.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        self.policy.is_some()
    }

    /// Whether a caller's reach is narrowed, so that counts over the instance are not for it.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        !matches!(self.data, Reach::All) || self.policy.is_some()
    }

    /// What of a thread exists.
    #[must_use]
    pub fn extent(&self, thread: &str) -> Extent {
        let extent = if is_reserved_thread(thread) {
            if self.reserved.sees(thread) { Extent::Whole } else { Extent::None }
        } else {
            match &self.data {
                Reach::All => Extent::Whole,
                Reach::Nothing => Extent::None,
                Reach::Grains(grains) => {
                    let of_thread =
                        |g: &Grain| g.verb == Verb::Read && g.target == Target::Thread(thread.into());
                    let of_namespace =
                        |g: &Grain| g.verb == Verb::Read && matches!(g.target, Target::Namespace(_));
                    if grains.iter().any(of_thread) {
                        Extent::Whole
                    } else if grains.iter().any(of_namespace) {
                        Extent::Some
                    } else {
                        Extent::None
                    }
                }
            }
        };
        match extent {
            Extent::Whole if self.policy.is_some() => Extent::Some,
            extent => extent,
        }
    }

    /// Whether a record exists for this viewer. What does not is absent: not found, not counted, not streamed.
    #[must_use]
    pub fn sees(&self, stored: &StoredRecord) -> bool {
        let thread = stored.record.thread.as_str();
        let reached = if is_reserved_thread(thread) {
            self.reserved.sees(thread)
        } else {
            match &self.data {
                Reach::All => true,
                Reach::Nothing => false,
                Reach::Grains(grains) => {
                    let namespace = namespace_of(stored);
                    grains.iter().any(|g| g.covers(Verb::Read, thread, &namespace))
                }
            }
        };
        reached && self.policy.as_ref().is_none_or(|policy| policy.may_read(stored))
    }
}

impl Reserved {
    fn sees(self, thread: &str) -> bool {
        match thread {
            config::THREAD => self.all || self.config,
            "th_invites" | "th_audit_invites" => self.all && self.invites,
            "th_invite_templates" => self.all && self.templates,
            _ => self.all,
        }
    }
}

impl Policy {
    fn decide(&self, resource: Resource, namespace: &str, record: Option<RecordView<'_>>) -> bool {
        let (actor, scopes) = (self.actor.as_deref(), self.scopes.as_slice());
        let question = Question { resource, actor, namespace, scopes, record, now: self.now };
        self.rules.decide(&question).is_allowed()
    }

    fn may_read(&self, stored: &StoredRecord) -> bool {
        self.decide(Resource::RecordRead, &namespace_of(stored), Some(RecordView::from(&stored.record)))
    }

    /// Layer 3 for a route.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check(&self, resource: Resource) -> Result<(), Refusal> {
        if self.decide(resource, "default", None) { Ok(()) } else { Err(denied(resource)) }
    }

    /// Layer 3 for a record to write.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn check_draft(&self, resource: Resource, draft: &Draft) -> Result<(), Refusal> {
        let view = RecordView {
            parents: &draft.parents,
            thread: &draft.thread,
            actor: &draft.actor,
            act: draft.act,
            body: &draft.body,
            clock: draft.clock,
            data_type: draft.data_type,
            judged_by: draft.judged_by,
        };
        let namespace = namespace(&draft.facts)?;
        if self.decide(resource, namespace, Some(view)) { Ok(()) } else { Err(denied(resource)) }
    }
}

fn denied(resource: Resource) -> Refusal {
    Refusal::new(Code::PermissionDenied, format!("the permission rules do not allow {}", resource.as_str()))
        .hint("`spl config list-permission-rules` shows them; permission rules are changed by an admin")
}
