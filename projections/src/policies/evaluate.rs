//! One question, asked of any number of rules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::{
    Context, Value,
    common::{
        types::CelBool,
        value::{CowVal, Val},
    },
};
use spl_kernel::{
    id::RecordId,
    record::{Act, DataType, Record},
    time::UnixMillis,
};

use super::{
    Resource,
    compile::Compiled,
    environment::{METER, environment},
    meter::Meter,
    rewrite::{ACTOR, NOW, Rewritten},
    scan::NAMESPACE,
    value,
};

/// What rules are asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What is to be done.
    pub resource: Resource,
    /// Who asks, if anybody is known to.
    pub actor: Option<&'a str>,
    /// The namespace it is about.
    pub namespace: &'a str,
    /// What the caller's token allows.
    pub scopes: &'a [String],
    /// The record it is about, if it is about one.
    pub record: Option<RecordView<'a>>,
    /// The instant of the request.
    pub now: UnixMillis,
}

/// A record as rules see it, written already or about to be.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// See [`Record::parents`].
    pub parents: &'a [RecordId],
    /// See [`Record::thread`].
    pub thread: &'a str,
    /// See [`Record::actor`].
    pub actor: &'a str,
    /// See [`Record::act`].
    pub act: Act,
    /// The body, as canonical JSON.
    pub body: &'a str,
    /// See [`Record::clock`]; absent while none is assigned.
    pub clock: Option<u64>,
    /// See [`Record::data_type`].
    pub data_type: DataType,
    /// See [`Record::judged_by`].
    pub judged_by: Option<RecordId>,
}

impl<'a> From<&'a Record> for RecordView<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            parents: &record.parents,
            thread: &record.thread,
            actor: &record.actor,
            act: record.act,
            body: &record.body,
            clock: Some(record.clock),
            data_type: record.data_type,
            judged_by: record.judged_by,
        }
    }
}

/// What an expression came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is true.
    True,
    /// It is false.
    False,
    /// It has an error, or is no boolean.
    Failed,
    /// It passed its bound on work, or went through too many items.
    OverBound,
}

impl Compiled {
    /// Evaluates the expression alone.
    #[must_use]
    pub fn evaluate(&self, question: &Question<'_>) -> Outcome {
        Asked::new(question).evaluate(self)
    }
}

/// A question with its values. What is costly to make is made when the first expression needs it, and shared
/// by those after it.
pub(super) struct Asked<'q, 'a> {
    question: &'q Question<'a>,
    context: Context<'q, 'a>,
    has_record: bool,
    has_body: bool,
    /// The body is not what a body is.
    unreadable: bool,
    has_now: bool,
}

impl<'q, 'a> Asked<'q, 'a> {
    pub(super) fn new(question: &'q Question<'a>) -> Self {
        let mut context = Context::with_env(environment().clone());
        let actor = || question.actor.map_or_else(value::null, value::text);
        context.add_variable_as_val("actor", actor());
        context.add_variable_as_val(ACTOR, actor());
        context.add_variable_as_val("resource", value::text(question.resource.as_str()));
        context.add_variable_as_val(NAMESPACE, value::text(question.namespace));
        context.add_variable_as_val("scopes", value::texts(question.scopes));
        Self { question, context, has_record: false, has_body: false, unreadable: false, has_now: false }
    }

    /// Binds what an expression needs and none before it did.
    fn make_ready(&mut self, rewritten: &Rewritten) {
        let lacks_body = rewritten.reads_body && !self.has_body;
        if lacks_body || rewritten.reads_record && !self.has_record {
            let record = match &self.question.record {
                Some(view) => value::record(view, rewritten.reads_body),
                None => Some(value::null()),
            };
            match record {
                Some(record) => self.context.add_variable_as_val("record", record),
                None => self.unreadable = true,
            }
            self.has_record = true;
            self.has_body |= rewritten.reads_body;
        }
        if rewritten.reads_now && !self.has_now {
            if let Some(now) = value::timestamp(self.question.now) {
                self.context.add_variable_as_val(NOW, now);
            }
            self.has_now = true;
        }
    }

    pub(super) fn evaluate(&mut self, compiled: &Compiled) -> Outcome {
        let Compiled(rewritten) = compiled;
        self.make_ready(rewritten);
        if rewritten.reads_body && self.unreadable {
            return Outcome::Failed;
        }
        let meter = Meter::full();
        let mut context = self.context.new_inner_scope();
        context.add_variable_as_val(METER, Box::new(meter.clone()));
        for (name, pattern) in rewritten.patterns.variables() {
            context.add_variable_as_val(name, Box::new(pattern.clone()));
        }
        // The interpreter promises errors and not panics, but whole families of values are behind it (calendar,
        // time zones): what it did not think of is an error of this rule and not the end of a thread. Nothing
        // outlives the unwinding but the meter and values that are not changed by evaluation.
        let result = catch_unwind(AssertUnwindSafe(|| {
            Value::resolve_val(&rewritten.expression, &context).ok().and_then(|value| as_bool(&value))
        }));
        match result {
            _ if meter.is_empty() => Outcome::OverBound,
            Ok(Some(true)) => Outcome::True,
            Ok(Some(false)) => Outcome::False,
            Ok(None) | Err(_) => Outcome::Failed,
        }
    }
}

fn as_bool(value: &CowVal<'_, '_>) -> Option<bool> {
    let value: &dyn Val = value.as_ref();
    value.downcast_ref::<CelBool>().map(|b| *b.inner())
}
