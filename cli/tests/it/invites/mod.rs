//! Invites, templates and pairs from outside: through the real binary and plain HTTP. Every answer is compared
//! with its description, and after every race the log alone has to explain what there is.

mod accounts;
mod bodies;
mod consent;
mod federated;
mod kit;
mod lists;
mod model;
mod older;
mod pairs;
mod races;
mod rates;
mod refusals;
mod renewal;
mod scoped;
mod stream;
mod templates;
mod walk;
