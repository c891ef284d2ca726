//! What a flow's owner and the CRMs' administrators have set: mappings that change, fields that vanish, come back, become read-only.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_core::mapping::{Field, MatchRule, Sameness};
use crmsync_core::{Direction, MappingRow, PairMapping, Role, RowKey, Winner};

use crate::people::{EDITED, EXTRA, FIELDS, TAGS};

/// The settings of one flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    seed: u64,
    /// It is the second flow of its world, which carries fields that the first one does not.
    second: bool,
    /// Who has one address and another name is not the same.
    pub(crate) guards: bool,
    /// Rows that are taken out of the mapping.
    pub(crate) out: BTreeSet<&'static str>,
    /// Times that a row was changed, so that it agrees on something else.
    pub(crate) changes: BTreeMap<&'static str, u64>,
    /// Fields that the host knows to be away.
    pub(crate) paused: BTreeSet<&'static str>,
    /// Fields that are away, and no run has come to its end that knew so. A field that vanishes and is back before anybody has looked leaves
    /// no trace; nobody is that fast here.
    pub(crate) unnoticed: BTreeSet<&'static str>,
    /// Fields of the right side that the host knows to be read-only.
    pub(crate) read_only: BTreeSet<&'static str>,
    /// How long a text the right side's Note is known to hold.
    pub(crate) note_length: Option<u32>,
}

impl Settings {
    pub(crate) fn new(seed: u64, second: bool) -> Settings {
        Settings { seed, second, ..Settings::default() }
    }

    /// Fields that this flow carries.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        match self.second {
            true => vec![FIELDS[0], FIELDS[1], EXTRA],
            false => FIELDS.into_iter().chain([TAGS]).collect(),
        }
    }

    /// Of these, texts that people edit.
    pub(crate) fn edited(&self) -> Vec<&'static str> {
        if self.second { vec![EXTRA] } else { FIELDS[EDITED..].to_vec() }
    }

    /// Keys of the rows whose fields are away.
    pub(crate) fn paused_rows(&self) -> Vec<String> {
        self.paused.iter().map(|name| format!("{name}={name}")).collect()
    }

    /// Worlds differ in how conflicts end.
    fn winner(&self, name: &str) -> Option<Winner> {
        match (name, self.seed % 4) {
            (TAGS, _) => Some(Winner::Union),
            ("Phone", 1) => Some(Winner::Longer),
            ("Phone", 2) => Some(Winner::NonEmpty),
            ("Note", 2 | 3) => Some(Winner::Newest),
            _ => None,
        }
    }

    /// A run has come to its end; the next one looks at the fields first.
    pub(crate) fn looked(&mut self) {
        let paused = self.paused.clone();
        self.paused.extend(self.unnoticed.iter());
        self.unnoticed.retain(|field| !paused.contains(field));
    }

    pub(crate) fn mapping(&self) -> PairMapping {
        let fields = self.fields();
        let shown = fields.iter().filter(|name| !self.out.contains(*name) && !self.paused.contains(*name));
        let rows: Vec<MappingRow> = shown
            .map(|name| {
                let field = Field {
                    name: (*name).into(),
                    label: (*name).into(),
                    kind: if *name == TAGS { 11 } else { 2 },
                    mandatory: *name == FIELDS[0],
                    read_only: false,
                    length: None,
                };
                let right = Field {
                    read_only: self.read_only.contains(name),
                    length: self.note_length.filter(|_| *name == "Note"),
                    ..field.clone()
                };
                MappingRow {
                    key: RowKey(format!("{name}={name}")),
                    hash: 1 + self.changes.get(name).copied().unwrap_or(0),
                    left: vec![field],
                    // As the flow's rows are resolved: where a field cannot be written its values wait, and are told once it can.
                    direction: if right.read_only { Direction::ToLeft } else { Direction::Both },
                    agreed: Direction::Both,
                    right: vec![right],
                    to_right: None,
                    to_left: None,
                    sameness: Sameness::Text,
                    winner: self.winner(name),
                    role: Role::Plain,
                }
            })
            .collect();
        let mail = rows.iter().position(|row| row.key.0.starts_with(FIELDS[1]));
        let name = rows.iter().position(|row| self.guards && row.key.0.starts_with(FIELDS[EDITED]));
        let guards: Vec<usize> = name.into_iter().collect();
        let rules = mail.map(|row| MatchRule { label: "mail".into(), rows: vec![row], guards });
        PairMapping { rows, match_rules: rules.into_iter().collect() }
    }
}
