//! From what a guest returned to host data. Nothing passes unchecked: lengths agree, sizes are bounded, codes are known, batches are
//! well formed for their columns. A defect is an error of the plugin; what the CRM said wrong is cut or kept as the contract says.

use std::collections::HashSet;

use crmsync_cells::{Batch, Kind};

use super::bindings::connector::crmsync::plugin::{batches as wit_batches, faults as wit_faults};
use super::bindings::connector::exports::crmsync::plugin::connector as wit;
use super::error::{Error, Site};
use super::limits::{
    BATCH_COLUMNS_MAX, BATCH_ROWS_MAX, BATCH_TEXT_BYTES_MAX, CHOICES_MAX, CURSOR_BYTES_MAX, EXTRA_MAX, FETCH_IDS_MAX,
    MESSAGE_BYTES_MAX, NAME_BYTES_MAX, NAMES_MAX, QUIESCE_MS_MAX, REMOVALS_MAX, USERS_MAX,
};
use super::types::{
    CheckReport, Choice, Column, CreateClass, Cursor, Extra, Fault, Fetched, FieldInfo, Found, ModuleInfo, OrgKind,
    Page, PushOutcome, PushReport, Receipt, Rejection, Removal, RemovalReason, Removals, Snapshot, UpdateGuard, User,
    VisibleScope,
};

