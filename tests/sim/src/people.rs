//! The people of all CRMs, between runs and during them, and the account of what they did: the oracle of the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crmsync_core::{RemovalReason, Value};
use crmsync_sandbox::rng::Rng;

use crate::crm::{Clock, Crm, Fields};
use crate::pulse::Log;

/// Code tells us who it is, Mail tells the engine (and is often blank), people edit the others.
pub(crate) const FIELDS: [&str; 5] = ["Code", "Mail", "Name", "Phone", "Note"];
/// Index of the first field that people edit.
pub(crate) const EDITED: usize = 2;
/// A list to which people add entries, and which both sides' entries are joined in.
pub(crate) const TAGS: &str = "Tags";
/// What the second flow of a world carries.
pub(crate) const EXTRA: &str = "Extra";
/// No connector gets over a value that begins so.
pub(crate) const POISON: &str = "poison";

/// What people may not touch at a moment, because an edit there falls into a documented window: these fields of these records.
pub(crate) type Avoid = BTreeSet<(String, String)>;

/// One edit.
pub(crate) struct Edit {
    pub(crate) code: String,
    pub(crate) field: &'static str,
    /// What the CRM made of what was typed.
    pub(crate) value: Value,
}

pub(crate) struct People {
    pub(crate) rng: Rng,
    clock: Clock,
    crms: Vec<Crm>,
    /// In order.
    pub(crate) edits: Vec<Edit>,
    /// Each entry that was added to a list: which entity, and the entry.
    pub(crate) tags: Vec<(String, String)>,
    /// Nobody deletes before the first sync has come to its end: who is in the bin then is created anew, and comes back as a twin.
    pub(crate) may_delete: bool,
    /// Some type what breaks connectors.
    pub(crate) types_poison: bool,
    /// Entities that are in the bin of a CRM.
    gone: BTreeSet<(String, usize)>,
    /// Entities that a person ever deleted in a CRM.
    pub(crate) ever_deleted: BTreeSet<(String, usize)>,
    /// Entities that were merged or converted somewhere: they never come back.
    pub(crate) ended: BTreeSet<String>,
    /// Entities that came back from a bin. One that was not found there, and was created again, comes back as a twin that people see.
    pub(crate) restored: BTreeSet<String>,
    tokens: u64,
    /// All that they type begins so.
    sign: String,
    log: Log,
}

impl People {
    pub(crate) fn new(rng: Rng, clock: Clock, crms: Vec<Crm>, types_poison: bool, sign: String, log: Log) -> People {
        People {
            rng,
            clock,
            crms,
            sign,
            log,
            edits: vec![],
            tags: vec![],
            may_delete: false,
            types_poison,
            gone: BTreeSet::new(),
            ever_deleted: BTreeSet::new(),
            ended: BTreeSet::new(),
            restored: BTreeSet::new(),
            tokens: 0,
        }
    }

    /// Whether some person took the entity out of a CRM, and nobody brought it back there.
    pub(crate) fn is_out(&self, code: &str) -> bool {
        self.ended.contains(code) || self.gone.iter().any(|(gone, _)| gone == code)
    }

    /// One person does one thing in a CRM.
    pub(crate) fn work(&mut self, crm: usize, avoid: &Avoid) {
        let live: Vec<(String, Fields)> = self.crms[crm].visible().into_iter().collect();
        self.tokens += 1;
        let token = format!("{}v{}", self.sign, self.tokens);
        let someone = (!live.is_empty()).then(|| live[self.rng.below(live.len())].clone());
        match (self.rng.below(24), someone) {
            (0..=2, _) => self.create(crm, token),
            (3, Some((id, fields))) if self.may_delete => self.delete(crm, &id, fields["Code"].display()),
            (4, _) => self.restore(crm),
            // Before the first sync lists that differ would stay as they are.
            (5 | 6, Some((id, fields))) if self.may_delete && crm != 2 => self.tag(crm, &id, &fields, token, avoid),
            (7, Some((id, fields))) if self.may_delete && self.rng.chance(25) => {
                let why = if self.rng.chance(50) { RemovalReason::Merged } else { RemovalReason::Converted };
                self.end(crm, &id, fields["Code"].display(), why);
            }
            (_, Some((id, fields))) => self.edit(crm, &id, &fields, token, avoid),
            (_, None) => {}
        }
    }

    /// During a run: in a second of its own, as an edit of the very second of our own write cannot be told from what the CRM made of it.
    pub(crate) fn interlude(&mut self, called: usize, avoid: Option<&Avoid>, chance: usize) {
        self.clock.fetch_add(1_100, Ordering::SeqCst);
        let crm = chance % self.crms.len();
        match avoid {
            None if crm == called => {}
            Some(avoid) if crm == called => self.work(crm, avoid),
            _ => self.work(crm, &Avoid::new()),
        }
    }

