//! Vtiger's query language: `select … from … where … order by … limit …;` and nothing more.
//!
//! [`parse`] reads the text into a [`Query`] without knowing any module; [`Filter`] and [`Order`] hold it against the
//! fields of one.

mod filter;
mod lexer;
mod parser;

pub(super) use filter::{Filter, Order};
pub(super) use parser::{Columns, Query, parse};

/// What a query asks for, as the server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The module.
    pub module: String,
    /// Names of columns; none for `*` and for a count.
    pub columns: Vec<String>,
    /// Alternatives of conditions that must all hold: a column, and the values that it is compared with.
    pub alternatives: Vec<Vec<(String, Vec<String>)>>,
}

/// Reads a query as the server does, for those who are to hold a written query against what was meant. None if the server refuses it.
pub fn asked(query: &str) -> Option<Asked> {
    let Query { columns, module, alternatives, .. } = parse(query).ok()?;
    let columns = if let Columns::Named(names) = columns { names } else { Vec::new() };
    let all = |all: Vec<parser::Condition>| all.into_iter().map(|one| (one.column, one.values)).collect();
    Some(Asked { module, columns, alternatives: alternatives.into_iter().map(all).collect() })
}
