//! Query text into tokens.

use std::iter::Peekable;
use std::str::CharIndices;

/// What a token is; [`Kind::name`] is how the server's error messages call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Select,
    From,
    Where,
    And,
    Or,
    Like,
    In,
    Order,
    By,
    Asc,
    Desc,
    Limit,
    Word,
    Literal,
    Star,
    Comma,
    Open,
    Close,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Semicolon,
    Unknown,
    /// What kills the real lexer: double quotes, an empty literal, a literal without end.
    Broken,
    End,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::From => "FRM",
            Self::Where => "WHERE",
            Self::And => "LOGICAL_AND",
            Self::Or => "LOGICAL_OR",
            Self::Like => "LIKE",
            Self::In => "IN",
            Self::Order | Self::By => "ORDERBY",
            Self::Asc => "ASC",
            Self::Desc => "DESC",
            Self::Limit => "LIMIT",
            Self::Word => "COLUMNNAME",
            Self::Literal => "VALUE",
            Self::Star => "ASTERISK",
            Self::Comma => "COMMA",
            Self::Open => "PARENOPEN",
            Self::Close => "PARENCLOSE",
            Self::Equal => "EQ",
            Self::NotEqual => "NE",
            Self::Less => "LT",
            Self::Greater => "GT",
            Self::LessOrEqual => "LTE",
            Self::GreaterOrEqual => "GTE",
            Self::Semicolon => "SEMICOLON",
            Self::Unknown | Self::Broken => "Unknown",
            Self::End => "$end",
        }
    }

    fn keyword(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "select" => Self::Select,
            "from" => Self::From,
            "where" => Self::Where,
            "and" => Self::And,
            "or" => Self::Or,
            "like" => Self::Like,
            "in" => Self::In,
            "order" => Self::Order,
            "by" => Self::By,
            "asc" => Self::Asc,
            "desc" => Self::Desc,
            "limit" => Self::Limit,
            _ => return None,
        })
    }
}

/// One token; the text of a literal is its value, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) line: usize,
}

/// Splits a query into tokens, the last of which is `End`. A broken token matters only to a parser that gets so far.
pub(super) fn tokens(query: &str) -> Vec<Token> {
    let mut characters = query.char_indices().peekable();
    let mut line = 1;
    let mut found = Vec::new();
    while let Some((start, character)) = characters.next() {
        let (kind, text) = match character {
            '\n' => {
                line += 1;
                continue;
            }
            _ if character.is_whitespace() => continue,
            '"' => (Kind::Broken, String::new()),
            '\'' => literal(&mut characters),
            '<' | '>' | '!' | '=' => operator(character, &mut characters),
            '0'..='9' | '-' | 'a'..='z' | 'A'..='Z' | '_' => word(query, start, character, &mut characters),
            _ => (symbol(character), character.to_string()),
        };
        found.push(Token { kind, text, line });
    }
    found.push(Token { kind: Kind::End, text: String::new(), line });
    found
}

type Characters<'a> = Peekable<CharIndices<'a>>;

/// A quoted literal up to its closing quote; a doubled quote stands for one, a backslash for itself.
fn literal(characters: &mut Characters<'_>) -> (Kind, String) {
    let mut text = String::new();
    while let Some((_, character)) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else if text.is_empty() {
            return (Kind::Broken, text);
        } else {
            return (Kind::Literal, text);
        }
    }
    (Kind::Broken, text)
}

fn operator(first: char, characters: &mut Characters<'_>) -> (Kind, String) {
    let with_equal = first != '=' && characters.next_if(|(_, next)| *next == '=').is_some();
    let kind = match (first, with_equal) {
        ('<', true) => Kind::LessOrEqual,
        ('<', false) => Kind::Less,
        ('>', true) => Kind::GreaterOrEqual,
        ('>', false) => Kind::Greater,
        ('!', true) => Kind::NotEqual,
        ('!', false) => Kind::Unknown,
        _ => Kind::Equal,
    };
    (kind, if with_equal { format!("{first}=") } else { first.to_string() })
}

/// A keyword, a name, or an unquoted value such as `12x5` or `-3.5`.
fn word(query: &str, start: usize, first: char, characters: &mut Characters<'_>) -> (Kind, String) {
    let is_value = first.is_ascii_digit() || first == '-';
    let mut end = start + first.len_utf8();
    let belongs = |next: char| next.is_ascii_alphanumeric() || next == '_' || (is_value && next == '.');
    while let Some((at, next)) = characters.next_if(|(_, next)| belongs(*next)) {
        end = at + next.len_utf8();
    }
    let text = &query[start..end];
    let kind = match is_value {
        true if text == "-" => Kind::Unknown,
        true => Kind::Literal,
        false => Kind::keyword(text).unwrap_or(Kind::Word),
    };
    (kind, text.to_owned())
}

fn symbol(character: char) -> Kind {
    match character {
        '*' => Kind::Star,
        ',' => Kind::Comma,
        '(' => Kind::Open,
        ')' => Kind::Close,
        ';' => Kind::Semicolon,
        _ => Kind::Unknown,
    }
}
