//! The whole story of one record in plain words: what the sync log says of it, and what is open now.

use std::collections::BTreeMap;

use crmsync_core::Value;
use crmsync_core::decide::reason;
use serde::Serialize;

use super::attention::{PointShown, show};
use super::failure::Failure;
use super::flows::{get, sides_of};
use super::record::find_record;
use crate::app::App;
use crate::store::{JournalQuery, JournalRow};

/// Values that one sentence names; the others are counted.
const VALUES_TOLD_MAX: usize = 8;
/// Characters of a value that a sentence shows.
const VALUE_CHARS_MAX: usize = 80;
/// Lines of the sync log that a story is made of, the newest.
const LINES_MAX: usize = 1_000;

/// The story of one record.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The record that was asked for.
    pub record: String,
    /// Module on its side, and its counterpart's.
    pub modules: [String; 2],
    /// Both ids, left first, "" where there is none.
    pub ids: [String; 2],
    /// Connections, left first.
    pub between: [String; 2],
    /// How things stand, in one sentence.
    pub now: String,
    /// What happened, oldest first.
    pub lines: Vec<StoryLine>,
    /// What is open, with what to do.
    pub open: Vec<PointShown>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoryLine {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The run that did it.
    pub run: i64,
    /// What happened, in plain words.
    pub text: String,
}

/// Tells the story of a record, by its id on either side; see [`find_record`] for ids that several records have.
///
/// # Errors
/// The flow knows no such record.
pub async fn story(app: &App, tenant: &str, flow: &str, record: &str) -> Result<Story, Failure> {
    let known = get(app, tenant, flow).await?;
    let between = sides_of(&known);
    let Some(named) = find_record(app, tenant, flow, record).await? else { return Err(no_record(flow, record)) };
    let query = JournalQuery { record: Some(named.clone()), most: LINES_MAX, ..JournalQuery::default() };
    let journal = app.store().journal(tenant, flow, query).await?;
    let open = match show(app, tenant, flow, record).await {
        Ok(need) => need.points,
        Err(failure) if failure.code == "attention.nothing" => vec![],
        Err(failure) => return Err(failure),
    };
    let mut place = None;
    for pair in app.store().pairs(tenant, flow).await? {
        let (side, id) = (named.side, named.id.as_str());
        if pair.modules[side as usize] == named.module {
            if let Some(link) = app.store().link_of(tenant, pair.id, side, id).await? {
                let now = match link.removed {
                    None => "in step".to_owned(),
                    Some(gone) => format!("linked, but the record left {}", between[gone as usize]),
                };
                place = Some((pair.modules.clone(), [link.left_id.clone(), link.right_id.clone()], now));
            } else if place.is_none() && app.store().unlinked_record(tenant, pair.id, side, id).await?.is_some() {
                let mut ids = [String::new(), String::new()];
                id.clone_into(&mut ids[side as usize]);
                place = Some((pair.modules.clone(), ids, "known, without a counterpart".to_owned()));
            }
        }
    }
    let (modules, ids, now) = match (place, journal.last()) {
        (Some(place), _) => place,
        (None, Some(line)) => (
            [line.left_module.clone(), line.right_module.clone()],
            [line.left_id.clone(), line.right_id.clone()],
            "not synced any more".to_owned(),
        ),
        (None, None) => return Err(no_record(flow, record)),
    };
    let now = if open.is_empty() { now } else { format!("{now}; {}", open_in_words(&open)) };
    let lines =
        journal.iter().map(|line| StoryLine { at_ms: line.at_ms, run: line.run, text: in_words(line, &between) });
    let lines = lines.collect();
    Ok(Story { record: record.to_owned(), modules, ids, between, now, lines, open })
}

fn no_record(flow: &str, record: &str) -> Failure {
    Failure::input(
        "log.no_record",
        format!("flow `{flow}` knows no record {record}"),
        "give its id on either side, as the CRM shows it in its address line",
    )
}

fn open_in_words(open: &[PointShown]) -> String {
    let person = open.iter().filter(|shown| shown.point.kind == "needs-attention").count();
    match person {
        0 => format!("{} {} noted", open.len(), if open.len() == 1 { "thing is" } else { "things are" }),
        count => format!("{count} {} a person", if count == 1 { "point needs" } else { "points need" }),
    }
}

