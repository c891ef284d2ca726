//! Forward-only migrations, numbered without gaps; the number reached is kept in the database.

use rusqlite::Connection;

use super::Error;

const MIGRATIONS: [&str; 10] = [
    include_str!("../../migrations/0001_init.sql"),
    include_str!("../../migrations/0002_attempts.sql"),
    include_str!("../../migrations/0003_schedule.sql"),
    include_str!("../../migrations/0004_choices.sql"),
    include_str!("../../migrations/0005_budget.sql"),
    include_str!("../../migrations/0006_listing.sql"),
    include_str!("../../migrations/0007_leaving.sql"),
    include_str!("../../migrations/0008_outcome_by_reason.sql"),
    include_str!("../../migrations/0009_delete_asked.sql"),
    include_str!("../../migrations/0010_inbox_live.sql"),
];

/// "crms" in the file's header: so that a foreign SQLite file is never taken for ours.
const APPLICATION_ID: i64 = 0x6372_6d73;

/// Brings the database to the newest schema.
pub(super) fn run(connection: &Connection) -> Result<(), Error> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (application, reached) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(Error::Refused("this database file was not made by crmsync; choose another --data folder".into()));
    }
    let reached = usize::try_from(reached).unwrap_or(usize::MAX);
    if reached > MIGRATIONS.len() {
        return Err(Error::Refused("this database was written by a newer crmsync; upgrade this one".into()));
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(reached) {
        let number = index + 1;
        // The one word in which the two databases differ: SQLite's strict tables call a 64-bit number INTEGER.
        let sql = sql.replace("BIGINT", "INTEGER");
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT"
        ))?;
    }
    Ok(())
}
