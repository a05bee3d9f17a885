//! The rich query: a filter over records, parsed into a closed form and evaluated within bounds.

mod eval;
mod filter;
mod request;

pub(crate) use self::{
    eval::{Effort, Row, compare},
    filter::Path,
    request::{QueryRequest, Sort},
};
