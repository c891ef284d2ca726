//! A page of a CRM's list into memory: the host's reader of records, and `serde_json` with typed structs.

use std::hint::black_box;

use crmsync::egress::parse_records;
use crmsync_cells::Kind;
use serde::Serialize;

use super::measure::{Comparison, compare};
use super::wire::{VtigerContact, VtigerPage, ZohoContact, ZohoPage};
use super::world::World;
use super::{Failure, Options, native};

/// Times that a page is read in one turn, so that a turn is long for the clock.
const PAGES: usize = 50;

/// What parsing one record costs.
#[derive(Debug, Serialize)]
pub(super) struct Parsing {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) cost: Comparison,
}

pub(super) async fn measure_zoho(world: &World, options: &Options) -> Result<Parsing, Failure> {
    let body = native::zoho_page(&world.http, &world.zoho).await?;
    let columns = zoho_columns();
    let parse = |body: &[u8]| serde_json::from_slice::<ZohoPage>(body).map(|page| black_box(page).data.len());
    measure(&body, "/data", &columns, parse, options).await
}

pub(super) async fn measure_vtiger(world: &World, options: &Options) -> Result<Parsing, Failure> {
    let body = native::vtiger_page(&world.http, &world.vtiger).await?;
    let names = ["id", "modifiedtime"].iter().chain(VtigerContact::FIELDS);
    let columns: Vec<(String, Kind)> = names.map(|name| ((*name).to_owned(), Kind::Text)).collect();
    let parse = |body: &[u8]| serde_json::from_slice::<VtigerPage>(body).map(|page| black_box(page).result.len());
    measure(&body, "/result", &columns, parse, options).await
}

async fn measure(
    body: &[u8],
    pointer: &str,
    columns: &[(String, Kind)],
    parse: impl Fn(&[u8]) -> serde_json::Result<usize>,
    options: &Options,
) -> Result<Parsing, Failure> {
    let (batch, mismatches) = parse_records(body, pointer, columns)?;
    let records = batch.rows as usize;
    if mismatches > 0 || records != parse(body)? {
        return Err(format!("compare the parsers: {records} records with {mismatches} values of another kind").into());
    }
    let crmsync = async || {
        for _ in 0..PAGES {
            black_box(parse_records(body, pointer, columns)?);
        }
        Ok(())
    };
    let native = async || {
        for _ in 0..PAGES {
            parse(body)?;
        }
        Ok(())
    };
    let cost = compare(options.repetitions, PAGES * records, crmsync, native).await?;
    Ok(Parsing { records, bytes: body.len(), cost })
}

/// What the connector asks the host for.
fn zoho_columns() -> Vec<(String, Kind)> {
    let column = |name: &&str| match *name {
        "Owner" | "Account_Name" => (format!("/{name}/id"), Kind::Text),
        "Date_of_Birth" => ((*name).to_owned(), Kind::Date),
        "Email_Opt_Out" => ((*name).to_owned(), Kind::Boolean),
        _ => ((*name).to_owned(), Kind::Text),
    };
    let own = [("id".to_owned(), Kind::Text), ("Modified_Time".to_owned(), Kind::Instant)];
    own.into_iter().chain(ZohoContact::FIELDS.iter().map(column)).collect()
}
