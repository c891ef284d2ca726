//! Two sandbox CRMs and the people in front of their screens.

use std::collections::BTreeMap;

use crmsync_sandbox::history::{Call, CallCounts, Event};
use crmsync_sandbox::people::Side;
use crmsync_sandbox::scenario::HumanEdit;
use crmsync_sandbox::serve::{self, Running};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use url::Url;

use crate::Outcome;
use crate::product::Product;

/// Fields that servers set by themselves, and the one that holds our keys: nobody's values.
pub(crate) const SYSTEM_FIELDS: [&str; 14] = [
    "id",
    "label",
    "Modified_Time",
    "Modified_By",
    "Created_Time",
    "Created_By",
    "Last_Activity_Time",
    "modifiedtime",
    "modifiedby",
    "createdtime",
    "Full_Name",
    "source",
    "crmsync_key",
    "cf_crmsync_key",
];

/// Both sides, the left one of every flow here first.
pub const SIDES: [Side; 2] = [Side::Zoho, Side::Vtiger];
/// The module that these tests keep in step.
pub const MODULE: &str = "Contacts";

/// The name of a side's sandbox, its plugin and its connection.
pub fn name(side: Side) -> &'static str {
    match side {
        Side::Zoho => "zoho",
        Side::Vtiger => "vtiger",
    }
}

/// One sandbox CRM; it ends when this goes.
pub struct Crm {
    /// Where it answers.
    pub url: String,
    login: Value,
    _keeper: Keeper,
}

/// What keeps a sandbox alive; held for its drop.
#[expect(dead_code, reason = "the value is kept only so that the sandbox ends when it is dropped")]
enum Keeper {
    Process(Child),
    Task(Running),
}

/// Both sandbox CRMs.
pub struct Crms {
    sides: [Crm; 2],
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Summary {
    api_calls: CallCounts,
    automations: u64,
    mails: u64,
    cadences: u64,
}

impl Crm {
    /// What a person needs to log in, by name.
    pub fn login(&self, name: &str) -> &str {
        self.login[name].as_str().unwrap_or_default()
    }

    /// `address:port`, as an operator grants it.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }
}

impl Crms {
    /// Two sandboxes as processes of their own.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn processes(product: &Product, records: usize, seed: u64) -> Outcome<Crms> {
        Crms::processes_of(product, &serve::Options { records, seed, ..serve::Options::default() }).await
    }

