//! `<home>/secrets/pairs`: tokens that paired instances gave us, each in a file named after its pair. They stand in
//! no record, export or backup.

use std::{fs, io, path::PathBuf};

use crate::{
    app::Instance,
    home::{HomeError, make_private_dir, write_private},
    problem::Problem,
};

impl Instance {
    fn peer_tokens(&self) -> PathBuf {
        self.home.dir().join("secrets/pairs")
    }

    /// Keeps a peer's token. An instance in memory has nowhere to, and is not asked.
    pub(crate) fn keep_peer_token(&self, pair_id: &str, token: &str) -> Result<(), Problem> {
        let dir = self.peer_tokens();
        let kept = make_private_dir(&self.home.dir().join("secrets"))
            .and_then(|()| make_private_dir(&dir))
            .and_then(|()| write_private(&dir.join(pair_id), token.as_bytes()));
        kept.map_err(|error| Problem::internal(&error))
    }

    /// Removes a peer's token, where there is one.
    pub(crate) fn forget_peer_token(&self, pair_id: &str) {
        if self.memory {
            return;
        }
        match fs::remove_file(self.peer_tokens().join(pair_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, "the token of a removed pair could not be removed");
            }
            _ => {}
        }
    }

    /// Removes tokens of pairs that are not: a crash between the two leaves one behind.
    pub(crate) fn sweep_peer_tokens(&self) -> Result<(), HomeError> {
        // An instance in memory knows of no pairs of the home that it borrows.
        if self.memory {
            return Ok(());
        }
        let dir = self.peer_tokens();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(HomeError::Io { path: dir.display().to_string(), source }),
        };
        let world = self.published.world();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let known = name.to_str().and_then(|id| world.pairs.get(id)).is_some_and(|pair| pair.is_active());
            if !known && let Some(name) = name.to_str() {
                self.forget_peer_token(name);
            }
        }
        Ok(())
    }
}
