//! Tokens into a query.

use super::super::answer::Refusal;
use super::lexer::{Kind, Token, tokens};

/// A query as written; no name in it has been looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Query {
    pub(in super::super) columns: Columns,
    pub(in super::super) module: String,
    /// Alternatives, each a list of conditions that must all hold: `and` binds tighter than `or`. Empty means every
    /// record.
    pub(in super::super) alternatives: Vec<Vec<Condition>>,
    pub(in super::super) order_by: Vec<String>,
    /// The one direction at the end, which applies to the last column only.
    pub(in super::super) descending: bool,
    /// Offset and count.
    pub(in super::super) limit: Option<(usize, usize)>,
}

/// What is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Columns {
    All,
    Count,
    Named(Vec<String>),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Condition {
    pub(in super::super) column: String,
    pub(in super::super) operator: Operator,
    /// One value, or several for `in`.
    pub(in super::super) values: Vec<String>,
}

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Operator {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Like,
    In,
}

/// Reads a query.
///
/// # Errors
///
/// `QUERY_SYNTAX_ERROR` names the first token that does not fit; empty literals and double quotes are internal errors.
pub(in super::super) fn parse(text: &str) -> Result<Query, Refusal> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    parser.statement()
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn statement(&mut self) -> Result<Query, Refusal> {
        if self.peek().kind == Kind::Word {
            // Before `select` the real lexer knows no column names.
            self.tokens[0].kind = Kind::Unknown;
        }
        self.expect(Kind::Select)?;
        let columns = self.columns()?;
        self.expect(Kind::From)?;
        let module = self.expect(Kind::Word)?;
        let alternatives = if self.take(Kind::Where) { self.alternatives()? } else { Vec::new() };
        let (order_by, descending) = if self.take(Kind::Order) { self.order()? } else { (Vec::new(), false) };
        let limit = if self.take(Kind::Limit) { Some(self.limit()?) } else { None };
        self.expect(Kind::Semicolon)?;
        self.expect(Kind::End)?;
        Ok(Query { columns, module, alternatives, order_by, descending, limit })
    }

    fn columns(&mut self) -> Result<Columns, Refusal> {
        if self.take(Kind::Star) {
            return Ok(Columns::All);
        }
        let first = self.expect(Kind::Word)?;
        if first.eq_ignore_ascii_case("count") && self.take(Kind::Open) {
            self.expect(Kind::Star)?;
            self.expect(Kind::Close)?;
            return Ok(Columns::Count);
        }
        let mut names = vec![first];
        while self.take(Kind::Comma) {
            names.push(self.expect(Kind::Word)?);
        }
        Ok(Columns::Named(names))
    }

    fn alternatives(&mut self) -> Result<Vec<Vec<Condition>>, Refusal> {
        let mut alternatives = vec![vec![self.condition()?]];
        loop {
            if self.take(Kind::Or) {
                alternatives.push(vec![self.condition()?]);
            } else if self.take(Kind::And) {
                let condition = self.condition()?;
                alternatives.last_mut().expect("there is one from the start").push(condition);
            } else {
                return Ok(alternatives);
            }
        }
    }

    fn condition(&mut self) -> Result<Condition, Refusal> {
        let column = self.expect(Kind::Word)?;
        let operator = match self.peek().kind {
            Kind::Equal => Operator::Equal,
            Kind::NotEqual => Operator::NotEqual,
            Kind::Less => Operator::Less,
            Kind::Greater => Operator::Greater,
            Kind::LessOrEqual => Operator::LessOrEqual,
            Kind::GreaterOrEqual => Operator::GreaterOrEqual,
            Kind::Like => Operator::Like,
            Kind::In => Operator::In,
            _ => return Err(self.unexpected("EQ, NE, LT, GT, LTE, GTE, IN, LIKE")),
        };
        self.at += 1;
        if operator != Operator::In {
            return Ok(Condition { column, operator, values: vec![self.expect(Kind::Literal)?] });
        }
        self.expect(Kind::Open)?;
        let mut values = vec![self.expect(Kind::Literal)?];
        while self.take(Kind::Comma) {
            values.push(self.expect(Kind::Literal)?);
        }
        self.expect(Kind::Close)?;
        Ok(Condition { column, operator, values })
    }

    fn order(&mut self) -> Result<(Vec<String>, bool), Refusal> {
        self.expect(Kind::By)?;
        let mut columns = vec![self.expect(Kind::Word)?];
        while self.take(Kind::Comma) {
            columns.push(self.expect(Kind::Word)?);
        }
        let descending = self.take(Kind::Desc);
        if !descending {
            self.take(Kind::Asc);
        }
        Ok((columns, descending))
    }

    fn limit(&mut self) -> Result<(usize, usize), Refusal> {
        let first = self.number()?;
        if self.take(Kind::Comma) { Ok((first, self.number()?)) } else { Ok((0, first)) }
    }

    fn number(&mut self) -> Result<usize, Refusal> {
        match self.peek().text.parse() {
            Ok(number) if self.peek().kind == Kind::Literal => {
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.unexpected("VALUE")),
        }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn take(&mut self, kind: Kind) -> bool {
        let fits = self.peek().kind == kind;
        self.at += usize::from(fits);
        fits
    }

    fn expect(&mut self, kind: Kind) -> Result<String, Refusal> {
        if self.peek().kind != kind {
            return Err(self.unexpected(kind.name()));
        }
        let text = self.peek().text.clone();
        self.at += 1;
        Ok(text)
    }

    fn unexpected(&self, expected: &str) -> Refusal {
        let Token { kind, text, line } = self.peek();
        if *kind == Kind::Broken {
            return Refusal::internal();
        }
        let name = kind.name();
        Refusal::coded(
            "QUERY_SYNTAX_ERROR",
            format!(
                "Syntax Error on line {line}: token '{text}' Unexpected {name}({text}), expected one of: {expected}"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str) -> String {
        parse(query).expect_err(query).words()
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let query = parse(
            "SELECT id,modifiedtime FROM Contacts WHERE modifiedtime > 'T' or modifiedtime = 'T' and id > 12x5 \
             order by modifiedtime, id desc limit 20,5;",
        )
        .expect("the query is valid");
        let columns: Vec<Vec<&str>> =
            query.alternatives.iter().map(|all| all.iter().map(|one| one.column.as_str()).collect()).collect();
        assert_eq!(columns, [vec!["modifiedtime"], vec!["modifiedtime", "id"]]);
        assert_eq!(query.alternatives[1][1].values, ["12x5"]);
        assert_eq!(query.order_by, ["modifiedtime", "id"]);
        assert!(query.descending);
        assert_eq!(query.limit, Some((20, 5)));
    }

    #[test]
    fn quotes_are_doubled_and_backslashes_stand_for_themselves() {
        let query = parse(r"select * from Contacts where lastname in ('O''Brien','a\b');").expect("the query is valid");
        assert_eq!(query.alternatives[0][0].values, ["O'Brien", r"a\b"]);
    }

    #[test]
    fn syntax_errors_name_the_first_token_that_does_not_fit() {
        let check = |query: &str, rest: &str| assert_eq!(error(query), format!("Syntax Error on line 1: token {rest}"));
        check("delete from Contacts;", "'delete' Unexpected Unknown(delete), expected one of: SELECT");
        check(
            r"select lastname from Contacts where lastname like 'O\'Brien%';",
            "'Brien' Unexpected COLUMNNAME(Brien), expected one of: SEMICOLON",
        );
        check(
            "select lastname from Contacts where (lastname='a');",
            "'(' Unexpected PARENOPEN((), expected one of: COLUMNNAME",
        );
        check(
            "select lastname from Contacts where lastname <> 'Larsen';",
            "'>' Unexpected GT(>), expected one of: VALUE",
        );
        check("select lastname from Contacts", "'' Unexpected $end(), expected one of: SEMICOLON");
        check(
            "select id from Contacts order by lastname desc, id;",
            "',' Unexpected COMMA(,), expected one of: SEMICOLON",
        );
    }

    #[test]
    fn empty_literals_and_double_quotes_are_internal_errors() {
        for query in ["select id from Contacts where email = '';", "select id from Contacts where email = \"a\";"] {
            assert_eq!(parse(query), Err(Refusal::internal()), "{query}");
        }
    }
}
