//! What an evaluation has left to spend.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cel::{
    ExecutionError,
    common::{
        types::{CelBytes, CelList, CelMap, CelMapKey, CelString, Type},
        value::{StaticVal, Val},
    },
};

use super::WORK_UNITS_MAX;

/// Bytes of text that are one unit of work.
const BYTES_PER_UNIT: u64 = 32;

static TYPE: Type = Type::new_unspecified_type("@meter");

/// The units of work that are left, shared by all that is charged during one evaluation. Once it is empty it
/// stays so: an error that the expression absorbs (`error || true`) does not hide that the bound was passed.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<AtomicU64>);

/// A bound was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverBound;

impl From<OverBound> for ExecutionError {
    fn from(_: OverBound) -> Self {
        // Never shown: who evaluates asks the meter.
        Self::InternalError(String::new())
    }
}

impl Meter {
    pub(super) fn full() -> Self {
        Self(Arc::new(AtomicU64::new(WORK_UNITS_MAX + 1)))
    }

    /// Whether a bound was passed.
    pub(super) fn is_empty(&self) -> bool {
        self.left() == 0
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `units`, or all that is left.
    pub(super) fn charge(&self, units: u64) -> Result<(), OverBound> {
        // Atomic only because values must be shareable: one thread evaluates.
        let left = self.left().saturating_sub(units);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(OverBound) } else { Ok(()) }
    }

    /// Takes all that is left.
    pub(super) fn exhaust(&self) -> OverBound {
        self.0.store(0, Ordering::Relaxed);
        OverBound
    }

    /// Charges for a value as a whole: what comparing or copying it costs.
    pub(super) fn charge_deep(&self, value: &dyn Val) -> Result<(), OverBound> {
        if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            self.charge(4)?;
            list.inner().iter().try_for_each(|item| self.charge_deep(item.as_ref()))
        } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            self.charge(8)?;
            map.inner().iter().try_for_each(|(key, item)| {
                let bytes = if let CelMapKey::String(text) = key { text.inner().len() } else { 0 };
                self.charge(6 + units_of(bytes))?;
                self.charge_deep(item.as_ref())
            })
        } else {
            self.charge(1 + units_of(text_bytes(value)))
        }
    }
}

/// The bytes of a text; other values have none.
pub(super) fn text_bytes(value: &dyn Val) -> usize {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        text.inner().len()
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        bytes.inner().len()
    } else {
        0
    }
}

/// The units that going once through so many bytes costs.
pub(super) fn units_of(bytes: usize) -> u64 {
    bytes as u64 / BYTES_PER_UNIT
}

impl Val for Meter {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}
