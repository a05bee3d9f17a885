//! Tables for people.

use comfy_table::{CellAlignment, Table as Grid, presets};

use crate::{error::Failure, output::Output, text};

/// Zero-width characters that stand for colours while the table is laid out, so that colours take no room.
/// None of them can come from elsewhere: [`text::safe`] escapes them all.
const END: char = '\u{2060}';
const MARKS: [(char, Tint); 4] =
    [('\u{2061}', Tint::Good), ('\u{2062}', Tint::Busy), ('\u{2063}', Tint::Dim), ('\u{2064}', Tint::Bad)];

/// The colour of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Green: done, fine.
    Good,
    /// Yellow: under way, worth a look.
    Busy,
    /// Dimmed: matters less.
    Dim,
    /// Red: failed, cancelled.
    Bad,
}

impl Tint {
    /// The colour of a thread's or task's status.
    pub(crate) fn of_status(status: &str) -> Option<Self> {
        match status {
            "closed" | "done" | "pass" => Some(Self::Good),
            "active" | "observed" | "warn" => Some(Self::Busy),
            "cancelled" | "fail" => Some(Self::Bad),
            _ => None,
        }
    }
}

/// One cell.
pub(crate) struct Cell {
    text: String,
    tint: Option<Tint>,
}

impl Cell {
    /// A cell in the default colour; its text is made safe.
    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self { text: text::safe(text.as_ref()).into_owned(), tint: None }
    }

    /// A coloured cell.
    pub(crate) fn tinted(text: impl AsRef<str>, tint: impl Into<Option<Tint>>) -> Self {
        Self { tint: tint.into(), ..Self::plain(text) }
    }

    fn marked(&self, width: usize) -> String {
        let text = text::cut(&self.text, width);
        let mark = self.tint.and_then(|tint| MARKS.iter().find(|(_, t)| *t == tint));
        mark.map_or_else(|| text.clone(), |(mark, _)| format!("{mark}{text}{END}"))
    }
}

/// A table without heavy borders, whose last column gives way where the terminal is narrow.
pub(crate) struct Table {
    header: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns; numbers stand in the columns of `right`.
    pub(crate) fn new(header: &[&'static str], right: &[usize]) -> Self {
        Self { header: header.to_vec(), right: right.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it.
    pub(crate) fn print(&self, out: &Output) -> Result<(), Failure> {
        let last = self.last_column_width(out.width());
        for (number, line) in self.grid(last).lines().enumerate() {
            let line = line.trim_end();
            let line = line.strip_prefix(' ').unwrap_or(line);
            let painted = if number < 2 { out.palette().dim(line) } else { paint(line, out) };
            out.line(painted)?;
        }
        Ok(())
    }

    /// What the other columns leave to the last one.
    fn last_column_width(&self, terminal: Option<usize>) -> usize {
        let Some(terminal) = terminal else { return 120 };
        let columns = self.header.len().saturating_sub(1);
        let taken: usize = (0..columns).map(|column| self.column_width(column) + 3).sum();
        terminal.saturating_sub(taken).max(16)
    }

    fn column_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        cells.chain(self.header.get(column).map(|name| name.len())).max().unwrap_or(0)
    }

    fn grid(&self, last: usize) -> Grid {
        let mut grid = Grid::new();
        let rule = comfy_table::LineStyle::none().fill('─').junction('─');
        grid.load_style(presets::NOTHING.header_separator(rule));
        grid.set_header(self.header.clone());
        let columns = self.header.len();
        for row in &self.rows {
            let cells = row
                .iter()
                .enumerate()
                .map(|(column, cell)| cell.marked(if column + 1 == columns { last } else { usize::MAX }));
            grid.add_row(cells.collect::<Vec<_>>());
        }
        for column in &self.right {
            if let Some(column) = grid.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        grid
    }
}

/// Replaces the marks by colours, or drops them.
fn paint(line: &str, out: &Output) -> String {
    let palette = out.palette();
    let mut painted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((at, mark, tint)) = next_mark(rest) {
        let (before, marked) = (rest.get(..at).unwrap_or(""), rest.get(at + mark.len_utf8()..).unwrap_or(""));
        painted.push_str(before);
        let (text, after) = marked.split_once(END).unwrap_or((marked, ""));
        painted.push_str(&match tint {
            Tint::Good => palette.green(text),
            Tint::Busy => palette.yellow(text),
            Tint::Dim => palette.dim(text),
            Tint::Bad => palette.red(text),
        });
        rest = after;
    }
    painted.push_str(rest);
    painted
}

fn next_mark(text: &str) -> Option<(usize, char, Tint)> {
    text.char_indices()
        .find_map(|(at, c)| MARKS.iter().find(|(mark, _)| *mark == c).map(|(mark, tint)| (at, *mark, *tint)))
}
