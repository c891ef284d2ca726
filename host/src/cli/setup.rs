//! `crmsync setup`: asks what it needs, writes the first flow file, applies and previews it. Without a terminal everything is given by
//! flags or a file of answers.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use secrecy::SecretString;

use super::args::{FlowCommand, LoginOptions, SetupOptions};
use super::output::Output;
use super::process::{read_hidden_line, read_line};
use super::table::neutral;
use crate::app::{App, LOCAL_TENANT};
use crate::service::{self, Failure, NewConnection, Wish};
use crate::store::ConnectionState;

/// What a file of answers may say; everything that is not there is asked for, or has a default.
const ANSWERS: [&str; 8] = ["name", "between", "modules", "direction", "winner", "first_sync", "fallback", "file"];

/// What is known so far.
#[derive(Debug, Default)]
struct Answers {
    name: Option<String>,
    between: Option<[String; 2]>,
    modules: Option<Vec<String>>,
    direction: Option<String>,
    winner: Option<String>,
    first_sync: Option<String>,
    fallback: BTreeMap<String, String>,
    file: Option<PathBuf>,
}

pub(super) async fn run(app: &App, options: SetupOptions, output: Output) -> Result<ExitCode, Failure> {
    let no_preview = options.no_preview;
    let answers = gather(options)?;
    let wish = if std::io::stdin().is_terminal() {
        ask_for_the_rest(app, answers, output).await?
    } else {
        complete(app, answers).await?
    };
    let (wish, file) = wish;
    let text = service::draft(app, LOCAL_TENANT, &wish).await?;
    if file.exists() {
        return Err(Failure::input(
            "setup.file",
            format!("{} is there already", file.display()),
            "choose another one with --file; nothing was written",
        ));
    }
    // First judged, then kept: a refused file leaves nothing behind.
    service::check_flow(app, LOCAL_TENANT, &file.display().to_string(), &text).await?;
    std::fs::write(&file, &text).map_err(|error| {
        Failure::environment(
            "setup.file",
            format!("cannot write {}: {error}", file.display()),
            "choose another one with --file",
        )
    })?;
    output.note(&format!("wrote {}", file.display()));
    if no_preview {
        return super::flow::run(app, FlowCommand::Apply { file }, output).await;
    }
    service::apply(app, LOCAL_TENANT, &file.display().to_string(), &text).await?;
    output.note(&format!("applied `{}`; reading both CRMs for a preview, which writes nothing", wish.name));
    let preview = FlowCommand::Preview { name: wish.name, list: None, most: 0, csv: None };
    super::flow::run(app, preview, output).await
}

/// What the flags and the file say; a flag goes before the file.
fn gather(options: SetupOptions) -> Result<Answers, Failure> {
    let mut answers = match &options.answers {
        Some(file) => read_answers(file)?,
        None => Answers::default(),
    };
    answers.name = options.name.or(answers.name);
    if let Some(text) = options.between {
        answers.between = Some(two(text.split(',').map(|name| name.trim().to_owned()).collect())?);
    }
    if !options.modules.is_empty() {
        answers.modules = Some(options.modules);
    }
    answers.direction = options.direction.or(answers.direction);
    answers.winner = options.winner.or(answers.winner);
    answers.first_sync = options.first_sync.or(answers.first_sync);
    answers.fallback.extend(options.fallback);
    answers.file = options.file.or(answers.file);
    Ok(answers)
}

fn two(names: Vec<String>) -> Result<[String; 2], Failure> {
    <[String; 2]>::try_from(names)
        .map_err(|_| Failure::input("setup.answers", "`between` names two connections", "such as --between ONE,OTHER"))
}

fn read_answers(file: &Path) -> Result<Answers, Failure> {
    let wrong = |why: String| {
        let known = ANSWERS.join(", ");
        Failure::input("setup.answers", format!("{}: {why}", file.display()), format!("it may have: {known}"))
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    if let Some(unknown) = table.keys().find(|key| !ANSWERS.contains(&key.as_str())) {
        return Err(wrong(format!("unknown answer `{unknown}`")));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => {
            value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| wrong(format!("`{key}` must be a text")))
        }
    };
    let texts = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => {
            let items =
                value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
            items.flatten().map(Some).ok_or_else(|| wrong(format!("`{key}` must be a list of texts")))
        }
    };
    let mut fallback = BTreeMap::new();
    if let Some(value) = table.get("fallback") {
        let emails = value.as_table().ok_or_else(|| wrong("`fallback` must be a table".to_owned()))?;
        for (connection, email) in emails {
            let email = email.as_str().ok_or_else(|| wrong("`fallback` holds e-mail addresses".to_owned()))?;
            fallback.insert(connection.clone(), email.to_owned());
        }
    }
    Ok(Answers {
        name: text("name")?,
        between: texts("between")?.map(two).transpose()?,
        modules: texts("modules")?,
        direction: text("direction")?,
        winner: text("winner")?,
        first_sync: text("first_sync")?,
        fallback,
        file: text("file")?.map(PathBuf::from),
    })
}

/// Without a terminal nothing is guessed that matters: what is missing is told, all at once.
async fn complete(app: &App, answers: Answers) -> Result<(Wish, PathBuf), Failure> {
    let mut missing = Vec::new();
    let mut need = |given: bool, flag: &'static str| {
        if !given {
            missing.push(flag);
        }
    };
    need(answers.name.is_some(), "--name NAME");
    need(answers.between.is_some(), "--between ONE,OTHER");
    need(answers.winner.is_some(), "--winner CONNECTION");
    if !missing.is_empty() {
        let known: Vec<String> = service::list(app, LOCAL_TENANT).await?.into_iter().map(|row| row.name).collect();
        let known = if known.is_empty() { "none; `crmsync connection add`".to_owned() } else { known.join(", ") };
        return Err(Failure::input(
            "setup.missing",
            format!("there is nobody to ask, and these answers are missing: {}", missing.join(", ")),
            format!("give them as flags, or in a file with --answers; connections: {known}"),
        ));
    }
    wish(answers)
}

