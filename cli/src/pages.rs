//! Lists that are read to their end.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{client::Client, context::Context, error::Failure, view::Page};

/// Rows asked for at a time: as many as an instance gives.
const PAGE_ROWS: usize = 1000;

/// A whole list.
pub(crate) struct Whole {
    rows: Vec<Value>,
    /// The answer as it came, where it was one.
    body: Option<String>,
}

/// A list that is read page by page.
pub(crate) struct Pages<'a> {
    client: &'a Client,
    path: Vec<String>,
    filter: Option<(String, String)>,
    cursor: Option<String>,
    ended: bool,
}

/// One page: its rows, and the answer as it came.
pub(crate) struct Rows {
    pub(crate) rows: Vec<Value>,
    body: String,
}

impl<'a> Pages<'a> {
    /// The list at the path with these segments.
    pub(crate) fn new(client: &'a Client, path: &[&str], filter: Option<(&str, &str)>) -> Self {
        let path = path.iter().map(ToString::to_string).collect();
        let filter = filter.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { client, path, filter, cursor: None, ended: false }
    }

    /// The next page; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Rows>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let request = self.client.get(&path).query("limit", Some(PAGE_ROWS));
        let mut request = request.query("cursor", self.cursor.as_ref());
        if let Some((name, value)) = &self.filter {
            request = request.query(name, Some(value));
        }
        let answer = request.send()?;
        let page: Page<Value> = answer.parse()?;
        self.ended = page.next_cursor.is_none();
        if !self.ended && page.next_cursor == self.cursor {
            return Err(Failure::refused("the instance's list does not end"));
        }
        self.cursor = page.next_cursor;
        Ok(Some(Rows { rows: page.data, body: answer.body }))
    }
}

/// Reads a list to its end.
pub(crate) fn whole(client: &Client, path: &[&str], filter: Option<(&str, &str)>) -> Result<Whole, Failure> {
    let mut pages = Pages::new(client, path, filter);
    let (mut rows, mut body, mut count) = (Vec::new(), None, 0);
    while let Some(page) = pages.next()? {
        rows.extend(page.rows);
        body = Some(page.body);
        count += 1;
    }
    Ok(Whole { rows, body: body.filter(|_| count == 1) })
}

/// The first row of a list that is the one.
pub(crate) fn find(
    client: &Client,
    path: &[&str],
    is_it: impl Fn(&Value) -> bool,
) -> Result<Option<Value>, Failure> {
    let mut pages = Pages::new(client, path, None);
    while let Some(page) = pages.next()? {
        if let Some(row) = page.rows.into_iter().find(&is_it) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// A row of a list as a type.
pub(crate) fn parse_row<T: DeserializeOwned>(row: &Value) -> Result<T, Failure> {
    T::deserialize(row)
        .map_err(|e| Failure::refused(format!("a row of the list has an unexpected shape: {e}")))
}

impl Whole {
    /// Prints it as JSON: as it came, or its pages as one list.
    pub(crate) fn print(&self, ctx: &Context) -> Result<(), Failure> {
        match &self.body {
            Some(body) => ctx.out.answer(body),
            None => {
                let list = json!({ "object": "list", "data": self.rows, "next_cursor": null });
                ctx.out.answer(&list.to_string())
            }
        }
    }

    /// Its rows as a type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        self.rows.iter().map(parse_row).collect()
    }
}
