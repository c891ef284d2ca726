//! The surroundings of the benchmark: two sandbox CRMs in this process, a host with a connection to each, and logins for the
//! native readers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crmsync::app::{App, LOCAL_TENANT, PluginCrm};
use crmsync::service::{self, Login, NewConnection};
use crmsync_sandbox::crm::Crm;
use crmsync_sandbox::serve::{Options, Running, start_vtiger, start_zoho};
use md5::{Digest, Md5};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::Failure;

/// Population of both sandboxes.
pub(super) const SEED: u64 = 1;
/// What a registered Zoho application is sent back to. Nobody listens there: the benchmark reads the redirect itself.
const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";
const SCOPES: &str = "ZohoCRM.modules.ALL,ZohoSearch.securesearch.READ";

/// Both servers.
pub(super) struct Servers {
    zoho: Running,
    vtiger: Running,
}

impl Servers {
    /// Starts both on the current runtime, with so many contacts each.
    pub(super) async fn start(records: usize) -> Result<Servers, Failure> {
        let options = || Options { records, seed: SEED, ..Options::default() };
        Ok(Servers { zoho: start_zoho(options()).await?, vtiger: start_vtiger(options()).await? })
    }
}

/// What a native reader needs: an address, and a token or session.
pub(super) struct NativeLogin {
    pub(super) url: String,
    pub(super) secret: String,
}

/// A host with both connections logged in, and native logins beside it.
pub(super) struct World {
    pub(super) app: App,
    pub(super) http: reqwest::Client,
    pub(super) zoho: NativeLogin,
    pub(super) vtiger: NativeLogin,
    servers: Servers,
    // The last field, so that the folder goes after all that lives in it.
    _folder: Folder,
}

impl World {
    pub(super) async fn open(servers: Servers) -> Result<World, Failure> {
        // The client speaks plain HTTP to this very process; a provider has to be named all the same.
        let _set_already = rustls::crypto::ring::default_provider().install_default();
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(redirects).tcp_nodelay(true).build()?;
        let folder = Folder::make()?;
        let app = App::open(folder.path().to_path_buf())?;
        connect_zoho(&app, &http, &servers.zoho).await?;
        connect_vtiger(&app, &servers.vtiger).await?;
        let zoho = NativeLogin { url: servers.zoho.url.clone(), secret: zoho_token(&http, &servers.zoho).await? };
        let vtiger =
            NativeLogin { url: servers.vtiger.url.clone(), secret: vtiger_session(&http, &servers.vtiger).await? };
        Ok(World { app, http, zoho, vtiger, servers, _folder: folder })
    }

    /// A fresh instance of a connection's connector, as each run of a flow takes one.
    pub(super) async fn crm(&self, connection: &str) -> Result<PluginCrm, Failure> {
        let row = self.app.store().connection(LOCAL_TENANT, connection).await?;
        let row = row.ok_or_else(|| format!("find connection `{connection}`"))?;
        Ok(self.app.crm(LOCAL_TENANT, &row).await?)
    }

    /// The server behind a connection.
    pub(super) fn server(&self, connection: &str) -> &Arc<dyn Crm> {
        if connection == "zoho" { &self.servers.zoho.crm } else { &self.servers.vtiger.crm }
    }
}

async fn connect_zoho(app: &App, http: &reqwest::Client, server: &Running) -> Result<(), Failure> {
    let new = NewConnection {
        name: "zoho".to_owned(),
        plugin: "zoho".to_owned(),
        settings: BTreeMap::from([("client_id".to_owned(), login(server, "client_id"))]),
        secrets: BTreeMap::from([("client_secret".to_owned(), SecretString::from(login(server, "client_secret")))]),
        origins: ["accounts", "api"].map(|origin| (origin.to_owned(), server.url.clone())).into(),
        addresses: vec![address(server)],
    };
    service::add(app, LOCAL_TENANT, new).await.map_err(told)?;
    let login = Login::begin(app, LOCAL_TENANT, "zoho", REDIRECT_URI.to_owned()).await.map_err(told)?;
    let callback = accept(http, &login.url).await?;
    login.finish(&service::parse_callback(callback.as_str()).map_err(told)?).await.map_err(told)?;
    Ok(())
}

