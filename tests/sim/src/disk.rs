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

    /// I8: whether a write that leaves now has an intent that says so.
    pub(crate) fn has_admitted(&self, side: Side, operation: Operation, target: &str, key: &str) -> bool {
        let admitted = "SELECT count(*) FROM intent WHERE state = 'admitted' AND side = ?1";
        match operation {
            Operation::Create => self.count(&format!("{admitted} AND create_key = ?2"), (side.as_str(), key)) > 0,
            _ => self.count(&format!("{admitted} AND target = ?2"), (side.as_str(), target)) > 0,
        }
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