/// One line of the sync log as a sentence, with the names of the flow's connections, left first.
pub fn in_words(line: &JournalRow, between: &[String; 2]) -> String {
    let [left, right] = between;
    let written = if line.side == "left" { left } else { right };
    let other = if line.side == "left" { right } else { left };
    let id = if line.side == "left" { &line.left_id } else { &line.right_id };
    let because = if line.detail.is_empty() { String::new() } else { format!(": {}", line.detail) };
    match line.action.as_str() {
        "linked" => {
            format!("{left} {} and {right} {} are the same{}", line.left_id, line.right_id, in_brackets(&line.detail))
        }
        "unlinked" => format!("the link of {left} {} and {right} {} was ended{because}", line.left_id, line.right_id),
        "created" => format!("created in {written} as {id}{}", with_values(&line.after, line)),
        "updated" => format!("written to {written} {id}{}", changes(line)),
        "deleted" => format!("deleted in {written}: {id}{because}"),
        "undone" if !line.detail.is_empty() => format!("taken back in {written} {id}{because}"),
        "undone" => format!("taken back in {written} {id}{}", changes(line)),
        "settled" => format!("settled anew in {written} {id}{}", changes(line)),
        "conflict" => format!(
            "both sides {} {}: {other}'s {} stays, {written}'s {} is kept here",
            if line.reason == reason::DIFFERS { "differed in" } else { "changed" },
            field(&line.field, line),
            quoted(&one(&line.after)),
            quoted(&one(&line.before))
        ),
        "removed" => format!("the record left {written}{}", in_brackets(&line.detail)),
        "restored" => format!("the record came back to {written}{because}"),
        "unknown" => format!("a write to {written} was sent and not answered; it is looked into{because}"),
        "refused" => format!("{written} refused a write{because}"),
        "parked" => format!("a create in {written} waits for a person{because}"),
        "attention" => format!("a person is needed: {}{because}", line.reason),
        "decided" if !line.field.is_empty() && !line.after.is_empty() => format!(
            "a person chose {other}'s {} for {}; {written}'s {} is kept here",
            quoted(&one(&line.after)),
            field(&line.field, line),
            quoted(&one(&line.before))
        ),
        "decided" => format!("a person decided{because}"),
        other => format!("{other}{because}"),
    }
}

fn in_brackets(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

/// A mapping row by its fields on the side that the line is about.
fn field(row: &str, line: &JournalRow) -> String {
    let (left, right) = row.split_once('=').unwrap_or((row, row));
    if line.side == "right" { right } else { left }.replace('+', " + ")
}

fn rows(json: &str) -> BTreeMap<String, Vec<Value>> {
    serde_json::from_str(json).unwrap_or_default()
}

fn one(json: &str) -> String {
    let values: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    shown(&values)
}

fn shown(values: &[Value]) -> String {
    values.iter().map(Value::display).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "(blank)".to_owned();
    }
    let mut cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("\"{cut}\"")
}

fn with_values(json: &str, line: &JournalRow) -> String {
    let rows = rows(json);
    let told = rows.iter().map(|(row, values)| format!("{} {}", field(row, line), quoted(&shown(values))));
    listed(" with ", told.collect())
}

fn changes(line: &JournalRow) -> String {
    let (before, after) = (rows(&line.before), rows(&line.after));
    let told = after.iter().map(|(row, values)| {
        let was = before.get(row).map(|values| shown(values)).unwrap_or_default();
        format!("{} {} → {}", field(row, line), quoted(&was), quoted(&shown(values)))
    });
    listed(": ", told.collect())
}

fn listed(lead: &str, told: Vec<String>) -> String {
    if told.is_empty() {
        return String::new();
    }
    let more = told.len().saturating_sub(VALUES_TOLD_MAX);
    let shown = told[..told.len().min(VALUES_TOLD_MAX)].join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{lead}{shown}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(action: &str, side: &str) -> JournalRow {
        JournalRow {
            id: 1,
            run: 7,
            at_ms: 0,
            left_module: "Contacts".into(),
            right_module: "Contacts".into(),
            action: action.into(),
            side: side.into(),
            left_id: "100".into(),
            right_id: "12x5".into(),
            field: String::new(),
            before: String::new(),
            after: String::new(),
            reason: String::new(),
            detail: String::new(),
        }
    }

    #[test]
    fn lines_are_told_in_plain_words() {
        let between = ["alpha".to_owned(), "beta".to_owned()];
        let check = |line: JournalRow, expected: &str| assert_eq!(in_words(&line, &between), expected);
        check(
            JournalRow { detail: "matched by email + last name".into(), ..line("linked", "") },
            "alpha 100 and beta 12x5 are the same (matched by email + last name)",
        );
        check(
            JournalRow {
                before: r#"{"Title=title":[null]}"#.into(),
                after: r#"{"Title=title":["Buyer"]}"#.into(),
                ..line("updated", "right")
            },
            "written to beta 12x5: title (blank) → \"Buyer\"",
        );
        check(
            JournalRow {
                field: "Title=title".into(),
                before: r#"["Head"]"#.into(),
                after: r#"["Buyer"]"#.into(),
                ..line("conflict", "right")
            },
            "both sides changed title: alpha's \"Buyer\" stays, beta's \"Head\" is kept here",
        );
        check(
            JournalRow {
                field: "Title=title".into(),
                before: r#"["Head"]"#.into(),
                after: r#"["Buyer"]"#.into(),
                reason: "differs".into(),
                ..line("conflict", "right")
            },
            "both sides differed in title: alpha's \"Buyer\" stays, beta's \"Head\" is kept here",
        );
        check(
            JournalRow { after: r#"{"Last_Name=lastname":["Cruz"]}"#.into(), ..line("created", "left") },
            "created in alpha as 100 with Last_Name \"Cruz\"",
        );
        check(JournalRow { detail: "deleted".into(), ..line("removed", "left") }, "the record left alpha (deleted)");
        check(
            JournalRow { reason: "more-than-one-match".into(), ..line("attention", "") },
            "a person is needed: more-than-one-match",
        );
    }
}
