//! A Vtiger in memory, as far as the connector's requests go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crmsync_plugin::egress::Request;
use crmsync_plugin::fault::Refusal;
use crmsync_plugin::testing::{Crm, Reply};
use crmsync_plugin::time;
use serde_json::{Map, Value, json};

use crate::convert::timestamp;

pub(super) const HOUR_MS: i64 = 3_600_000;

type Fields = BTreeMap<String, String>;

/// What all writes answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writes {
    EmptyError,
    PlainText,
    Duplicate,
    NoAnswer,
    NoConnection,
    LoggedOut,
    TooMany,
    /// As for who may read records but not change them.
    Denied,
}

/// A record as it is from a moment on; none when deleted.
struct State {
    from_ms: i64,
    fields: Option<Fields>,
}

struct World {
    contacts: BTreeMap<u64, Vec<State>>,
    now_ms: i64,
    /// The database's zone, which the stamps of rows are in.
    zone_s: i64,
    last_write_ms: i64,
    hidden: Option<Box<dyn Fn(u64) -> bool>>,
    empty_page: bool,
    /// A field that an administrator has deleted, or hidden from this user, and whether it is described all the same.
    vanished: Option<(&'static str, bool)>,
    writes: Option<Writes>,
    /// Chance, if requests and commits take random times.
    random: Option<u64>,
}

pub(super) struct Fake {
    crm: Crm,
    world: Rc<RefCell<World>>,
}

impl Fake {
    pub(super) fn with_contacts(count: u64) -> Fake {
        Fake::in_zone(0, count)
    }

    /// A CRM whose database is so many seconds ahead of UTC.
    pub(super) fn in_zone(zone_s: i64, count: u64) -> Fake {
        let world = World {
            contacts: BTreeMap::new(),
            now_ms: 1_795_457_586_250,
            zone_s,
            last_write_ms: 0,
            hidden: None,
            empty_page: false,
            vanished: None,
            writes: None,
            random: None,
        };
        let world = Rc::new(RefCell::new(world));
        let script = Rc::clone(&world);
        let crm = Crm::new(move |request| script.borrow_mut().answer(request));
        crm.fact("user-id", "19x1");
        crm.fact("user-name", "admin");
        crm.fact("is-admin", "on");
        crm.fact("setting.base_url", "https://crm.acme.example/");
        let fake = Fake { crm, world };
        fake.tell_time();
        for number in 1..=count {
            let fields = [("lastname", format!("name {number}")), ("assigned_user_id", "19x1".to_owned())];
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            fake.world.borrow_mut().write(number, Some(fields));
        }
        fake
    }

    /// Moves the database to another zone, as the end of daylight saving time does.
    pub(super) fn shift_zone(&self, by_s: i64) {
        self.world.borrow_mut().zone_s += by_s;
    }

    pub(super) fn advance(&self, by_ms: i64) {
        self.world.borrow_mut().now_ms += by_ms;
        self.tell_time();
    }

    /// The host's clock goes with the CRM's.
    fn tell_time(&self) {
        self.crm.fact("now-ms", self.world.borrow().now_ms.to_string());
    }

    /// Lets the clock show the moment of the last write again, to write once more in its second.
    pub(super) fn rewind_to_last_write(&self) {
        let mut world = self.world.borrow_mut();
        world.now_ms = world.last_write_ms;
    }

    pub(super) fn revise(&self, number: u64, fields: &[(&str, &str)]) {
        self.world.borrow_mut().revise(number, fields);
    }

    pub(super) fn delete(&self, number: u64) {
        self.world.borrow_mut().write(number, None);
    }

    pub(super) fn hide(&self, hidden: impl Fn(u64) -> bool + 'static) {
        self.crm.fact("is-admin", "off");
        self.world.borrow_mut().hidden = Some(Box::new(hidden));
    }

    pub(super) fn vanishes(&self, field: &'static str, described: bool) {
        self.world.borrow_mut().vanished = Some((field, described));
    }

    pub(super) fn next_page_is_empty(&self) {
        self.world.borrow_mut().empty_page = true;
    }

    pub(super) fn writes_answer(&self, writes: Writes) {
        self.world.borrow_mut().writes = Some(writes);
    }

    pub(super) fn forget_state(&self) {
        self.crm.forget_state();
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.crm.requests()
    }

