//! What a parsed expression may hold.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use spl_kernel::refusal::{Code, Refusal};

use super::{
    NESTING_MAX, NODES_MAX,
    functions::{self, RECORD_FIELDS, TYPES, VARIABLES},
    scan::{NAMESPACE, too_deep},
};

/// Checks nesting, nodes, comprehensions and names.
pub(super) fn check(expression: &IdedExpr) -> Result<(), Refusal> {
    Checker { nodes: 0, locals: Vec::new(), in_comprehension: false }.walk(expression, 1)
}

struct Checker<'a> {
    nodes: usize,
    /// Names that the comprehension around binds.
    locals: Vec<&'a str>,
    in_comprehension: bool,
}

impl<'a> Checker<'a> {
    fn walk(&mut self, node: &'a IdedExpr, level: usize) -> Result<(), Refusal> {
        // Before anything is called on what is below, so that this stops in time too.
        if level > NESTING_MAX {
            return Err(too_deep());
        }
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(refusal(format!("the expression has more than {NODES_MAX} nodes"))
                .hint("split it into several rules"));
        }
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select, level),
            Expr::Call(call) => self.call(call, level),
            Expr::List(list) => self.all(&list.elements, level),
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.walk(&entry.key, level + 1)?;
                            self.walk(&entry.value, level + 1)?;
                        }
                        EntryExpr::StructField(_) => return Err(no_messages()),
                    }
                }
                Ok(())
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, level),
            Expr::Struct(_) => Err(no_messages()),
            Expr::Unspecified => Err(refusal("the expression does not parse".to_owned())),
        }
    }

    fn all(&mut self, nodes: &'a [IdedExpr], level: usize) -> Result<(), Refusal> {
        nodes.iter().try_for_each(|node| self.walk(node, level + 1))
    }

    fn variable(&self, name: &str) -> Result<(), Refusal> {
        let known = name == NAMESPACE
            || self.locals.contains(&name)
            || (VARIABLES.contains(&name) && name != "namespace")
            || TYPES.contains(&name);
        if known { Ok(()) } else { Err(unknown_variable(name)) }
    }

    fn select(&mut self, select: &'a SelectExpr, level: usize) -> Result<(), Refusal> {
        let of_record = matches!(&select.operand.expr, Expr::Ident(name) if name == "record")
            && !self.locals.contains(&"record");
        if of_record && !RECORD_FIELDS.contains(&select.field.as_str()) {
            return Err(refusal(format!("a record has no field {}", shown(&select.field))).hint(format!(
                "the fields are {}; what a record says is in record.body",
                RECORD_FIELDS.join(", ")
            )));
        }
        self.walk(&select.operand, level + 1)
    }

    fn call(&mut self, call: &'a CallExpr, level: usize) -> Result<(), Refusal> {
        let name = call.func_name.as_str();
        if !functions::is_operator(name) {
            let Some(function) = functions::find(name) else {
                return Err(unknown_function(name));
            };
            let arities = if call.target.is_some() { function.member } else { function.global };
            if !arities.contains(&call.args.len()) {
                let form = if call.target.is_some() { "called on a value" } else { "called" };
                return Err(refusal(format!(
                    "{name} cannot be {form} with {} argument{}",
                    call.args.len(),
                    if call.args.len() == 1 { "" } else { "s" }
                )));
            }
        }
        if name == "matches" && pattern_of(call).is_none() {
            return Err(refusal("the pattern of matches is not a literal string".to_owned())
                .hint("write the pattern itself, such as record.thread.matches(r'^team-[a-z]+$')"));
        }
        if let Some(target) = &call.target {
            self.walk(target, level + 1)?;
        }
        self.all(&call.args, level)
    }

    fn comprehension(&mut self, inner: &'a ComprehensionExpr, level: usize) -> Result<(), Refusal> {
        if self.in_comprehension {
            return Err(refusal(
                "the expression has a comprehension (all, exists, exists_one, map, filter) inside another"
                    .to_owned(),
            )
            .hint("split it into several rules, or write the inner test out"));
        }
        self.in_comprehension = true;
        self.walk(&inner.iter_range, level + 1)?;
        self.walk(&inner.accu_init, level + 1)?;
        self.locals = vec![&inner.iter_var, &inner.accu_var];
        self.locals.extend(inner.iter_var2.as_deref());
        for part in [&inner.loop_cond, &inner.loop_step, &inner.result] {
            self.walk(part, level + 1)?;
        }
        self.locals.clear();
        self.in_comprehension = false;
        Ok(())
    }
}

/// The literal pattern of a call of `matches`, which is its last argument in both forms.
pub(super) fn pattern_of(call: &CallExpr) -> Option<&str> {
    match &call.args.last()?.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn refusal(message: String) -> Refusal {
    Refusal::new(Code::InvalidBody, message)
}

fn no_messages() -> Refusal {
    refusal("there are no message types to construct".to_owned())
}

/// The refusal of a variable that no rule has.
pub(super) fn unknown_variable(name: &str) -> Refusal {
    refusal(format!("there is no variable {}", shown(name)))
        .hint(format!("the variables are {}; a text stands in quotes", VARIABLES.join(", ")))
}

fn unknown_function(name: &str) -> Refusal {
    let names: Vec<_> = functions::FUNCTIONS.iter().map(|f| f.name).filter(|n| !n.starts_with('@')).collect();
    refusal(format!("there is no function {}", shown(name))).hint(format!(
        "the functions are {}, has, and all, exists, exists_one, map, filter on a list or map",
        names.join(", ")
    ))
}

/// A name out of the expression, not longer than a message should be.
fn shown(name: &str) -> String {
    let name = if name == NAMESPACE { "namespace" } else { name };
    let mut text: String = name.chars().take(64).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    text
}
