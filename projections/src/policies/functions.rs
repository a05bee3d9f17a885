//! The names a rule may use, and how what they are called on is metered.

use cel::common::ast::operators;

/// The variables of a rule, as they are written.
pub(super) const VARIABLES: [&str; 5] = ["record", "resource", "actor", "namespace", "scopes"];
/// The fields of `record`.
pub(super) const RECORD_FIELDS: [&str; 8] =
    ["parents", "thread", "actor", "act", "body", "clock", "data_type", "judged_by"];
/// Types that `type(x)` may be compared with.
pub(super) const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// A function: its name, how many arguments it takes, and what that costs.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Numbers of arguments of `f(x)`.
    pub(super) global: &'static [usize],
    /// Numbers of arguments of `x.f(y)`, `x` not counted.
    pub(super) member: &'static [usize],
    /// Whether it parses a text, at far more for each byte than reading it.
    pub(super) parses: bool,
    /// Whether its result is of at most a few hundred bytes.
    pub(super) small: bool,
}

const fn function(
    name: &'static str,
    global: &'static [usize],
    member: &'static [usize],
    parses: bool,
    small: bool,
) -> Function {
    Function { name, global, member, parses, small }
}

/// Every function of a rule.
pub(super) const FUNCTIONS: [Function; 28] = [
    function("now", &[0], &[], false, true),
    function("current_actor", &[0], &[], false, true),
    function("size", &[1], &[0], false, true),
    function("type", &[1], &[], false, true),
    function("dyn", &[1], &[], false, false),
    function("matches", &[2], &[1], false, true),
    function("contains", &[], &[1], false, true),
    function("startsWith", &[], &[1], false, true),
    function("endsWith", &[], &[1], false, true),
    function("bool", &[1], &[], true, true),
    function("bytes", &[1], &[], false, false),
    function("double", &[1], &[], true, true),
    function("duration", &[1], &[], true, true),
    function("int", &[1], &[], true, true),
    function("string", &[1], &[], false, false),
    function("timestamp", &[1], &[], true, true),
    function("uint", &[1], &[], true, true),
    function("getDate", &[], &[0, 1], false, true),
    function("getDayOfMonth", &[], &[0, 1], false, true),
    function("getDayOfWeek", &[], &[0, 1], false, true),
    function("getDayOfYear", &[], &[0, 1], false, true),
    function("getFullYear", &[], &[0, 1], false, true),
    function("getHours", &[], &[0, 1], false, true),
    function("getMilliseconds", &[], &[0, 1], false, true),
    function("getMinutes", &[], &[0, 1], false, true),
    function("getMonth", &[], &[0, 1], false, true),
    function("getSeconds", &[], &[0, 1], false, true),
    // Made by the parser around the step of `all` and `exists`.
    function(operators::NOT_STRICTLY_FALSE, &[1], &[], false, true),
];

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// Operators that hand on what they are given, or stop early: they cost nothing by themselves.
pub(super) fn passes_on(name: &str) -> bool {
    matches!(
        name,
        operators::CONDITIONAL
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
    )
}

/// Whether the parser makes a call of this name out of an operator.
pub(super) fn is_operator(name: &str) -> bool {
    passes_on(name) || name == operators::ADD || name == operators::INDEX || is_scalar_operator(name)
}

/// Operators whose result is a number or a boolean.
pub(super) fn is_scalar_operator(name: &str) -> bool {
    matches!(
        name,
        operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::GREATER_EQUALS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::LESS
            | operators::NEGATE
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::IN
    )
}
