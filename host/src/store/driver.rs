//! One writer thread, many waiting steps, one commit for all that wait.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use secrecy::zeroize::Zeroizing;
use tokio::sync::oneshot;

use crmsync_core::sabotage;

use super::points::{self, Moment};
use super::{Sealer, migrate};

/// Steps that may wait for the writer before callers are held up.
const QUEUE_STEPS_MAX: usize = 1_024;
/// Steps that share one commit.
const GROUP_STEPS_MAX: usize = 64;

/// Pages of the database in memory, so that a portion of a large flow does not read the same pages again and again.
const CACHE_KIB: i64 = 24 * 1024;

/// Why a step did not happen. Nothing of a failed step is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or failed.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Something stored cannot be read back: a newer host wrote it, or the file is damaged.
    #[error("stored {what} cannot be read: {why}")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// Why it failed.
        why: String,
    },
    /// Rule 7: somebody else holds the lease now.
    #[error("another host took over this flow; this run stops without writing")]
    LeaseLost,
    /// The step does not fit the state, in words that say what to do.
    #[error("{0}")]
    Refused(String),
    /// A file next to the database failed.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The writer thread is gone: the host is shutting down, or the disk failed.
    #[error("the store is closed")]
    Closed,
}

/// The embedded database. Cheap to clone; the file is closed when the last clone goes.
#[derive(Clone)]
pub struct Store {
    queue: SyncSender<Job>,
    sealer: Sealer,
}

type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// A step, given the connection inside a transaction, or the reason why there is none.
type Job = Box<dyn FnOnce(Result<&Connection, Error>) -> Reply + Send>;

impl Store {
    /// Opens (and creates or migrates) the database file. The file and its key are readable by their owner only.
    ///
    /// # Errors
    /// The folder cannot be written, the file is not ours, or a newer crmsync wrote it.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Store, Error> {
        restrict(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Rule 1 must hold through a power failure too: an intent is on disk before its write leaves.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(256);
        // Plans that do not depend on what is bound: a step's statement would else be prepared anew with each of its calls.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        migrate::run(&connection)?;
        let (queue, jobs) = sync_channel::<Job>(QUEUE_STEPS_MAX);
        let planted = sabotage::planted();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                sabotage::plant(planted);
                write_loop(&connection, &jobs);
            })
            .map_err(|error| Error::File { path: "store-writer".into(), why: error.to_string() })?;
        Ok(Store { queue, sealer })
    }

    /// Runs one step: all of it or nothing, on disk when this returns.
    pub(super) async fn step<T, F>(&self, step: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let name = points::name_of::<F>();
        points::reach(name, Moment::Before).await;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, step));
            Box::new(move |committed: Result<(), Error>| {
                // Whoever asked may have gone; the step stands all the same.
                let _gone = answer.send(told(result, committed));
            })
        });
        self.hand_over(job).await?;
        let result = answered.await.map_err(|_| Error::Closed)?;
        points::reach(name, Moment::After).await;
        result
    }

    /// Puts a job before the writer. Only a full queue has to be waited for, and no task may block its thread for that.
    async fn hand_over(&self, job: Job) -> Result<(), Error> {
        let job = match self.queue.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Error::Closed),
            Err(TrySendError::Full(job)) => job,
        };
        let queue = self.queue.clone();
        let sent = tokio::task::spawn_blocking(move || queue.send(job)).await;
        sent.map_err(|_| Error::Closed)?.map_err(|_| Error::Closed)
    }

    /// Runs one step for a caller that cannot wait in a task any more, as it is being dropped: returns when it is done, or after a second.
    pub(super) fn step_at_end(&self, step: impl FnOnce(&Tx<'_>) -> Result<(), Error> + Send + 'static) {
        const WAIT: std::time::Duration = std::time::Duration::from_secs(1);
        let (done, ended) = sync_channel::<()>(1);
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, step));
            Box::new(move |committed: Result<(), Error>| {
                if let Err(error) = told(result, committed) {
                    tracing::warn!(%error, "the last step of this process failed");
                }
                // Whoever waited may have gone.
                let _gone = done.send(());
            })
        });
        if self.queue.try_send(job).is_ok() {
            let _late = ended.recv_timeout(WAIT);
        }
    }

    /// A key of this host for something outside the database, named by its purpose. Whoever has it finds neither the key that seals
    /// secrets nor that of another purpose.
    pub fn key_for(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.sealer.key_for(purpose)
    }

    pub(super) fn sealer(&self) -> Sealer {
        self.sealer.clone()
    }
}

