//! `POST /v1/records/query`

use std::{borrow::Cow, cmp::Ordering, fmt::Write as _, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use spl_kernel::{canonical::canonical, json::Json, record::StoredRecord};
use spl_projections::visibility::{Extent, Viewer};

use super::{
    answer,
    records::{SCAN_ROWS_MAX, SCAN_SECONDS_MAX},
    scanning,
};
use crate::{
    app::{App, Instance},
    body::read_json,
    page::{Page, QueryHash},
    problem::Problem,
    query::{Effort, Path, QueryRequest, Row, Sort, compare},
    scan::{Scan, Source},
    session::Session,
    wire,
};

/// Most rows that are sorted, and most bytes of their keys.
const SORT_ROWS_MAX: usize = 10_000;
const SORT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `POST /v1/records/query`
pub(super) async fn run(State(app): State<App>, session: Session, request: Request) -> Response {
    answer(
        async {
            let received = read_json(&app, request).await?;
            let scanned = app.clone();
            scanning(&app, move || execute(&scanned, &session.viewer(), &received.bytes)).await
        }
        .await,
    )
}

/// A query while it runs.
struct Run<'a> {
    app: &'a Instance,
    viewer: &'a Viewer,
    query: QueryRequest,
    effort: Effort,
    scanned: u64,
    visible: u64,
}

fn execute(app: &Instance, viewer: &Viewer, bytes: &[u8]) -> Result<Response, Problem> {
    let query = QueryRequest::parse(bytes)?;
    let effort = Effort::new(Duration::from_secs(SCAN_SECONDS_MAX));
    let mut run = Run { app, viewer, query, effort, scanned: 0, visible: 0 };
    match run.query.sort.clone().filter(|s| s.path != Path::Sequence) {
        Some(sort) => run.sorted(&sort),
        None => run.in_order(),
    }
}

