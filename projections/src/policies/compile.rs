//! From a text to what is evaluated.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::{ParseErrors, common::ast::IdedExpr};
use spl_kernel::refusal::{Code, Refusal};

use super::{
    EXPRESSION_BYTES_MAX, NESTING_MAX,
    check::check,
    environment::environment,
    rewrite::{Rewritten, rewrite},
    scan::{NAMESPACE, scan},
};

/// Deepest recursion that the parser is given, in its own count: above what the scan lets through, for texts
/// that the two read differently.
const PARSER_RECURSION_MAX: u16 = NESTING_MAX as u16 + 4;
/// Longest part of a parser's message that is passed on.
const MESSAGE_CHARS_MAX: usize = 200;

/// An expression ready to be evaluated, any number of times and on any thread.
#[derive(Debug)]
pub struct Compiled(pub(super) Rewritten);

/// Compiles an expression.
///
/// # Errors
/// `INVALID_BODY` when it is longer than [`EXPRESSION_BYTES_MAX`], does not parse, is nested deeper than
/// [`NESTING_MAX`], has more than [`NODES_MAX`](super::NODES_MAX) nodes, a comprehension inside another, a
/// pattern that is not a literal, does not parse or is too large, or a name that no rule has.
pub fn compile(expression: &str) -> Result<Compiled, Refusal> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(Refusal::new(
            Code::InvalidBody,
            format!("the expression has {} bytes; at most {EXPRESSION_BYTES_MAX}", expression.len()),
        )
        .hint("split it into several rules"));
    }
    if expression.trim().is_empty() {
        return Err(unparsed("it is empty"));
    }
    let tree = parse(&scan(expression)?)?;
    check(&tree)?;
    rewrite(tree).map(Compiled)
}

fn parse(text: &str) -> Result<IdedExpr, Refusal> {
    let parser = environment().parser().max_recursion_depth(PARSER_RECURSION_MAX);
    // A parser of this size may have a case that it did not think of; an expression is not worth a thread.
    match catch_unwind(AssertUnwindSafe(|| parser.parse(text))) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(errors)) => Err(unparsed(&first_error(&errors))),
        Err(_) => Err(unparsed("the parser cannot read it")),
    }
}

fn first_error(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else {
        return "the parser cannot read it".to_owned();
    };
    let message = error.msg.trim_start_matches("Syntax error: ").replace(NAMESPACE, "namespace");
    let message: String = message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect();
    format!("line {}, column {}: {message}", error.pos.0, error.pos.1)
}

fn unparsed(why: &str) -> Refusal {
    Refusal::new(Code::InvalidBody, format!("the expression does not parse: {why}"))
}
