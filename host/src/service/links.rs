//! Links by hand: which records are the same thing, and which are not.

use crmsync_core::Side;

use super::connections;
use super::failure::{Failure, call_failed};
use super::flows::{get, journalled, sides_of, take_soon};
use super::record::find_record;
use crate::app::App;
use crate::engine::Remote;
use crate::store::{Obstacle, PairId};

/// Links two records by hand: they are the same thing. Records that cannot be read are refused.
///
/// # Errors
/// One of them is not there, is in another link, or a write of it is under way.
pub async fn link(app: &App, tenant: &str, flow: &str, module: Option<&str>, ids: [String; 2]) -> Result<(), Failure> {
    let (pair, modules) = pair_of(app, tenant, flow, module).await?;
    let between = sides_of(&get(app, tenant, flow).await?);
    for side in Side::BOTH {
        let (connection, module, id) = (&between[side as usize], &modules[side as usize], &ids[side as usize]);
        exists(app, tenant, connection, module, id).await?;
    }
    let lease = take_soon(app, tenant, flow).await?;
    let outcome = journalled(app, &lease, "linked by hand", async |run| {
        match app.store().link_by_hand(&lease, pair, run, ids, app.now_ms()).await? {
            Ok(()) => Ok(()),
            Err(Obstacle::Parked) => Err(Failure::failed(
                "link.parked",
                "a create of one of these records waits for an answer",
                format!(
                    "crmsync attention show {flow} RECORD says which; then: crmsync attention decide {flow} link ID"
                ),
            )),
            Err(Obstacle::Gone) => Err(Failure::failed("link.gone", "one of these records is not there any more", "")),
            Err(Obstacle::Linked(left, right)) => Err(Failure::failed(
                "link.taken",
                format!("{left} and {right} are linked already"),
                format!("if that is wrong: crmsync unlink {flow} {left}"),
            )),
            Err(_) => Err(under_way(flow)),
        }
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

/// Ends the link of a record for good; both records are left alone. Gives both ids, left first.
///
/// # Errors
/// It is in no link, or a write of it is under way.
pub async fn unlink(app: &App, tenant: &str, flow: &str, record: &str) -> Result<[String; 2], Failure> {
    get(app, tenant, flow).await?;
    let mut found = Vec::new();
    if let Some(named) = find_record(app, tenant, flow, record).await? {
        for pair in app.store().pairs(tenant, flow).await? {
            if pair.modules[named.side as usize] == named.module
                && let Some(link) = app.store().link_of(tenant, pair.id, named.side, &named.id).await?
            {
                found.push((pair.id, named.side, named.id.clone(), [link.left_id, link.right_id]));
            }
        }
    }
    let (pair, side, id, ids) = match <[_; 1]>::try_from(found) {
        Ok([found]) => found,
        Err(several) if several.is_empty() => {
            return Err(Failure::input("link.unknown", format!("record {record} is in no link of flow `{flow}`"), ""));
        }
        Err(several) => {
            let named: Vec<String> = several.iter().map(|(_, _, _, ids)| ids.join(" = ")).collect();
            return Err(Failure::input(
                "link.which",
                format!("record {record} is in several links: {}", named.join(", ")),
                "name the one that is meant by its partner's id",
            ));
        }
    };
    let lease = take_soon(app, tenant, flow).await?;
    let outcome = journalled(app, &lease, "unlinked by hand", async |run| {
        match app.store().unlink_by_hand(&lease, pair, run, side, id, app.now_ms()).await? {
            Ok(()) => Ok(ids),
            Err(_) => Err(under_way(flow)),
        }
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

/// Whether a CRM shows a record, before it is linked.
pub(super) async fn exists(app: &App, tenant: &str, connection: &str, module: &str, id: &str) -> Result<(), Failure> {
    let crm = app.crm(tenant, &connections::get(app, tenant, connection).await?).await?;
    let fetched = crm.fetch(module, &[id.to_owned()], &[]).await;
    let fetched = fetched.map_err(|error| call_failed(connection, &format!("read {module} {id}"), &error))?;
    match fetched.live.is_empty() {
        false => Ok(()),
        true => Err(Failure::input(
            "link.no_record",
            format!("`{connection}` shows no record {id} in {module}"),
            "ids are given in the order of the flow's connections; see the id in the CRM's address line or in the sync log",
        )),
    }
}

fn under_way(flow: &str) -> Failure {
    Failure::failed(
        "link.under_way",
        "a write of one of these records is under way, and nobody knows its outcome yet",
        format!("let it come to its end first: crmsync flow run {flow}"),
    )
}

/// The module pair that is meant: the named one, or the only one.
async fn pair_of(app: &App, tenant: &str, flow: &str, module: Option<&str>) -> Result<(PairId, [String; 2]), Failure> {
    get(app, tenant, flow).await?;
    let pairs = app.store().pairs(tenant, flow).await?;
    let names: Vec<&str> = pairs.iter().map(|pair| pair.modules[0].as_str()).collect();
    let hint = if names.is_empty() {
        format!("run `crmsync flow preview {flow}` first")
    } else {
        format!("modules of this flow: {}", names.join(", "))
    };
    let fits = |name: &str| pairs.iter().find(|pair| pair.modules.iter().any(|module| module == name));
    match (module, pairs.as_slice()) {
        (Some(name), _) => match fits(name) {
            Some(pair) => Ok((pair.id, pair.modules.clone())),
            None => Err(Failure::input("link.module", format!("flow `{flow}` has no module `{name}`"), hint)),
        },
        (None, [pair]) => Ok((pair.id, pair.modules.clone())),
        (None, _) => Err(Failure::input("link.module", "it is not said which module is meant", hint)),
    }
}
