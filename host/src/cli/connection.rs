//! `crmsync connection …`.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::args::{AddOptions, ConnectionCommand, LoginOptions};
use super::output::Output;
use super::process::{read_hidden_line, read_line};
use super::table::{Table, neutral};
use crate::app::{App, LOCAL_TENANT};
use crate::engine::CheckReport;
use crate::service::{self, Failure, Login, NewConnection, Revoked, Withdrawn};
use crate::store::ConnectionState;

pub(super) async fn run(app: &App, command: ConnectionCommand, output: Output) -> Result<(), Failure> {
    match command {
        ConnectionCommand::Add(options) => add(app, options, output).await,
        ConnectionCommand::Login(options) => login(app, options, output).await,
        ConnectionCommand::Reconnect(options) => {
            let known = service::list(app, LOCAL_TENANT).await?.into_iter().find(|row| row.name == options.name);
            if let Some(row) = known.filter(|row| !row.org_id.is_empty()) {
                output.note(&format!("only a login to `{}` is taken", neutral(&row.org_name)));
            }
            login(app, options, output).await
        }
        ConnectionCommand::Prepare { name, module } => {
            let prepared = service::prepare(app, LOCAL_TENANT, &name, module.as_deref()).await?;
            output.answer(&prepared, |prepared| prepared_text(&name, prepared));
            Ok(())
        }
        ConnectionCommand::Check { name } => {
            let report = service::check(app, LOCAL_TENANT, &name).await?;
            let may_not = service::refused_rights(app, LOCAL_TENANT, &name).await?;
            output.answer(&Checked { report, may_not }, |answer| {
                let refused = answer.may_not.iter();
                let refused = refused.map(|(module, verbs)| {
                    format!("{} may not {} {}\n", neutral(&name), verbs.join(", "), neutral(module))
                });
                checked(&name, &answer.report) + &refused.collect::<String>()
            });
            Ok(())
        }
        ConnectionCommand::Fields { name, module, sample } => {
            if sample {
                let samples = service::samples(app, LOCAL_TENANT, &name, &module).await?;
                output.answer(&samples, |samples| samples_table(samples));
            } else {
                let fields = service::fields(app, LOCAL_TENANT, &name, &module).await?;
                output.answer(&fields, |fields| fields_table(fields));
            }
            Ok(())
        }
        ConnectionCommand::Users { name } => {
            let users = service::users(app, LOCAL_TENANT, &name).await?;
            output.answer(&users, |users| {
                let mut table = Table::new(&["ID", "NAME", "E-MAIL", "ACTIVE", "KIND"]);
                for user in users {
                    table.row([
                        user.id.as_str(),
                        &user.name,
                        &user.email,
                        if user.active { "yes" } else { "no" },
                        &user.kind,
                    ]);
                }
                table.text(None)
            });
            Ok(())
        }
        ConnectionCommand::List => {
            let rows = service::list(app, LOCAL_TENANT).await?;
            output.answer(&rows, |rows| {
                let mut table = Table::new(&["NAME", "PLUGIN", "STATE", "ORGANISATION", "GRANTED ADDRESSES"]);
                for row in rows {
                    let state = serde_json::to_value(row.state).ok();
                    let state = state.as_ref().and_then(|state| state.as_str()).unwrap_or_default().to_owned();
                    table.row([&row.name, &row.plugin, &state, &row.org_name, &row.addresses.join(", ")]);
                }
                table.text(None)
            });
            Ok(())
        }
        ConnectionCommand::Remove { name } => {
            let revoked = service::remove(app, LOCAL_TENANT, &name).await?;
            output.answer(&serde_json::json!({ "removed": name, "revoked": revoked }), |_| match revoked {
                Revoked::Yes => format!("removed `{name}`, and ended its authorisation at the CRM"),
                Revoked::Nothing => format!("removed `{name}`"),
                Revoked::Failed => {
                    format!("removed `{name}`. The CRM could not be told: end the authorisation there by hand")
                }
            });
            Ok(())
        }
    }
}

async fn add(app: &App, options: AddOptions, output: Output) -> Result<(), Failure> {
    let mut secrets = std::collections::BTreeMap::new();
    for name in &options.secrets {
        secrets.insert(name.clone(), read_secret(name).await?);
    }
    let mut new = NewConnection {
        name: options.name,
        plugin: options.plugin,
        settings: options.settings.into_iter().collect(),
        secrets,
        origins: options.origins.into_iter().collect(),
        addresses: options.grants,
    };
    for note in service::read_manual(app, LOCAL_TENANT, &mut new).await? {
        output.note(&format!("note: {}", neutral(&note)));
    }
    let withdrawn = Withdrawn { addresses: options.ungrants, origins: options.unset_origins };
    let row = service::change(app, LOCAL_TENANT, new, &withdrawn).await?;
    output.answer(&row, |row| match row.state {
        ConnectionState::Ready => format!("`{}` is set up; its login stays as it was", row.name),
        ConnectionState::New => format!("added `{name}`. Next: crmsync connection login {name}", name = row.name),
        ConnectionState::LoggedOut => {
            format!("changed `{name}`; it needs a new login. Next: crmsync connection login {name}", name = row.name)
        }
    });
    Ok(())
}

