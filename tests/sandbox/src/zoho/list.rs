//! Reading records: lists with pages and tokens, one record, deleted records, the count.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::refusal::{JSON, Refusal};
use super::schema::{Field, Module};
use super::store::{Record, Store};
use super::{params::Params, when};
use crate::crm::Twist;
use crate::http::Answer;
use crate::rng::Rng;

const FIELDS_MAX: usize = 50;
/// Ids that a call can name, and the characters that they may have together.
const IDS_MAX: usize = 100;
const IDS_CHARS_MAX: usize = 1_024;
const PAGE_RECORDS_MAX: usize = 200;
/// By page number, only so many records can be reached.
const NUMBERED_RECORDS_MAX: usize = 2_000;
/// By page token, only so many.
const TOKEN_RECORDS_MAX: usize = 100_000;
const TOKEN_LIFE_MS: i64 = 24 * 3_600_000;

/// The page tokens that were handed out.
#[derive(Debug)]
pub(super) struct PageTokens {
    rng: Rng,
    by_token: HashMap<String, PageToken>,
}

#[derive(Debug, Clone)]
struct PageToken {
    /// Every other parameter of the call that it came from.
    bound_to: String,
    /// The last record of the page before; none for the first page.
    after: Option<Place>,
    /// Records before this page.
    reached: usize,
    previous: Option<String>,
    issued_ms: i64,
}

/// A record's place in an order: the value sorted by, then the id.
type Place = (i64, u64);

impl PageTokens {
    pub(super) fn new(seed: u64) -> PageTokens {
        PageTokens { rng: Rng::fork(seed, "page tokens"), by_token: HashMap::new() }
    }

    fn issue(&mut self, page: PageToken) -> String {
        let token = self.rng.hex(96);
        self.by_token.insert(token.clone(), page);
        token
    }
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy)]
struct Order {
    by: &'static str,
    ascending: bool,
}

impl Order {
    fn of(params: &Params) -> Result<Order, Refusal> {
        let by = match params.get("sort_by") {
            None | Some("id") => "id",
            Some("Created_Time") => "Created_Time",
            Some("Modified_Time") => "Modified_Time",
            Some(_) => {
                return Err(Refusal::invalid_data("invalid data")
                    .with("param_name", "sort_by")
                    .with("supported_values", json!(["id", "Created_Time", "Modified_Time"])));
            }
        };
        match params.get("sort_order") {
            None | Some("desc") => Ok(Order { by, ascending: false }),
            Some("asc") => Ok(Order { by, ascending: true }),
            Some(_) => Err(Refusal::invalid_data("invalid data")
                .with("param_name", "sort_order")
                .with("supported_values", json!(["asc", "desc"]))),
        }
    }

    fn place(self, record: &Record) -> Place {
        match self.by {
            "Created_Time" => (record.created_ms, record.id),
            "Modified_Time" => (record.modified_ms, record.id),
            // Ids are unique, so nothing else decides.
            _ => (0, record.id),
        }
    }

    fn is_after(self, place: Place, mark: Place) -> bool {
        if self.ascending { place > mark } else { place < mark }
    }

    fn sort(self, records: &mut [&Record]) {
        records.sort_by_key(|record| self.place(record));
        if !self.ascending {
            records.reverse();
        }
    }
}

/// What a read needs to know of the server.
pub(super) struct Reading<'a> {
    pub(super) store: &'a Store,
    pub(super) module: &'a Module,
    pub(super) params: &'a Params,
    pub(super) modified_since: Option<&'a str>,
    pub(super) twist: Option<Twist>,
    pub(super) now_ms: i64,
    /// Page tokens stand for a number of records.
    pub(super) tokens_count: bool,
}