    /// The same with other people than the usual ones; what is no matter of people stays as it is by itself.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn processes_of(product: &Product, people: &serve::Options) -> Outcome<Crms> {
        let (left, right) = tokio::join!(spawn(product, "zoho", people), spawn(product, "vtiger", people));
        Ok(Crms { sides: [left?, right?], http: client()? })
    }

    /// Two sandboxes in this process.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn here(records: usize, seed: u64) -> Outcome<Crms> {
        Crms::here_as(records, seed, ["default", "default"]).await
    }

    /// The same with the peculiarities that these profiles name, Zoho's first.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn here_as(records: usize, seed: u64, profiles: [&str; 2]) -> Outcome<Crms> {
        Crms::here_of(&serve::Options { records, seed, ..serve::Options::default() }, profiles).await
    }

    /// The same with options of their own.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn here_of(options: &serve::Options, profiles: [&str; 2]) -> Outcome<Crms> {
        let options = |profile: &str| serve::Options { profile: profile.to_owned(), ..options.clone() };
        let failed = |error: std::io::Error| format!("failed to start a sandbox: {error}");
        let crm = |running: Running| Crm {
            url: running.url.clone(),
            login: running.login.clone(),
            _keeper: Keeper::Task(running),
        };
        let left = crm(serve::start_zoho(options(profiles[0])).await.map_err(failed)?);
        let right = crm(serve::start_vtiger(options(profiles[1])).await.map_err(failed)?);
        Ok(Crms { sides: [left, right], http: client()? })
    }

    /// From here on Vtiger's login is this user's and not the administrator's.
    pub fn log_in_at_vtiger_as(&mut self, user: &str) {
        let login = &mut self.sides[Side::Vtiger as usize].login;
        let key = login["access_keys"][user].clone();
        (login["username"], login["access_key"]) = (json!(user), key);
    }

    /// One side.
    pub fn side(&self, side: Side) -> &Crm {
        &self.sides[side as usize]
    }

    /// A person at the consent page reads it and presses Accept; gives the address that the browser is sent to.
    ///
    /// # Errors
    /// The page has no form, or does not lead back.
    pub async fn press_accept(&self, authorize: &Url) -> Outcome<String> {
        let failed = |error: reqwest::Error| format!("the consent page: {error}");
        let html = self.http.get(authorize.clone()).send().await.map_err(failed)?.text().await.map_err(failed)?;
        let mut form = hidden_fields(&html);
        if form.is_empty() {
            return Err("the consent page has no form".into());
        }
        form.push(("decision".to_owned(), "accept".to_owned()));
        let action = authorize.join("/oauth/v2/auth").map_err(|error| error.to_string())?;
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(action).header("content-type", "application/x-www-form-urlencoded").body(body);
        let posted = request.send().await.map_err(failed)?;
        let location = posted.headers().get("location").and_then(|value| value.to_str().ok());
        location.map(str::to_owned).ok_or_else(|| "the consent page does not lead back".into())
    }

    /// The browser goes where it was sent.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn visit(&self, address: &str) -> Outcome<()> {
        self.http
            .get(address)
            .send()
            .await
            .map(drop)
            .map_err(|error| format!("nobody answers at the callback: {error}"))
    }

    /// Puts a fault plan in the place of the old one, on one side.
    ///
    /// # Errors
    /// The sandbox does not take it.
    pub async fn faults(&self, side: Side, plan: &Value) -> Outcome<()> {
        self.post(side, "/_sandbox/faults", plan).await.map(drop)
    }

    /// An administrator of one side changes what the user sees with whom the product logs in.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn grant(&self, side: Side, administrator: bool, hidden_percent: u64) -> Outcome<()> {
        let rights = json!({ "administrator": administrator, "hidden_percent": hidden_percent });
        self.post(side, "/_sandbox/rights", &rights).await.map(drop)
    }

    /// All tokens and sessions of one side end.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn expire(&self, side: Side) -> Outcome<()> {
        self.post(side, "/_sandbox/expire", &json!({})).await.map(drop)
    }

    /// Moves both clocks forward.
    ///
    /// # Errors
    /// A sandbox does not answer.
    pub async fn advance(&self, ms: i64) -> Outcome<()> {
        for side in SIDES {
            self.post(side, "/_sandbox/clock", &json!({ "advance_ms": ms })).await?;
        }
        Ok(())
    }

    /// Somebody creates a record; gives its id.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn create(&self, side: Side, set: &BTreeMap<&str, String>) -> Outcome<String> {
        self.create_spelled(side, &spelled(side, set)).await
    }

    /// The same with the fields as that side's screen has them.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn create_spelled(&self, side: Side, set: &Value) -> Outcome<String> {
        let answer = self.post(side, "/_sandbox/person/create", &json!({ "module": MODULE, "set": set })).await?;
        let id = answer["record"]["id"].as_str();
        id.map(str::to_owned).ok_or_else(|| format!("a created record has no id: {answer}"))
    }

    /// Somebody edits a record; fields go by their Zoho names, a blank empties one.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn edit(&self, side: Side, id: &str, set: &BTreeMap<&str, String>) -> Outcome<()> {
        let body = json!({ "module": MODULE, "id": id, "set": spelled(side, set) });
        self.post(side, "/_sandbox/person/edit", &body).await.map(drop)
    }

    /// Somebody deletes a record.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn delete(&self, side: Side, id: &str) -> Outcome<()> {
        self.post(side, "/_sandbox/person/delete", &json!({ "module": MODULE, "id": id })).await.map(drop)
    }

    /// Somebody takes a record back from the recycle bin.
    ///
    /// # Errors
    /// It is not there.
    pub async fn restore(&self, side: Side, id: &str) -> Outcome<()> {
        self.post(side, "/_sandbox/person/restore", &json!({ "module": MODULE, "id": id })).await.map(drop)
    }

    /// An administrator changes a field of contacts, by its own name: `read_only`, `chars_max`, `unique`.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn set_field(&self, side: Side, field: &str, rule: &Value) -> Outcome<()> {
        let body = json!({ "module": MODULE, "field": field, "rule": rule });
        self.post(side, "/_sandbox/admin/field", &body).await.map(drop)
    }

    /// An administrator adds a user, or gives the one of this name another address; gives the user's id.
    ///
    /// # Errors
    /// The sandbox does not take it.
    pub async fn set_user(&self, side: Side, name: &str, email: &str) -> Outcome<String> {
        let answer = self.post(side, "/_sandbox/admin/user", &json!({ "name": name, "email": email })).await?;
        let id = answer["user"]["id"].as_str();
        id.map(str::to_owned).ok_or_else(|| format!("a user has no id: {answer}"))
    }

    /// Somebody creates a record of any module; fields go by the side's own names. Gives its id.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn create_in(&self, side: Side, module: &str, set: &Value) -> Outcome<String> {
        let answer = self.post(side, "/_sandbox/person/create", &json!({ "module": module, "set": set })).await?;
        let id = answer["record"]["id"].as_str();
        id.map(str::to_owned).ok_or_else(|| format!("a created record has no id: {answer}"))
    }

    /// Somebody edits a record of any module.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn edit_in(&self, side: Side, module: &str, id: &str, set: &Value) -> Outcome<()> {
        let body = json!({ "module": module, "id": id, "set": set });
        self.post(side, "/_sandbox/person/edit", &body).await.map(drop)
    }

    /// Somebody deletes a record of any module.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn delete_in(&self, side: Side, module: &str, id: &str) -> Outcome<()> {
        self.post(side, "/_sandbox/person/delete", &json!({ "module": module, "id": id })).await.map(drop)
    }

    /// Somebody does something else at the screen: `path` says what.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn screen(&self, side: Side, path: &str, body: &Value) -> Outcome<Value> {
        self.post(side, &format!("/_sandbox/person/{path}"), body).await
    }

    /// All live records of one module of one side in the CRM's own form.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn records_of(&self, side: Side, module: &str) -> Outcome<Vec<Value>> {
        self.list(side, &format!("/_sandbox/records/{module}"), "records").await
    }

    /// Somebody does what the sandbox's own scenario says.
    ///
    /// # Errors
    /// The screen refuses.
    pub async fn person(&self, edit: &HumanEdit) -> Outcome<()> {
        self.post(edit.side, edit.path(), &edit.body()).await.map(drop)
    }

    /// All live records of one side in the CRM's own form.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn records(&self, side: Side) -> Outcome<Vec<Value>> {
        self.list(side, &format!("/_sandbox/records/{MODULE}"), "records").await
    }

    /// Everything that changed on one side, oldest first.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn events(&self, side: Side) -> Outcome<Vec<Event>> {
        self.list(side, "/_sandbox/history", "events").await
    }

    /// All API calls that one side has had.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn calls(&self, side: Side) -> Outcome<Vec<Call>> {
        self.list(side, "/_sandbox/calls", "calls").await
    }

    /// API calls of both sides, by kind.
    ///
    /// # Errors
    /// A sandbox does not answer.
    pub async fn counts(&self) -> Outcome<[CallCounts; 2]> {
        let mut counts = [CallCounts::default(); 2];
        for side in SIDES {
            counts[side as usize] = self.summary(side).await?.api_calls;
        }
        Ok(counts)
    }

    /// Workflows, mails and cadences that our writes started on a side although its CRM would have let us choose.
    ///
    /// # Errors
    /// The sandbox does not answer.
    pub async fn automations(&self, side: Side) -> Outcome<u64> {
        let summary = self.summary(side).await?;
        Ok(summary.automations + summary.mails + summary.cadences)
    }

    async fn summary(&self, side: Side) -> Outcome<Summary> {
        let answer = self.ask(self.http.get(format!("{}/_sandbox/summary", self.side(side).url))).await?;
        serde_json::from_value(answer).map_err(|error| format!("a sandbox's summary: {error}"))
    }

    async fn list<T: DeserializeOwned>(&self, side: Side, path: &str, key: &str) -> Outcome<Vec<T>> {
        let mut answer = self.ask(self.http.get(format!("{}{path}", self.side(side).url))).await?;
        serde_json::from_value(answer[key].take()).map_err(|error| format!("a sandbox's {key}: {error}"))
    }

    async fn post(&self, side: Side, path: &str, body: &Value) -> Outcome<Value> {
        let request = self.http.post(format!("{}{path}", self.side(side).url));
        self.ask(request.header("content-type", "application/json").body(body.to_string())).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Outcome<Value> {
        let failed = |error: reqwest::Error| format!("a sandbox does not answer: {error}");
        let text = request.send().await.map_err(failed)?.text().await.map_err(failed)?;
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if answer.get("error").is_none() => Ok(answer),
            _ => Err(format!("a sandbox answers: {text}")),
        }
    }
}

