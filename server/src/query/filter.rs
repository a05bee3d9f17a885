//! Filters: `{"act":"KNOW","body.score":{"$gte":3},"$or":[…]}`.

use spl_kernel::{
    json::{Json, Object},
    limits,
};

use super::eval::Like;
use crate::{
    problem::{Problem, excerpt},
    scan::Source,
};

/// Deepest nesting of `$and`, `$or` and `$not`.
const LEVELS_MAX: usize = 16;
/// Most conditions of one filter, operands of `$in` included.
const CONDITIONS_MAX: usize = 1000;

/// Longest path, in bytes: every condition holds one of its own.
const PATH_BYTES_MAX: usize = 1024;

/// A place in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    Id,
    Thread,
    Actor,
    Act,
    Clock,
    DataType,
    Namespace,
    CreatedAt,
    Sequence,
    /// How the record came here: for admins; others find it absent.
    Origin,
    /// With which token it was written: for admins too.
    TokenId,
    /// And for which account.
    ServiceAccountId,
    Body(Vec<String>),
}

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let unknown = || {
            Problem::invalid_query(format!("unknown path {:?}", excerpt(text))).hint(
                "paths are id, thread, actor, act, clock, data_type, namespace, created_at, sequence, body.<member>, and for admins origin, token_id, service_account_id",
            )
        };
        if text.len() > PATH_BYTES_MAX || text.split('.').count() > limits::BODY_LEVELS_MAX + 1 {
            return Err(Problem::invalid_query(format!(
                "a path is at most {PATH_BYTES_MAX} bytes long and {} members deep",
                limits::BODY_LEVELS_MAX
            )));
        }
        let segment_ok =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        Ok(match text {
            "id" => Self::Id,
            "thread" => Self::Thread,
            "actor" => Self::Actor,
            "act" => Self::Act,
            "clock" => Self::Clock,
            "data_type" => Self::DataType,
            "namespace" => Self::Namespace,
            "created_at" => Self::CreatedAt,
            "sequence" => Self::Sequence,
            "origin" => Self::Origin,
            "token_id" => Self::TokenId,
            "service_account_id" => Self::ServiceAccountId,
            _ => match text.strip_prefix("body.") {
                Some(rest) if rest.split('.').all(segment_ok) => {
                    Self::Body(rest.split('.').map(str::to_owned).collect())
                }
                _ => return Err(unknown()),
            },
        })
    }
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Eq(Json),
    Ne(Json),
    Gt(Json),
    Gte(Json),
    Lt(Json),
    Lte(Json),
    In(Vec<Json>),
    Nin(Vec<Json>),
    Like(Like),
    Exists(bool),
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Test(Path, Test),
}

impl Expr {
    pub(crate) fn parse(filter: &Object) -> Result<Self, Problem> {
        let mut conditions = 0;
        parse_object(filter, 1, &mut conditions)
    }

    /// The index that narrows the candidates most, from conditions that every match must meet.
    pub(crate) fn source(&self) -> Source {
        let mut best = Source::All;
        self.visit_required(&mut |path, test| {
            let Test::Eq(Json::String(value)) = test else { return };
            match path {
                Path::Id => {
                    if let Some(id) = spl_kernel::id::RecordId::parse(value) {
                        best = Source::Id(id);
                    }
                }
                Path::Thread if !matches!(best, Source::Id(_)) => best = Source::Thread(value.clone()),
                Path::Actor if best == Source::All => best = Source::Actor(value.clone()),
                _ => {}
            }
        });
        best
    }

    /// The lowest and highest position that a match can have, from conditions on `sequence`.
    pub(crate) fn sequence_bounds(&self) -> (u64, u64) {
        let (mut low, mut high) = (1, u64::MAX);
        self.visit_required(&mut |path, test| {
            let number = |value: &Json| value.as_i64().and_then(|n| u64::try_from(n).ok());
            if *path != Path::Sequence {
                return;
            }
            match test {
                Test::Gt(value) => low = low.max(number(value).unwrap_or(0).saturating_add(1)),
                Test::Gte(value) => low = low.max(number(value).unwrap_or(0)),
                Test::Lt(value) => high = high.min(number(value).map_or(u64::MAX, |n| n.saturating_sub(1))),
                Test::Lte(value) => high = high.min(number(value).unwrap_or(u64::MAX)),
                _ => {}
            }
        });
        (low, high)
    }

