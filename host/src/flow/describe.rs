//! What the flow file is held against: the modules and fields of both sides, and the functions of the installed transforms.
//!
//! Plain structs of this room, so that it depends on no plugin runtime; whoever speaks to plugins fills them.

use std::collections::BTreeMap;

/// The contract's number for text.
pub(super) const TEXT: u8 = 2;
/// The contract's number for whole numbers.
pub(super) const INTEGER: u8 = 3;
/// The contract's number for decimal numbers.
pub(super) const DECIMAL: u8 = 4;
/// The contract's number for yes and no.
pub(super) const BOOLEAN: u8 = 5;
/// The contract's number for dates.
pub(super) const DATE: u8 = 6;
/// The contract's number for lists of texts.
pub(super) const LIST: u8 = 11;
/// The contract's number for references.
pub(super) const REFERENCE: u8 = 10;
/// The contract's word for users as a reference's target.
pub(super) const USERS: &str = "Users";

/// One side of a flow.
#[derive(Clone, Debug, Default)]
pub struct SideInfo {
    /// Name of the connection, as in the flow's `between`.
    pub connection: String,
    /// Id of its plugin; presets go by it.
    pub plugin: String,
    /// All modules that can be synced.
    pub modules: Vec<ModuleInfo>,
    /// Fields by the API name of their module, at least for the modules of the flow.
    pub fields: BTreeMap<String, Vec<FieldInfo>>,
}

/// One module.
#[derive(Clone, Debug, Default)]
pub struct ModuleInfo {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// API name of the field that holds nothing but the host's keys, or "".
    pub key_field: String,
    /// Programs can move its records to a recycle bin.
    pub recycles: bool,
    /// Programs can delete its records for good.
    pub deletes_for_good: bool,
}

/// One field.
#[derive(Clone, Debug, Default)]
pub struct FieldInfo {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// Kind of its values (the contract's number).
    pub kind: u8,
    /// The CRM's own word for the type.
    pub native: String,
    /// Must have a value at create.
    pub mandatory: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// No two records share a value.
    pub unique: bool,
    /// Longest text in characters, if the CRM says.
    pub length: Option<u32>,
    /// Selectable values; empty if the field is open.
    pub choices: Vec<Choice>,
    /// Modules that a reference may point to; `Users` for owners.
    pub targets: Vec<String>,
    /// The contract's open code of what the field means (`family-name`), or "".
    pub meaning: String,
}

impl FieldInfo {
    /// Whether the field holds the user who owns the record.
    pub(super) fn is_owner(&self) -> bool {
        self.kind == REFERENCE && self.targets.iter().any(|target| target == USERS)
    }
}

/// One selectable value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What is read and written.
    pub value: String,
    /// What people see.
    pub label: String,
}

/// How a function can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inversion {
    /// Not at all.
    No,
    /// By its inverse, exactly.
    Exact,
    /// A rule of spelling: its inverse may be used for the way back without bouncing.
    Stable,
}

impl Inversion {
    /// The contract's word; an unknown word promises nothing.
    pub fn parse(word: &str) -> Inversion {
        match word {
            "exact" => Inversion::Exact,
            "stable" => Inversion::Stable,
            _ => Inversion::No,
        }
    }
}

/// One function of an installed transform plugin.
#[derive(Clone, Debug)]
pub struct FunctionInfo {
    /// Id of the plugin.
    pub plugin: String,
    /// Name within the plugin.
    pub name: String,
    /// Fewest and most fields that it reads.
    pub inputs: (u8, u8),
    /// Fewest and most fields that it gives.
    pub outputs: (u8, u8),
    /// How it can be undone.
    pub inversion: Inversion,
    /// Name of the function of the same plugin that undoes it, or "".
    pub inverse: String,
}
