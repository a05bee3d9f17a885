//! What a decision may know besides state: values, read once per command.

use spl_kernel::time::UnixMillis;
use zeroize::Zeroizing;

use crate::authority::Caller;

/// The actor of everything that the instance itself writes.
pub const ENGINE_ACTOR: &str = "did:sync:system:engine";

/// What the names of the instance itself and of its accounts begin with.
pub const SYSTEM_ACTORS: &str = "did:sync:system:";

/// Read once per command, before it is decided.
#[derive(Debug)]
pub struct Context<'a> {
    /// The later of the wall clock and the last commit's time.
    pub now: UnixMillis,
    /// Where ids and secrets of this command come from.
    pub entropy: &'a Entropy,
    /// Who commands.
    pub caller: &'a Caller,
}

/// A secret text. It cannot be logged, compared or serialised, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Randomness as a value: a seed from the system's generator, expanded under labels so that no two uses of one
/// command give the same bytes.
pub struct Entropy(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl Entropy {
    /// From 32 bytes that nobody else knows and that are used once.
    #[must_use]
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// For decisions that draw nothing.
    #[must_use]
    pub fn unused() -> Self {
        Self(Zeroizing::new([0; 32]))
    }

    /// Bytes for one use. The label names the use.
    #[must_use]
    pub fn bytes<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        blake3::Hasher::new_keyed(&self.0).update(label.as_bytes()).finalize_xof().fill(&mut *out);
        out
    }

    /// `N * 8 / 5` characters of lowercase Crockford base32 for one use.
    #[must_use]
    pub fn base32<const N: usize>(&self, label: &str) -> Zeroizing<String> {
        Zeroizing::new(crate::tokens::CROCKFORD.encode(&*self.bytes::<N>(label)))
    }
}
