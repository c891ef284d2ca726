//! What lies in the data folder, read past the product: leases, commits and their fencing tokens.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use crmsync::app::LOCAL_TENANT;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::Outcome;
use crate::workplace::FLOW;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Tables that belong to a connection or to the whole host, so that a process may write them without holding the flow.
const NOT_OF_THE_FLOW: [&str; 8] =
    ["connection", "vault", "metadata", "budget", "usage", "exchange", "upkeep", "schedule"];

/// The database of one world, opened for reading.
pub(super) struct Disk(Connection);

/// Who holds the flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// "" if nobody does.
    pub(super) holder: String,
    /// The fencing token of the last holder.
    pub(super) fence: i64,
    /// Until when, without renewal.
    pub(super) expires_at_ms: i64,
}

impl Disk {
    pub(super) fn open(data: &Path) -> Outcome<Disk> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(data.join("crmsync.db"), flags).map_err(unreadable)?;
        Ok(Disk(connection))
    }

    /// The flow's lease.
    pub(super) fn held(&self) -> Outcome<Held> {
        let sql = "SELECT holder, fence, expires_at_ms FROM lease WHERE tenant = ?1 AND flow = ?2";
        let read =
            |row: &rusqlite::Row<'_>| Ok(Held { holder: row.get(0)?, fence: row.get(1)?, expires_at_ms: row.get(2)? });
        let held = self.0.query_row(sql, (LOCAL_TENANT, FLOW), read).optional().map_err(unreadable)?;
        Ok(held.unwrap_or_default())
    }

    /// Whether the run of this fencing token has come to its end.
    pub(super) fn has_ended(&self, fence: i64) -> Outcome<bool> {
        let sql = "SELECT count(*) FROM run WHERE tenant = ?1 AND flow = ?2 AND fence = ?3 AND state = 'running'";
        let running: i64 = self.0.query_row(sql, (LOCAL_TENANT, FLOW, fence), |row| row.get(0)).map_err(unreadable)?;
        Ok(running == 0)
    }

    /// Writes that had left and whose answer nobody has: what the caught process leaves in its outbox.
    pub(super) fn unanswered(&self) -> Outcome<u64> {
        let sql = "SELECT count(*) FROM intent WHERE tenant = ?1 AND state = 'admitted'";
        let open: i64 = self.0.query_row(sql, (LOCAL_TENANT,), |row| row.get(0)).map_err(unreadable)?;
        Ok(open.unsigned_abs())
    }

    /// Comes when a write has been admitted and not been answered: its first byte leaves now, or has left.
    pub(super) async fn until_admitted(&self) {
        self.until("SELECT count(*) FROM intent WHERE state = 'admitted'").await;
    }

    /// Comes when somebody holds the flow with a younger lease than this.
    pub(super) async fn until_held_anew(&self, fence: i64) {
        self.until(&format!("SELECT count(*) FROM lease WHERE flow = '{FLOW}' AND holder <> '' AND fence > {fence}"))
            .await;
    }

    async fn until(&self, count: &str) {
        // A database that is busy for a moment is asked again.
        while !self.0.query_row(count, (), |row| row.get::<_, i64>(0)).is_ok_and(|found| found > 0) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A digest of each table that only the holder of the flow may change.
    pub(super) fn digests(&self) -> Outcome<BTreeMap<String, u64>> {
        let mut tables = self
            .0
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .map_err(unreadable)?;
        let names = tables.query_map((), |row| row.get::<_, String>(0)).map_err(unreadable)?;
        let names = names.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let of_the_flow = names.into_iter().filter(|name| !NOT_OF_THE_FLOW.contains(&name.as_str()));
        of_the_flow.map(|name| Ok((name.clone(), self.digest(&name).map_err(unreadable)?))).collect()
    }

    fn digest(&self, table: &str) -> rusqlite::Result<u64> {
        let mut statement = self.0.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query(())?;
        let mut sum = 0_u64;
        while let Some(row) = rows.next()? {
            let mut hasher = DefaultHasher::new();
            for column in 0..columns {
                format!("{:?}", row.get::<_, Value>(column)?).hash(&mut hasher);
            }
            // Rows have no order of their own.
            sum = sum.wrapping_add(hasher.finish());
        }
        Ok(sum)
    }

    /// Rule 7, seen from behind: lines of the sync log of an older lease that follow one of a younger.
    pub(super) fn stale_lines(&self) -> Outcome<Vec<String>> {
        let sql = "SELECT journal.id, run.fence, journal.action, journal.left_id, journal.right_id
                   FROM journal JOIN run ON run.id = journal.run ORDER BY journal.id";
        let mut statement = self.0.prepare(sql).map_err(unreadable)?;
        let mut rows = statement.query(()).map_err(unreadable)?;
        let (mut youngest, mut stale) = (0, Vec::new());
        while let Some(row) = rows.next().map_err(unreadable)? {
            let line = || -> rusqlite::Result<(i64, i64, String, String, String)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            };
            let (id, fence, action, left, right) = line().map_err(unreadable)?;
            if fence < youngest {
                stale.push(format!(
                    "line {id} (`{action}` {left} {right}) was written with lease {fence} after a line of lease {youngest}"
                ));
            }
            youngest = youngest.max(fence);
        }
        Ok(stale)
    }
}

