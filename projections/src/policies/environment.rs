//! The functions that rules run with: those of CEL's standard library, and the metered ones that
//! [`super::rewrite`] puts around what rules do with data.

use std::sync::{Arc, LazyLock};

use cel::{
    Env, ExecutionError,
    common::{
        functions::Function,
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE},
        value::{CowVal, Val},
    },
};

use super::{
    COMPREHENSION_ITEMS_MAX,
    meter::{Meter, text_bytes, units_of},
    operators,
    pattern::Pattern,
};

/// The variable that holds the meter.
pub(super) const METER: &str = "@meter";
/// `(meter, value)`: the value, once paid for as a whole.
pub(super) const DEEP: &str = "@deep";
/// `(meter, value)`: the value, once its text is paid for.
pub(super) const FLAT: &str = "@flat";
/// `(meter, value)`: the value, once every byte of its text is paid for.
pub(super) const PARSED: &str = "@parsed";
/// `(meter, value)`: the value, unless it is a list or a map.
pub(super) const SCALAR: &str = "@scalar";
/// `(meter, value)`: what may stand in `[]`.
pub(super) const POSITION: &str = "@position";
/// `(meter, value)`: what a comprehension goes through.
pub(super) const RANGE: &str = "@range";
/// `(meter, value, value)`: the operator `==`.
pub(super) const EQUALS: &str = "@equals";
/// `(meter, value, value)`: the operator `+`.
pub(super) const ADD: &str = "@add";
/// `(meter, value, container)`: the operator `in`.
pub(super) const IN: &str = "@in_";
/// `(meter, units, value)`: the value, once the units and then the value are paid for.
pub(super) const STEP: &str = "@step";
/// `(meter, text, pattern)`: whether the text has a match.
pub(super) const MATCHES: &str = "@matches";

pub(super) type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    // Optional values are no part of the standard library of the language definition.
    let mut env = Env::stdlib().with_optional_support(false);
    let functions: [(&str, usize, Function); 11] = [
        (DEEP, 2, deep),
        (FLAT, 2, flat),
        (PARSED, 2, parsed),
        (SCALAR, 2, scalar),
        (POSITION, 2, position),
        (RANGE, 2, range),
        (STEP, 3, step),
        (MATCHES, 3, matches),
        (EQUALS, 3, operators::equals),
        (ADD, 3, operators::add),
        (IN, 3, operators::is_in),
    ];
    for (name, arguments, function) in functions {
        let types = (0..arguments).map(|_| DYN_TYPE).collect();
        // Names that no other function has: it cannot fail. If it did, rules that need it would fail.
        let added = env.add_overload(name, name, types, function);
        debug_assert_eq!(added, Ok(()));
    }
    Arc::new(env)
});

/// What every rule is parsed and evaluated with.
pub(super) fn environment() -> &'static Arc<Env> {
    &ENVIRONMENT
}

pub(super) fn meter<'a, 'v>(arguments: &'a [CowVal<'_, 'v>]) -> Result<&'a Meter, ExecutionError> {
    arguments
        .first()
        .and_then(|value| value.downcast_ref::<Meter>())
        .ok_or_else(|| ExecutionError::undeclared_reference(METER))
}

fn last<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    arguments.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

fn deep<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, value] = arguments.as_slice() {
        meter(&arguments)?.charge_deep(value.as_ref())?;
    }
    last(arguments)
}

fn flat<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, value] = arguments.as_slice() {
        meter(&arguments)?.charge(1 + units_of(text_bytes(value.as_ref())))?;
    }
    last(arguments)
}

fn parsed<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, value] = arguments.as_slice() {
        meter(&arguments)?.charge(1 + text_bytes(value.as_ref()) as u64)?;
    }
    last(arguments)
}

/// No operator that is left to the interpreter takes a list or a map. It would say so with a copy of it.
fn scalar<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, value] = arguments.as_slice()
        && is_container(value.as_ref())
    {
        return Err(no_overload());
    }
    flat(arguments)
}

/// Neither a container nor a fraction is a position or a key; here too the interpreter would copy.
fn position<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, value] = arguments.as_slice()
        && let Some(double) = value.downcast_ref::<CelDouble>()
        && (double.inner().fract() != 0.0 || double.inner().abs() >= 9_007_199_254_740_992.0)
    {
        return Err(no_overload());
    }
    scalar(arguments)
}

pub(super) fn is_container(value: &dyn Val) -> bool {
    value.downcast_ref::<CelList<'_>>().is_some() || value.downcast_ref::<CelMap<'_>>().is_some()
}

/// The error of an operator that does not take what it is given. Nobody is shown it.
pub(super) fn no_overload() -> ExecutionError {
    ExecutionError::no_such_overload("", Vec::new())
}

/// What a comprehension goes through: at most so many items, copied one by one. The keys of a map come in
/// their order, which the interpreter leaves to chance.
fn range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let meter = meter(&arguments)?.clone();
    let value = last(arguments)?;
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        if list.inner().len() > COMPREHENSION_ITEMS_MAX {
            return Err(meter.exhaust().into());
        }
        meter.charge_deep(value.as_ref())?;
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        if map.inner().len() > COMPREHENSION_ITEMS_MAX {
            return Err(meter.exhaust().into());
        }
        let mut keys: Vec<&CelMapKey<'v>> = Vec::with_capacity(map.inner().len());
        for key in map.inner().keys() {
            let bytes = if let CelMapKey::String(text) = key { text.inner().len() } else { 0 };
            meter.charge(8 + 2 * units_of(bytes))?;
            keys.push(key);
        }
        keys.sort_unstable_by(|a, b| key_order(a).cmp(&key_order(b)));
        let items: Vec<Box<dyn Val + 'v>> = keys.into_iter().map(key_value).collect();
        return Ok(CowVal::owned(CelList::from(items)));
    }
    Ok(value)
}

/// Booleans, then numbers, then texts.
fn key_order<'a>(key: &'a CelMapKey<'_>) -> (u8, i128, &'a str) {
    match key {
        CelMapKey::Bool(b) => (0, i128::from(*b.inner()), ""),
        CelMapKey::Int(n) => (1, i128::from(*n.inner()), ""),
        CelMapKey::UInt(n) => (1, i128::from(*n.inner()), ""),
        CelMapKey::String(text) => (2, 0, text.inner()),
    }
}

fn key_value<'v>(key: &CelMapKey<'v>) -> Box<dyn Val + 'v> {
    match key {
        CelMapKey::Bool(b) => Box::new(CelBool::from(*b.inner())),
        CelMapKey::Int(n) => n.clone_as_boxed(),
        CelMapKey::UInt(n) => n.clone_as_boxed(),
        CelMapKey::String(text) => text.clone_as_boxed(),
    }
}

fn step<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, units, value] = arguments.as_slice() {
        let meter = meter(&arguments)?;
        let units = units.downcast_ref::<CelInt>().map_or(0, |n| n.inner().unsigned_abs());
        meter.charge(units)?;
        meter.charge_deep(value.as_ref())?;
    }
    last(arguments)
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    if let [_, text, pattern] = arguments.as_slice()
        && let Some(text) = text.downcast_ref::<CelString<'_>>()
        && let Some(pattern) = pattern.downcast_ref::<Pattern>()
    {
        meter(&arguments)?.charge(pattern.units(text.inner().len()))?;
        return Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner()))));
    }
    Err(no_overload())
}