    /// Somebody fills in a field while a host works.
    pub(crate) fn hurry(&mut self, crm: usize, id: &str, field: &'static str, text: &str) {
        self.clock.fetch_add(2_100, Ordering::SeqCst);
        let code = self.crms[crm].live()[id]["Code"].display();
        let value = self.crms[crm].person_edits(id, field, Value::text(text));
        self.clock.fetch_add(2_100, Ordering::SeqCst);
        self.tell(crm, &format!("edit {id} ({code}), {field} = {text:?}"));
        self.edits.push(Edit { code, field, value });
    }

    fn tell(&self, crm: usize, what: &str) {
        self.log.lock().trace.note(&format!("  people of {}: {what}", self.crms[crm].habits.name));
    }

    /// What people of a CRM fill in: those of the third one only what its flow carries.
    fn typed_in(&self, crm: usize) -> Vec<&'static str> {
        if crm == 2 { vec![EXTRA] } else { FIELDS[EDITED..].to_vec() }
    }

    /// What is away, or cannot be written, is on nobody's form.
    fn is_closed(&self, crm: usize, field: &str) -> bool {
        let state = self.crms[crm].lock();
        state.vanished.contains(field) || state.read_only.contains(field)
    }

    fn create(&mut self, crm: usize, token: String) {
        let code = format!("{}n{}", self.sign, self.tokens);
        let field = self.typed_in(crm)[0];
        if self.is_closed(crm, field) {
            return;
        }
        let mut fields =
            BTreeMap::from([("Code".to_owned(), Value::text(&code)), (field.to_owned(), Value::text(&token))]);
        if self.rng.chance(50) {
            fields.insert("Mail".to_owned(), Value::text(&code));
        }
        let id = self.crms[crm].person_creates(fields);
        self.tell(crm, &format!("create {id} ({code}) with {field} = {token}"));
        self.edits.push(Edit { code, field, value: Value::text(token) });
    }

    fn edit(&mut self, crm: usize, id: &str, fields: &Fields, token: String, avoid: &Avoid) {
        let mut choice = self.typed_in(crm);
        choice.extend((self.crms.len() > 2 && crm == 0).then_some(EXTRA));
        let field = *self.rng.pick(&choice);
        if self.is_closed(crm, field) || avoid.contains(&(id.to_owned(), field.to_owned())) {
            return;
        }
        let typed = match self.rng.below(20) {
            0 | 1 => format!("{token} is much too long for the right side"),
            2 => format!("  {token} "),
            3 => format!("{token}-ß-李"),
            4 => String::new(),
            5 if self.types_poison && self.rng.chance(30) => format!("{POISON}-{token}"),
            _ => token,
        };
        let value = self.crms[crm].person_edits(id, field, Value::text(&typed));
        let code = fields["Code"].display();
        self.tell(crm, &format!("edit {id} ({code}), {field} = {typed:?}"));
        // Who empties what is blank has changed nothing.
        if fields.get(field).unwrap_or(&Value::Empty) != &value {
            self.edits.push(Edit { code, field, value });
        }
    }

    fn tag(&mut self, crm: usize, id: &str, fields: &Fields, token: String, avoid: &Avoid) {
        if avoid.contains(&(id.to_owned(), TAGS.to_owned())) {
            return;
        }
        let mut tags = tags_of(fields);
        tags.insert(token.clone());
        self.crms[crm].person_edits(id, TAGS, Value::List(serde_json::to_string(&tags).unwrap_or_default()));
        let code = fields["Code"].display();
        self.tell(crm, &format!("tag {id} ({code}) {token}"));
        self.tags.push((code, token));
    }

    pub(crate) fn delete(&mut self, crm: usize, id: &str, code: String) {
        self.tell(crm, &format!("delete {id} ({code})"));
        self.ever_deleted.insert((code.clone(), crm));
        self.gone.insert((code, crm));
        self.crms[crm].person_deletes(id);
    }

    fn end(&mut self, crm: usize, id: &str, code: String, why: RemovalReason) {
        self.tell(crm, &format!("end {id} ({code}) as {}", why.as_str()));
        self.ended.insert(code);
        self.crms[crm].person_ends(id, why);
    }

    fn restore(&mut self, crm: usize) {
        let bin: Vec<(String, Fields)> = self.crms[crm].bin().into_iter().collect();
        if bin.is_empty() {
            return;
        }
        let (id, fields) = &bin[self.rng.below(bin.len())];
        self.tell(crm, &format!("restore {id} ({})", fields["Code"].display()));
        self.crms[crm].person_restores(id);
        self.gone.remove(&(fields["Code"].display(), crm));
        self.restored.insert(fields["Code"].display());
    }
}

/// The entries of a record's list.
pub(crate) fn tags_of(fields: &Fields) -> BTreeSet<String> {
    match fields.get(TAGS) {
        Some(Value::List(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => BTreeSet::new(),
    }
}