fn unreadable(error: rusqlite::Error) -> String {
    format!("the database of the world cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workplace::Folder;

    /// A database with two leases and a line of each in the sync log.
    fn world(folder: &Folder) -> (Connection, Disk) {
        let writer = Connection::open(folder.path().join("crmsync.db")).unwrap();
        writer
            .execute_batch(
                "CREATE TABLE lease (tenant TEXT, flow TEXT, holder TEXT, fence INTEGER, expires_at_ms INTEGER);
                 CREATE TABLE run (id INTEGER PRIMARY KEY, tenant TEXT, flow TEXT, fence INTEGER, state TEXT);
                 CREATE TABLE journal (id INTEGER PRIMARY KEY, run INTEGER, action TEXT, left_id TEXT, right_id TEXT);
                 CREATE TABLE usage (calls INTEGER);
                 INSERT INTO lease VALUES ('local', 'people', 'second', 2, 9);
                 INSERT INTO run VALUES (1, 'local', 'people', 1, 'interrupted'), (2, 'local', 'people', 2, 'running');
                 INSERT INTO journal (run, action, left_id, right_id) VALUES (1, 'created', 'a', 'b'), (2, 'updated', 'a', 'b');",
            )
            .unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        (writer, disk)
    }

    #[test]
    fn a_line_of_an_old_lease_behind_one_of_a_younger_is_stale() {
        let folder = Folder::make().unwrap();
        let (writer, disk) = world(&folder);
        assert_eq!(disk.held().unwrap(), Held { holder: "second".to_owned(), fence: 2, expires_at_ms: 9 });
        assert!(disk.has_ended(1).unwrap() && !disk.has_ended(2).unwrap());
        assert_eq!(disk.stale_lines().unwrap(), [""; 0]);
        writer
            .execute("INSERT INTO journal (run, action, left_id, right_id) VALUES (1, 'updated', 'c', 'd')", ())
            .unwrap();
        let stale = disk.stale_lines().unwrap();
        assert!(stale.len() == 1 && stale[0].contains("lease 1 after a line of lease 2"), "{stale:?}");
    }

    #[test]
    fn whatever_a_zombie_changes_of_the_flow_is_seen() {
        let folder = Folder::make().unwrap();
        let (writer, disk) = world(&folder);
        let before = disk.digests().unwrap();
        // What belongs to a connection may change: a call that was under way is counted.
        writer.execute("INSERT INTO usage VALUES (7)", ()).unwrap();
        assert_eq!(disk.digests().unwrap(), before);
        writer.execute("UPDATE run SET state = 'done' WHERE id = 1", ()).unwrap();
        let after = disk.digests().unwrap();
        assert_eq!(before.keys().filter(|table| after[*table] != before[*table]).collect::<Vec<_>>(), ["run"]);
    }
}
