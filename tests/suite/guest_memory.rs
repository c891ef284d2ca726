//! Rule 6 from outside: after a real login and a real pull, the memory of the guests is searched for every secret that is live.
//!
//! The Wasm engine keeps each guest's linear memory in a slot of a few mebibytes that can be read, followed by gigabytes that cannot.
//! That is how it is found among all memory of this process: nothing else looks like that.

use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, Uri};
use crmsync::app::LOCAL_TENANT;
use crmsync::engine::Remote;
use crmsync::service::{self, NewConnection};
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::Crms;
use crmsync_tests::workplace::Workplace;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

use crate::product::run;

/// A mapping that cannot be accessed and is at least so large ends a guest's slot.
const GUARD_BYTES_MIN: u64 = 1 << 30;
/// Shorter values (a flag, a number) would be found by chance.
const SECRET_BYTES_MIN: usize = 12;

/// The readable memory of all guests that are alive in this process.
fn guest_memories() -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let (mut found, mut run): (Vec<Vec<u8>>, Vec<(u64, u64)>) = (Vec::new(), Vec::new());
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        if rest.starts_with("rw-p") {
            if run.last().is_some_and(|&(_, before)| before != start) {
                run.clear();
            }
            run.push((start, end));
            continue;
        }
        let follows = run.last().is_some_and(|&(_, before)| before == start);
        if rest.starts_with("---p") && follows && end - start >= GUARD_BYTES_MIN {
            for &(start, end) in &run {
                let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
                // Guests of other tests come and go; those of this one stay.
                if memory.read_exact_at(&mut bytes, start).is_ok() {
                    found.push(bytes);
                }
            }
        }
        run.clear();
    }
    found
}

/// Names and values that a challenge login gave, overheard on the way.
type Overheard = Arc<Mutex<Vec<String>>>;

/// Passes every request on to the CRM, and remembers the answers of its logins.
async fn listen_in(crm: String, overheard: Overheard) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let pass_on = async |State((crm, overheard, http)): State<(String, Overheard, reqwest::Client)>,
                         method: Method,
                         uri: Uri,
                         headers: axum::http::HeaderMap,
                         body: Bytes| {
        let mut request = http.request(method, format!("{}{uri}", crm.trim_end_matches('/'))).body(body);
        if let Some(kind) = headers.get("content-type") {
            request = request.header("content-type", kind);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(session) = answer["result"]["sessionName"].as_str() {
            overheard.lock().unwrap().push(session.to_owned());
        }
        ([("content-type", "application/json")], text)
    };
    let router = Router::new().fallback(pass_on).with_state((crm, overheard, http));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[test]
fn no_live_secret_is_in_a_guest_s_memory() {
    run(async {
        let workplace = Workplace::open(Crms::here(20, 5).await.unwrap(), 700).await.unwrap();
        let app = &workplace.app;
        let overheard = Overheard::default();
        let detour = listen_in(workplace.crms.side(Side::Vtiger).url.clone(), Arc::clone(&overheard)).await;
        let key = workplace.crms.side(Side::Vtiger).login("access_key").to_owned();
        let mut detoured = NewConnection { name: "detour".into(), plugin: "vtiger".into(), ..NewConnection::default() };
        detoured.settings.insert("base_url".into(), detour.clone());
        detoured.settings.insert("username".into(), workplace.crms.side(Side::Vtiger).login("username").to_owned());
        detoured.secrets.insert("access_key".into(), SecretString::from(key));
        detoured.addresses.push(detour.trim_start_matches("http://").to_owned());
        service::add(app, LOCAL_TENANT, detoured).await.unwrap();
        service::login_with_session(app, LOCAL_TENANT, "detour").await.unwrap();
        let connections = ["zoho", "detour"];

        let mut alive = Vec::new();
        let mut known_to_guests = Vec::new();
        for connection in connections {
            let row = app.store().connection(LOCAL_TENANT, connection).await.unwrap().unwrap();
            let crm = app.crm(LOCAL_TENANT, &row).await.unwrap();
            crm.check().await.unwrap();
            crm.users().await.unwrap();
            let fields: Vec<String> =
                crm.describe("Contacts").await.unwrap().into_iter().map(|field| field.name).take(40).collect();
            let page = crm.pull("Contacts", &fields, None).await.unwrap();
            known_to_guests.push(page.live.last().expect("there are records").id.clone());
            alive.push(crm);
        }
        let mut secrets = Vec::new();
        for connection in connections {
            let (_, kept) = app.vault().load(LOCAL_TENANT, connection).await.unwrap().unwrap();
            secrets.extend(kept.values.into_values());
        }
        let sessions = overheard.lock().unwrap().clone();
        assert!(!sessions.is_empty(), "the login was overheard");
        secrets.extend(sessions.into_iter().map(SecretString::from));
        secrets.retain(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        assert!(secrets.len() >= 5, "client secret, two tokens, key, session: {}", secrets.len());

        let memories = guest_memories();
        let holds = |text: &str| {
            let finder = aho_corasick::AhoCorasick::new([text]).unwrap();
            memories.iter().any(|memory| finder.is_match(memory))
        };
        for id in &known_to_guests {
            assert!(holds(id), "the search finds what a guest has read: {id}");
        }
        for (index, secret) in secrets.iter().enumerate() {
            let hex: String = secret.expose_secret().bytes().map(|byte| format!("{byte:02x}")).collect();
            let base64 =
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, secret.expose_secret());
            for spelling in [secret.expose_secret(), &hex, &base64] {
                assert!(!holds(spelling), "secret {index} is in a guest's memory");
            }
        }
        drop(alive);
    });
}