/// A secret from the environment, from a person, or from a pipe; never from the command line, where other users could read it.
async fn read_secret(name: &str) -> Result<SecretString, Failure> {
    let variable = format!("CRMSYNC_SECRET_{}", name.to_uppercase());
    if let Some(value) = std::env::var(&variable).ok().filter(|value| !value.trim().is_empty()) {
        return Ok(SecretString::from(value));
    }
    if std::io::stdin().is_terminal() {
        eprintln!("{name} (it is not shown while you type; or set {variable}):");
    }
    let line = read_hidden_line().await;
    match line.as_ref().map(|line| line.trim_end_matches(['\r', '\n'])) {
        Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
        _ => Err(Failure::input(
            "connection.secret",
            format!("there is no value for the secret `{name}`"),
            format!("set {variable}, or type it"),
        )),
    }
}

async fn login(app: &App, options: LoginOptions, output: Output) -> Result<(), Failure> {
    let name = options.name.clone();
    let report = authorise(app, options, output).await?;
    output.answer(&report, |report| checked(&name, report));
    Ok(())
}

/// A login in the middle of something else: what it found is told, and is not the answer.
pub(super) async fn log_in(app: &App, options: LoginOptions, output: Output) -> Result<(), Failure> {
    let name = options.name.clone();
    let report = authorise(app, options, output).await?;
    output.note(&checked(&name, &report));
    Ok(())
}

async fn authorise(app: &App, options: LoginOptions, output: Output) -> Result<CheckReport, Failure> {
    let redirect = service::callback_address(options.callback_port);
    let receivers = service::receivers(app, LOCAL_TENANT, &options.name).await?;
    if !options.announce {
        output.note(&format!("secrets   go to {} and nowhere else", neutral(&receivers.join(", "))));
    }
    if let Some(code) = &options.code {
        return service::login_with_code(app, LOCAL_TENANT, &options.name, code).await;
    }
    let login = match Login::begin(app, LOCAL_TENANT, &options.name, redirect.clone()).await {
        Ok(login) => login,
        Err(failure) if failure.code == "connection.no_browser_login" => {
            return service::login_with_session(app, LOCAL_TENANT, &options.name).await;
        }
        Err(failure) => return Err(failure),
    };
    let listener = if options.paste { None } else { Some(listen(options.callback_port).await?) };
    if options.announce {
        println!("{}", serde_json::json!({ "authorize_url": login.url.as_str(), "callback": redirect }));
    } else {
        output.note(&format!("callback  {redirect}   (register exactly this address with the CRM)"));
        output.note(&format!("scopes    {}", login.scopes));
        output.note(&format!("open      {}", login.url));
    }
    let parameters = match listener {
        Some(listener) => wait_for_callback(listener, &login, Duration::from_secs(options.wait_s)).await?,
        None => {
            output.note("paste the final address of the browser here:");
            let line = read_line()
                .await
                .map_err(|error| Failure::environment("connection.login_paste", error.to_string(), ""))?;
            service::parse_callback(&line)?
        }
    };
    login.finish(&parameters).await
}

pub(super) async fn listen(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        Failure::environment(
            "connection.callback_port",
            format!("cannot listen on {address}: {error}"),
            "stop the other program, or choose another port with --callback-port and register its address with the CRM",
        )
    })
}

/// Waits for the browser to come back with the CRM's answer.
pub(super) async fn wait_for_callback(
    listener: TcpListener,
    login: &Login<'_>,
    longest: Duration,
) -> Result<Vec<(String, String)>, Failure> {
    let (visits, mut visited) = mpsc::channel::<Visit>(VISITS_WAITING_MAX);
    let page = move |Query(parameters): Query<Vec<(String, String)>>| {
        let visits = visits.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let told = visits.send(Visit { parameters, answer }).await;
            match (told, answered.await) {
                (Ok(()), Ok(page)) => page,
                _ => (StatusCode::GONE, Html("<!doctype html><title>crmsync</title><p>The login has ended.</p>")),
            }
        }
    };
    let router = Router::new().route("/callback", get(page));
    let server = axum::serve(listener, router);
    // Any page in the browser can load this address; only the CRM's answer to this very login ends the wait.
    let ours = async {
        while let Some(Visit { parameters, answer }) = visited.recv().await {
            let is_mine = login.is_mine(&parameters);
            // Who does not wait for the page does not need it.
            let _left = answer.send(page_for(&parameters, is_mine));
            if is_mine {
                // The page is on its way while the login goes on.
                tokio::task::yield_now().await;
                return Ok(parameters);
            }
        }
        Err(Failure::failed("connection.login_wait", "the login was given up", ""))
    };
    tokio::select! {
        parameters = ours => parameters,
        _ = server.into_future() => Err(Failure::environment("connection.login_wait", "the callback could not be served", "")),
        () = tokio::time::sleep(longest) => Err(Failure::failed(
            "connection.login_wait",
            format!("nobody came back from the CRM's page within {} s", longest.as_secs()),
            "start the login again; over SSH use --paste",
        )),
    }
}

