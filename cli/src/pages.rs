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

/// Reads a list to its end.
pub(crate) fn whole(client: &Client, path: &[&str], filter: Option<(&str, &str)>) -> Result<Whole, Failure> {
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client.get(path).query("limit", Some(PAGE_ROWS)).query("cursor", cursor.as_ref());
        if let Some((name, value)) = filter {
            request = request.query(name, Some(value));
        }
        let answer = request.send()?;
        let page: Page<Value> = answer.parse()?;
        let is_first = rows.is_empty() && cursor.is_none();
        rows.extend(page.data);
        match page.next_cursor {
            None => return Ok(Whole { rows, body: is_first.then_some(answer.body) }),
            next if next == cursor => return Err(Failure::refused("the instance's list does not end")),
            next => cursor = next,
        }
    }
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
        let rows = self.rows.iter().map(T::deserialize);
        rows.collect::<Result<_, _>>()
            .map_err(|e| Failure::refused(format!("a row of the list has an unexpected shape: {e}")))
    }
}