impl Run<'_> {
    fn scan(&self, descending: bool, low: u64, high: u64) -> (Scan, &'static str) {
        let source = self.query.expr.source();
        let (lowest, highest) = self.query.expr.sequence_bounds();
        let name = source.as_str();
        // A thread that does not exist for the caller has no rows to count either.
        let hidden = matches!(&source, Source::Thread(t) if self.viewer.extent(t) == Extent::None);
        let high = if hidden { 0 } else { high.min(highest) };
        (Scan::new(source, descending, low.max(lowest), high), name)
    }

    /// Counts a row against the bounds.
    fn spend(&mut self) -> Result<(), Problem> {
        self.scanned += 1;
        if self.scanned > SCAN_ROWS_MAX {
            return Err(Problem::invalid_query(format!(
                "the query looks at more than {SCAN_ROWS_MAX} records"
            ))
            .hint("narrow it by thread, actor or sequence"));
        }
        Ok(())
    }

    /// Whether a candidate is a visible match.
    fn matches(&mut self, stored: &StoredRecord) -> Result<bool, Problem> {
        self.spend()?;
        if !self.viewer.sees(stored) {
            return Ok(false);
        }
        self.visible += 1;
        let matches = Row::new(stored, self.viewer).matches(&self.query.expr, &self.effort);
        if self.effort.is_over() {
            return Err(Problem::invalid_query(format!("the query takes longer than {SCAN_SECONDS_MAX} s"))
                .hint("narrow it by thread, actor or sequence"));
        }
        Ok(matches)
    }

    fn hash(&self) -> QueryHash {
        QueryHash::of(&["query", &self.query.identity])
    }

    /// Matches in sequence order: nothing is held but the page.
    fn in_order(&mut self) -> Result<Response, Problem> {
        let hash = self.hash();
        let descending = self.query.sort.as_ref().is_some_and(|s| s.descending);
        let (mut low, mut high) = (1, self.app.log.head().sequence);
        if let Some(cursor) = &self.query.cursor {
            let at = hash.position(cursor)?;
            if descending { high = high.min(at.saturating_sub(1)) } else { low = at.saturating_add(1) }
        }
        let (mut scan, index) = self.scan(descending, low, high);
        let mut page = Page::new(&self.app.answer_budget, self.query.limit)?;
        let mut skip = self.query.offset;
        let mut last = 0;
        loop {
            let records = scan.next(&self.app.log)?;
            if records.is_empty() {
                return Ok(self.finish(page, None, index));
            }
            for stored in &records {
                if !self.matches(stored)? {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                if !page.has_room() {
                    return Ok(self.finish(page, Some(hash.cursor(last)), index));
                }
                page.push(&self.row(stored))?;
                last = stored.sequence;
            }
        }
    }

    /// Matches in the order of a key. The cursor counts rows as of the head of the first page.
    fn sorted(&mut self, sort: &Sort) -> Result<Response, Problem> {
        let hash = self.hash();
        let head = self.app.log.head().sequence;
        let (as_of, skip) = match &self.query.cursor {
            None => (head, self.query.offset),
            Some(cursor) => unpack(hash.position(cursor)?),
        };
        let (mut scan, index) = self.scan(false, 1, head.min(as_of));
        let mut keys: Vec<(Option<Json>, u64)> = Vec::new();
        let mut key_bytes = 0;
        loop {
            let records = scan.next(&self.app.log)?;
            if records.is_empty() {
                break;
            }
            for stored in &records {
                if !self.matches(stored)? {
                    continue;
                }
                let key = Row::new(stored, self.viewer)
                    .value(&sort.path)
                    .map(Cow::into_owned)
                    .filter(|v| matches!(v, Json::Number(_) | Json::String(_)));
                key_bytes += key.as_ref().and_then(Json::as_str).map_or(16, str::len);
                keys.push((key, stored.sequence));
                if keys.len() > SORT_ROWS_MAX || key_bytes > SORT_BYTES_MAX {
                    return Err(Problem::invalid_query(format!(
                        "the query sorts more than {SORT_ROWS_MAX} records"
                    ))
                    .hint("narrow it, or sort by sequence"));
                }
            }
        }
        keys.sort_by(|a, b| order(a.0.as_ref(), b.0.as_ref(), sort.descending));
        self.sorted_page(&keys, as_of, skip, hash, index)
    }

    fn sorted_page(
        &self,
        keys: &[(Option<Json>, u64)],
        as_of: u64,
        skip: u64,
        hash: QueryHash,
        index: &'static str,
    ) -> Result<Response, Problem> {
        let reader = self.app.log.reader()?;
        let mut page = Page::new(&self.app.answer_budget, self.query.limit)?;
        let from = usize::try_from(skip).unwrap_or(usize::MAX).min(keys.len());
        for (_, sequence) in &keys[from..] {
            if !page.has_room() {
                let cursor = pack(as_of, skip + page.rows() as u64).map(|position| hash.cursor(position));
                return Ok(self.finish(page, cursor, index));
            }
            if let Some(stored) = reader.record(*sequence)? {
                page.push(&self.row(&stored))?;
            }
        }
        Ok(self.finish(page, None, index))
    }

    fn row(&self, stored: &StoredRecord) -> String {
        let Some(select) = &self.query.select else { return wire::record(stored, self.viewer) };
        let row = Row::new(stored, self.viewer);
        let mut text = String::from("{\"object\":\"record\"");
        for (name, path) in select {
            if let Some(value) = row.value(path) {
                // Names are paths, checked to need no escape; values come from bodies within their limit.
                let _ = write!(text, ",\"{name}\":{}", canonical(&value, usize::MAX).unwrap_or_default());
            }
        }
        text.push('}');
        text
    }

    fn finish(&self, page: Page, cursor: Option<String>, index: &'static str) -> Response {
        // "Partial because of a cap of ours", not "there is more": that is the cursor.
        let capped = cursor.is_some() && (self.query.clamped || page.rows() < self.query.limit);
        let mut more = format!(",\"capped\":{capped}");
        if self.query.explain {
            let _ = write!(more, ",\"plan\":{{\"index\":\"{index}\",\"rows_scanned\":{}}}", self.visible);
        }
        page.finish(cursor, &more)
    }
}

/// Numbers before strings, or after them in descending order; records without a sortable value last in either.
fn order(a: Option<&Json>, b: Option<&Json>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => {
            let rank = |v: &Json| matches!(v, Json::String(_));
            let order = compare(a, b).unwrap_or_else(|| rank(a).cmp(&rank(b)));
            if descending { order.reverse() } else { order }
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Bits of a sorted query's cursor that count rows: as many as can be sorted.
const ROW_BITS: u32 = 14;

fn pack(as_of: u64, rows: u64) -> Option<u64> {
    (rows < 1 << ROW_BITS && as_of < 1 << (64 - ROW_BITS)).then_some(as_of << ROW_BITS | rows)
}

fn unpack(position: u64) -> (u64, u64) {
    (position >> ROW_BITS, position & ((1 << ROW_BITS) - 1))
}
