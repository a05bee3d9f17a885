//! An instance whose time goes by.

use std::{ops::Deref, time::Duration};

use super::kit::Home;

/// An instance on disk at one port, whose time may go by.
pub(super) struct Clocked(Home);

impl Deref for Clocked {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.0
    }
}

impl Clocked {
    pub(super) fn new() -> Self {
        Self(Home::disk())
    }

    pub(super) fn stops(&mut self) {
        self.0.node.stop();
    }

    pub(super) fn starts(&mut self) {
        self.0.starts_again();
    }

    /// As [`Home::later`].
    pub(super) fn later(&mut self, by: Duration) {
        self.0.later(by);
    }
}
