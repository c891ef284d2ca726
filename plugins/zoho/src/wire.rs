//! What Zoho's API looks like: addresses, and the parts of its JSON that are read as types.

use crmsync_plugin::egress::{self, Answer, Request};
use crmsync_plugin::{Fault, time};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fault;

/// The origin of the manifest that all requests go to.
const ORIGIN: &str = "api";

/// Most fields that one list can ask for.
pub(crate) const LIST_FIELDS_MAX: usize = 50;
/// Most records of one page of a list.
pub(crate) const PAGE_RECORDS_MAX: usize = 200;
/// Most ids that one list or one delete can name: Zoho takes 1,024 characters of them, and each has up to 19 digits.
pub(crate) const LIST_IDS_MAX: usize = 50;
/// Most rows of one write.
pub(crate) const WRITE_ROWS_MAX: usize = 100;
/// When the record was last changed: the field that versions and changes are read from.
pub(crate) const MODIFIED_TIME: &str = "Modified_Time";
/// The module that owners are in, as references name it.
pub(crate) const USERS: &str = "Users";

/// Starts a read of a path below `/crm/v8/`.
pub(crate) fn get(path: &str) -> Request {
    egress::get(ORIGIN, address(path))
}

/// Starts a request that creates records of a module.
pub(crate) fn insert(module: &str) -> Request {
    egress::post(ORIGIN, address(module))
}

/// Starts a request that updates records of a module.
pub(crate) fn update(module: &str) -> Request {
    egress::put(ORIGIN, address(module))
}

/// Starts a request that deletes records of a module.
pub(crate) fn delete(module: &str) -> Request {
    egress::delete(ORIGIN, address(module))
}

/// Refuses what cannot be a module's API name, because it becomes part of a path.
pub(crate) fn check_module(module: &str) -> Result<(), Fault> {
    let good = !module.is_empty() && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some(()).ok_or_else(|| Fault::Unsupported(format!("`{module}` is not the name of a module")))
}

/// Sends a read and gives its answer if it has one of the good statuses: 200, 204 (nothing there) or 304 (nothing new).
pub(crate) fn read(request: Request) -> Result<Answer, Fault> {
    let answer = request.send()?;
    match answer.status() {
        200 | 204 | 304 => Ok(answer),
        _ => Err(fault::of_call(&answer).fault),
    }
}

/// The value at a pointer of an answer; none if there is none.
pub(crate) fn value<T: DeserializeOwned>(answer: &Answer, pointer: &str) -> Result<Option<T>, Fault> {
    let Some(json) = answer.read(pointer)? else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|error| {
        Fault::other("unexpected-answer", format!("cannot read `{pointer}` of Zoho's answer: {error}"))
    })
}

/// Zoho's clock in milliseconds since 1970, if the answer tells it.
pub(crate) fn server_clock_ms(answer: &Answer) -> Option<i64> {
    time::parse_http_date(&answer.header("date")?)
}

fn address(path: &str) -> String {
    format!("/crm/v8/{path}")
}

/// `info` of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListInfo {
    #[serde(default)]
    pub(crate) more_records: bool,
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
}

/// A refusal of a call; rows of writes are refused in the same words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
}

/// What a refusal is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorDetails {
    pub(crate) api_name: Option<String>,
    pub(crate) json_path: Option<String>,
}

/// One value of a pick list.
#[derive(Debug, Deserialize)]
pub(crate) struct PickListValue {
    pub(crate) actual_value: String,
    pub(crate) display_value: String,
    /// `used`, or `unused` for values that were taken out of the list.
    #[serde(rename = "type", default)]
    pub(crate) state: Option<String>,
}

/// One layout of a module: what must be filled in is decided here.
#[derive(Debug, Deserialize)]
pub(crate) struct Layout {
    #[serde(default)]
    pub(crate) sections: Vec<Section>,
}

/// One section of a layout.
#[derive(Debug, Deserialize)]
pub(crate) struct Section {
    #[serde(default)]
    pub(crate) fields: Vec<LayoutField>,
}

/// One field in a section.
#[derive(Debug, Deserialize)]
pub(crate) struct LayoutField {
    pub(crate) api_name: String,
    #[serde(default)]
    pub(crate) required: bool,
}