async fn connect_vtiger(app: &App, server: &Running) -> Result<(), Failure> {
    let settings = [("base_url", server.url.clone()), ("username", login(server, "username"))];
    let new = NewConnection {
        name: "vtiger".to_owned(),
        plugin: "vtiger".to_owned(),
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
        secrets: BTreeMap::from([("access_key".to_owned(), SecretString::from(login(server, "access_key")))]),
        origins: BTreeMap::new(),
        addresses: vec![address(server)],
    };
    service::add(app, LOCAL_TENANT, new).await.map_err(told)?;
    service::login_with_session(app, LOCAL_TENANT, "vtiger").await.map_err(told)?;
    Ok(())
}

/// An access token of its own for the native reader.
async fn zoho_token(http: &reqwest::Client, server: &Running) -> Result<String, Failure> {
    let client_id = login(server, "client_id");
    let asked = [
        ("response_type", "code"),
        ("client_id", &client_id),
        ("redirect_uri", REDIRECT_URI),
        ("scope", SCOPES),
        ("access_type", "offline"),
        ("prompt", "consent"),
    ];
    let callback = accept(http, &Url::parse_with_params(&format!("{}/oauth/v2/auth", server.url), asked)?).await?;
    let code = callback.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &client_id),
        ("client_secret", &login(server, "client_secret")),
        ("redirect_uri", REDIRECT_URI),
        ("code", &code.ok_or("log in natively: no code came back")?),
    ];
    let answer = post_form(http, &format!("{}/oauth/v2/token", server.url), &form).await?;
    text_at(&answer.text().await?, "/access_token")
}

/// A session of its own for the native reader.
async fn vtiger_session(http: &reqwest::Client, server: &Running) -> Result<String, Failure> {
    let (url, username) = (format!("{}/webservice.php", server.url), login(server, "username"));
    let challenge = Url::parse_with_params(&url, [("operation", "getchallenge"), ("username", &username)])?;
    let token = text_at(&http.get(challenge).send().await?.text().await?, "/result/token")?;
    let digest = Md5::digest(format!("{token}{}", login(server, "access_key")));
    let key: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let form = [("operation", "login"), ("username", &username), ("accessKey", &key)];
    let answer = post_form(http, &url, &form).await?;
    text_at(&answer.text().await?, "/result/sessionName")
}

/// Presses Accept on the consent page, and gives the address that the browser is sent to.
async fn accept(http: &reqwest::Client, authorize: &Url) -> Result<Url, Failure> {
    let mut form: Vec<(String, String)> = authorize.query_pairs().into_owned().collect();
    form.push(("decision".to_owned(), "accept".to_owned()));
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = post_form(http, authorize.join("/oauth/v2/auth")?.as_str(), &form).await?;
    let location = answer.headers().get("location").ok_or("log in: the consent page does not lead back")?;
    Ok(Url::parse(location.to_str()?)?)
}

async fn post_form(http: &reqwest::Client, url: &str, form: &[(&str, &str)]) -> Result<reqwest::Response, Failure> {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    Ok(request.send().await?)
}

fn text_at(json: &str, pointer: &str) -> Result<String, Failure> {
    let answer: Value = serde_json::from_str(json)?;
    let text = answer.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("log in natively: no `{pointer}` in {json}"))?.to_owned())
}

fn login(server: &Running, name: &str) -> String {
    server.login[name].as_str().unwrap_or_default().to_owned()
}

fn address(server: &Running) -> String {
    server.url.trim_start_matches("http://").to_owned()
}

fn told(failure: service::Failure) -> Failure {
    format!("prepare the connections: {}", failure.message).into()
}

/// The host's data folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("crmsync-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the system's folder for such things.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