    /// The queries since the last time this was asked.
    pub(super) fn queries(&self) -> Vec<String> {
        self.requests().iter().filter_map(|request| request.parameter("query").map(str::to_owned)).collect()
    }

    /// Lets requests and commits take random times.
    pub(super) fn shake(&self, seed: u64) {
        self.world.borrow_mut().random = Some(seed);
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.world.borrow_mut().below(one_in) == 0
    }

    /// Random edits and new records.
    pub(super) fn disturb(&self, edits: u64) {
        let mut world = self.world.borrow_mut();
        for edit in 0..edits {
            let records = world.contacts.len() as u64;
            let number = 1 + world.below(records + 1);
            let content = format!("edit {edit} at {}", world.now_ms);
            world.revise(number, &[("lastname", &content)]);
            world.now_ms += world.below(40) as i64;
        }
    }

    /// Last names of the visible records, by id.
    pub(super) fn contents(&self) -> BTreeMap<String, String> {
        let world = self.world.borrow();
        let visible = world.visible().map(|(id, fields)| (format!("12x{id}"), fields["lastname"].clone()));
        visible.collect()
    }

    pub(super) fn field(&self, number: u64, name: &str) -> String {
        let world = self.world.borrow();
        world.current(number).and_then(|fields| fields.get(name)).cloned().unwrap_or_default()
    }
}

impl World {
    fn below(&mut self, limit: u64) -> u64 {
        let Some(random) = self.random.as_mut() else { return 0 };
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % limit.max(1)
    }

    fn revise(&mut self, number: u64, changes: &[(&str, &str)]) {
        let mut fields =
            self.contacts.get(&number).and_then(|states| states.last()?.fields.clone()).unwrap_or_default();
        fields.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.write(number, Some(fields));
    }

    /// Stamps a record now; with chance on its side the transaction ends some seconds later.
    fn write(&mut self, number: u64, fields: Option<Fields>) {
        let stamp = timestamp(self.now_ms.div_euclid(1_000) + self.zone_s);
        let late = if self.below(4) == 0 { self.below(9_000) as i64 } else { 0 };
        let before = self.contacts.get(&number).and_then(|states| Some(states.last()?.from_ms));
        // Writes to one record wait for each other.
        let from_ms = (self.now_ms + late).max(before.unwrap_or_default());
        let fields = fields.map(|mut fields| {
            fields.insert("modifiedtime".to_owned(), stamp);
            fields
        });
        self.contacts.entry(number).or_default().push(State { from_ms, fields });
        self.last_write_ms = self.now_ms;
    }

    fn current(&self, number: u64) -> Option<&Fields> {
        let states = self.contacts.get(&number)?;
        states.iter().rev().find(|state| state.from_ms <= self.now_ms)?.fields.as_ref()
    }

    fn rows(&self) -> impl Iterator<Item = (u64, &Fields)> {
        self.contacts.keys().filter_map(|number| Some((*number, self.current(*number)?)))
    }

    fn visible(&self) -> impl Iterator<Item = (u64, &Fields)> {
        self.rows().filter(|(number, _)| !self.hidden.as_ref().is_some_and(|hidden| hidden(*number)))
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.now_ms += self.below(1_500) as i64;
        let reply = match request.parameter("operation") {
            Some("query") => Ok(self.query(request.parameter("query").expect("a query"))),
            Some("describe") => {
                let gone = self.vanished.filter(|(_, described)| !described).map(|(name, _)| name);
                Ok(describe(request.parameter("elementType").unwrap_or_default(), gone))
            }
            Some("listtypes") => Ok(success(json!({
                "types": ["Accounts", "Contacts", "Users"],
                "information": {"Accounts": {"label": "Organizations"}, "Contacts": {"label": "Contacts"}},
            }))),
            Some(other) => panic!("the operation {other} is not read"),
            None => self.written(request.form_body()),
        };
        self.now_ms += self.below(900) as i64;
        let date = http_date(self.now_ms);
        reply.map(|reply| reply.header("date", date))
    }