impl Reading<'_> {
    /// `GET /crm/v8/{module}`.
    pub(super) fn list(&self, tokens: &mut PageTokens) -> Result<Answer, Refusal> {
        let fields = self.fields()?;
        let per_page = per_page(self.params)?;
        let order = Order::of(self.params)?;
        if self.params.get("cvid").is_some() {
            return Err(Refusal::invalid_param("cvid", "bigint"));
        }
        let since_ms = self.since_ms()?;
        let bound_to = self.params.without(&["page", "page_token"], self.modified_since);
        let (page, number) = match (self.params.get("page"), self.params.get("page_token")) {
            (Some(_), Some(_)) => return Err(both_kinds_of_page()),
            (_, Some(token)) => (Some(self.resume(tokens, token, &bound_to)?), 1),
            (_, None) => (None, numbered_page(self.params, per_page)?),
        };

        let mut records = self.matching(since_ms)?;
        order.sort(&mut records);
        let (start, reached) = match &page {
            Some(PageToken { reached, .. }) if self.tokens_count => (*reached, *reached),
            Some(PageToken { after: Some(mark), reached, .. }) => {
                (records.partition_point(|record| !order.is_after(order.place(record), *mark)), *reached)
            }
            _ => ((number - 1) * per_page, (number - 1) * per_page),
        };
        let start = start.min(records.len());
        if let Some(Twist::Cut { rows }) = self.twist {
            records.truncate(start + rows);
        }
        let rows = &records[start..(start + per_page).min(records.len())];
        if rows.is_empty() || self.twist == Some(Twist::Empty) {
            return Ok(Answer::empty(if since_ms.is_some() && start == 0 { 304 } else { 204 }));
        }
        let more = start + rows.len() < records.len();
        let mark = rows.last().filter(|_| more).map(|record| order.place(record));
        let before = start.checked_sub(1).map(|index| order.place(records[index]));
        let own = PageToken { bound_to, after: before, reached, previous: None, issued_ms: self.now_ms };
        let info = self.info(tokens, page.as_ref(), own, mark, (rows.len(), per_page, number), order);
        Ok(self.answer(rows.iter().map(|record| self.row(record, &fields)).collect(), info))
    }

    /// `GET /crm/v8/{module}/{id}`.
    pub(super) fn one(&self, id: &str) -> Result<Answer, Refusal> {
        if id.parse::<u64>().is_err() {
            return Err(Refusal::invalid_id(id));
        }
        let since_ms = self.since_ms()?;
        let name = self.module.api_name;
        let found = self.store.get(name, id).or_else(|| self.store.converted_lead(name, id));
        let found = found.filter(|record| self.store.rights.show(record.id));
        let Some(record) = found.filter(|_| self.twist != Some(Twist::Empty)) else {
            return Ok(Answer::empty(204));
        };
        if since_ms.is_some_and(|since_ms| record.modified_ms < since_ms) {
            return Ok(Answer::empty(304));
        }
        let mut shown = self.store.show_all(self.module, record);
        for (name, value) in [
            ("$approval_state", json!("approved")),
            ("$currency_symbol", json!("$")),
            ("$editable", json!(true)),
            ("$field_states", Value::Null),
            ("$locked_for_me", json!(false)),
            ("$sharing_permission", json!("full_access")),
            ("Locked__s", json!(false)),
            ("Tag", json!([])),
        ] {
            shown[name] = value;
        }
        Ok(Answer::json(200, JSON, &json!({"data": [shown]})).with_rows(1))
    }

    /// `GET /crm/v8/{module}/deleted`.
    pub(super) fn deleted(&self) -> Result<Answer, Refusal> {
        let kind = self.params.get("type").unwrap_or("all");
        if !["all", "recycle", "permanent"].contains(&kind) {
            return Err(Refusal::invalid_data("invalid data")
                .with("param_name", "type")
                .with("supported_values", json!(["all", "recycle", "permanent"])));
        }
        let per_page = per_page(self.params)?;
        let page = numbered_page(self.params, per_page)?;
        let since_ms = self.since_ms()?;
        let rows: Vec<Value> = self
            .store
            .deleted(self.module, since_ms, self.now_ms)
            .into_iter()
            .filter(|row| kind == "all" || row["type"] == kind)
            .collect();
        let start = ((page - 1) * per_page).min(rows.len());
        let shown = &rows[start..(start + per_page).min(rows.len())];
        if shown.is_empty() || self.twist == Some(Twist::Empty) {
            return Ok(Answer::empty(if since_ms.is_some() && page == 1 { 304 } else { 204 }));
        }
        let more = start + shown.len() < rows.len();
        let info = json!({"per_page": per_page, "count": shown.len(), "page": page, "more_records": more});
        Ok(self.answer(shown.to_vec(), info))
    }

    /// `GET /crm/v8/{module}/actions/count`.
    pub(super) fn count(&self) -> Answer {
        let seen = self.store.live(self.module).keys().filter(|id| self.store.rights.show(**id));
        let count = if self.twist == Some(Twist::Empty) { 0 } else { seen.count() };
        Answer::json(200, JSON, &json!({"count": count}))
    }

    /// The answer with these rows, or with each of them twice if the fault plan says so.
    pub(super) fn answer(&self, rows: Vec<Value>, info: Value) -> Answer {
        let rows = match self.twist {
            Some(Twist::Duplicate) => rows.into_iter().flat_map(|row| [row.clone(), row]).collect(),
            _ => rows,
        };
        let count = rows.len();
        Answer::json(200, JSON, &json!({"data": rows, "info": info})).with_rows(count)
    }

    /// One row with the asked fields; the id is always there.
    pub(super) fn row(&self, record: &Record, fields: &[&Field]) -> Value {
        let mut row = Map::new();
        for field in fields {
            row.insert(field.api_name.to_owned(), self.store.show(record, field));
        }
        row.insert("id".to_owned(), json!(record.id.to_string()));
        Value::Object(row)
    }

    /// Whether the user sees the record, and a lagging replica, if the fault plan asks for one, already knows it as it is.
    pub(super) fn is_known(&self, record: &Record) -> bool {
        if !self.store.rights.show(record.id) {
            return false;
        }
        match self.twist {
            Some(Twist::Stale { lag_ms }) => record.modified_ms < self.now_ms.saturating_sub(lag_ms),
            _ => true,
        }
    }

    /// The asked fields; unknown names are passed over.
    fn fields(&self) -> Result<Vec<&Field>, Refusal> {
        let names: Vec<&str> = match self.params.get("fields") {
            Some(names) if !names.trim().is_empty() => names.split(',').map(str::trim).collect(),
            _ => return Err(Refusal::missing_param("fields")),
        };
        if names.len() > FIELDS_MAX {
            return Err(Refusal::new(400, "LIMIT_EXCEEDED", "the number of fields exceeds the limit")
                .with("param_name", "fields")
                .with("limit", FIELDS_MAX));
        }
        Ok(names.into_iter().filter_map(|name| self.module.field(name)).collect())
    }

    fn matching(&self, since_ms: Option<i64>) -> Result<Vec<&Record>, Refusal> {
        let live = self.store.live(self.module);
        let wanted = |record: &&Record| since_ms.is_none_or(|since_ms| record.modified_ms >= since_ms);
        let (unconverted, converted) = match self.params.get("converted") {
            None | Some("false") => (true, false),
            Some("true") => (false, true),
            Some("both") => (true, true),
            Some(_) => return Err(Refusal::invalid_param("converted", "boolean")),
        };
        let Some(ids) = self.params.get("ids") else {
            let live = live.values().filter(|_| unconverted);
            let all = live.chain(self.store.converted(self.module).filter(|_| converted));
            return Ok(all.filter(wanted).filter(|record| self.is_known(record)).collect());
        };
        check_ids(ids)?;
        let ids: Vec<&str> = ids.split(',').map(str::trim).collect();
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            let id: u64 = id.parse().map_err(|_| Refusal::invalid_id(id))?;
            let gone = || self.store.converted_lead(self.module.api_name, &id.to_string()).filter(|_| converted);
            let found = live.get(&id).filter(|_| unconverted).or_else(gone);
            records.extend(found.filter(wanted).filter(|record| self.is_known(record)));
        }
        records.dedup_by_key(|record| record.id);
        Ok(records)
    }

    /// `If-Modified-Since`, which counts the whole second that it names.
    fn since_ms(&self) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.modified_since else { return Ok(None) };
        match when::parse(text) {
            Some(ms) => Ok(Some(ms)),
            None => Err(Refusal::invalid_data("invalid data")
                .with("header_name", "If-Modified-Since")
                .with("expected_data_type", "datetime")),
        }
    }

    fn resume(&self, tokens: &PageTokens, token: &str, bound_to: &str) -> Result<PageToken, Refusal> {
        let Some(page) = tokens.by_token.get(token) else {
            return Err(
                Refusal::invalid_data("the page_token given seems to be invalid").with("param_name", "page_token")
            );
        };
        if page.bound_to != bound_to {
            return Err(Refusal::new(
                400,
                "TOKEN_BOUND_DATA_MISMATCH",
                "the parameters differ from those of the call that the page_token came from",
            )
            .with("param_name", "page_token"));
        }
        if page.issued_ms + TOKEN_LIFE_MS <= self.now_ms {
            return Err(
                Refusal::new(400, "EXPIRED_VALUE", "the page_token has expired").with("param_name", "page_token")
            );
        }
        if page.reached >= TOKEN_RECORDS_MAX {
            return Err(Refusal::new(400, "PAGINATION_LIMIT_EXCEEDED", "no more records can be reached by page_token")
                .with("param_name", "page_token")
                .with("limit", TOKEN_RECORDS_MAX));
        }
        Ok(PageToken { previous: page.previous.clone(), ..page.clone() })
    }

    /// The `info` of a page. Tokens are made only where there is a page for them.
    fn info(
        &self,
        tokens: &mut PageTokens,
        resumed: Option<&PageToken>,
        own: PageToken,
        mark: Option<Place>,
        (count, per_page, number): (usize, usize, usize),
        order: Order,
    ) -> Value {
        let number = resumed.map_or(number, |page| page.reached / per_page + 1);
        let previous = resumed.and_then(|page| page.previous.clone());
        let next = mark.map(|mark| {
            let reached = own.reached + count;
            let bound_to = own.bound_to.clone();
            let own = tokens.issue(PageToken { previous: previous.clone(), ..own });
            tokens.issue(PageToken {
                bound_to,
                after: Some(mark),
                reached,
                previous: Some(own),
                issued_ms: self.now_ms,
            })
        });
        let expiry = next.as_ref().map(|_| when::show(self.now_ms + TOKEN_LIFE_MS, self.store.zone));
        json!({
            "per_page": per_page,
            "count": count,
            "page": number,
            "sort_by": order.by,
            "sort_order": if order.ascending { "asc" } else { "desc" },
            "more_records": next.is_some(),
            "next_page_token": next,
            "previous_page_token": previous,
            "page_token_expiry": expiry,
        })
    }
}