/// Visits of the callback that wait for their turn.
const VISITS_WAITING_MAX: usize = 8;

/// One visit of the callback's address, and where its page goes.
struct Visit {
    parameters: Vec<(String, String)>,
    answer: oneshot::Sender<(StatusCode, Html<&'static str>)>,
}

/// What the person in front of the browser sees.
fn page_for(parameters: &[(String, String)], is_mine: bool) -> (StatusCode, Html<&'static str>) {
    let has = |name: &str| parameters.iter().any(|(known, _)| known == name);
    match (is_mine, has("code") && !has("error")) {
        (false, _) => (
            StatusCode::BAD_REQUEST,
            Html(
                "<!doctype html><title>crmsync</title><p>This is not the answer to the login that crmsync waits for. \
                 Use the address that crmsync printed last.</p>",
            ),
        ),
        (true, true) => (
            StatusCode::OK,
            Html(
                "<!doctype html><title>crmsync</title><p>The CRM has answered. crmsync now completes the login and says there \
                 whether it worked; you can close this page.</p>",
            ),
        ),
        (true, false) => (
            StatusCode::OK,
            Html(
                "<!doctype html><title>crmsync</title><p>The CRM did not give access. crmsync says more; you can close this page.</p>",
            ),
        ),
    }
}

/// Who and where a connection's login is, and what it may not do there.
#[derive(serde::Serialize)]
struct Checked {
    #[serde(flatten)]
    report: CheckReport,
    /// Refused verbs, by module.
    may_not: std::collections::BTreeMap<String, Vec<String>>,
}

fn checked(name: &str, report: &CheckReport) -> String {
    let mut table = Table::new(&["WHAT", "ANSWER"]);
    table.row(["connection", name]);
    table.row(["organisation", &format!("{} ({})", report.org_name, report.org_kind)]);
    table.row(["user", &report.user_name]);
    table.row(["sees", &report.visible_scope]);
    table.row(["time zone", &report.time_zone]);
    table.row(["edition, version", &format!("{} {}", report.edition, report.version)]);
    if let Some(ahead_ms) = report.clock_ahead_ms {
        table.row(["clock", &format!("{:+.1} s against ours", ahead_ms as f64 / 1_000.0)]);
    }
    table.text(None)
}

/// How each module's creates are protected, and what to do.
fn prepared_text(name: &str, prepared: &[service::Prepared]) -> String {
    let mut text = String::new();
    for module in prepared {
        text.push_str(&format!("{}: ", neutral(&module.module)));
        if module.steps.is_empty() {
            text.push_str(&format!(
                "ready; `{}` holds our keys, and the CRM keeps them unique\n",
                neutral(&module.key_field)
            ));
            continue;
        }
        let now = match module.key_field.as_str() {
            "" => "no field holds our keys".to_owned(),
            field => format!("`{field}` holds our keys, and the CRM does not keep them unique"),
        };
        text.push_str(&format!("{}. To make creates safe:\n", neutral(&now)));
        for (number, step) in module.steps.iter().enumerate() {
            text.push_str(&format!("  {}. {}\n", number + 1, neutral(step)));
        }
    }
    text.push_str(&format!("Afterwards: crmsync connection prepare {name}"));
    text
}

/// Selectable values that a table shows of one field.
const CHOICES_SHOWN_MAX: usize = 6;

fn fields_table(fields: &[crate::engine::FieldInfo]) -> String {
    let mut table = Table::new(&["LABEL", "API NAME", "TYPE", "LENGTH", "NOTES"]).numbers(3);
    for field in fields {
        table.row([&field.label, &field.name, &field.native, &length(field), &notes(field)]);
    }
    table.text(None)
}

fn length(field: &crate::engine::FieldInfo) -> String {
    field.length.map(|length| length.to_string()).unwrap_or_default()
}

fn notes(field: &crate::engine::FieldInfo) -> String {
    let mut notes = Vec::new();
    if field.mandatory {
        notes.push("mandatory".to_owned());
    }
    if field.read_only {
        notes.push("read-only".to_owned());
    }
    if field.unique {
        notes.push("unique".to_owned());
    }
    if !field.targets.is_empty() {
        notes.push(format!("→ {}", field.targets.join(", ")));
    }
    if !field.choices.is_empty() {
        let shown: Vec<&str> =
            field.choices.iter().take(CHOICES_SHOWN_MAX).map(|choice| choice.value.as_str()).collect();
        let more = match field.choices.len().saturating_sub(CHOICES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" … and {more} more (--json)"),
        };
        notes.push(format!("one of {}{more}", shown.join(" | ")));
    }
    notes.join(", ")
}

/// Values of a few records, cut to a glance: enough to know a field, not to read people's records.
fn samples_table(samples: &[service::Sample]) -> String {
    let mut table = Table::new(&["LABEL", "API NAME", "TYPE", "LENGTH", "VALUES", "NOTES"]).numbers(3);
    for sample in samples {
        let field = &sample.field;
        table.row([
            &field.label,
            &field.name,
            &field.native,
            &length(field),
            &sample.values.join(" | "),
            &notes(field),
        ]);
    }
    table.text(None)
}