    fn written(&mut self, form: &[(String, String)]) -> Result<Reply, Refusal> {
        match self.writes {
            Some(Writes::EmptyError) => return Ok(Reply::empty(500)),
            Some(Writes::PlainText) => return Ok(Reply::json(200, "Sorry! Attempt to access restricted file.")),
            Some(Writes::Duplicate) => return Ok(failure(json!(0), "Duplicate(s) detected!")),
            Some(Writes::NoAnswer) => return Err(Refusal::NoAnswer("reset".to_owned())),
            Some(Writes::NoConnection) => return Err(Refusal::NotSent("refused".to_owned())),
            Some(Writes::LoggedOut) => return Err(Refusal::LoggedOut),
            Some(Writes::Denied) => {
                return Ok(failure(json!("ACCESS_DENIED"), "Permission to perform the operation is denied"));
            }
            Some(Writes::TooMany) => return Ok(Reply::empty(429).header("retry-after", "7")),
            None => {}
        }
        let get = |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
        let element: Map<String, Value> = serde_json::from_str(get("element")).unwrap_or_default();
        let id = if get("operation") == "delete" {
            get("id")
        } else {
            element.get("id").and_then(Value::as_str).unwrap_or_default()
        };
        let number = match get("operation") {
            "create" => self.contacts.len() as u64 + 1,
            _ => id.strip_prefix("12x").and_then(|number| number.parse().ok()).unwrap_or_default(),
        };
        if get("operation") != "create" && self.current(number).is_none() {
            return Ok(failure(json!("ACCESS_DENIED"), "Permission to perform the operation is denied"));
        }
        if get("operation") == "delete" {
            self.write(number, None);
            return Ok(success(json!({"status": "successful"})));
        }
        let changes: Vec<(&str, &str)> =
            element.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("texts only"))).collect();
        self.revise(number, &changes);
        let fields = self.current(number).expect("just written");
        let mut record: Map<String, Value> =
            CONTACT_FIELDS.iter().map(|(name, ..)| ((*name).to_owned(), json!(""))).collect();
        record.extend(fields.iter().map(|(name, value)| (name.clone(), json!(value))));
        if let Some((name, _)) = self.vanished {
            record.remove(name);
        }
        record.insert("id".to_owned(), json!(format!("12x{number}")));
        Ok(success(Value::Object(record)))
    }

    fn query(&mut self, query: &str) -> Reply {
        let query = query.strip_suffix(';').expect("a semicolon at the end");
        let (columns, rest) =
            query.strip_prefix("select ").and_then(|rest| rest.split_once(" from ")).expect("a select");
        let (rest, limit) = rest.split_once(" limit ").unwrap_or((rest, "0,100"));
        let (rest, order) = rest.split_once(" order by ").unwrap_or((rest, "id"));
        let (module, condition) = rest.split_once(" where ").unwrap_or((rest, ""));
        if module != "Contacts" {
            return other_module(module, self.hidden.is_some());
        }
        if let Some((name, _)) = self.vanished.filter(|(name, _)| columns.split(',').any(|column| column == *name)) {
            let message = format!("Permission to access '.{name}.' attribute denied.");
            return failure(json!("ACCESS_DENIED"), &message);
        }
        let (skip, count) = limit.split_once(',').expect("offset and count");
        let (skip, count): (usize, usize) = (skip.parse().expect("a number"), count.parse().expect("a number"));
        assert!(!condition.contains("''") || condition.contains("'it''s'"), "an empty literal: {condition}");
        let mut rows: Vec<(u64, &Fields)> =
            self.rows().filter(|(number, fields)| fulfils(condition, *number, fields)).collect();
        if columns == "count(*)" {
            return success(json!([{"count": rows.len().to_string()}]));
        }
        match order {
            "id" => {}
            "modifiedtime, id" => rows.sort_by_key(|(_, fields)| fields["modifiedtime"].clone()),
            "modifiedtime desc" => rows.sort_by_key(|(_, fields)| std::cmp::Reverse(fields["modifiedtime"].clone())),
            other => panic!("order by {other}"),
        }
        // Permissions are looked at after the limit.
        let page = rows.into_iter().skip(skip).take(count.min(100));
        let page = page.filter(|(number, _)| !self.hidden.as_ref().is_some_and(|hidden| hidden(*number)));
        let page: Vec<Value> = page.map(|(number, fields)| row(columns, number, fields)).collect();
        if std::mem::take(&mut self.empty_page) { success(json!([])) } else { success(json!(page)) }
    }
}

fn row(columns: &str, number: u64, fields: &Fields) -> Value {
    let mut row = Map::new();
    for name in columns.split(',') {
        row.insert(name.to_owned(), json!(fields.get(name).map_or("", String::as_str)));
    }
    row.insert("id".to_owned(), json!(format!("12x{number}")));
    Value::Object(row)
}