fn write_loop(connection: &Connection, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            first(Err(error.into()))(Ok(()));
            continue;
        }
        let mut replies = vec![first(Ok(connection))];
        // A full disk takes the transaction away from under the group: a further step would be committed on its own.
        while replies.len() < GROUP_STEPS_MAX && !connection.is_autocommit() {
            match jobs.try_recv() {
                Ok(job) => replies.push(job(Ok(connection))),
                Err(_) => break,
            }
        }
        let failure = connection.execute_batch("COMMIT").err().map(|error| {
            // A failed commit can leave the transaction open; the next group must start from a clean state.
            let _closed = connection.execute_batch("ROLLBACK");
            error.to_string()
        });
        for reply in replies {
            reply(failure.clone().map_or(Ok(()), |why| Err(Error::Refused(why))));
        }
    }
}

/// What a step came to. Its own error says more than that of a commit for which it left no transaction.
fn told<T>(result: Result<T, Error>, committed: Result<(), Error>) -> Result<T, Error> {
    let value = result?;
    committed.map(|()| value)
}

fn in_savepoint<T>(connection: &Connection, step: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT step")?;
    let result = step(&Tx { connection });
    match &result {
        Ok(_) => connection.execute_batch("RELEASE step")?,
        // Without a transaction nothing is left to roll back, and the step's own error says why.
        Err(_) if connection.is_autocommit() => {}
        Err(_) => connection.execute_batch("ROLLBACK TO step; RELEASE step")?,
    }
    result
}

/// The database as a step sees it: prepared, cached statements with `?1` parameters.
pub struct Tx<'a> {
    connection: &'a Connection,
}

impl Tx<'_> {
    /// Runs a statement and gives the number of changed rows.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// Inserts a row and gives its number.
    pub(super) fn insert(&self, sql: &str, params: impl Params) -> Result<i64, Error> {
        Ok(self.connection.prepare_cached(sql)?.insert(params)?)
    }

    /// The first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// All rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

/// Creates the file for its owner only before SQLite does it for everybody.
fn restrict(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |error: std::io::Error| Error::File { path: path.display().to_string(), why: error.to_string() };
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)
}

/// Reads a stored JSON document.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Unreadable { what, why: error.to_string() })
}

/// Writes a JSON document. Only types that always serialise are stored.
pub(super) fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Unreadable { what, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_and_later_steps_go_on() {
        let folder = std::env::temp_dir().join(format!("crmsync-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let sealer = Sealer::from_file(&folder.join("key")).expect("a key can be made");
        let store = Store::open(&folder.join("state.db"), sealer).expect("a database can be made");
        let resize = async |pages: u32| {
            let limit = format!("PRAGMA max_page_count = {pages}");
            store.step(move |tx| tx.one(&limit, [], |row| row.get::<_, i64>(0))).await.expect("a limit can be set");
        };
        let keep = async || {
            let insert = |tx: &Tx<'_>| {
                tx.execute("CREATE TABLE IF NOT EXISTS big (data BLOB)", [])?;
                tx.execute("INSERT INTO big VALUES (zeroblob(100000))", [])
            };
            store.step(insert).await
        };
        resize(1).await;
        let error = keep().await.expect_err("there is no room");
        assert!(error.to_string().contains("full"), "{error}");
        resize(100_000).await;
        keep().await.expect("there is room");
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
