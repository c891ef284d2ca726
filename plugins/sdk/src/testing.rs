//! A scripted CRM, for native tests of whole connectors.
//!
//! Off the sandbox there is no host, so everything that a host would lend is played by a [`Crm`] that the test installs for its
//! thread: a function that answers requests, facts, and an empty cache.
//!
//! ```
//! use crmsync_plugin::{egress, testing::{Crm, Reply}};
//!
//! let crm = Crm::new(|request| Ok(Reply::json(200, format!("{{\"path\":\"{}\"}}", request.path()))));
//! let answer = egress::get("api", "/v1/users").send().expect("the script answers");
//! assert_eq!(answer.read("/path").expect("JSON").as_deref(), Some("\"/v1/users\""));
//! assert_eq!(crm.requests().len(), 1);
//! ```

use std::cell::RefCell;
use std::collections::HashMap;

use crate::egress::Request;
use crate::fault::Refusal;

/// Size of the cache that a connection's plugin has, in bytes.
const STATE_BYTES_MAX: usize = 64 * 1024;

type Script = Box<dyn FnMut(&Request) -> Result<Reply, Refusal>>;

/// The world outside the plugin, for this thread, until it is dropped.
pub struct Crm(());

/// One scripted answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct World {
    script: Script,
    requests: Vec<Request>,
    facts: Vec<(String, String)>,
    state: HashMap<String, Vec<u8>>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

impl Crm {
    /// Installs a CRM whose answers the function gives. It replaces the one before.
    pub fn new(script: impl FnMut(&Request) -> Result<Reply, Refusal> + 'static) -> Crm {
        let world = World { script: Box::new(script), requests: Vec::new(), facts: Vec::new(), state: HashMap::new() };
        WORLD.set(Some(world));
        Crm(())
    }

    /// Sets one fact of the calls to come.
    pub fn fact(&self, name: &str, value: impl Into<String>) {
        with_world(|world| {
            world.facts.retain(|(known, _)| known != name);
            world.facts.push((name.to_owned(), value.into()));
        });
    }

    /// Forgets the cache, as the host may at any time.
    pub fn forget_state(&self) {
        with_world(|world| world.state.clear());
    }

    /// The requests since the last time this was asked.
    pub fn requests(&self) -> Vec<Request> {
        with_world(|world| std::mem::take(&mut world.requests))
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        WORLD.set(None);
    }
}

impl Reply {
    /// An answer with a JSON text.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into() }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Reply {
        Reply::json(status, Vec::new())
    }

    /// Adds a header, by lower-case name.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What [`crate::state::get`] does here.
pub fn state_get(key: &str) -> Option<Vec<u8>> {
    with_world(|world| world.state.get(key).cloned())
}

/// What [`crate::state::set`] does here.
pub fn state_set(key: &str, value: &[u8]) -> bool {
    with_world(|world| {
        let others: usize = world.state.iter().filter(|(known, _)| *known != key).map(|(_, bytes)| bytes.len()).sum();
        let fits = others + value.len() <= STATE_BYTES_MAX;
        if fits {
            world.state.insert(key.to_owned(), value.to_vec());
        }
        fits
    })
}

pub(crate) fn facts() -> Vec<(String, String)> {
    with_world(|world| world.facts.clone())
}

fn with_world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| {
        act(world.as_mut().expect("a test installs `testing::Crm` before it calls a connector"))
    })
}

/// The door's side of a request, in the form that the generated bindings have.
pub(crate) mod transport {
    use serde_json::Value;

    use super::{Reply, with_world};
    use crate::bindings::connector::crmsync::plugin::batches::Column;
    use crate::bindings::connector::crmsync::plugin::egress as door;
    use crate::egress::Request;
    use crate::fault::Refusal;
    use crate::rows::RowsBuilder;
    use crate::testing::json;

    #[derive(Debug)]
    pub(crate) struct Answer(Reply);

    pub(crate) fn send(request: &door::Request) -> Result<Answer, Refusal> {
        let request = Request::from(request.clone());
        with_world(|world| {
            let reply = (world.script)(&request);
            world.requests.push(request);
            reply.map(Answer)
        })
    }

    pub(crate) fn send_many(requests: &[door::Request]) -> Vec<Result<Answer, Refusal>> {
        requests.iter().map(send).collect()
    }

    impl Answer {
        pub(crate) fn status(&self) -> u16 {
            self.0.status
        }

        pub(crate) fn header(&self, name: &str) -> Option<String> {
            self.0.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        }

        pub(crate) fn size(&self) -> u32 {
            self.0.body.len() as u32
        }

        pub(crate) fn bytes(&self, offset: u32, length: u32) -> Vec<u8> {
            self.0.body.iter().skip(offset as usize).take(length as usize).copied().collect()
        }

        pub(crate) fn records(&self, pointer: &str, columns: &[Column]) -> Result<door::Table, door::BodyFault> {
            let mut rows = RowsBuilder::new(columns.len(), 0);
            let mut mismatches = 0;
            if !self.has_no_body() {
                let body = self.parse()?;
                let list = body.pointer(pointer).and_then(Value::as_array);
                for element in list.ok_or_else(|| door::BodyFault::NoSuch(pointer.to_owned()))? {
                    let values: Vec<json::Value> =
                        columns.iter().map(|column| json::read(element, &column.name, column.kind)).collect();
                    mismatches += values.iter().filter(|value| value.is_mismatch()).count() as u32;
                    rows.row(values.iter().map(json::Value::cell));
                }
            }
            Ok(door::Table { rows: rows.finish(), mismatches })
        }