impl Site<'_> {
    pub(super) fn fault(self, fault: wit_faults::Fault) -> Fault {
        use wit_faults::Fault as Wit;
        match fault {
            Wit::LoggedOut => Fault::LoggedOut,
            Wit::RateLimited(wait_ms) => Fault::RateLimited(wait_ms),
            Wit::Transient(reason) => Fault::Transient(cut(reason)),
            Wit::Gone => Fault::Gone,
            Wit::Changed => Fault::Changed,
            Wit::Rejected(rejection) => Fault::Rejected(Rejection {
                field: rejection.field.map(cut),
                code: cut(rejection.code),
                message: cut(rejection.message),
            }),
            Wit::Duplicate(id) => Fault::Duplicate(cut(id)),
            Wit::CursorExpired => Fault::CursorExpired,
            Wit::Unsupported(reason) => Fault::Unsupported(cut(reason)),
            Wit::UnknownOutcome(reason) => Fault::UnknownOutcome(cut(reason)),
            Wit::Other((code, message)) => Fault::Other { code: cut(code), message: cut(message) },
        }
    }

    pub(super) fn check_report(self, report: wit::CheckReport) -> Result<CheckReport, Error> {
        Ok(CheckReport {
            org_id: self.id("org-id", report.org_id)?,
            org_name: cut(report.org_name),
            org_kind: match report.org_kind.as_str() {
                "production" => OrgKind::Production,
                "sandbox" => OrgKind::Sandbox,
                _ => OrgKind::Unknown,
            },
            user_id: self.name("user-id", report.user_id)?,
            user_name: cut(report.user_name),
            visible_scope: match report.visible_scope.as_str() {
                "all" => VisibleScope::All,
                "own" => VisibleScope::Own,
                _ => VisibleScope::Unknown,
            },
            time_zone: self.name("time-zone", report.time_zone)?,
            currency: self.name("currency", report.currency)?,
            edition: cut(report.edition),
            version: cut(report.version),
            server_clock_ms: report.server_clock_ms,
            missing: self.each("missing permissions", NAMES_MAX, report.missing, |missing| Ok(cut(missing)))?,
            extra: self.extra(report.extra)?,
        })
    }

    pub(super) fn modules(self, modules: Vec<wit::ModuleInfo>) -> Result<Vec<ModuleInfo>, Error> {
        let modules = self.each("modules", NAMES_MAX, modules, |module| self.module(module))?;
        self.all_different("modules", modules.iter().map(|module| module.name.as_str()))?;
        Ok(modules)
    }

    fn module(self, module: wit::ModuleInfo) -> Result<ModuleInfo, Error> {
        if module.push_rows == 0 || module.fetch_rows == 0 {
            return Err(self.malformed("a module takes 0 rows a call"));
        }
        // It is added to the clock, and a shorter time than the plugin's could double a record.
        if module.quiesce_ms > QUIESCE_MS_MAX {
            return Err(self.malformed(format!("`quiesce-ms` is longer than {QUIESCE_MS_MAX} ms")));
        }
        // Unlike the open sets that are only shown, these three steer how the engine writes: an unknown code is refused.
        Ok(ModuleInfo {
            create_class: match module.create_class.as_str() {
                "A" => CreateClass::A,
                "B" => CreateClass::B,
                "C" => CreateClass::C,
                _ => return Err(self.malformed("`create-class` is not A, B or C")),
            },
            update_guard: match module.update_guard.as_str() {
                "conditional" => UpdateGuard::Conditional,
                "none" => UpdateGuard::None,
                _ => return Err(self.malformed("`update-guard` is neither conditional nor none")),
            },
            removals: match module.removals.as_str() {
                "feed" => Removals::Feed,
                "sweep" => Removals::Sweep,
                _ => return Err(self.malformed("`removals` is neither feed nor sweep")),
            },
            name: self.id("module name", module.name)?,
            label: cut(module.label),
            key_field: self.name("key-field", module.key_field)?,
            quiesce_ms: module.quiesce_ms,
            push_rows: module.push_rows.min(BATCH_ROWS_MAX as u32),
            fetch_rows: module.fetch_rows.min(FETCH_IDS_MAX as u32),
            extra: self.extra(module.extra)?,
        })
    }

    pub(super) fn fields(self, fields: Vec<wit::FieldInfo>) -> Result<Vec<FieldInfo>, Error> {
        let fields = self.each("fields", NAMES_MAX, fields, |field| self.field(field))?;
        self.all_different("fields", fields.iter().map(|field| field.name.as_str()))?;
        Ok(fields)
    }

    fn field(self, field: wit::FieldInfo) -> Result<FieldInfo, Error> {
        let choice = |choice: wit::Choice| Ok(Choice { value: self.message(choice.value)?, label: cut(choice.label) });
        Ok(FieldInfo {
            kind: self.kind(field.kind)?,
            name: self.id("field name", field.name)?,
            label: cut(field.label),
            native: self.name("native", field.native)?,
            mandatory: field.mandatory,
            read_only: field.read_only,
            unique: field.unique,
            length: field.length,
            choices: self.each("choices of a field", CHOICES_MAX, field.choices, choice)?,
            targets: self.each("targets of a field", NAMES_MAX, field.targets, |name| self.id("target", name))?,
            meaning: self.name("meaning", field.meaning)?,
            extra: self.extra(field.extra)?,
        })
    }

    pub(super) fn users(self, users: Vec<wit::User>) -> Result<Vec<User>, Error> {
        self.each("users", USERS_MAX, users, |user| {
            Ok(User {
                id: self.id("user id", user.id)?,
                name: cut(user.name),
                email: self.name("email", user.email)?,
                active: user.active,
                is_group: user.kind == "group",
            })
        })
    }

    pub(super) fn page(self, page: wit::Page) -> Result<Page, Error> {
        if page.next.data.len() > CURSOR_BYTES_MAX {
            return Err(self.too_large("bytes of a cursor", page.next.data.len(), CURSOR_BYTES_MAX));
        }
        Ok(Page {
            live: self.snapshot(page.live)?,
            removed: self.each("removals of a page", REMOVALS_MAX, page.removed, |gone| self.removal(gone))?,
            next: Cursor { format: page.next.format, data: page.next.data },
            more: page.more,
            complete: page.complete,
            population: page.population,
        })
    }

    fn removal(self, removal: wit::Removal) -> Result<Removal, Error> {
        Ok(Removal {
            id: self.id("id of a removal", removal.id)?,
            reason: match removal.reason.as_str() {
                "deleted" => RemovalReason::Deleted,
                "merged" => RemovalReason::Merged,
                "converted" => RemovalReason::Converted,
                "not-visible" => RemovalReason::NotVisible,
                _ => RemovalReason::Unknown,
            },
            into: Some(self.name("into", removal.into)?).filter(|into| !into.is_empty()),
        })
    }

    /// Checks that the answer accounts for every id that was asked for, and for no other: the sweep for deletes believes it.
    pub(super) fn fetched(self, fetched: wit::Fetched, asked: &[String]) -> Result<Fetched, Error> {
        let live = self.snapshot(fetched.live)?;
        let absent = self.each("absent ids", FETCH_IDS_MAX, fetched.absent, |id| self.id("absent id", id))?;
        let answered = || live.ids.iter().chain(&absent).map(String::as_str);
        self.all_different("ids of a fetch", answered())?;
        let (asked, answered): (HashSet<&str>, HashSet<&str>) =
            (asked.iter().map(String::as_str).collect(), answered().collect());
        if asked != answered {
            return Err(self.malformed("`live` and `absent` together are not the ids that were asked for"));
        }
        let removed = self.each("removals of a fetch", FETCH_IDS_MAX, fetched.removed, |gone| self.removal(gone))?;
        if removed.iter().any(|gone| !absent.contains(&gone.id)) {
            return Err(self.malformed("`removed` names an id that is not absent"));
        }
        Ok(Fetched { live, absent, removed })
    }

    pub(super) fn found(self, found: wit::Found, values: usize) -> Result<Found, Error> {
        let live = self.snapshot(found.live)?;
        if found.asked.len() != live.ids.len() || found.asked.iter().any(|&index| index as usize >= values) {
            return Err(self.malformed("`asked` does not name a value for each row"));
        }
        Ok(Found { asked: found.asked, live, consistent: found.consistent })
    }

    pub(super) fn push_report(self, report: wit::PushReport, rows: usize) -> Result<PushReport, Error> {
        if report.outcomes.len() != rows {
            return Err(self.malformed(format!("{} outcomes for {rows} rows", report.outcomes.len())));
        }
        let columns = self.columns(report.columns)?;
        let stored = self.batch("stored", report.stored, &columns)?;
        let outcome = |outcome: wit::PushOutcome| match outcome {
            wit::PushOutcome::Stored(receipt) => self.receipt(receipt, stored.rows).map(PushOutcome::Stored),
            wit::PushOutcome::Failed(fault) => Ok(PushOutcome::Failed(self.fault(fault))),
            wit::PushOutcome::NotSent => Ok(PushOutcome::NotSent),
        };
        let outcomes = self.each("outcomes", BATCH_ROWS_MAX, report.outcomes, outcome)?;
        Ok(PushReport { outcomes, columns, stored, wait_ms: report.wait_ms })
    }

    fn receipt(self, receipt: wit::Receipt, stored_rows: u32) -> Result<Receipt, Error> {
        if receipt.stored.is_some_and(|row| row >= stored_rows) {
            return Err(self.malformed("a receipt names a row that `stored` does not have"));
        }
        Ok(Receipt {
            id: self.id("id of a receipt", receipt.id)?,
            version: self.name("version", receipt.version)?,
            modified_ms: receipt.modified_ms,
            stored: receipt.stored,
            existed: receipt.existed,
        })
    }

    fn snapshot(self, snapshot: wit::Snapshot) -> Result<Snapshot, Error> {
        let columns = self.columns(snapshot.columns)?;
        let rows = self.batch("rows", snapshot.rows, &columns)?;
        let lengths = [snapshot.ids.len(), snapshot.versions.len(), snapshot.modified_ms.len()];
        if lengths.iter().any(|&length| length != rows.rows as usize) {
            return Err(self.malformed("ids, versions, times and rows are not equally many"));
        }
        Ok(Snapshot {
            columns,
            ids: self.each("ids", BATCH_ROWS_MAX, snapshot.ids, |id| self.id("id", id))?,
            versions: self
                .each("versions", BATCH_ROWS_MAX, snapshot.versions, |version| self.name("version", version))?,
            modified_ms: snapshot.modified_ms,
            rows,
        })
    }

    fn columns(self, columns: Vec<wit_batches::Column>) -> Result<Vec<Column>, Error> {
        let column = |column: wit_batches::Column| {
            Ok(Column { kind: self.kind(column.kind)?, name: self.id("column name", column.name)? })
        };
        let columns = self.each("columns of a batch", BATCH_COLUMNS_MAX, columns, column)?;
        self.all_different("columns", columns.iter().map(|column| column.name.as_str()))?;
        Ok(columns)
    }

    /// A batch of records: well formed, and each cell is absent, empty, raw, or of its column's kind.
    fn batch(self, name: &'static str, batch: wit_batches::Batch, columns: &[Column]) -> Result<Batch, Error> {
        let batch = self.bare_batch(name, batch, columns.len())?;
        let fits = |(cell, &code): (usize, &u8)| {
            let plain = columns[cell % columns.len()].kind.code();
            code == plain || [Kind::Absent.code(), Kind::Empty.code(), Kind::Raw.code()].contains(&code)
        };
        if !batch.kinds.iter().enumerate().all(fits) {
            return Err(self.malformed(format!("a cell of `{name}` is not of its column's kind")));
        }
        Ok(batch)
    }

    /// A batch whose columns have no declared kind.
    pub(super) fn bare_batch(
        self,
        name: &'static str,
        batch: wit_batches::Batch,
        columns: usize,
    ) -> Result<Batch, Error> {
        let batch = Batch::from(batch);
        if batch.rows as usize > BATCH_ROWS_MAX {
            return Err(self.too_large("rows of a batch", batch.rows as usize, BATCH_ROWS_MAX));
        }
        if batch.text.len() > BATCH_TEXT_BYTES_MAX {
            return Err(self.too_large("bytes of a batch's text", batch.text.len(), BATCH_TEXT_BYTES_MAX));
        }
        match batch.check(columns) {
            Ok(_) => Ok(batch),
            Err(source) => {
                let plugin = self.plugin.to_owned();
                Err(Error::MalformedBatch { plugin, call: self.call, batch: name, source })
            }
        }
    }

    fn kind(self, code: u8) -> Result<Kind, Error> {
        match Kind::from_code(code) {
            None | Some(Kind::Absent | Kind::Empty | Kind::Raw) => {
                Err(self.malformed(format!("kind {code} is not one that a field can have")))
            }
            Some(kind) => Ok(kind),
        }
    }

    fn extra(self, extra: Vec<(String, String)>) -> Result<Extra, Error> {
        self.each("further facts", EXTRA_MAX, extra, |(name, value)| Ok((self.id("fact", name)?, self.message(value)?)))
    }

    /// Converts a list that may have so many entries.
    pub(super) fn each<T, U>(
        self,
        what: &'static str,
        entries_max: usize,
        list: Vec<T>,
        convert: impl Fn(T) -> Result<U, Error>,
    ) -> Result<Vec<U>, Error> {
        if list.len() > entries_max {
            return Err(self.too_large(what, list.len(), entries_max));
        }
        list.into_iter().map(convert).collect()
    }

    /// A text that identifies something: not empty, not long.
    pub(super) fn id(self, what: &str, text: String) -> Result<String, Error> {
        if text.is_empty() {
            return Err(self.malformed(format!("{what} is empty")));
        }
        self.name(what, text)
    }

    /// A text that is compared, so it may not be cut.
    pub(super) fn name(self, what: &str, text: String) -> Result<String, Error> {
        if text.len() > NAME_BYTES_MAX {
            return Err(self.malformed(format!("{what} is longer than {NAME_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    /// A longer text that is compared.
    pub(super) fn message(self, text: String) -> Result<String, Error> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(self.malformed(format!("a text is longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    pub(super) fn all_different<'t>(self, what: &str, names: impl Iterator<Item = &'t str>) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(name) {
                return Err(self.malformed(format!("one of the {what} is there twice")));
            }
        }
        Ok(())
    }
}

/// A text that people read, cut to its limit at a character.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

impl From<wit_batches::Batch> for Batch {
    fn from(batch: wit_batches::Batch) -> Batch {
        let wit_batches::Batch { rows, kinds, words, text } = batch;
        Batch { rows, kinds, words, text }
    }
}

impl From<Batch> for wit_batches::Batch {
    fn from(batch: Batch) -> wit_batches::Batch {
        let Batch { rows, kinds, words, text } = batch;
        wit_batches::Batch { rows, kinds, words, text }
    }
}

impl From<Column> for wit_batches::Column {
    fn from(column: Column) -> wit_batches::Column {
        wit_batches::Column { name: column.name, kind: column.kind.code() }
    }
}
