//! Merging what changed of the two indexes that every check asks into their large parts: begun and put in
//! place by the one thread that changes state, run on another that nobody waits for.

use crate::{
    World,
    accounts::{Row, Symbols},
    tokens,
};

type RowMerge = tokens::Merge<Symbols, Row>;
type RowsMerged = tokens::Merged<Symbols, Row>;

/// A merge to be run.
#[derive(Debug)]
pub struct Merge(Begun);

#[derive(Debug)]
enum Begun {
    Tokens(tokens::Merge),
    Accounts(RowMerge),
}

/// A merge that was run.
#[derive(Debug)]
pub struct Merged(Run);

#[derive(Debug)]
enum Run {
    Tokens(tokens::Merged),
    Accounts(RowsMerged),
}

impl Merge {
    /// Takes milliseconds where there are millions of tokens.
    #[must_use]
    pub fn run(self) -> Merged {
        Merged(match self.0 {
            Begun::Tokens(merge) => Run::Tokens(merge.run()),
            Begun::Accounts(merge) => Run::Accounts(merge.run()),
        })
    }
}

impl World {
    /// Begins a merge where one is wanted and none of that index is under way: in no time that counts.
    pub fn begin_merge(&mut self) -> Option<Merge> {
        if self.tokens.wants_merge() {
            Some(Merge(Begun::Tokens(self.tokens.begin_merge())))
        } else if self.accounts.rows.wants_merge() {
            Some(Merge(Begun::Accounts(self.accounts.rows.begin_merge())))
        } else {
            None
        }
    }

    /// Puts a merge in place. Whether it was of this state, as [`tokens::TokenIndex::finish_merge`] says: state
    /// has another form then and the same content.
    pub fn finish_merge(&mut self, merged: Merged) -> bool {
        match merged.0 {
            Run::Tokens(merged) => self.tokens.finish_merge(merged),
            Run::Accounts(merged) => self.accounts.rows.finish_merge(merged),
        }
    }
}