        pub(crate) fn read(&self, pointer: &str) -> Result<Option<String>, door::BodyFault> {
            if self.has_no_body() {
                return Ok(None);
            }
            Ok(self.parse()?.pointer(pointer).map(Value::to_string))
        }

        fn has_no_body(&self) -> bool {
            matches!(self.0.status, 204 | 304) || self.0.body.is_empty()
        }

        fn parse(&self) -> Result<Value, door::BodyFault> {
            serde_json::from_slice(&self.0.body).map_err(|error| door::BodyFault::NotJson(error.to_string()))
        }
    }
}

/// JSON values as cells, by the rules of `answer.records` in the contract.
mod json {
    use crmsync_cells::{Cell, Kind, canonical_decimal};

    use crate::time;

    /// A value that owns its text.
    pub(super) struct Value {
        kind: Kind,
        number: i64,
        text: String,
        mismatch: bool,
    }

    impl Value {
        pub(super) fn cell(&self) -> Cell<'_> {
            match self.kind {
                Kind::Absent => Cell::Absent,
                Kind::Empty => Cell::Empty,
                Kind::Text => Cell::Text(&self.text),
                Kind::Integer => Cell::Integer(self.number),
                Kind::Decimal => Cell::Decimal(&self.text),
                Kind::Boolean => Cell::Boolean(self.number != 0),
                Kind::Date => Cell::Date(self.number),
                Kind::LocalDateTime => Cell::LocalDateTime(self.number),
                Kind::Time => Cell::Time(self.number),
                Kind::Instant => Cell::Instant(self.number),
                Kind::Reference => Cell::Reference(&self.text),
                Kind::List => Cell::List(&self.text),
                Kind::Rows => Cell::Rows(&self.text),
                Kind::Raw => Cell::Raw(&self.text),
            }
        }

        pub(super) fn is_mismatch(&self) -> bool {
            self.mismatch
        }

        fn bare(kind: Kind) -> Value {
            Value { kind, number: 0, text: String::new(), mismatch: false }
        }

        fn number(kind: Kind, number: i64) -> Value {
            Value { number, ..Value::bare(kind) }
        }

        fn text(kind: Kind, text: String) -> Value {
            Value { text, ..Value::bare(kind) }
        }
    }

    pub(super) fn read(element: &serde_json::Value, name: &str, kind: u8) -> Value {
        use serde_json::Value as Json;
        let found = if name.starts_with('/') { walk(element, name) } else { element.get(name) };
        let kind = Kind::from_code(kind).unwrap_or(Kind::Raw);
        let source = match found {
            None => return Value::bare(Kind::Absent),
            Some(Json::Null) => return Value::bare(Kind::Empty),
            Some(Json::String(text)) if text.is_empty() => return Value::bare(Kind::Empty),
            Some(Json::Array(list)) if list.is_empty() => return Value::bare(Kind::Empty),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let scalar = matches!(found, Some(Json::String(_) | Json::Number(_)));
        let parsed = match (kind, found) {
            (Kind::Text, Some(Json::Bool(_))) => Some(Value::text(kind, source.clone())),
            (Kind::Text | Kind::Reference, _) if scalar => Some(Value::text(kind, source.clone())),
            (Kind::Integer, _) if scalar => source.parse().ok().map(|number| Value::number(kind, number)),
            (Kind::Decimal, _) if scalar => canonical_decimal(&source).map(|text| Value::text(kind, text)),
            (Kind::Boolean, Some(Json::Bool(yes))) => Some(Value::number(kind, i64::from(*yes))),
            (Kind::Boolean, _) if source == "1" || source == "0" => Some(Value::number(kind, i64::from(source == "1"))),
            (Kind::Date, _) => time::parse_date(&source).map(|days| Value::number(kind, days)),
            (Kind::Time, _) => time::parse_time(&source).map(|micros| Value::number(kind, micros)),
            (Kind::LocalDateTime, _) => time::parse_local(&source).map(|micros| Value::number(kind, micros)),
            (Kind::Instant, _) => time::parse_instant(&source).map(|micros| Value::number(kind, micros)),
            (Kind::List, Some(Json::Array(list))) if list.iter().all(Json::is_string) => {
                Some(Value::text(kind, source.clone()))
            }
            (Kind::Rows, Some(Json::Array(list))) if list.iter().all(Json::is_object) => {
                Some(Value::text(kind, source.clone()))
            }
            _ => None,
        };
        parsed.unwrap_or_else(|| Value { mismatch: kind != Kind::Raw, ..Value::text(Kind::Raw, source) })
    }

    /// The value at a pointer; a null on the way is the value, because a lookup without a target has no id.
    fn walk<'a>(element: &'a serde_json::Value, pointer: &str) -> Option<&'a serde_json::Value> {
        let mut value = element;
        for token in pointer[1..].split('/') {
            if value.is_null() {
                break;
            }
            value = value.pointer(&format!("/{token}"))?;
        }
        Some(value)
    }
}