fn wish(answers: Answers) -> Result<(Wish, PathBuf), Failure> {
    let name = answers.name.unwrap_or_default();
    let file = answers.file.unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    let wish = Wish {
        name,
        between: answers.between.unwrap_or_default(),
        modules: answers.modules.unwrap_or_default(),
        direction: answers.direction.unwrap_or_default(),
        winner: answers.winner.unwrap_or_default(),
        first_sync: answers.first_sync.unwrap_or_default(),
        fallback: answers.fallback,
    };
    Ok((wish, file))
}

async fn ask_for_the_rest(app: &App, mut answers: Answers, output: Output) -> Result<(Wish, PathBuf), Failure> {
    if answers.between.is_none() {
        let mut known = service::list(app, LOCAL_TENANT).await?;
        while known.len() < 2 {
            output.note(&format!("A flow is between two connections; there are {} yet. Let us add one.", known.len()));
            add_connection(app, output).await?;
            known = service::list(app, LOCAL_TENANT).await?;
        }
        let names: Vec<String> = known.iter().map(|row| row.name.clone()).collect();
        output.note(&format!("connections: {}", neutral(&names.join(", "))));
        let left = ask("First connection", Some(&names[0])).await?;
        let right = names.iter().find(|name| **name != left).cloned().unwrap_or_default();
        answers.between = Some([left, ask("Second connection", Some(&right)).await?]);
    }
    let between = answers.between.clone().unwrap_or_default();
    for row in service::list(app, LOCAL_TENANT).await?.into_iter().filter(|row| between.contains(&row.name)) {
        if row.state != ConnectionState::Ready {
            output.note(&format!("`{}` needs a login.", row.name));
            super::connection::log_in(app, LoginOptions::of(row.name), output).await?;
        }
    }
    if answers.name.is_none() {
        answers.name = Some(ask("Name of the flow", Some("sales")).await?);
    }
    if answers.modules.is_none() {
        let known = service::modules_between(app, LOCAL_TENANT, &between).await?;
        let names: Vec<&str> = known.iter().map(|pair| pair[0].as_str()).collect();
        let chosen = ask("Modules, with commas between", Some(&names.join(", "))).await?;
        answers.modules = Some(chosen.split(',').map(|name| name.trim().to_owned()).collect());
    }
    let [left, right] = &between;
    if answers.direction.is_none() {
        answers.direction = Some(ask(&format!("Direction: both, to-{left} or to-{right}"), Some("both")).await?);
    }
    if answers.winner.is_none() {
        answers.winner = Some(ask("Both changed one field: whose value stays", Some(left)).await?);
    }
    if answers.first_sync.is_none() {
        let question = "First sync of matched records: fill-empty (replace nothing), winner or ask";
        answers.first_sync = Some(ask(question, Some("fill-empty")).await?);
    }
    for side in &between {
        if !answers.fallback.contains_key(side) {
            let question = format!(
                "New records in {side} whose owner has no counterpart go to (e-mail; empty: the user who is logged in)"
            );
            let email = ask(&question, None).await?;
            if !email.is_empty() {
                answers.fallback.insert(side.clone(), email);
            }
        }
    }
    wish(answers)
}

async fn add_connection(app: &App, output: Output) -> Result<(), Failure> {
    let connectors = service::connectors(app).await?;
    let ids: Vec<&str> = connectors.iter().map(|connector| connector.id.as_str()).collect();
    let plugin = ask(&format!("Which CRM: {}", ids.join(", ")), None).await?;
    let Some(connector) = connectors.iter().find(|connector| connector.id == plugin) else {
        let known = format!("known connectors: {}", ids.join(", "));
        return Err(Failure::input("connection.unknown_plugin", format!("there is no connector `{plugin}`"), known));
    };
    let name = ask("Name of the connection", Some(&plugin)).await?;
    let mut new = NewConnection { name: name.clone(), plugin, ..NewConnection::default() };
    for setting in &connector.settings {
        output.note(&format!("{}: {}", setting.title, setting.description));
        new.settings.insert(setting.name.clone(), ask(&setting.name, None).await?);
    }
    for secret in &connector.secrets {
        eprint!("{secret} (it is not shown while you type): ");
        let line = read_hidden_line().await.map_err(|error| no_answer(&error))?;
        new.secrets.insert(secret.clone(), SecretString::from(line.trim_end_matches(['\r', '\n'])));
    }
    service::add(app, LOCAL_TENANT, new).await?;
    super::connection::log_in(app, LoginOptions::of(name), output).await
}

/// A question on the terminal; an empty answer takes the default.
async fn ask(question: &str, default: Option<&str>) -> Result<String, Failure> {
    match default {
        Some(default) => eprint!("{} [{}]: ", neutral(question), neutral(default)),
        None => eprint!("{}: ", neutral(question)),
    }
    let line = read_line().await.map_err(|error| no_answer(&error))?;
    let line = line.trim();
    Ok(if line.is_empty() { default.unwrap_or_default().to_owned() } else { line.to_owned() })
}

fn no_answer(error: &std::io::Error) -> Failure {
    Failure::environment(
        "setup.answers",
        format!("no answer came: {error}"),
        "give answers with flags or --answers FILE",
    )
}
