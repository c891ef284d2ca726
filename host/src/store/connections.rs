//! Connections, and their secrets in the vault.

use std::collections::BTreeMap;

use rusqlite::Row;
use secrecy::zeroize::Zeroizing;

use super::driver::{from_json, to_json};
use super::{Error, Store};

/// Whether a connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionState {
    /// Added, never logged in.
    New,
    /// Logged in.
    Ready,
    /// The login does not work any more.
    LoggedOut,
}

impl ConnectionState {
    fn as_str(self) -> &'static str {
        match self {
            ConnectionState::New => "new",
            ConnectionState::Ready => "ready",
            ConnectionState::LoggedOut => "logged-out",
        }
    }

    fn parse(word: &str) -> ConnectionState {
        match word {
            "ready" => ConnectionState::Ready,
            "logged-out" => ConnectionState::LoggedOut,
            _ => ConnectionState::New,
        }
    }
}

/// One connection, without its secrets.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ConnectionRow {
    /// Name that people gave it.
    pub name: String,
    /// Id of its plugin.
    pub plugin: String,
    /// Settings, nothing secret.
    pub settings: BTreeMap<String, String>,
    /// Origins that the operator pointed elsewhere.
    pub origins: BTreeMap<String, String>,
    /// `address:port` granted by the operator.
    pub addresses: Vec<String>,
    /// Grows with each change of what the connection may reach.
    pub grant_version: i64,
    /// The CRM's organisation that the login belongs to, "" before the first login (S19).
    pub org_id: String,
    /// Its name.
    pub org_name: String,
    /// Whether it can be used.
    pub state: ConnectionState,
    /// The last check as JSON, "" before it; shown to programs as what it is.
    #[serde(serialize_with = "as_document")]
    pub checked: String,
    /// When it was added.
    pub created_at_ms: i64,
}

/// The document of a text, null if it holds none.
fn as_document<S: serde::Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    let document: Option<serde_json::Value> = serde_json::from_str(text).ok();
    serde::Serialize::serialize(&document, to)
}

const COLUMNS: &str =
    "name, plugin, settings, origins, addresses, grant_version, org_id, org_name, state, checked, created_at_ms";

struct Raw {
    row: ConnectionRow,
    settings: String,
    origins: String,
    addresses: String,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        settings: row.get(2)?,
        origins: row.get(3)?,
        addresses: row.get(4)?,
        row: ConnectionRow {
            name: row.get(0)?,
            plugin: row.get(1)?,
            settings: BTreeMap::new(),
            origins: BTreeMap::new(),
            addresses: Vec::new(),
            grant_version: row.get(5)?,
            org_id: row.get(6)?,
            org_name: row.get(7)?,
            state: ConnectionState::parse(&row.get::<_, String>(8)?),
            checked: row.get(9)?,
            created_at_ms: row.get(10)?,
        },
    })
}

impl Raw {
    fn parse(self) -> Result<ConnectionRow, Error> {
        Ok(ConnectionRow {
            settings: from_json("connection settings", &self.settings)?,
            origins: from_json("connection origins", &self.origins)?,
            addresses: from_json("connection addresses", &self.addresses)?,
            ..self.row
        })
    }
}

