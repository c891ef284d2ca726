//! Requests to the one endpoint and its answers.
//!
//! Reads take their parameters from the query string only, writes from a form only. An answer is
//! `{"success":true,"result":…}` or `{"success":false,"error":{"message":…,"code":…}}`, nearly always with HTTP 200.

use crmsync_plugin::egress::{self, Answer, Request};
use crmsync_plugin::rows::Rows;
use crmsync_plugin::{Column, Fault, time};
use serde_json::Value;

use crate::fault::{Doing, of_code, of_status};

const ORIGIN: &str = "api";
const PATH: &str = "/webservice.php";

/// A request that reads.
pub(crate) fn read(operation: &str) -> Request {
    egress::get(ORIGIN, PATH).query("operation", operation)
}

/// A query.
pub(crate) fn query(text: String) -> Request {
    read("query").query("query", text)
}

/// The description of a module.
pub(crate) fn describe(module: &str) -> Request {
    read("describe").query("elementType", module)
}

/// A request that writes one row of the push.
pub(crate) fn write(operation: &str, parameters: Vec<(String, String)>, row: u32) -> Request {
    let mut form = vec![("operation".to_owned(), operation.to_owned())];
    form.extend(parameters);
    egress::post(ORIGIN, PATH).form(form).writes([row])
}

/// The rows of a query's answer.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn rows(answer: &Answer, columns: &[Column]) -> Result<Rows, Fault> {
    rows_at(answer, "/result", columns)
}

/// The rows at a pointer of an answer.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn rows_at(answer: &Answer, pointer: &str, columns: &[Column]) -> Result<Rows, Fault> {
    // A dead server answers without a body, which must never be read as "no rows".
    if answer.status() != 200 || answer.size() == 0 {
        return Err(of_status(answer.status(), answer.header("retry-after").as_deref(), Doing::Read));
    }
    match answer.records(pointer, columns.to_vec()) {
        Ok((rows, _mismatches)) => Ok(rows),
        // The body is small if it is a refusal, so it is only parsed here when it is not a page of rows.
        Err(unreadable) => Err(result(answer, Doing::Read).err().unwrap_or(unreadable)),
    }
}

/// The result of an answer.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn result(answer: &Answer, doing: Doing) -> Result<Value, Fault> {
    let status = answer.status();
    let envelope = if status == 200 { serde_json::from_slice::<Value>(&answer.body()).ok() } else { None };
    let Some(Value::Object(mut envelope)) = envelope else {
        return Err(of_status(status, answer.header("retry-after").as_deref(), doing));
    };
    match (envelope.get("success"), envelope.get("error")) {
        (Some(Value::Bool(true)), _) => Ok(envelope.remove("result").unwrap_or_default()),
        (_, Some(error)) => {
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            // The code of a duplicate is a number.
            let code = match error.get("code") {
                Some(Value::String(code)) => code.clone(),
                Some(code) => code.to_string(),
                None => String::new(),
            };
            Err(of_code(&code, message, doing))
        }
        _ => Err(of_status(status, None, doing)),
    }
}

/// The number in the answer of a `count(*)` query.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn count(answer: &Answer) -> Result<u64, Fault> {
    let result = result(answer, Doing::Read)?;
    let count = result.pointer("/0/count");
    let number = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
    number.ok_or_else(|| Fault::Transient("the CRM's count is not a number".to_owned()))
}

/// The CRM's clock in seconds since 1970, from the `Date` header.
pub(crate) fn clock(answer: &Answer) -> Option<i64> {
    answer.header("date").and_then(|date| time::parse_http_date(&date)).map(|millis| millis.div_euclid(1_000))
}
