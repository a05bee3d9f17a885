//! Puts the meter into a checked expression.
//!
//! Each operation whose cost depends on data pays before it runs: what a function or an operator is given is
//! wrapped in a call that charges for it and hands it on. Each step of a comprehension pays for the nodes that
//! it evaluates. What is known to be small is left as it is, so that most rules run unmetered.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators,
};
use spl_kernel::refusal::Refusal;

use super::{
    check::pattern_of,
    environment::{ADD, DEEP, EQUALS, FLAT, IN, MATCHES, METER, PARSED, POSITION, RANGE, SCALAR, STEP},
    functions::{self, TYPES},
    meter::units_of,
    pattern::Patterns,
    scan::NAMESPACE,
};

/// The variable that `now()` reads.
pub(super) const NOW: &str = "@now";
/// The variable that `current_actor()` reads: one that no comprehension can shadow.
pub(super) const ACTOR: &str = "@actor";
/// What the parser calls the accumulator of a comprehension.
const ACCUMULATOR: &str = "@result";
/// What one step costs beside its nodes: copying the item, binding it.
const STEP_UNITS: u64 = 8;
/// Fields of a record whose size is bounded by far less than its body's.
const SMALL_FIELDS: [&str; 6] = ["thread", "actor", "act", "clock", "data_type", "judged_by"];

/// A rewritten expression and what it needs.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) expression: IdedExpr,
    pub(super) patterns: Patterns,
    pub(super) reads_record: bool,
    /// Also the body, which is parsed for it.
    pub(super) reads_body: bool,
    pub(super) reads_now: bool,
}

/// Rewrites a checked expression.
pub(super) fn rewrite(expression: IdedExpr) -> Result<Rewritten, Refusal> {
    let mut rewriter = Rewriter::default();
    let expression = rewriter.node(expression)?;
    let Rewriter { patterns, reads_record, reads_body, reads_now, .. } = rewriter;
    Ok(Rewritten { expression, patterns, reads_record, reads_body, reads_now })
}

#[derive(Default)]
struct Rewriter {
    patterns: Patterns,
    /// Names that the comprehension around binds.
    locals: Vec<String>,
    reads_record: bool,
    reads_body: bool,
    reads_now: bool,
}

impl Rewriter {
    fn node(&mut self, node: IdedExpr) -> Result<IdedExpr, Refusal> {
        let IdedExpr { id, expr } = node;
        let expr = match expr {
            Expr::Call(call) => self.call(call)?,
            Expr::Comprehension(comprehension) => self.comprehension(*comprehension)?,
            Expr::Select(mut select) => {
                if select.field != "body" && is_record(&select.operand) {
                    self.reads_record = true;
                } else {
                    select.operand = Box::new(self.node(*select.operand)?);
                }
                Expr::Select(select)
            }
            Expr::List(list) => self.list(list)?,
            Expr::Map(map) => self.map(map)?,
            Expr::Ident(name) => {
                // Also where it is shadowed: then a record is made ready in vain.
                self.reads_record |= name == "record";
                self.reads_body |= name == "record";
                Expr::Ident(name)
            }
            other => other,
        };
        Ok(IdedExpr { id, expr })
    }

    fn nodes(&mut self, nodes: Vec<IdedExpr>) -> Result<Vec<IdedExpr>, Refusal> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    /// Rewrites an operand and has it paid for by `charge`, unless it is small.
    fn paid(&mut self, charge: &str, node: IdedExpr) -> Result<IdedExpr, Refusal> {
        if self.is_small(&node) {
            return self.node(node);
        }
        let node = self.node(node)?;
        Ok(charged(charge, node))
    }

    fn list(&mut self, list: ListExpr) -> Result<Expr, Refusal> {
        let elements =
            list.elements.into_iter().map(|node| self.paid(DEEP, node)).collect::<Result<_, _>>()?;
        Ok(Expr::List(ListExpr { elements, ..list }))
    }