impl Store {
    /// Adds a connection, or changes the one of that name. What it may reach has a new version, so that pooled connections made
    /// under the old one are not used again. What a CRM said of itself is forgotten unless the login stays.
    pub async fn put_connection(&self, tenant: &str, connection: ConnectionRow) -> Result<(), Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let settings = to_json("connection settings", &connection.settings)?;
            let origins = to_json("connection origins", &connection.origins)?;
            let addresses = to_json("connection addresses", &connection.addresses)?;
            tx.execute(
                "INSERT INTO connection (tenant, name, plugin, settings, origins, addresses, grant_version, org_id, org_name, state, checked, created_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (tenant, name) DO UPDATE SET plugin = excluded.plugin, settings = excluded.settings, origins = excluded.origins,
                 addresses = excluded.addresses, grant_version = connection.grant_version + 1, org_id = excluded.org_id,
                 org_name = excluded.org_name, state = excluded.state, checked = excluded.checked",
                (
                    &tenant,
                    &connection.name,
                    &connection.plugin,
                    &settings,
                    &origins,
                    &addresses,
                    &connection.org_id,
                    &connection.org_name,
                    connection.state.as_str(),
                    &connection.checked,
                    connection.created_at_ms,
                ),
            )?;
            if connection.state != ConnectionState::Ready {
                tx.execute("DELETE FROM metadata WHERE tenant = ?1 AND connection = ?2", (&tenant, &connection.name))?;
            }
            Ok(())
        })
        .await
    }

    /// The connection of this name.
    pub async fn connection(&self, tenant: &str, name: &str) -> Result<Option<ConnectionRow>, Error> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.step(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM connection WHERE tenant = ?1 AND name = ?2");
            tx.one(&sql, (&tenant, &name), read)?.map(Raw::parse).transpose()
        })
        .await
    }

    /// All connections, by name.
    pub async fn connections(&self, tenant: &str) -> Result<Vec<ConnectionRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM connection WHERE tenant = ?1 ORDER BY name");
            tx.all(&sql, [&tenant], read)?.into_iter().map(Raw::parse).collect()
        })
        .await
    }

    /// Removes a connection with its secrets. Flows that use it must be removed first; the caller checks.
    pub async fn remove_connection(&self, tenant: &str, name: &str) -> Result<bool, Error> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.step(move |tx| {
            tx.execute("DELETE FROM vault WHERE tenant = ?1 AND connection = ?2", (&tenant, &name))?;
            tx.execute("DELETE FROM metadata WHERE tenant = ?1 AND connection = ?2", (&tenant, &name))?;
            tx.execute("DELETE FROM budget WHERE tenant = ?1 AND connection = ?2", (&tenant, &name))?;
            tx.execute("DELETE FROM usage WHERE tenant = ?1 AND connection = ?2", (&tenant, &name))?;
            Ok(tx.execute("DELETE FROM connection WHERE tenant = ?1 AND name = ?2", (&tenant, &name))? > 0)
        })
        .await
    }

    /// What a CRM said about a topic (modules, users, fields of a module), with the moment when it said so.
    pub async fn metadata(&self, tenant: &str, connection: &str, topic: &str) -> Result<Option<(String, i64)>, Error> {
        let key = (tenant.to_owned(), connection.to_owned(), topic.to_owned());
        self.step(move |tx| {
            tx.one(
                "SELECT document, at_ms FROM metadata WHERE tenant = ?1 AND connection = ?2 AND topic = ?3",
                (&key.0, &key.1, &key.2),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
        .await
    }

    /// Forgets what a CRM said of itself, so that whoever needs it asks.
    pub async fn forget_metadata(&self, tenant: &str, connection: &str) -> Result<(), Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step(move |tx| {
            tx.execute("DELETE FROM metadata WHERE tenant = ?1 AND connection = ?2", (&tenant, &connection))?;
            Ok(())
        })
        .await
    }

    /// Keeps what a CRM said about a topic.
    pub async fn put_metadata(
        &self,
        tenant: &str,
        connection: &str,
        topic: &str,
        document: String,
        now_ms: i64,
    ) -> Result<(), Error> {
        let key = (tenant.to_owned(), connection.to_owned(), topic.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO metadata (tenant, connection, topic, document, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, connection, topic) DO UPDATE SET document = excluded.document, at_ms = excluded.at_ms",
                (&key.0, &key.1, &key.2, &document, now_ms),
            )?;
            Ok(())
        })
        .await
    }

    /// Saves what a check told, and which organisation the login belongs to. False, and nothing is saved, if the connection was changed
    /// since it was read: the check was of something else.
    pub async fn set_connection_checked(
        &self,
        tenant: &str,
        connection: &ConnectionRow,
        state: ConnectionState,
        org: Option<(String, String)>,
        checked: String,
    ) -> Result<bool, Error> {
        let (tenant, name, version) = (tenant.to_owned(), connection.name.clone(), connection.grant_version);
        self.step(move |tx| {
            let saved = tx.execute(
                "UPDATE connection SET state = ?3, checked = CASE WHEN ?4 = '' THEN checked ELSE ?4 END
                 WHERE tenant = ?1 AND name = ?2 AND grant_version = ?5",
                (&tenant, &name, state.as_str(), &checked, version),
            )?;
            if saved == 0 {
                return Ok(false);
            }
            if let Some((id, title)) = &org {
                tx.execute(
                    "UPDATE connection SET org_id = ?3, org_name = ?4 WHERE tenant = ?1 AND name = ?2",
                    (&tenant, &name, id, title),
                )?;
            }
            Ok(true)
        })
        .await
    }

    /// The opened secrets of a connection with their version.
    pub async fn secrets(&self, tenant: &str, connection: &str) -> Result<Option<(u64, Zeroizing<Vec<u8>>)>, Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        let sealer = self.sealer();
        self.step(move |tx| {
            let found = tx.one(
                "SELECT version, sealed FROM vault WHERE tenant = ?1 AND connection = ?2",
                (&tenant, &connection),
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
            )?;
            found
                .map(|(version, sealed)| Ok((version as u64, sealer.open(&place(&tenant, &connection), &sealed)?)))
                .transpose()
        })
        .await
    }

    /// Replaces the secrets if their version is still the expected one (0: there are none yet). Gives the new version, or none if
    /// somebody else was faster.
    pub async fn replace_secrets(
        &self,
        tenant: &str,
        connection: &str,
        expected: u64,
        secrets: Zeroizing<Vec<u8>>,
    ) -> Result<Option<u64>, Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        let sealer = self.sealer();
        self.step(move |tx| {
            let sealed = sealer.seal(&place(&tenant, &connection), &secrets)?;
            let next = expected as i64 + 1;
            let changed = if expected == 0 {
                tx.execute(
                    "INSERT INTO vault (tenant, connection, version, sealed) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    (&tenant, &connection, next, &sealed),
                )?
            } else {
                tx.execute(
                    "UPDATE vault SET version = ?3, sealed = ?4 WHERE tenant = ?1 AND connection = ?2 AND version = ?5",
                    (&tenant, &connection, next, &sealed, expected as i64),
                )?
            };
            Ok((changed > 0).then_some(next as u64))
        })
        .await
    }
}

fn place(tenant: &str, connection: &str) -> String {
    format!("vault\u{1f}{tenant}\u{1f}{connection}")
}
