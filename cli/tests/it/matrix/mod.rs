//! Every route against every kind of caller, in every mode: what is refused, with which code, and that it changes
//! nothing. The routes come from the server's own table, what they ask from a second one here, so that neither a
//! new route nor a slip in the first goes by.

mod alike;
pub(crate) mod cast;
mod forgery;
mod modes;
mod routes;
mod secure;
mod spellings;
