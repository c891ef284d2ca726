//! Reading all contacts of a CRM: through the sandboxed connector, and through a native program. And how many calls it takes.

use crmsync::engine::{Remote, RemoteRecord};
use crmsync_sandbox::history::{Call, CallKind};
use serde::Serialize;

use super::measure::{Comparison, compare};
use super::wire::{VtigerContact, ZohoContact};
use super::world::World;
use super::{Failure, Options, native};

const MODULE: &str = "Contacts";

/// What reading one CRM costs, for each record.
#[derive(Debug, Serialize)]
pub(super) struct Reading {
    pub(super) cost: Comparison,
    pub(super) calls: Calls,
}

/// Calls of one complete read, by the server's own account.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    /// Calls that list records.
    pub(super) list: usize,
    /// Most that they may be: one for each full page, and one more.
    pub(super) list_max: usize,
    /// The same for each 1,000 records.
    pub(super) list_per_1000: f64,
    /// All calls of the read, counts and lists of deleted records with them.
    pub(super) all: usize,
}

impl Calls {
    /// Whether the read took no more calls than it may.
    pub(super) fn are_few(&self) -> bool {
        self.list <= self.list_max
    }
}

pub(super) async fn measure(world: &World, connection: &str, options: &Options) -> Result<Reading, Failure> {
    let names = if connection == "zoho" { ZohoContact::FIELDS } else { VtigerContact::FIELDS };
    let fields: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let calls = check(world, connection, &fields, options.records).await?;
    let crmsync = async || read(world, connection, &fields).await.map(drop);
    let native = async || read_natively(world, connection).await.map(drop);
    let cost = compare(options.repetitions, options.records, crmsync, native).await?;
    Ok(Reading { cost, calls })
}

/// Pulls until the head, as the first stage of a run does.
async fn read(world: &World, connection: &str, fields: &[String]) -> Result<Vec<RemoteRecord>, Failure> {
    let crm = world.crm(connection).await?;
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = crm.pull(MODULE, fields, cursor).await?;
        records.extend(page.live);
        if !page.more {
            return Ok(records);
        }
        cursor = Some(page.next);
    }
}

async fn read_natively(world: &World, connection: &str) -> Result<Vec<RemoteRecord>, Failure> {
    match connection {
        "zoho" => native::read_zoho(&world.http, &world.zoho).await,
        _ => native::read_vtiger(&world.http, &world.vtiger).await,
    }
}

/// Makes sure that both programs do the same: equal records out of equally many calls of each kind. Gives the calls.
async fn check(world: &World, connection: &str, fields: &[String], records: usize) -> Result<Calls, Failure> {
    // The first read also learns the fields and keeps them, as the first run of a flow does.
    read(world, connection, fields).await?;
    let history = &world.server(connection).shared().history;
    let mut seq = history.calls(0).len() as u64;
    let ours = read(world, connection, fields).await?;
    let our_calls = history.calls(seq);
    seq += our_calls.len() as u64;
    let theirs = read_natively(world, connection).await?;
    let their_calls = history.calls(seq);

    let content = |records: Vec<RemoteRecord>| -> Vec<_> {
        records.into_iter().map(|record| (record.id, record.modified_at_ms, record.values)).collect()
    };
    let (ours, theirs) = (content(ours), content(theirs));
    if let Some((ours, theirs)) = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs) {
        return Err(format!("compare {connection}: the connector reads {ours:?}, the native program {theirs:?}").into());
    }
    let counts = |calls: &[Call]| (calls.len(), calls.iter().filter(|call| lists_records(call)).count());
    if ours.len() != theirs.len() || counts(&our_calls) != counts(&their_calls) {
        return Err(format!(
            "compare {connection}: the connector reads {} records with {:?} calls, the native program {} with {:?}",
            ours.len(),
            counts(&our_calls),
            theirs.len(),
            counts(&their_calls)
        )
        .into());
    }
    let (all, list) = counts(&our_calls);
    let page_records = if connection == "zoho" { 200 } else { 100 };
    let list_max = records.div_ceil(page_records) + 1;
    Ok(Calls { list, list_max, list_per_1000: list as f64 * 1_000.0 / records as f64, all })
}

/// Whether a call gives records of the module: not counts, and not the list of those that were deleted.
fn lists_records(call: &Call) -> bool {
    let path = call.path.to_ascii_lowercase();
    call.kind == CallKind::Read
        && !["/deleted", "/actions/count", "count%28", "count("].iter().any(|part| path.contains(part))
}