/// Fields under their side's own names.
fn spelled(side: Side, set: &BTreeMap<&str, String>) -> Value {
    let own = |name: &&str| match side {
        Side::Zoho => (*name).to_owned(),
        Side::Vtiger => field_name(side, name).to_owned(),
    };
    set.iter().map(|(name, value)| (own(name), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

/// The API name of a field on one side, by its Zoho name.
pub fn field_name(side: Side, zoho: &str) -> &str {
    match (side, crmsync_sandbox::people::field(zoho)) {
        (Side::Vtiger, Some(field)) => field.vtiger,
        _ => zoho,
    }
}

fn client() -> Outcome<reqwest::Client> {
    // The client speaks plain HTTP to our own sandboxes; a provider has to be named all the same, and the product may have done it.
    let _set_already = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().map_err(|error| error.to_string())
}

async fn spawn(product: &Product, kind: &str, people: &serve::Options) -> Outcome<Crm> {
    let failed = |why: String| format!("the sandbox `{kind}` does not start: {why}");
    let mut arguments = ["sandbox", kind, "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    for (name, number) in [
        ("--records", Some(people.records as u64)),
        ("--organizations", people.organizations.map(|number| number as u64)),
        ("--leads", people.leads.map(|number| number as u64)),
        ("--families", people.families.map(|number| number as u64)),
        ("--doubles", people.doubles.map(|number| number as u64)),
        ("--seed", Some(people.seed)),
    ] {
        arguments.extend(number.into_iter().flat_map(|number| [name.to_owned(), number.to_string()]));
    }
    let mut process = product
        .command(arguments)
        .stderr(std::process::Stdio::inherit())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stdout = process.stdout.take().ok_or_else(|| failed("it has no output".into()))?;
    let line = BufReader::new(stdout).lines().next_line().await.map_err(|error| failed(error.to_string()))?;
    let ready: Value = serde_json::from_str(&line.unwrap_or_default()).map_err(|error| failed(error.to_string()))?;
    let url = ready["url"].as_str().unwrap_or_default().to_owned();
    Ok(Crm { url, login: ready["login"].clone(), _keeper: Keeper::Process(process) })
}

/// Names and values of a page's hidden fields, unescaped.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
        let end = tag[start..].find('"')? + start;
        Some(tag[start..end].replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    };
    let tags = html.split("<input type=\"hidden\"").skip(1);
    tags.filter_map(|rest| rest.split('>').next())
        .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
        .collect()
}
