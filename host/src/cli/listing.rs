//! What a preview lists, for people and for spreadsheets.

use std::path::Path;

use serde_json::json;

use super::output::Output;
use super::table::{Table, neutral};
use crate::app::{App, LOCAL_TENANT};
use crate::engine::{Effort, Preview};
use crate::service::{self, Failure, ListingPage};
use crate::store::ListingRow;

/// What is shown of a preview without being asked for, and how people call it.
const SAMPLED: [(&str, &str); 4] = [
    ("replaced", "values that would be replaced"),
    ("more-than-one-match", "more than one match"),
    ("needs-attention", "need attention"),
    ("waiting", "waiting"),
];
/// Lines of each sample.
const SAMPLE_LINES: usize = 3;
/// Longest value in a sample or a table, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// `--list` and `--csv`: the last preview, as it was listed.
pub(super) async fn show(
    app: &App,
    name: &str,
    what: &str,
    most: usize,
    csv: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    if let Some(file) = csv {
        let lines = write_csv(app, name, what, file).await?;
        output
            .answer(&json!({ "file": file, "lines": lines }), |_| format!("wrote {lines} lines to {}", file.display()));
        return Ok(());
    }
    let page = service::listing(app, LOCAL_TENANT, name, what, most).await?;
    output.answer(&page, |page| page_text(page, what));
    Ok(())
}

/// A few lines of what a person should see before approving, and how to see the rest.
pub(super) async fn samples(app: &App, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    for (what, title) in SAMPLED {
        let Ok(page) = service::listing(app, LOCAL_TENANT, name, what, SAMPLE_LINES).await else { continue };
        // Double matches have a sample of their own.
        if page.rows.is_empty()
            || (what == "needs-attention" && page.rows.iter().all(|row| row.reason == "more-than-one-match"))
        {
            continue;
        }
        text.push_str(&format!("\n{title}:\n"));
        for row in &page.rows {
            text.push_str(&format!("  {}\n", line(row, &page.between)));
        }
        if page.more > 0 {
            text.push_str(&format!("  … and {} more: crmsync flow preview {name} --list {what}\n", page.more));
        }
    }
    Ok(text)
}

/// What a run would cost, for people.
pub(super) fn effort_text(preview: &Preview) -> String {
    let mut text = String::new();
    for effort in &preview.efforts {
        let calls = &effort.calls;
        let time = match effort.seconds_min {
            Some(seconds) if calls.total() > 0 => format!(", at least {} by the CRM's limit", duration(seconds)),
            Some(_) | None => String::new(),
        };
        text.push_str(&format!(
            "{}: {} calls (create {}, change {}, read before {}, read after at most {}){time}\n",
            neutral(&effort.connection),
            calls.total(),
            calls.create,
            calls.update,
            calls.read_before,
            calls.read_after,
        ));
        text.push_str(&automations_text(effort));
    }
    text
}

fn automations_text(effort: &Effort) -> String {
    if effort.automations.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = effort.automations.iter().map(|(module, writes)| format!("{module} {writes}")).collect();
    let why =
        if effort.automations_always { "it has no switch for them" } else { "the flow says automations = \"on\"" };
    format!(
        "  its own workflows and mails START with these writes, as {why}: {}. Switch them off there before the first sync\n",
        neutral(&parts.join(", "))
    )
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{:.1} hours", seconds as f64 / 3_600.0),
    }
}

fn line(row: &ListingRow, between: &[String; 2]) -> String {
    let ids: Vec<&str> =
        [row.left_id.as_str(), row.right_id.as_str()].into_iter().filter(|id| !id.is_empty()).collect();
    let side = side_name(row, between);
    let mut parts = vec![format!("{} {}", module(row), ids.join(" = "))];
    if !row.label.is_empty() {
        parts.push(if side.is_empty() { row.label.clone() } else { format!("{side}: {}", row.label) });
    }
    if !row.before.is_empty() || !row.after.is_empty() {
        parts.push(format!("{} → {}", short(&row.before), short(&row.after)));
    }
    parts.extend([row.reason.clone(), short(&row.detail)].into_iter().filter(|part| !part.is_empty()));
    neutral(&parts.join("  "))
}