    fn visit_required(&self, visit: &mut dyn FnMut(&Path, &Test)) {
        match self {
            Self::And(all) => all.iter().for_each(|e| e.visit_required(visit)),
            Self::Test(path, test) => visit(path, test),
            Self::Or(_) | Self::Not(_) => {}
        }
    }
}

fn parse_object(filter: &Object, level: usize, conditions: &mut usize) -> Result<Expr, Problem> {
    if level > LEVELS_MAX {
        return Err(Problem::invalid_query(format!("`filter` is nested deeper than {LEVELS_MAX} levels")));
    }
    let mut all = Vec::new();
    for (key, value) in filter.iter() {
        match key {
            "$and" => all.push(Expr::And(parse_list(key, value, level, conditions)?)),
            "$or" => all.push(Expr::Or(parse_list(key, value, level, conditions)?)),
            "$not" => {
                let inner =
                    value.as_object().ok_or_else(|| Problem::invalid_query("`$not` takes an object"))?;
                all.push(Expr::Not(Box::new(parse_object(inner, level + 1, conditions)?)));
            }
            _ if key.starts_with('$') => {
                return Err(Problem::invalid_query(format!("unknown combinator {:?}", excerpt(key)))
                    .hint("combinators are $and, $or and $not"));
            }
            _ => parse_tests(&Path::parse(key)?, value, &mut all, conditions)?,
        }
    }
    Ok(Expr::And(all))
}

fn parse_list(key: &str, value: &Json, level: usize, conditions: &mut usize) -> Result<Vec<Expr>, Problem> {
    let refused = || Problem::invalid_query(format!("`{key}` takes an array of filters, at least one"));
    let elements = value.as_array().filter(|a| !a.is_empty()).ok_or_else(refused)?;
    elements.iter().map(|e| parse_object(e.as_object().ok_or_else(refused)?, level + 1, conditions)).collect()
}

fn count(conditions: &mut usize, more: usize) -> Result<(), Problem> {
    *conditions += more;
    if *conditions > CONDITIONS_MAX {
        return Err(Problem::invalid_query(format!("`filter` has more than {CONDITIONS_MAX} conditions")));
    }
    Ok(())
}

fn parse_tests(
    path: &Path,
    value: &Json,
    all: &mut Vec<Expr>,
    conditions: &mut usize,
) -> Result<(), Problem> {
    let operators = value.as_object().filter(|o| o.iter().any(|(k, _)| k.starts_with('$')));
    let Some(operators) = operators else {
        count(conditions, 1)?;
        all.push(Expr::Test(path.clone(), Test::Eq(value.clone())));
        return Ok(());
    };
    for (operator, operand) in operators.iter() {
        count(conditions, 1)?;
        let test = match operator {
            "$eq" => Test::Eq(operand.clone()),
            "$ne" => Test::Ne(operand.clone()),
            "$gt" => Test::Gt(ordered(operator, operand)?),
            "$gte" => Test::Gte(ordered(operator, operand)?),
            "$lt" => Test::Lt(ordered(operator, operand)?),
            "$lte" => Test::Lte(ordered(operator, operand)?),
            "$in" | "$nin" => {
                let values = operand.as_array().ok_or_else(|| {
                    Problem::invalid_query(format!("`{operator}` takes an array of values"))
                })?;
                count(conditions, values.len())?;
                if operator == "$in" { Test::In(values.to_vec()) } else { Test::Nin(values.to_vec()) }
            }
            "$like" | "$ilike" => {
                let pattern = operand
                    .as_str()
                    .ok_or_else(|| Problem::invalid_query(format!("`{operator}` takes a string")))?;
                Test::Like(Like::parse(pattern, operator == "$ilike").map_err(Problem::invalid_query)?)
            }
            "$exists" => Test::Exists(
                operand.as_bool().ok_or_else(|| Problem::invalid_query("`$exists` takes true or false"))?,
            ),
            _ => {
                return Err(Problem::invalid_query(format!("unknown operator {:?}", excerpt(operator)))
                    .hint("operators are $eq $ne $gt $gte $lt $lte $in $nin $like $ilike $exists"));
            }
        };
        all.push(Expr::Test(path.clone(), test));
    }
    Ok(())
}

fn ordered(operator: &str, operand: &Json) -> Result<Json, Problem> {
    match operand {
        Json::Number(_) | Json::String(_) => Ok(operand.clone()),
        _ => Err(Problem::invalid_query(format!("`{operator}` takes a number or a string"))),
    }
}