    fn map(&mut self, mut map: MapExpr) -> Result<Expr, Refusal> {
        for entry in &mut map.entries {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                entry.key = self.paid(SCALAR, std::mem::take(&mut entry.key))?;
                entry.value = self.paid(DEEP, std::mem::take(&mut entry.value))?;
            }
        }
        Ok(Expr::Map(map))
    }

    fn call(&mut self, mut call: CallExpr) -> Result<Expr, Refusal> {
        match call.func_name.as_str() {
            "now" => {
                self.reads_now = true;
                return Ok(Expr::Ident(NOW.to_owned()));
            }
            "current_actor" => return Ok(Expr::Ident(ACTOR.to_owned())),
            "matches" => return self.matches(call),
            operators::IN => return self.metered(IN, call.args),
            operators::EQUALS => return self.metered(EQUALS, call.args),
            operators::NOT_EQUALS => {
                let equal = self.metered(EQUALS, call.args)?;
                return Ok(global(operators::LOGICAL_NOT, vec![IdedExpr { id: 0, expr: equal }]).expr);
            }
            operators::ADD if !adds_to_accumulator(&call) => return self.metered(ADD, call.args),
            operators::ADD => call.args = self.nodes(call.args)?,
            operators::INDEX => {
                let mut args = std::mem::take(&mut call.args).into_iter();
                if let (Some(of), Some(at)) = (args.next(), args.next()) {
                    let plain = matches!(
                        &at.expr,
                        Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::String(_))
                    );
                    let at = self.node(at)?;
                    let at = if plain { at } else { charged(POSITION, at) };
                    call.args = vec![self.node(of)?, at];
                }
            }
            name if functions::passes_on(name) => call.args = self.nodes(call.args)?,
            name => {
                let charge = match functions::find(name) {
                    Some(function) if function.parses => PARSED,
                    Some(_) => FLAT,
                    None => SCALAR,
                };
                if let Some(target) = call.target.take() {
                    call.target = Some(Box::new(self.paid(charge, *target)?));
                }
                call.args =
                    call.args.into_iter().map(|node| self.paid(charge, node)).collect::<Result<_, _>>()?;
            }
        }
        Ok(Expr::Call(call))
    }

    /// An operator replaced by a function that is given the meter too.
    fn metered(&mut self, function: &str, operands: Vec<IdedExpr>) -> Result<Expr, Refusal> {
        let mut args = vec![ident(METER)];
        args.extend(self.nodes(operands)?);
        Ok(global(function, args).expr)
    }

    /// `text.matches('pattern')` and `matches(text, 'pattern')`.
    fn matches(&mut self, mut call: CallExpr) -> Result<Expr, Refusal> {
        let name = self.patterns.variable(pattern_of(&call).unwrap_or_default())?;
        call.args.pop();
        let text = call.target.take().map_or_else(|| call.args.pop().unwrap_or_default(), |target| *target);
        let text = self.node(text)?;
        Ok(global(MATCHES, vec![ident(METER), text, ident(&name)]).expr)
    }

    fn comprehension(&mut self, mut inner: ComprehensionExpr) -> Result<Expr, Refusal> {
        inner.iter_range = charged(RANGE, self.node(inner.iter_range)?);
        inner.accu_init = self.node(inner.accu_init)?;
        self.locals = vec![inner.iter_var.clone()];
        self.locals.extend(inner.iter_var2.clone());
        inner.loop_cond = self.node(inner.loop_cond)?;
        inner.loop_step = self.node(inner.loop_step)?;
        inner.result = self.node(inner.result)?;
        self.locals.clear();

        let units = STEP_UNITS + units(&inner.loop_cond) + units(&inner.loop_step);
        // `map` and `filter` append in place only while they look as the parser made them, so the step pays
        // inside: for its guard, or for what it appends. The others pay in the condition, whose errors end
        // the loop where those of the step may be put off.
        let appends = matches!(&inner.loop_cond.expr, Expr::Literal(_))
            && matches!(&inner.result.expr, Expr::Ident(name) if name == ACCUMULATOR);
        if appends {
            pay_in_step(&mut inner.loop_step, units);
        } else {
            inner.loop_cond = stepped(units, inner.loop_cond);
        }
        Ok(Expr::Comprehension(Box::new(inner)))
    }

    /// Whether a value is at most a few hundred bytes whatever the data.
    fn is_small(&self, node: &IdedExpr) -> bool {
        match &node.expr {
            Expr::Literal(_) => true,
            Expr::Ident(name) => {
                let variable = ["resource", "actor", NAMESPACE, ACCUMULATOR].contains(&name.as_str());
                (variable || TYPES.contains(&name.as_str())) && !self.locals.contains(name)
            }
            Expr::Select(select) => {
                let of_record =
                    is_record(&select.operand) && !self.locals.iter().any(|local| local == "record");
                select.test || (of_record && SMALL_FIELDS.contains(&select.field.as_str()))
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                functions::is_scalar_operator(name) || functions::find(name).is_some_and(|f| f.small)
            }
            _ => false,
        }
    }
}

fn is_record(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name == "record")
}

/// Whether this is how the parser has a comprehension add to what it has.
fn adds_to_accumulator(call: &CallExpr) -> bool {
    matches!(call.args.first().map(|node| &node.expr), Some(Expr::Ident(name)) if name == ACCUMULATOR)
}

/// Has the step of a `map` or `filter` pay.
fn pay_in_step(step: &mut IdedExpr, units: u64) {
    let Expr::Call(call) = &mut step.expr else { return };
    if call.func_name == operators::CONDITIONAL {
        if let Some(guard) = call.args.first_mut() {
            *guard = stepped(units, std::mem::take(guard));
        }
    } else if let Some(IdedExpr { expr: Expr::List(list), .. }) = call.args.last_mut()
        && let Some(item) = list.elements.first_mut()
    {
        *item = stepped(units, std::mem::take(item));
    }
}

/// What evaluating a rewritten node once costs, but for what its calls are given.
fn units(node: &IdedExpr) -> u64 {
    let all = |nodes: &[IdedExpr]| nodes.iter().map(units).sum::<u64>();
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => 1 + units_of(text.inner().len()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => 1 + units_of(bytes.inner().len()),
        Expr::Call(call) => 3 + call.target.as_deref().map_or(0, units) + all(&call.args),
        Expr::Select(select) => 3 + units_of(select.field.len()) + units(&select.operand),
        Expr::List(list) => 3 + list.elements.len() as u64 + all(&list.elements),
        Expr::Map(map) => {
            let entry = |entry: &cel::common::ast::IdedEntryExpr| match &entry.expr {
                EntryExpr::MapEntry(entry) => 6 + units(&entry.key) + units(&entry.value),
                EntryExpr::StructField(field) => units(&field.value),
            };
            6 + map.entries.iter().map(entry).sum::<u64>()
        }
        _ => 1,
    }
}

fn ident(name: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) }
}

fn global(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn charged(charge: &str, node: IdedExpr) -> IdedExpr {
    global(charge, vec![ident(METER), node])
}

fn stepped(units: u64, node: IdedExpr) -> IdedExpr {
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    let units = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(units.into())) };
    global(STEP, vec![ident(METER), units, node])
}
