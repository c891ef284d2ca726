//! Requests to the CRM and its answers.
//!
//! A request names an origin of the plugin's manifest and a path; the host adds address and credentials. The body of an answer stays
//! in the host, which parses it into rows on request: a guest that parses pages of JSON itself is several times slower.

use crate::bindings::connector::crmsync::plugin::batches::Column;
use crate::bindings::connector::crmsync::plugin::egress as door;
use crate::fault::{Fault, Refusal};
use crate::rows::Rows;

/// Starts a GET request to an absolute path below an origin.
pub fn get(origin: &str, path: impl Into<String>) -> Request {
    Request::new("GET", origin, path.into())
}

/// Starts a POST request to an absolute path below an origin.
pub fn post(origin: &str, path: impl Into<String>) -> Request {
    Request::new("POST", origin, path.into())
}

/// Starts a PUT request to an absolute path below an origin.
pub fn put(origin: &str, path: impl Into<String>) -> Request {
    Request::new("PUT", origin, path.into())
}

/// Starts a PATCH request to an absolute path below an origin.
pub fn patch(origin: &str, path: impl Into<String>) -> Request {
    Request::new("PATCH", origin, path.into())
}

/// Starts a DELETE request to an absolute path below an origin.
pub fn delete(origin: &str, path: impl Into<String>) -> Request {
    Request::new("DELETE", origin, path.into())
}

/// One HTTP request. It only reads, unless [`Request::writes`] says otherwise.
#[derive(Clone, Debug)]
pub struct Request {
    inner: door::Request,
}

impl Request {
    fn new(method: &str, origin: &str, path: String) -> Request {
        Request {
            inner: door::Request {
                origin: origin.to_owned(),
                method: method.to_owned(),
                path,
                query: Vec::new(),
                headers: Vec::new(),
                body: door::Payload::None,
                effect: door::Effect::Read,
            },
        }
    }

    /// Adds a query parameter; the host encodes it.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Request {
        self.inner.query.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header that the manifest allows.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.inner.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends a JSON text as the body.
    pub fn json(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.inner.body = door::Payload::Json(body.into());
        self
    }

    /// Sends names and values as an `application/x-www-form-urlencoded` body.
    pub fn form(mut self, pairs: Vec<(String, String)>) -> Request {
        self.inner.body = door::Payload::Form(pairs);
        self
    }

    /// Says that the request writes these rows of the push that is going on.
    pub fn writes(mut self, rows: impl IntoIterator<Item = u32>) -> Request {
        self.inner.effect = door::Effect::Write(rows.into_iter().collect());
        self
    }

    /// Sends the request and gives the answer, whatever its status.
    ///
    /// # Errors
    /// The fault that the refusal at the door means for a read or for a write, see [`Fault::from_refusal`].
    pub fn send(self) -> Result<Answer, Fault> {
        let writes = self.is_write();
        self.try_send().map_err(|refusal| Fault::from_refusal(refusal, writes))
    }

    /// Sends the request and gives the door's own word if there is no answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn try_send(self) -> Result<Answer, Refusal> {
        let writes = self.is_write();
        transport::send(&self.inner).map(|inner| Answer { inner, writes })
    }

    /// HTTP method, upper case.
    pub fn method(&self) -> &str {
        &self.inner.method
    }

    /// Path below the origin.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// Value of a query parameter; none if the request has none of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.inner.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Value of a header; none if the request has none of this name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.inner.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The JSON text of the body; none if it has another body or none.
    pub fn json_body(&self) -> Option<&[u8]> {
        match &self.inner.body {
            door::Payload::Json(body) => Some(body),
            _ => None,
        }
    }

    /// Names and values of a form body; empty if it has another body or none.
    pub fn form_body(&self) -> &[(String, String)] {
        match &self.inner.body {
            door::Payload::Form(pairs) => pairs,
            _ => &[],
        }
    }

    /// The rows that the request writes; none if it only reads.
    pub fn written_rows(&self) -> Option<&[u32]> {
        match &self.inner.effect {
            door::Effect::Write(rows) => Some(rows),
            door::Effect::Read => None,
        }
    }

    fn is_write(&self) -> bool {
        self.written_rows().is_some()
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<door::Request> for Request {
    fn from(inner: door::Request) -> Request {
        Request { inner }
    }
}

/// Sends several requests side by side, as far as the connection's budget allows; the answers come in their order.
pub fn send_all(requests: Vec<Request>) -> Vec<Result<Answer, Fault>> {
    let writes: Vec<bool> = requests.iter().map(Request::is_write).collect();
    let requests: Vec<door::Request> = requests.into_iter().map(|request| request.inner).collect();
    let answers = transport::send_many(&requests);
    answers
        .into_iter()
        .zip(writes)
        .map(|(answer, writes)| match answer {
            Ok(inner) => Ok(Answer { inner, writes }),
            Err(refusal) => Err(Fault::from_refusal(refusal, writes)),
        })
        .collect()
}

/// An HTTP answer; its body stays in the host until it is asked for.
#[derive(Debug)]
pub struct Answer {
    inner: transport::Answer,
    writes: bool,
}

impl Answer {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.inner.status()
    }

    /// First value of a header that the manifest lets the plugin see, by lower-case name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.inner.header(name)
    }

    /// Size of the decompressed body in bytes.
    pub fn size(&self) -> u32 {
        self.inner.size()
    }

    /// The first bytes of the body as text, at most so many; for telling an error page from JSON, never for a log.
    pub fn start(&self, bytes_max: u32) -> String {
        String::from_utf8_lossy(&self.inner.bytes(0, bytes_max)).into_owned()
    }

    /// The whole body. Meant for small ones; pages of records are read with [`Answer::records`].
    pub fn body(&self) -> Vec<u8> {
        self.inner.bytes(0, self.inner.size())
    }

    /// The array at an RFC 6901 pointer as rows, and how many cells did not have the asked kind and were kept as raw text. A column's
    /// name is a pointer relative to the element if it starts with `/`, else the name of a member. No body gives no rows.
    ///
    /// # Errors
    /// The answer is not what the CRM promises: [`Fault::Transient`] for a read, [`Fault::UnknownOutcome`] for a write.
    pub fn records(&self, pointer: &str, columns: Vec<Column>) -> Result<(Rows, u32), Fault> {
        let table = self.inner.records(pointer, &columns).map_err(|fault| self.unreadable(fault))?;
        let rows = Rows::new(columns, table.rows).map_err(|malformed| {
            Fault::broken_off(format!("the host's rows are malformed: {malformed}"), self.writes)
        })?;
        Ok((rows, table.mismatches))
    }

    /// The JSON text of the value at an RFC 6901 pointer; none if there is no such value.
    ///
    /// # Errors
    /// As for [`Answer::records`].
    pub fn read(&self, pointer: &str) -> Result<Option<String>, Fault> {
        self.inner.read(pointer).map_err(|fault| self.unreadable(fault))
    }

    fn unreadable(&self, fault: door::BodyFault) -> Fault {
        let status = self.status();
        let reason = match fault {
            door::BodyFault::NotJson(reason) => format!("the answer (HTTP {status}) is not JSON: {reason}"),
            door::BodyFault::NoSuch(pointer) => {
                format!("the answer (HTTP {status}) has nothing to read at `{pointer}`")
            }
            door::BodyFault::TooLarge(reason) => format!("the answer (HTTP {status}) is too large: {reason}"),
        };
        Fault::broken_off(reason, self.writes)
    }
}

#[cfg(target_arch = "wasm32")]
use door as transport;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::transport;