/// Refuses more ids than a call can name.
pub(super) fn check_ids(ids: &str) -> Result<(), Refusal> {
    if ids.split(',').count() > IDS_MAX {
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", "the number of ids exceeds the limit")
            .with("param_name", "ids")
            .with("limit", IDS_MAX));
    }
    if ids.len() > IDS_CHARS_MAX {
        return Err(Refusal::invalid_data("invalid data")
            .with("param_name", "ids")
            .with("maximum_length", IDS_CHARS_MAX));
    }
    Ok(())
}

/// `per_page`, from 1 to 200.
pub(super) fn per_page(params: &Params) -> Result<usize, Refusal> {
    match params.get("per_page").map(str::parse::<usize>) {
        None => Ok(PAGE_RECORDS_MAX),
        Some(Ok(count)) if (1..=PAGE_RECORDS_MAX).contains(&count) => Ok(count),
        Some(Ok(0) | Err(_)) => Err(Refusal::invalid_param("per_page", "integer")),
        Some(Ok(_)) => Err(Refusal::new(400, "INVALID_DATA", "the per_page given is more than the limit")
            .with("param_name", "per_page")
            .with("maximum_value", PAGE_RECORDS_MAX)),
    }
}

/// `page`, from 1, as long as it ends within the records that can be reached by number.
pub(super) fn numbered_page(params: &Params, per_page: usize) -> Result<usize, Refusal> {
    let page = match params.get("page").map(str::parse::<usize>) {
        None => 1,
        Some(Ok(page)) if page >= 1 => page,
        Some(_) => return Err(Refusal::invalid_param("page", "integer")),
    };
    if page.saturating_mul(per_page) > NUMBERED_RECORDS_MAX {
        return Err(Refusal::new(
            400,
            "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
            "You can only get the first 2000 records without using page_token param.",
        )
        .with("limit", NUMBERED_RECORDS_MAX));
    }
    Ok(page)
}

fn both_kinds_of_page() -> Refusal {
    Refusal::new(400, "AMBIGUITY_DURING_PROCESSING", "page and page_token cannot be used together")
        .with("ambiguity_due_to", json!([{"param_name": "page"}, {"param_name": "page_token"}]))
}
