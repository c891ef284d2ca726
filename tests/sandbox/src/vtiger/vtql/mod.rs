//! Vtiger's query language: `select … from … where … order by … limit …;` and nothing more.
//!
//! [`parse`] reads the text into a [`Query`] without knowing any module; [`Filter`] and [`Order`] hold it against the
//! fields of one.

mod filter;
mod lexer;
mod parser;

pub(super) use filter::{Filter, Order};
pub(super) use parser::{Columns, Query, parse};
