//! The demo's surroundings: a folder, two sandbox processes, and the people who use them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crmsync_sandbox::history::{Actor, Event};
use crmsync_sandbox::people::{Module, Side};
use crmsync_sandbox::scenario::Holdings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::{MODULES, SIDES};
use crate::cli::process::end_with_us;
use crate::service::Failure;

/// Time between the first sync and the people's edits, by the CRMs' clocks.
const NIGHT_MS: u64 = 8 * 60 * 60 * 1_000;

/// A data folder that goes when the demo ends.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make() -> Result<Folder, Failure> {
        let failed = |error: std::io::Error| {
            Failure::environment("data.folder", format!("cannot make a folder for the demo: {error}"), "")
        };
        let path = std::env::temp_dir().join(format!("crmsync-demo-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        }
        std::fs::create_dir_all(&path).map_err(failed)?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The records that [`World::keep_state`] kept.
    pub(super) fn kept_state(&self) -> Result<Holdings, Failure> {
        let read = |module: Module, side: &str| -> Result<Vec<Value>, Failure> {
            let text = std::fs::read(self.state_file(module, side)).map_err(|error| failed_file(&error))?;
            Ok(record_list(&serde_json::from_slice(&text).unwrap_or_default()))
        };
        MODULES.into_iter().map(|module| Ok((module, [read(module, SIDES[0])?, read(module, SIDES[1])?]))).collect()
    }

    fn state_file(&self, module: Module, side: &str) -> PathBuf {
        self.0.join(format!("first-{}-{side}.json", module.name()))
    }
}

fn failed_file(error: &std::io::Error) -> Failure {
    Failure::environment("data.folder", format!("the demo's folder: {error}"), "")
}

fn record_list(answer: &Value) -> Vec<Value> {
    answer["records"].as_array().cloned().unwrap_or_default()
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the system's folder for such things.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// Calls that a CRM has counted, by kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Calls {
    pub(super) read: u64,
    pub(super) write: u64,
    pub(super) auth: u64,
    pub(super) metadata: u64,
}

impl Calls {
    /// Calls about records.
    pub(super) fn data(self) -> u64 {
        self.read + self.write
    }
}

/// One sandbox CRM; its process is killed when this goes.
pub(super) struct Crm {
    pub(super) url: String,
    login: Value,
    _process: Child,
}

impl Crm {
    /// What a person needs to log in.
    pub(super) fn login(&self, name: &str) -> String {
        self.login[name].as_str().unwrap_or_default().to_owned()
    }

    /// `address:port`, as an operator grants it.
    pub(super) fn address(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }
}

/// One thing that somebody does at a screen.
#[derive(Debug, Deserialize)]
struct Edit {
    side: Side,
    path: String,
    body: Value,
}

/// Both CRMs and somebody who uses them.
pub(super) struct World {
    pub(super) sides: [Crm; 2],
    http: reqwest::Client,
}

/// What an event of a CRM's history says, with its side.
pub(super) type Events = [Vec<Event>; 2];

impl World {
    pub(super) async fn start(records: u32, seed: u64) -> Result<World, Failure> {
        // The client speaks plain HTTP to our own children; a provider has to be named all the same.
        let _set_already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::environment("demo.http", error.to_string(), ""))?;
        let [left, right] = SIDES.map(|kind| spawn(kind, records, seed));
        let (left, right) = tokio::join!(left, right);
        Ok(World { sides: [left?, right?], http })
    }

    /// A person at the consent page: reads it, presses Accept and lets the browser go where it is sent.
    pub(super) async fn press_accept(&self, authorize: &Url) -> Result<(), Failure> {
        let failed = |why: String| Failure::failed("demo.consent", format!("the consent page: {why}"), "");
        let page = self.http.get(authorize.clone()).send().await.map_err(|error| failed(error.to_string()))?;
        let html = page.text().await.map_err(|error| failed(error.to_string()))?;
        let mut form = hidden_fields(&html);
        if form.is_empty() {
            return Err(failed("it has no form".into()));
        }
        form.push(("decision".to_owned(), "accept".to_owned()));
        let action = authorize.join("/oauth/v2/auth").map_err(|error| failed(error.to_string()))?;
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let posted = self
            .http
            .post(action)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let location = posted.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let location = location.ok_or_else(|| failed("it does not lead back".into()))?;
        self.http.get(location).send().await.map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// People do at both screens what the sandboxes' own story says. It is told by one of them, so that its memory is not ours.
    pub(super) async fn people_edit(&self) -> Result<(), Failure> {
        let story = self.ask(&self.sides[0], "/_sandbox/story", None).await?;
        let edits: Vec<Edit> = serde_json::from_value(story["edits"].clone())
            .map_err(|error| Failure::failed("demo.story", error.to_string(), ""))?;
        for edit in edits {
            let answer = self.ask(&self.sides[edit.side as usize], &edit.path, Some(&edit.body)).await?;
            if let Some(error) = answer.get("error") {
                return Err(Failure::failed("demo.person", format!("a person's edit was refused: {error}"), ""));
            }
        }
        Ok(())
    }

    /// All live records of the modules, left and right, in the CRMs' own form.
    pub(super) async fn records(&self) -> Result<Holdings, Failure> {
        let mut holdings = Holdings::new();
        let [left, right] = &self.sides;
        for module in MODULES {
            let path = format!("/_sandbox/records/{}", module.name());
            let left = record_list(&self.ask(left, &path, None).await?);
            let right = record_list(&self.ask(right, &path, None).await?);
            holdings.insert(module, [left, right]);
        }
        Ok(holdings)
    }

    /// Keeps what both CRMs hold now in files, piece by piece.
    pub(super) async fn keep_state(&self, folder: &Folder) -> Result<(), Failure> {
        for (side, crm) in SIDES.into_iter().zip(&self.sides) {
            for module in MODULES {
                let url = format!("{}/_sandbox/records/{}", crm.url, module.name());
                let mut answer = self.http.get(url).send().await.map_err(no_answer)?;
                let file = folder.state_file(module, side);
                let mut file = std::fs::File::create(file).map_err(|error| failed_file(&error))?;
                while let Some(piece) = answer.chunk().await.map_err(no_answer)? {
                    file.write_all(&piece).map_err(|error| failed_file(&error))?;
                }
            }
        }
        Ok(())
    }

    /// Both CRMs' clocks move on, so that what we wrote is long past when people come back.
    pub(super) async fn sleep_over_night(&self) -> Result<(), Failure> {
        for crm in &self.sides {
            self.ask(crm, "/_sandbox/clock", Some(&json!({ "advance_ms": NIGHT_MS }))).await?;
        }
        Ok(())
    }

    /// Numbers of the last events, left and right.
    pub(super) async fn events_end(&self) -> Result<[u64; 2], Failure> {
        let mut ends = [0; 2];
        for (end, crm) in ends.iter_mut().zip(&self.sides) {
            let summary = self.ask(crm, "/_sandbox/summary", None).await?;
            *end = summary["events"].as_u64().unwrap_or(0);
        }
        Ok(ends)
    }

    /// Both histories.
    pub(super) async fn events(&self) -> Result<Events, Failure> {
        let path = "/_sandbox/history?after=0".to_owned();
        let [left, right] = &self.sides;
        let parse = |answer: Value| {
            serde_json::from_value(answer["events"].clone())
                .map_err(|error| Failure::failed("demo.history", error.to_string(), ""))
        };
        Ok([parse(self.ask(left, &path, None).await?)?, parse(self.ask(right, &path, None).await?)?])
    }

    /// Calls that the servers have counted.
    pub(super) async fn calls(&self) -> Result<BTreeMap<&'static str, Calls>, Failure> {
        let mut calls = BTreeMap::new();
        for (name, crm) in SIDES.into_iter().zip(&self.sides) {
            let summary = self.ask(crm, "/_sandbox/summary", None).await?;
            let counted = serde_json::from_value(summary["api_calls"].clone());
            calls.insert(name, counted.map_err(|error| Failure::failed("demo.summary", error.to_string(), ""))?);
        }
        Ok(calls)
    }

    /// Workflows, mails and cadences that our writes started although the CRM would have let us choose.
    pub(super) async fn automations(&self) -> Result<u64, Failure> {
        let mut fired = 0;
        for crm in &self.sides {
            let summary = self.ask(crm, "/_sandbox/summary", None).await?;
            let counts = ["automations", "mails", "cadences"].map(|what| summary[what].as_u64().unwrap_or(0));
            fired += counts.iter().sum::<u64>();
        }
        Ok(fired)
    }

    async fn ask(&self, crm: &Crm, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let url = format!("{}{path}", crm.url);
        let request = match body {
            Some(body) => self.http.post(url).header("content-type", "application/json").body(body.to_string()),
            None => self.http.get(url),
        };
        let text = request.send().await.map_err(no_answer)?.text().await.map_err(no_answer)?;
        Ok(serde_json::from_str(&text).unwrap_or_else(|_| json!({ "error": text })))
    }
}

