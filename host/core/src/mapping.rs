//! Which left fields are which right fields, and how values travel between them.

use crate::policy::Winner;
use crate::record::Side;
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// Which way values or records travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// From right to left only.
    ToLeft,
    /// From left to right only.
    ToRight,
}

impl Direction {
    /// Whether values may be written to this side.
    pub fn writes(self, side: Side) -> bool {
        match self {
            Direction::Both => true,
            Direction::ToLeft => side == Side::Left,
            Direction::ToRight => side == Side::Right,
        }
    }
}

/// Name of a mapping row within its pair, stable across changes of its settings: the left fields, `=`, the right fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey(pub String);

/// What the values of a row are, beyond plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Plain values.
    Plain,
    /// The user who owns the record (S16): carried by e-mail, a fallback at create only.
    Owner,
    /// A reference to a record of another module: carried by links.
    Reference,
    /// A value that new records of one side are given; the other side has no field for it.
    Constant(Value),
}

/// When two spellings mean the same, for agreement of both sides and for match keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// Equal after trimming the end, as CRMs trim text.
    #[default]
    Text,
    /// Equal when blanks are collapsed and case is ignored: names.
    Name,
    /// Equal when trimmed and lower-cased.
    Email,
    /// Equal digits, a leading `+` or `00` set apart.
    Phone,
    /// Equal without scheme, `www.` and final slash.
    Website,
}

/// One use of a transform on the way to one side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Carry {
    /// Plugin that has the function.
    pub plugin: String,
    /// Name of the function.
    pub function: String,
    /// Settings, a JSON text, or "".
    pub settings: String,
}

/// One field of a row, as the module's description tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// Kind of its values (the contract's number).
    pub kind: u8,
    /// Must have a value at create.
    pub mandatory: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// Longest text in characters, if the CRM says.
    pub length: Option<u32>,
}

/// One row of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MappingRow {
    /// The row's name.
    pub key: RowKey,
    /// Changes with anything that changes what the row agrees on.
    pub hash: u64,
    /// Left fields, at least one but for a constant.
    pub left: Vec<Field>,
    /// Right fields, at least one but for a constant.
    pub right: Vec<Field>,
    /// Which way this row's values travel; never wider than the pair's direction.
    pub direction: Direction,
    /// Which way the flow lets them travel, also where a CRM does not let a field be written now.
    pub agreed: Direction,
    /// How left values become right ones; none carries them as they are.
    pub to_right: Option<Carry>,
    /// How right values become left ones.
    pub to_left: Option<Carry>,
    /// When both sides mean the same.
    pub sameness: Sameness,
    /// Whose value stays when both changed; none is the pair's winner.
    pub winner: Option<Winner>,
    /// Owner, reference or plain.
    pub role: Role,
}

impl MappingRow {
    /// The row's fields on one side.
    pub fn fields(&self, side: Side) -> &[Field] {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// How values become those of this side.
    pub fn carry(&self, to: Side) -> Option<&Carry> {
        match to {
            Side::Left => self.to_left.as_ref(),
            Side::Right => self.to_right.as_ref(),
        }
    }
}

/// One match key: the rows whose values, in one spelling, together tell which record is which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MatchRule {
    /// As people wrote it: `email + last name`.
    pub label: String,
    /// Indexes of mapping rows.
    pub rows: Vec<usize>,
    /// Rows that must not contradict: the names of people who share an e-mail address tell who they are.
    pub guards: Vec<usize>,
}

/// The mapping of one module pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PairMapping {
    /// Rows, in the order of the flow file.
    pub rows: Vec<MappingRow>,
    /// Match rules, strongest first.
    pub match_rules: Vec<MatchRule>,
}

impl PairMapping {
    /// Names of all rows.
    pub fn keys(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.key.0.clone()).collect()
    }

    /// API names of all fields of one side, each once, in the order of the rows.
    pub fn fields(&self, side: Side) -> Vec<&Field> {
        let mut fields: Vec<&Field> = Vec::new();
        for field in self.rows.iter().flat_map(|row| row.fields(side)) {
            if !fields.iter().any(|known| known.name == field.name) {
                fields.push(field);
            }
        }
        fields
    }
}
