//! Data as CEL values.

use std::collections::HashMap;

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
    value::{CowVal, Val},
};
use spl_kernel::{
    json::{Bounds, Json},
    limits::{BODY_LEVELS_MAX, BODY_VALUES_MAX},
    time::UnixMillis,
};

use super::{RecordView, environment::environment};

type Value<'v> = Box<dyn Val + 'v>;

/// A text, borrowed.
pub(super) fn text(text: &str) -> Value<'_> {
    Box::new(CelString::from(text))
}

/// Null.
pub(super) fn null<'v>() -> Value<'v> {
    Box::new(CelNull)
}

/// A list of texts, borrowed.
pub(super) fn texts(texts: &[String]) -> Value<'_> {
    Box::new(CelList::from(texts.iter().map(|t| text(t)).collect::<Vec<_>>()))
}

/// A record with its eight fields; `None` if its body is not what a body is. Without `with_body` the body is
/// left null, for expressions that do not look at it.
pub(super) fn record<'v>(record: &RecordView<'v>, with_body: bool) -> Option<Value<'v>> {
    let bounds = Bounds { levels: BODY_LEVELS_MAX, values: BODY_VALUES_MAX };
    let body = if with_body { Json::parse(record.body.as_bytes(), bounds).ok()? } else { Json::Null };
    let parents: Vec<Value<'v>> = record.parents.iter().map(|id| owned(id.to_string())).collect();
    Some(map([
        ("parents", Box::new(CelList::from(parents)) as Value<'v>),
        ("thread", text(record.thread)),
        ("actor", text(record.actor)),
        ("act", text(record.act.as_str())),
        ("body", json(body)),
        ("clock", record.clock.map_or_else(null, clock)),
        ("data_type", text(record.data_type.as_str())),
        ("judged_by", record.judged_by.map_or_else(null, |id| owned(id.to_string()))),
    ]))
}

/// An instant as a CEL timestamp. The standard library makes it from text, so that the calendar library
/// behind it stays its own affair.
pub(super) fn timestamp<'v>(now: UnixMillis) -> Option<Value<'v>> {
    let argument = [CowVal::Owned(owned(now.to_string()))];
    let make = environment().find_overload("timestamp", &argument)?;
    make(argument.into()).ok().map(CowVal::into_owned)
}

fn owned<'v>(text: String) -> Value<'v> {
    Box::new(CelString::from(text))
}

fn clock<'v>(clock: u64) -> Value<'v> {
    #[expect(clippy::cast_precision_loss, reason = "a clock over its limit is the nearest double")]
    i64::try_from(clock).map_or_else(|_| Box::new(CelDouble::from(clock as f64)) as Value<'v>, int)
}

fn int<'v>(n: i64) -> Value<'v> {
    Box::new(CelInt::from(n))
}

fn map<'v, const N: usize>(members: [(&'static str, Value<'v>); N]) -> Value<'v> {
    let members: HashMap<CelMapKey<'v>, Value<'v>> =
        members.into_iter().map(|(key, value)| (CelMapKey::String(CelString::from(key)), value)).collect();
    Box::new(CelMap::from(members))
}

/// Integers that fit are `int`, also those written `2.0`, as in canonical form; other numbers are `double`.
fn json<'v>(value: Json) -> Value<'v> {
    match value {
        Json::Null => null(),
        Json::Bool(b) => Box::new(CelBool::from(b)),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Box::new(CelDouble::from(number.as_f64())) as Value<'v>, int)
        }
        Json::String(text) => owned(text),
        Json::Array(items) => Box::new(CelList::from(items.into_iter().map(json).collect::<Vec<_>>())),
        Json::Object(object) => {
            let members: HashMap<CelMapKey<'v>, Value<'v>> = object
                .into_members()
                .map(|(key, value)| (CelMapKey::String(CelString::from(key)), json(value)))
                .collect();
            Box::new(CelMap::from(members))
        }
    }
}
