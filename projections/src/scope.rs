//! What a token may do: seven coarse scopes, and grains that narrow it to threads or namespaces (protocol,
//! section 7).

use std::{fmt, sync::Arc};

use serde::Serialize;
use spl_kernel::refusal::{Code, Refusal};

use crate::reserved::is_reserved_thread;

/// A coarse scope: what a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read records, threads, tasks and streams.
    RecordsRead,
    /// Write records.
    RecordsWrite,
    /// Open and cancel threads.
    ThreadsWrite,
    /// Everything between instances.
    FederationManage,
    /// Read the configuration.
    ConfigRead,
    /// Change the configuration.
    ConfigWrite,
    /// Everything.
    Admin,
}

impl Scope {
    /// All scopes, in the order of the documents.
    pub const ALL: [Self; 7] = [
        Self::RecordsRead,
        Self::RecordsWrite,
        Self::ThreadsWrite,
        Self::FederationManage,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::Admin,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RecordsRead => "records:read",
            Self::RecordsWrite => "records:write",
            Self::ThreadsWrite => "threads:write",
            Self::FederationManage => "federation:manage",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::Admin => "admin",
        }
    }

    /// What the scope opens, in a few words.
    #[must_use]
    pub fn grants(self) -> &'static str {
        match self {
            Self::RecordsRead => "read records, threads, tasks, exports and live streams",
            Self::RecordsWrite => "write records",
            Self::ThreadsWrite => "open and cancel threads",
            Self::FederationManage => "everything between instances: /v1/sync, /v1/federation, /v1/discovery",
            Self::ConfigRead => "read the configuration and its thread",
            Self::ConfigWrite => "change the configuration, but for what opens, redirects or locks",
            Self::Admin => "everything, accounts and tokens included",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Scope lists that invites and pages offer by name.
pub const PRESETS: [(&str, &[Scope]); 3] = [
    ("reader", &[Scope::RecordsRead]),
    (PRESET_DEFAULT, &[Scope::RecordsRead, Scope::RecordsWrite]),
    ("admin", &[Scope::Admin]),
];
/// The one that an invite has unless it says otherwise.
pub const PRESET_DEFAULT: &str = "contributor";

/// What a grain allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Verb {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What a grain covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Target {
    /// One thread.
    Thread(String),
    /// A namespace and what is below it.
    Namespace(String),
}

/// One resource that a narrowed token reaches: `thread:<id>:read`, `namespace:<ns>:write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Grain {
    /// Where.
    pub target: Target,
    /// What.
    pub verb: Verb,
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb.as_str();
        match &self.target {
            Target::Thread(id) => write!(f, "thread:{id}:{verb}"),
            Target::Namespace(name) => write!(f, "namespace:{name}:{verb}"),
        }
    }
}

impl Grain {
    /// Splits at the first and the last colon: the id between may hold more of them.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (id, verb) = rest.rsplit_once(':')?;
        let verb = match verb {
            "read" => Verb::Read,
            "write" => Verb::Write,
            _ => return None,
        };
        let mut bytes = id.bytes();
        let well_formed = id.len() <= GRAIN_ID_BYTES_MAX
            && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
        let target = match kind {
            "thread" if well_formed && !is_reserved_thread(id) => Target::Thread(id.to_owned()),
            "namespace" if well_formed => Target::Namespace(id.to_owned()),
            _ => return None,
        };
        Some(Self { target, verb })
    }

    /// Whether it is about this thread (`thread`) or namespace (`namespace`).
    #[must_use]
    pub fn target_is(&self, kind: &str, id: &str) -> bool {
        match &self.target {
            Target::Thread(own) => kind == "thread" && own == id,
            Target::Namespace(own) => kind == "namespace" && own == id,
        }
    }

    /// Whether the grain allows `verb` on a record of this thread and namespace.
    #[must_use]
    pub fn covers(&self, verb: Verb, thread: &str, namespace: &str) -> bool {
        self.verb == verb
            && match &self.target {
                Target::Thread(id) => id == thread,
                Target::Namespace(name) => {
                    namespace.strip_prefix(name.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'))
                }
            }
    }
}

