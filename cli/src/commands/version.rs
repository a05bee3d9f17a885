//! `spl version`.

use serde_json::json;

use crate::{commands::Outcome, context::Context};

/// Prints the version of this binary.
pub(crate) fn run(ctx: &Context) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if ctx.out.is_human() {
        ctx.out.line(format_args!("spl {version}"))?;
    } else {
        ctx.out.json(&json!({ "object": "version", "version": version }))?;
    }
    Ok(0)
}