/// `and` binds tighter than `or`; there are no parentheses.
fn fulfils(condition: &str, number: u64, fields: &Fields) -> bool {
    condition.is_empty()
        || condition.split(" or ").any(|all| all.split(" and ").all(|atom| is_true(atom, number, fields)))
}

fn is_true(atom: &str, number: u64, fields: &Fields) -> bool {
    let mut words = atom.splitn(3, ' ');
    let (column, operator, literal) =
        (words.next().expect("a column"), words.next().expect("an operator"), words.next().expect("a literal"));
    let unquote = |text: &str| text.trim_matches('\'').replace("''", "'");
    let as_number =
        |text: &str| unquote(text).split_once('x').map_or(0, |(_, number)| number.parse::<u64>().expect("a number"));
    if operator == "in" {
        let mut list = literal.trim_matches(['(', ')']).split(',');
        return list.any(|value| match column {
            "id" => as_number(value) == number,
            _ => fields.get(column).is_some_and(|known| known.eq_ignore_ascii_case(&unquote(value))),
        });
    }
    if column == "id" {
        assert_eq!(operator, ">");
        return number > as_number(literal);
    }
    let (known, asked) = (fields[column].as_str(), unquote(literal));
    match operator {
        ">=" => known >= asked.as_str(),
        ">" => known > asked.as_str(),
        "=" => known == asked,
        other => panic!("operator {other}"),
    }
}

const CONTACT_FIELDS: [(&str, &str, &str); 9] = [
    ("lastname", "Last Name", "string"),
    ("account_id", "Organization Name", "reference"),
    ("assigned_user_id", "Assigned To", "owner"),
    ("birthday", "Date of Birth", "date"),
    ("donotcall", "Do Not Call", "boolean"),
    ("modifiedtime", "Modified Time", "datetime"),
    ("description", "Description", "text"),
    ("source", "Source", "string"),
    ("cf_901", "CRMSync Key", "string"),
];

fn describe(module: &str, gone: Option<&str>) -> Reply {
    let prefix = match module {
        "Contacts" => "12",
        "Accounts" => "11",
        _ => {
            return failure(
                json!("ACCESS_DENIED"),
                &format!("Permission to perform the operation is denied for name : {module}"),
            );
        }
    };
    let fields = CONTACT_FIELDS.iter().filter(|(name, ..)| module == "Contacts" || *name != "cf_901");
    let fields = fields.filter(|(name, ..)| Some(*name) != gone);
    let fields: Vec<Value> = fields
        .map(|(name, label, native)| {
            let mandatory = matches!(*name, "lastname" | "assigned_user_id");
            let editable = !matches!(*name, "modifiedtime" | "source");
            let kind = match *native {
                "reference" => json!({"name": native, "refersTo": ["Accounts"]}),
                _ => json!({"name": native}),
            };
            json!({"name": name, "label": label, "mandatory": mandatory, "type": kind, "editable": editable})
        })
        .collect();
    success(json!({"name": module, "idPrefix": prefix, "fields": fields}))
}

fn other_module(module: &str, ordinary: bool) -> Reply {
    match module {
        "CompanyDetails" => success(json!([{"id": "23x1", "organizationname": "ACME"}])),
        "Users" if ordinary => failure(json!("ACCESS_DENIED"), "Permission to perform the operation is denied"),
        "Users" => success(json!([
            {"id": "19x1", "user_name": "admin", "first_name": "", "last_name": "Administrator", "email1": "admin@example.com", "status": "Active", "currency_id": "21x1"},
            {"id": "19x5", "user_name": "kari", "first_name": "Kari", "last_name": "Nordmann", "email1": "kari@example.com", "status": "Inactive"},
        ])),
        "Currency" => success(json!([{"id": "21x1", "currency_code": "USD"}])),
        "Groups" => success(json!([{"id": "20x2", "groupname": "Sales"}])),
        other => panic!("the module {other} is not read"),
    }
}

fn success(result: Value) -> Reply {
    Reply::json(200, json!({"success": true, "result": result}).to_string())
}

fn failure(code: Value, message: &str) -> Reply {
    Reply::json(200, json!({"success": false, "error": {"message": message, "code": code}}).to_string())
}

fn http_date(now_ms: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time::format_local(now_ms * 1_000);
    let month: usize = text[5..7].parse().expect("a month");
    format!("Mon, {} {} {} {} GMT", &text[8..10], MONTHS[month - 1], &text[..4], &text[11..])
}
