//! QR codes on a terminal.

use qrcode::{Color, EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{error::Failure, output::Output};

/// Light modules around a code, without which cameras do not find it.
const QUIET: usize = 4;

/// Prints the code of a text, a blank line around it. Where there is no room for it: the columns that it takes.
pub(crate) fn print(out: &Output, text: &str) -> Result<Option<usize>, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|e| Failure::refused(format!("the link does not fit into a QR code: {e}")))?;
    let columns = code.width() + 2 * QUIET;
    // A line that the terminal breaks is no row of a code.
    if out.columns().is_some_and(|room| room < columns) {
        return Ok(Some(columns));
    }
    out.line("")?;
    for line in lines(&code, out.palette().paper("").is_some()) {
        out.line(out.palette().paper(&line).unwrap_or(line))?;
    }
    out.line("")?;
    Ok(None)
}

/// The lines of a code. Where colours can be set, ink is dark; else ink is what a terminal draws with, which is
/// light on nearly all of them.
fn lines(code: &QrCode, on_paper: bool) -> Vec<String> {
    let (ink, paper) = if on_paper { (Color::Dark, Color::Light) } else { (Color::Light, Color::Dark) };
    let pixel = |color: Color| match color {
        Color::Dark => Dense1x2::Dark,
        Color::Light => Dense1x2::Light,
    };
    let drawn = code
        .render::<Dense1x2>()
        .quiet_zone(true)
        .module_dimensions(1, 1)
        .dark_color(pixel(ink))
        .light_color(pixel(paper))
        .build();
    drawn.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_draw_the_same_code() {
        let link = format!("https://alice.example.com/i/inv_0123456789abcdef?sig={}", "A".repeat(86));
        let code = QrCode::with_error_correction_level(link, EcLevel::L).unwrap();
        let (paper, screen) = (lines(&code, true), lines(&code, false));
        let columns = code.width() + 2 * QUIET;
        assert!(columns <= 80, "it fits into a usual terminal: {columns}");
        assert_eq!(paper.len(), columns.div_ceil(2));
        assert!(paper.iter().chain(&screen).all(|line| line.chars().count() == columns));
        // What is ink on the one is none on the other; the last line has no lower half.
        let inverse = |c: char| match c {
            ' ' => '█',
            '█' => ' ',
            '▀' => '▄',
            '▄' => '▀',
            other => other,
        };
        for (a, b) in paper.iter().zip(&screen).take(columns / 2) {
            assert_eq!(a.chars().map(inverse).collect::<String>(), *b);
        }
    }
}