fn no_answer(error: reqwest::Error) -> Failure {
    Failure::environment("demo.sandbox", format!("a sandbox CRM does not answer: {error}"), "")
}

/// Whether an event is our own doing, not a person's.
pub(super) fn is_ours(event: &Event) -> bool {
    matches!(event.actor, Actor::Api)
}

async fn spawn(kind: &str, records: u32, seed: u64) -> Result<Crm, Failure> {
    let failed =
        |why: String| Failure::environment("demo.sandbox", format!("the sandbox `{kind}` does not start: {why}"), "");
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command
        .args(["sandbox", kind, "--listen", "127.0.0.1:0"])
        .args(["--records", &records.to_string(), "--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    end_with_us(&mut command);
    let mut process = command.spawn().map_err(|error| failed(error.to_string()))?;
    let stdout = process.stdout.take().ok_or_else(|| failed("it has no output".into()))?;
    let line = BufReader::new(stdout).lines().next_line().await.map_err(|error| failed(error.to_string()))?;
    let ready: Value =
        serde_json::from_str(&line.unwrap_or_default()).map_err(|_| failed("see its message above".into()))?;
    let url = ready["url"].as_str().unwrap_or_default().to_owned();
    Ok(Crm { url, login: ready["login"].clone(), _process: process })
}

/// Names and values of a page's hidden fields, unescaped.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
        let end = tag[start..].find('"')? + start;
        Some(tag[start..end].replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    };
    html.split("<input type=\"hidden\"")
        .skip(1)
        .filter_map(|rest| {
            let tag = rest.split('>').next()?;
            Some((attribute(tag, "name")?, attribute(tag, "value")?))
        })
        .collect()
}

/// What this process has used so far, by the system's own account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) cpu_ms: u64,
    pub(super) peak_rss_mib: f64,
}

pub(super) fn usage() -> Usage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "getrusage fills the struct that it is given, and a zeroed one is valid if it fails"
    )]
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let ms = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000 + time.tv_usec.unsigned_abs() / 1_000;
    // Linux counts in KiB.
    Usage { cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime), peak_rss_mib: usage.ru_maxrss as f64 / 1_024.0 }
}
