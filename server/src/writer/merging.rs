//! Merging what changed of the indexes of tokens and accounts into their large parts, on a thread that nobody
//! waits for. What a merge replaced is freed there too: that takes as long as the merge.

use std::sync::{Arc, Mutex, PoisonError};

use spl_projections::{
    World,
    merge::{Merge, Merged},
};

/// Merges that were run and not yet put in place, and what those before them replaced.
#[derive(Debug, Default)]
pub(super) struct Merging {
    done: Arc<Mutex<Vec<Merged>>>,
    /// State as it was before the last merge was put in place. Kept until the state after it is published, so
    /// that neither the writer nor a reader is the last to hold it.
    replaced: Option<World>,
}

impl Merging {
    /// Puts finished merges in place, and begins another where one is wanted. Whether state changed its form:
    /// it is published then.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        let replaced = self.replaced.take();
        let finished = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        let before = (!finished.is_empty()).then(|| world.clone());
        let mut changed = false;
        for merged in finished {
            changed |= world.finish_merge(merged);
        }
        self.replaced = before.filter(|_| changed);
        let begun = world.begin_merge();
        if replaced.is_some() || begun.is_some() {
            self.behind(replaced, begun);
        }
        changed
    }

    /// Without a thread a merge is given up, and wanted again with the next group.
    fn behind(&self, replaced: Option<World>, begun: Option<Merge>) {
        let done = self.done.clone();
        let run = move || {
            drop(replaced);
            if let Some(merge) = begun {
                let merged = merge.run();
                done.lock().unwrap_or_else(PoisonError::into_inner).push(merged);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("spl-merge".into()).spawn(run) {
            tracing::warn!(%error, "the indexes of tokens and accounts were not merged");
        }
    }
}