/// Longest id of a grain, in bytes.
const GRAIN_ID_BYTES_MAX: usize = 256;
/// Most grains of one token.
const GRAINS_MAX: usize = 100;

/// The scopes of an account or token: coarse ones, and grains where it is narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Scopes {
    bits: u8,
    grains: Option<Arc<Vec<Grain>>>,
}

impl Scopes {
    /// The scopes of a preset, by its name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        PRESETS.iter().find(|(own, _)| *own == name).map(|(_, scopes)| Self::of(scopes))
    }

    /// Coarse scopes only.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self { bits: scopes.iter().fold(0, |bits, s| bits | s.bit()), grains: None }
    }

    /// Parses a list of coarse scopes and grains; their order and repetition mean nothing.
    ///
    /// # Errors
    /// `INVALID_BODY` for an unknown name, or a combination that a narrowed token may not have.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Refusal> {
        let refused = |message: String| Refusal::new(Code::InvalidBody, message);
        let (mut bits, mut grains) = (0, Vec::new());
        for name in names {
            if let Some(scope) = Scope::ALL.into_iter().find(|s| s.as_str() == name) {
                bits |= scope.bit();
            } else if let Some(grain) = Grain::parse(name) {
                grains.push(grain);
            } else {
                let short: String = name.chars().take(80).collect();
                return Err(refused(format!("unknown scope {short:?}")).hint(format!(
                    "scopes are {}; grains are thread:<id>:read|write and namespace:<ns>:read|write, on no reserved thread",
                    Scope::ALL.map(Scope::as_str).join(", ")
                )));
            }
        }
        grains.sort_unstable();
        grains.dedup();
        if grains.len() > GRAINS_MAX {
            return Err(refused(format!("more than {GRAINS_MAX} grains")));
        }
        let coarse = Scope::RecordsRead.bit() | Scope::RecordsWrite.bit();
        if !grains.is_empty() && bits & !coarse != 0 {
            return Err(refused("beside a grain only records:read and records:write may stand".into())
                .hint("a narrowed token reads and writes records only; make another token for the rest"));
        }
        Ok(Self { bits, grains: (!grains.is_empty()).then(|| Arc::new(grains)) })
    }

    /// From their parts, as the token index keeps them.
    #[must_use]
    pub(crate) fn from_parts(bits: u8, grains: Option<Arc<Vec<Grain>>>) -> Self {
        Self { bits, grains }
    }

    /// The coarse scopes as a bit set.
    #[must_use]
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    /// The grains, where narrowed.
    #[must_use]
    pub fn grains(&self) -> Option<&Arc<Vec<Grain>>> {
        self.grains.as_ref()
    }

    /// Whether grains narrow it.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.grains.is_some()
    }

    /// Whether they cover a route that needs `scope`; `admin` covers all.
    #[must_use]
    pub fn cover(&self, scope: Scope) -> bool {
        self.bits & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether they hold this very scope, by itself.
    #[must_use]
    pub fn hold(&self, scope: Scope) -> bool {
        self.bits & scope.bit() != 0
    }

    /// Whether nothing is in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.grains.is_none()
    }

    /// Whether a token with these scopes can do no more than one with `wider`.
    #[must_use]
    pub fn within(&self, wider: &Self) -> bool {
        let coarse = Scope::ALL.into_iter().all(|s| !self.hold(s) || wider.cover(s));
        let grains = match (&self.grains, &wider.grains) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(allowed)) => own.iter().all(|grain| {
                allowed.iter().any(|a| match &grain.target {
                    Target::Thread(_) => a == grain,
                    Target::Namespace(name) => a.covers(grain.verb, "", name),
                })
            }),
        };
        coarse && grains
    }

    /// Names as records and answers list them: coarse ones in the documents' order, then grains.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let coarse = Scope::ALL.into_iter().filter(|s| self.hold(*s)).map(|s| s.as_str().to_owned());
        let grains = self.grains.iter().flat_map(|g| g.iter().map(ToString::to_string));
        coarse.chain(grains).collect()
    }
}
