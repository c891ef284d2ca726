//! What the last preview of a flow listed.

use serde::Serialize;

use super::failure::Failure;
use super::flows::get;
use crate::app::App;
use crate::engine::Preview;
use crate::store::{ListingCount, ListingRow};

/// Lines that are read from the store at a time.
const PAGE_ROWS: usize = 1_000;

/// A part of a listing.
#[derive(Clone, Debug, Serialize)]
pub struct ListingPage {
    /// The flow.
    pub flow: String,
    /// Names of its connections.
    pub between: [String; 2],
    /// When the preview was made.
    pub at_ms: i64,
    /// The lines.
    pub rows: Vec<ListingRow>,
    /// Lines that are there and not in this part.
    pub more: u64,
    /// How much of what the whole listing holds.
    pub counts: Vec<ListingCount>,
}

/// The first lines of the last preview's listing: all kinds, or those whose kind or reason is `what`.
///
/// # Errors
/// There is no preview, or it lists nothing of that name.
pub async fn listing(app: &App, tenant: &str, name: &str, what: &str, most: usize) -> Result<ListingPage, Failure> {
    let preview = last_preview(app, tenant, name).await?;
    let counts = app.store().listing_counts(tenant, name, preview.run).await?;
    let total = known(name, what, &counts)?;
    let rows = app.store().listing(tenant, name, preview.run, what, 0, most).await?;
    let more = total.saturating_sub(rows.len() as u64);
    Ok(ListingPage { flow: name.to_owned(), between: preview.between, at_ms: preview.at_ms, rows, more, counts })
}

/// The same, page by page, however long it is.
///
/// # Errors
/// As [`listing`], and whatever `each` returns.
pub async fn listing_pages(
    app: &App,
    tenant: &str,
    name: &str,
    what: &str,
    mut each: impl FnMut(&[ListingRow]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let preview = last_preview(app, tenant, name).await?;
    known(name, what, &app.store().listing_counts(tenant, name, preview.run).await?)?;
    let mut after = 0;
    loop {
        let rows = app.store().listing(tenant, name, preview.run, what, after, PAGE_ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        each(&rows)?;
    }
}

async fn last_preview(app: &App, tenant: &str, name: &str) -> Result<Preview, Failure> {
    let flow = get(app, tenant, name).await?;
    serde_json::from_str(&flow.previewed).map_err(|_| {
        Failure::failed(
            "flow.no_preview",
            format!("`{name}` has no preview to list"),
            format!("run `crmsync flow preview {name}` first"),
        )
    })
}

/// Kinds that a preview can list, besides the reasons of what is not simply written.
const KINDS: [&str; 10] = [
    "linked",
    "created",
    "filled",
    "replaced",
    "differs",
    "left-out",
    "waiting",
    "needs-attention",
    "out-of-scope",
    "removed",
];

/// How many lines a name stands for; a kind may be empty, a name that nobody knows is a mistake.
fn known(flow: &str, what: &str, counts: &[ListingCount]) -> Result<u64, Failure> {
    let total = counts.iter().filter(|count| what.is_empty() || count.kind == what || count.reason == what);
    let total = total.map(|count| count.count).sum();
    if total > 0 || what.is_empty() || KINDS.contains(&what) {
        return Ok(total);
    }
    let reasons = counts.iter().map(|count| count.reason.as_str()).filter(|reason| !reason.is_empty());
    let mut names: Vec<&str> = KINDS.into_iter().chain(reasons).collect();
    names.dedup();
    Err(Failure::input(
        "flow.unknown_listing",
        format!("the preview of `{flow}` lists nothing called `{what}`"),
        format!("it lists: {}", names.join(", ")),
    ))
}