fn module(row: &ListingRow) -> String {
    if row.left_module == row.right_module {
        row.left_module.clone()
    } else {
        format!("{} = {}", row.left_module, row.right_module)
    }
}

fn side_name<'a>(row: &ListingRow, between: &'a [String; 2]) -> &'a str {
    match row.side.as_str() {
        "left" => &between[0],
        "right" => &between[1],
        _ => "",
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn page_text(page: &ListingPage, what: &str) -> String {
    let [left, right] = &page.between;
    let mut table = Table::new(&["MODULE", "WHAT", left, right, "WRITES TO", "FIELD", "BEFORE", "AFTER", "WHY"]);
    for row in &page.rows {
        let why = [row.reason.as_str(), &short(&row.detail)].join(" ");
        table.row([
            &module(row),
            &row.kind,
            &row.left_id,
            &row.right_id,
            side_name(row, &page.between),
            &row.label,
            &short(&row.before),
            &short(&row.after),
            why.trim(),
        ]);
    }
    let mut text = table.text(None);
    if page.more > 0 {
        let list = if what.is_empty() { "--list all".to_owned() } else { format!("--list {what}") };
        text.push_str(&format!(
            "… and {} more: add --most {}, or crmsync flow preview {} {list} --csv FILE\n",
            page.more,
            page.rows.len() as u64 + page.more,
            page.flow
        ));
    }
    let made = super::output::moment(page.at_ms);
    text.push_str(&format!("as of the preview of {made} UTC; a new one: crmsync flow preview {}", page.flow));
    text
}

async fn write_csv(app: &App, name: &str, what: &str, file: &Path) -> Result<u64, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::environment("flow.csv", format!("failed to write {}: {error}", file.display()), "choose another file")
    };
    let between = service::listing(app, LOCAL_TENANT, name, what, 0).await?.between;
    let mut writer = csv::Writer::from_writer(private_file(file).map_err(|error| failed(&error))?);
    let [left, right] = &between;
    let titles = ["module", "what", left, right, "writes to", "field", "before", "after", "reason", "detail"];
    writer.write_record(titles).map_err(|error| failed(&error))?;
    let mut lines = 0;
    service::listing_pages(app, LOCAL_TENANT, name, what, |rows| {
        for row in rows {
            let cells = [
                module(row).as_str(),
                &row.kind,
                &row.left_id,
                &row.right_id,
                side_name(row, &between),
                &row.label,
                &row.before,
                &row.after,
                &row.reason,
                &row.detail,
            ]
            .map(no_formula);
            writer.write_record(&cells).map_err(|error| failed(&error))?;
            lines += 1;
        }
        Ok(())
    })
    .await?;
    writer.flush().map_err(|error| failed(&error))?;
    Ok(lines)
}

/// The file holds people's data: only its owner reads it (S22).
fn private_file(file: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)
}

/// S22: a cell that a spreadsheet would take for a formula is shown as text: an apostrophe goes before it.
fn no_formula(cell: &str) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%') => format!("'{cell}"),
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let check = |cell: &str, expected: &str| assert_eq!(no_formula(cell), expected);
        check("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")");
        check("+48 12 345", "'+48 12 345");
        check("-1", "'-1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "'\t=1");
        check("Smith, Anna", "Smith, Anna");
        check("", "");
    }

    #[test]
    fn a_line_names_both_records_the_field_and_the_values() {
        let row = ListingRow {
            id: 1,
            left_module: "Contacts".into(),
            right_module: "Contacts".into(),
            kind: "replaced".into(),
            side: "right".into(),
            left_id: "17".into(),
            right_id: "12x4".into(),
            field: "Phone=phone".into(),
            label: "Office Phone".into(),
            before: "1\u{1b}[31m".into(),
            after: "2".into(),
            reason: String::new(),
            detail: String::new(),
        };
        let between = ["east".to_owned(), "wester".to_owned()];
        assert_eq!(line(&row, &between), "Contacts 17 = 12x4  wester: Office Phone  1�[31m → 2");
    }
}
