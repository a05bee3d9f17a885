//! Merging what changed of the token index into its large part, on a thread that nobody waits for.

use std::sync::{Arc, Mutex, PoisonError};

use spl_projections::{World, tokens::Merged};

/// The merge under way, if any, and its result once it is done.
#[derive(Debug, Default)]
pub(super) struct Merging {
    done: Arc<Mutex<Option<Merged>>>,
}

impl Merging {
    /// Puts a finished merge in place, and begins another where one is wanted. Whether state changed its form.
    pub(super) fn step(&self, world: &mut World) -> bool {
        let merged = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let changed = merged.is_some_and(|merged| world.tokens.finish_merge(merged));
        if world.tokens.wants_merge() {
            let merge = world.tokens.begin_merge();
            let done = self.done.clone();
            let run = move || {
                let merged = merge.run();
                *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(merged);
            };
            // Without a thread the merge is given up, and wanted again with the next group.
            if let Err(error) = std::thread::Builder::new().name("spl-merge".into()).spawn(run) {
                tracing::warn!(%error, "the token index was not merged");
            }
        }
        changed
    }
}
