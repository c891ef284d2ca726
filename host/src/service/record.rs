//! Records as people name them: `[CONNECTION:][MODULE/]ID`. An id alone does where only one record has it.

use crmsync_core::Side;

use super::failure::Failure;
use super::flows::sides_of;
use crate::app::App;
use crate::store::RecordPlace;

/// The record that is meant; none if the flow knows none of this name.
///
/// # Errors
/// Several records have this id.
pub async fn find_record(app: &App, tenant: &str, flow: &str, name: &str) -> Result<Option<RecordPlace>, Failure> {
    // The log of a flow that was removed can be read; its connections are not known any more.
    let between = app.store().flow(tenant, flow).await?.map(|flow| sides_of(&flow)).unwrap_or_default();
    let (side, rest) = prefixed(name, &between);
    let (module, id) = match rest.split_once('/') {
        Some((module, id)) => (Some(module), id),
        None => (None, rest),
    };
    let mut places = app.store().places_of(tenant, flow, id).await?;
    places.retain(|place| {
        side.is_none_or(|side| place.side == side) && module.is_none_or(|module| place.module == module)
    });
    if places.len() < 2 {
        return Ok(places.pop());
    }
    let whole = |place: &RecordPlace| format!("{}:{}/{}", between[place.side as usize], place.module, place.id);
    let names: Vec<String> = places.iter().map(whole).collect();
    Err(Failure::input(
        "record.which",
        format!("several records have the id {id}: {}", names.join(" and ")),
        format!("name the one that is meant as it is written here, for example {}", names[0]),
    ))
}

/// The side that a name begins with, and the rest of it. An id may have a colon of its own.
fn prefixed<'a>(name: &'a str, between: &[String; 2]) -> (Option<Side>, &'a str) {
    let found = name.split_once(':').and_then(|(connection, rest)| {
        let side = Side::BOTH.into_iter().find(|side| between[*side as usize] == connection)?;
        Some((Some(side), rest))
    });
    found.unwrap_or((None, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_stand_before_an_id() {
        let between = ["east".to_owned(), "west".to_owned()];
        let check = |name: &str, side: Option<Side>, rest: &str| assert_eq!(prefixed(name, &between), (side, rest));
        check("17", None, "17");
        check("west:12x4", Some(Side::Right), "12x4");
        check("east:Contacts/17", Some(Side::Left), "Contacts/17");
        check("urn:uuid:4", None, "urn:uuid:4");
        check("east:urn:4", Some(Side::Left), "urn:4");
    }
}
