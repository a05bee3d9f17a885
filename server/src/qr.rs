//! QR codes as SVG: one path of runs, which is a few kilobytes where a shape for each module is a hundred.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, as scanners need them.
const QUIET_ZONE: usize = 4;

/// A text as an SVG image; `None` where it does not fit into a code.
pub(crate) fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let side = width + 2 * QUIET_ZONE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path stroke=\"#000\" d=\""
    );
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let _ = write!(svg, "M{} {}.5h{}", x + QUIET_ZONE, y + QUIET_ZONE, run.len());
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}
