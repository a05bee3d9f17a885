//! What is printed of a pairing: what the device takes up on stdout, all else on stderr.

use super::{
    Made, PairArgs,
    payload::{Payload, Places},
};
use crate::{clock, context::Context, error::Failure, output, qr, text};

/// Prints it once, in the forms that a device can take up.
pub(super) fn print(
    ctx: &Context,
    args: &PairArgs,
    places: &Places,
    made: &Made,
    token: &str,
) -> Result<(), Failure> {
    let (out, url) = (&ctx.out, places.url());
    let payload = Payload { url: &url, token, device: &args.device };
    if !out.is_human() {
        return out.line(payload.json()?);
    }
    if args.no_qr {
        return out.line(payload.pretty()?);
    }
    let link = places.link(&payload)?;
    out.line(&link)?;
    let lacking = qr::print(out, &link)?;
    for (name, value) in [("url", payload.url), ("token", payload.token), ("device", payload.device)] {
        out.field(name, text::safe(value))?;
    }
    if let Some(columns) = lacking {
        output::note(format_args!(
            "the terminal is too narrow for the QR code: make it {columns} columns wide, or its letters smaller, then run"
        ));
        output::note(format_args!("  {}", places.again(&args.device, &made.id)));
    }
    Ok(())
}

/// What was made, and what to do next: not part of the result.
pub(super) fn summary(made: &Made, was_rotated: bool) {
    let id = text::safe(&made.id);
    let field = |name: &str, value: &str| output::note(format_args!("  {name:<14} {}", text::safe(value)));
    field("account", &made.id);
    if was_rotated {
        field("ended", &text::counted(made.ended().len() as u64, "older token"));
    } else {
        field("acts as", &made.actors.join(","));
    }
    field("access", &made.scopes.join(","));
    let ends = made.expires_at.as_deref();
    let ends =
        ends.map_or_else(|| "never".to_owned(), |at| format!("{} ({at})", text::ago(at, clock::now())));
    field("ends", &ends);
    output::note(
        "It is shown this once. Whoever gets hold of it gets in: let nobody but the device have it. Next:",
    );
    output::note("  spl service-account list                            see every device");
    output::note(format_args!("  spl service-account revoke {id:<25}the device is lost: it is out at once"));
}
