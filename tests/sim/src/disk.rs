//! The database as somebody sees it who has nothing to do with the host: what is really on disk.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crmsync_core::Side;
use crmsync_core::decide::Operation;
use rusqlite::{Connection, Params};

/// A second look at a database file.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Connection>>);

impl Disk {
    pub(crate) fn open(path: &Path) -> Disk {
        let connection = Connection::open(path).expect("the database is there");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a time-out can be set");
        connection.set_prepared_statement_cache_capacity(32);
        Disk(Arc::new(Mutex::new(connection)))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another number whenever somebody has committed a change.
    pub(crate) fn version(&self) -> i64 {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("PRAGMA data_version").expect("it is a pragma");
        statement.query_row([], |row| row.get(0)).expect("it has one row")
    }

    fn count(&self, sql: &str, params: impl Params) -> i64 {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql).expect("the tables are there");
        statement.query_row(params, |row| row.get(0)).expect("a count has one row")
    }

    /// Tables, with whether they have a column for the tenant.
    fn tables(&self) -> Vec<(String, bool)> {
        let connection = self.lock();
        let sql = "SELECT m.name, EXISTS (SELECT 1 FROM pragma_table_info(m.name) WHERE name = 'tenant')
             FROM sqlite_master m WHERE m.type = 'table'";
        let mut statement = connection.prepare_cached(sql).expect("there is a list of tables");
        let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it can be read");
        tables.collect::<Result<_, _>>().expect("it has names")
    }

    /// I10: all rows of a tenant, and of nobody, each with its table and as text.
    pub(crate) fn rows_of(&self, tenant: &str) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for (table, is_kept_apart) in self.tables() {
            let condition = if is_kept_apart { "tenant = ?1" } else { "?1 <> ''" };
            let connection = self.lock();
            let mut statement =
                connection.prepare(&format!("SELECT * FROM {table} WHERE {condition}")).expect("it can be read");
            let columns = statement.column_count();
            let texts = statement.query_map([tenant], |row| {
                let cells = (0..columns).map(|at| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(at)?)));
                cells.collect::<Result<Vec<_>, _>>().map(|cells| cells.join(" "))
            });
            rows.extend(texts.expect("it can be read").map(|row| (table.clone(), row.expect("it has values"))));
        }
        rows
    }

    /// Copies what is on disk now.
    pub(crate) fn copy_to(&self, path: &Path) {
        self.lock().execute("VACUUM INTO ?1", [path.to_string_lossy()]).expect("a copy can be made");
    }

    /// Puts a copy back: all tables are what they were when it was made.
    pub(crate) fn put_back(&self, copy: &Path) {
        let tables = self.tables();
        let connection = self.lock();
        connection.execute("ATTACH ?1 AS old", [copy.to_string_lossy()]).expect("the copy is there");
        let statements = tables
            .iter()
            .map(|(table, _)| format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table};"));
        let sql = format!("BEGIN IMMEDIATE; {} COMMIT; DETACH old", statements.collect::<String>());
        connection.execute_batch(&sql).expect("both have the same tables");
    }

    /// I8: whether a write that leaves now has an intent that says so.
    pub(crate) fn has_admitted(&self, side: Side, operation: Operation, target: &str, key: &str) -> bool {
        let admitted = "SELECT count(*) FROM intent WHERE state = 'admitted' AND side = ?1";
        match operation {
            Operation::Create => self.count(&format!("{admitted} AND create_key = ?2"), (side.as_str(), key)) > 0,
            _ => self.count(&format!("{admitted} AND target = ?2"), (side.as_str(), target)) > 0,
        }
    }

    /// I13: writes that were sent more often than this and are still to be sent; a create that its CRM knows by our key is repeated freely.
    pub(crate) fn tried_too_often(&self, most: u32, freely: Option<Side>) -> i64 {
        let freely = freely.map_or("", Side::as_str);
        self.count(
            "SELECT count(*) FROM intent WHERE attempts > ?1 AND NOT (operation = 'create' AND side = ?2)",
            (most, freely),
        )
    }

    /// I13: whether a write leaves before the moment that its CRM named.
    pub(crate) fn is_early(&self, side: Side, target: &str, key: &str, now_ms: i64) -> bool {
        let sql =
            "SELECT count(*) FROM intent WHERE state = 'admitted' AND side = ?1 AND target = ?2 AND create_key = ?3
             AND not_before_ms > ?4";
        self.count(sql, (side.as_str(), target, key, now_ms)) > 0
    }

    /// I3: ids that are in more than one link.
    pub(crate) fn linked_twice(&self) -> i64 {
        let twice = |column: &str| {
            format!(
                "SELECT count(*) FROM (SELECT pair FROM link WHERE state <> 'ended' GROUP BY tenant, pair, {column} HAVING count(*) > 1)"
            )
        };
        self.count(&twice("left_id"), []) + self.count(&twice("right_id"), [])
    }

    /// I7: whether a version of a record has been seen: its link says so, or it waits in the inbox.
    pub(crate) fn has_seen(&self, pair: i64, side: Side, record: &str, version: &str) -> bool {
        let word = side.as_str();
        let told = format!("{version}\u{1f}");
        let linked = format!(
            "SELECT count(*) FROM link WHERE pair = ?1 AND {word}_id = ?2 AND state <> 'ended'
             AND ({word}_version = ?3 OR substr({word}_version, 1, length(?4)) = ?4)"
        );
        let staged = "SELECT count(*) FROM inbox WHERE pair = ?1 AND record = ?2 AND side = ?5 AND presence = 'live'
             AND (version = ?3 OR substr(version, 1, length(?4)) = ?4)";
        self.count(&linked, (pair, record, version, &told)) > 0
            || self.count(staged, (pair, record, version, &told, word)) > 0
    }
}
