//! The operators that take lists and maps.
//!
//! The interpreter's own make an error, with a copy of both sides, of each pair that cannot be compared or
//! added, also deep inside a comparison that is merely false. In a loop over what a stranger wrote such copies
//! are most of the cost. These mean the same and copy nothing but results.

use cel::{
    ExecutionError,
    common::{
        types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, CelUInt},
        value::{CowVal, Val},
    },
};

use super::{
    environment::{Outcome, is_container, meter, no_overload},
    meter::{Meter, OverBound},
};

/// `(meter, a, b)`: `a == b`.
pub(super) fn equals<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [_, a, b] = arguments.as_slice() else { return Err(no_overload()) };
    let equal = is_equal(Some(meter(&arguments)?), a.as_ref(), b.as_ref())?;
    Ok(CowVal::owned(CelBool::from(equal)))
}

/// `(meter, value, container)`: `value in container`.
pub(super) fn is_in<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [_, value, container] = arguments.as_slice() else { return Err(no_overload()) };
    let meter = meter(&arguments)?;
    let inside = if let Some(list) = container.downcast_ref::<CelList<'_>>() {
        is_item(meter, value.as_ref(), list)?
    } else if is_container(value.as_ref()) {
        return Err(no_overload());
    } else {
        meter.charge_deep(value.as_ref())?;
        container.as_container().ok_or_else(no_overload)?.contains(value.as_ref())?
    };
    Ok(CowVal::owned(CelBool::from(inside)))
}

/// `(meter, a, b)`: `a + b`.
///
/// The interpreter lets a map stand on the right of a list and adds its keys, in an order that differs from
/// run to run; CEL has no such operator, and neither has this.
pub(super) fn add<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [_, a, b] = arguments.as_slice() else { return Err(no_overload()) };
    if shape(a.as_ref()) != shape(b.as_ref()) {
        return Err(no_overload());
    }
    let meter = meter(&arguments)?;
    meter.charge_deep(a.as_ref())?;
    meter.charge_deep(b.as_ref())?;
    let sum = a.as_adder().ok_or_else(no_overload)?.add(b.as_ref())?;
    Ok(CowVal::Owned(sum.into_owned()))
}

/// What can be large, each of which only adds to its like.
#[derive(PartialEq, Eq)]
enum Shape {
    List,
    Map,
    Text,
    Bytes,
    Small,
}

fn shape(value: &dyn Val) -> Shape {
    if value.downcast_ref::<CelList<'_>>().is_some() {
        Shape::List
    } else if value.downcast_ref::<CelMap<'_>>().is_some() {
        Shape::Map
    } else if value.downcast_ref::<CelString<'_>>().is_some() {
        Shape::Text
    } else if value.downcast_ref::<CelBytes<'_>>().is_some() {
        Shape::Bytes
    } else {
        Shape::Small
    }
}

fn is_item(meter: &Meter, value: &dyn Val, list: &CelList<'_>) -> Result<bool, ExecutionError> {
    for item in list.inner() {
        if is_equal(Some(meter), item.as_ref(), value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two values are equal. Each pair that is looked at is paid for, unless the whole was before.
fn is_equal(meter: Option<&Meter>, a: &dyn Val, b: &dyn Val) -> Result<bool, OverBound> {
    let charge = |units| meter.map_or(Ok(()), |meter| meter.charge(units));
    if let Some(a) = a.downcast_ref::<CelList<'_>>() {
        charge(2)?;
        let Some(b) = b.downcast_ref::<CelList<'_>>().filter(|b| a.inner().len() == b.inner().len()) else {
            return Ok(false);
        };
        for (a, b) in a.inner().iter().zip(b.inner()) {
            if !is_equal(meter, a.as_ref(), b.as_ref())? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let Some(a) = a.downcast_ref::<CelMap<'_>>() {
        charge(2)?;
        let Some(b) = b.downcast_ref::<CelMap<'_>>().filter(|b| a.inner().len() == b.inner().len()) else {
            return Ok(false);
        };
        // All of it at once: a map has no order, and how much is left must not depend on which of several
        // differences is found first.
        meter.map_or(Ok(()), |meter| meter.charge_deep(a))?;
        return is_equal_map(a, b);
    }
    // Numbers are equal across their types, and to nothing else.
    if is_container(b) || is_number(a) != is_number(b) {
        charge(1)?;
        return Ok(false);
    }
    meter.map_or(Ok(()), |meter| meter.charge_deep(a))?;
    Ok(a.equals(b))
}

fn is_equal_map(a: &CelMap<'_>, b: &CelMap<'_>) -> Result<bool, OverBound> {
    for (key, value) in a.inner() {
        let Some(Ok(other)) = b.as_indexer().map(|b| b.get(key_of(key))) else { return Ok(false) };
        if !is_equal(None, value.as_ref(), other.as_ref())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn key_of<'a, 'v>(key: &'a CelMapKey<'v>) -> &'a (dyn Val + 'v) {
    match key {
        CelMapKey::Bool(b) => b,
        CelMapKey::Int(n) => n,
        CelMapKey::UInt(n) => n,
        CelMapKey::String(text) => text,
    }
}

fn is_number(value: &dyn Val) -> bool {
    value.downcast_ref::<CelInt>().is_some()
        || value.downcast_ref::<CelUInt>().is_some()
        || value.downcast_ref::<CelDouble>().is_some()
}
