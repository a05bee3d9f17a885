//! Random filters over real records, compared with a naive evaluation of what was exported.

use std::cmp::Ordering;

use serde_json::{Value, json};
use spl_fixtures::{data::debian_lines, random::Random};

use super::server::Server;

const PATHS: [&str; 16] = [
    "id",
    "thread",
    "actor",
    "act",
    "clock",
    "data_type",
    "namespace",
    "created_at",
    "sequence",
    "body.package",
    "body.installed_size_kib",
    "body.depends",
    "body.homepage",
    "body.priority",
    "body.none",
    "body.section",
];

fn value_at(record: &Value, path: &str) -> Option<Value> {
    match path.strip_prefix("body.") {
        Some(rest) => rest.split('.').try_fold(&record["body"], |at, key| at.as_object()?.get(key)).cloned(),
        None if path == "namespace" => Some(record["body"]["namespace"].as_str().unwrap_or("default").into()),
        None => record.get(path).cloned(),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        _ => None,
    }
}

/// By trying every split, which the real matcher must not do.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|i| like(rest, &text[i..])),
        ['_', rest @ ..] => !text.is_empty() && like(rest, &text[1..]),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(rest, &text[1..]),
    }
}

fn test(operator: &str, operand: &Value, value: Option<&Value>) -> bool {
    let order = value.and_then(|v| compare(v, operand));
    let among = |all: &Value| all.as_array().is_some_and(|all| all.iter().any(|v| value == Some(v)));
    let chars = |text: &str, fold: bool| -> Vec<char> {
        if fold { text.to_lowercase().chars().collect() } else { text.chars().collect() }
    };
    let matches = |fold| {
        let pattern = chars(operand.as_str().unwrap_or_default(), fold);
        value.and_then(Value::as_str).is_some_and(|text| like(&pattern, &chars(text, fold)))
    };
    match operator {
        "$eq" => value == Some(operand),
        "$ne" => value != Some(operand),
        "$gt" => order == Some(Ordering::Greater),
        "$gte" => order.is_some_and(Ordering::is_ge),
        "$lt" => order == Some(Ordering::Less),
        "$lte" => order.is_some_and(Ordering::is_le),
        "$in" => among(operand),
        "$nin" => !among(operand),
        "$like" => matches(false),
        "$ilike" => matches(true),
        "$exists" => operand == &json!(value.is_some()),
        _ => unreachable!("{operator}"),
    }
}

fn matches(filter: &Value, record: &Value) -> bool {
    let all = |list: &Value| list.as_array().expect("a list").iter().all(|f| matches(f, record));
    let any = |list: &Value| list.as_array().expect("a list").iter().any(|f| matches(f, record));
    filter.as_object().expect("a filter").iter().all(|(key, value)| match key.as_str() {
        "$and" => all(value),
        "$or" => any(value),
        "$not" => !matches(value, record),
        path => {
            let found = value_at(record, path);
            let operators = value.as_object().expect("operators");
            operators.iter().all(|(operator, operand)| test(operator, operand, found.as_ref()))
        }
    })
}

struct Filters<'a> {
    random: Random,
    records: &'a [Value],
}

impl Filters<'_> {
    fn operand(&mut self, path: &str) -> Value {
        // Mostly a value that some record has there.
        let record = &self.records[self.random.index(self.records.len())];
        match value_at(record, path) {
            Some(value) if !self.random.one_in(8) => value,
            _ => [json!(100), json!("optional"), json!(null), json!(true), json!([])][self.random.index(5)]
                .clone(),
        }
    }

    fn pattern(&mut self, path: &str) -> Value {
        let operand = self.operand(path);
        let text = operand.as_str().unwrap_or("lib");
        let chars: Vec<char> = text.chars().take(12).collect();
        let mut pattern = String::new();
        for c in chars {
            match self.random.below(8) {
                0 => pattern.push('_'),
                1 => pattern.push('%'),
                2 => pattern.extend(['\\', c]),
                _ => pattern.push(c),
            }
        }
        if !self.random.one_in(3) {
            pattern.push('%');
        }
        pattern.into()
    }

    fn condition(&mut self) -> Value {
        let path = PATHS[self.random.index(PATHS.len())];
        let operators =
            ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$like", "$ilike", "$exists"];
        let operator = operators[self.random.index(operators.len())];
        let operand = match operator {
            "$in" | "$nin" => {
                (0..self.random.below(4)).map(|_| self.operand(path)).collect::<Vec<_>>().into()
            }
            "$like" | "$ilike" => self.pattern(path),
            "$exists" => self.random.one_in(2).into(),
            "$eq" | "$ne" => self.operand(path),
            _ => match self.operand(path) {
                operand @ (Value::Number(_) | Value::String(_)) => operand,
                _ => json!(1),
            },
        };
        json!({ (path): { (operator): operand } })
    }

    fn filter(&mut self, depth: u64) -> Value {
        if depth == 0 || self.random.one_in(3) {
            return self.condition();
        }
        let some: Vec<Value> = (0..=self.random.below(3)).map(|_| self.filter(depth - 1)).collect();
        match self.random.below(3) {
            0 => json!({ "$and": some }),
            1 => json!({ "$or": some }),
            _ => json!({ "$not": some[0] }),
        }
    }
}

#[test]
fn random_filters_find_what_a_naive_reader_finds() {
    let server = Server::start();
    for lines in debian_lines().take(600).collect::<Vec<_>>().chunks(300) {
        server.write(&format!("{{\"records\":[{}]}}", lines.join(","))).is(201);
    }
    let records = server.exported(false);
    let mut filters = Filters { random: Random::new(7), records: &records };
    let mut found = 0;
    for _ in 0..250 {
        let filter = filters.filter(3);
        let expected: Vec<&Value> =
            records.iter().filter(|r| matches(&filter, r)).map(|r| &r["id"]).collect();
        let answer = server.query(&json!({ "filter": filter, "limit": 1000, "select": ["id"] }));
        let rows = answer["data"].as_array().expect("rows");
        let ids: Vec<&Value> = rows.iter().map(|r| &r["id"]).collect();
        assert_eq!(ids, expected, "{filter}");
        found += usize::from(!ids.is_empty() && ids.len() < records.len());
        let sort = PATHS[filters.random.index(PATHS.len())];
        if sort != "body.depends" && filters.random.one_in(3) {
            let direction = if filters.random.one_in(2) { 1 } else { -1 };
            check_sorted(&server, &filter, sort, direction, &expected);
        }
    }
    assert!(found > 80, "only {found} filters tell records apart");
}

/// The same rows, in the order of a key, page after page.
fn check_sorted(server: &Server, filter: &Value, path: &str, direction: i64, expected: &[&Value]) {
    let mut query =
        json!({ "filter": filter, "sort": { (path): direction }, "limit": 170, "select": ["id", path] });
    if path == "id" {
        query["select"] = json!(["id"]);
    }
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let page = server.query(&query);
        rows.extend(page["data"].as_array().expect("rows").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => query["cursor"] = next.into(),
            None => break,
        }
    }
    let keys: Vec<&Value> = rows.iter().filter_map(|r| r.get(path)).collect();
    let ordered = |pair: &[&Value]| {
        let order = compare(pair[0], pair[1]).expect("keys of one type");
        if direction == 1 { order.is_le() } else { order.is_ge() }
    };
    assert!(keys.windows(2).all(ordered), "{filter} by {path}");
    let mut ids: Vec<String> = rows.iter().map(|r| r["id"].to_string()).collect();
    let mut wanted: Vec<String> = expected.iter().map(ToString::to_string).collect();
    ids.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(ids, wanted, "{filter} by {path}");
}
