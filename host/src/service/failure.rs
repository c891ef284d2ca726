//! Every failure as an answer: a code that never changes, a message, and what to do.

use crate::app;
use crate::egress;
use crate::engine;
use crate::flow;
use crate::runtime;
use crate::store;

/// What kind of failure it is: decides the exit code of the command line and the status of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// What was asked is wrong: a file, a name, a value.
    Input,
    /// The surroundings are not as needed: folder, port, network, permissions.
    Environment,
}

/// A failure for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Kind.
    #[serde(skip)]
    pub kind: Kind,
    /// Stable code, `room.what`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do, "" if the message says it.
    pub hint: String,
}

impl Failure {
    /// Wrong input.
    pub fn input(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: Kind::Input, code, message: message.into(), hint: hint.into() }
    }

    /// Tried without success.
    pub fn failed(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: Kind::Failed, code, message: message.into(), hint: hint.into() }
    }

    /// Wrong surroundings.
    pub fn environment(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: Kind::Environment, code, message: message.into(), hint: hint.into() }
    }

    /// The problems of a flow file, with its name before each.
    pub fn problems(file: &str, problems: &[flow::Problem]) -> Failure {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| {
                let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                format!("{file}:{}:{}: {}{hint}", problem.line, problem.column, problem.message)
            })
            .collect();
        Failure::input("flow.problems", lines.join("\n"), "")
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        match error {
            store::Error::LeaseLost => Failure::failed("flow.lease_lost", error.to_string(), ""),
            store::Error::File { .. } | store::Error::Refused(_) => {
                Failure::environment("store.unusable", error.to_string(), "")
            }
            _ => Failure::environment("store.failed", error.to_string(), "check the disk and the data folder"),
        }
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Failure {
        match error {
            app::Error::Store(error) => error.into(),
            app::Error::Gate(error) => error.into(),
            app::Error::Plugin(runtime::Error::Sandbox { .. }) => Failure::environment(
                "host.sandbox",
                error.to_string(),
                "plugins run in a sandbox that reserves some terabytes of address space (not of memory): \
                 allow that with `ulimit -v unlimited`, or raise the limit of the service or container",
            ),
            app::Error::Plugin(_) | app::Error::WrongKind(..) => {
                Failure::input("plugin.unusable", error.to_string(), "")
            }
            app::Error::Address(..) => Failure::input("connection.address", error.to_string(), ""),
            app::Error::Folder { .. } => {
                Failure::environment("data.folder", error.to_string(), "choose another folder with --data")
            }
        }
    }
}

impl From<egress::Error> for Failure {
    fn from(error: egress::Error) -> Failure {
        let message = format!("failed to {error}");
        match &error {
            egress::Error::Unreachable(refusal) => refused(refusal),
            egress::Error::LoginRefused(_) | egress::Error::NoRefreshToken => {
                Failure::failed("connection.login_refused", message, "check user, key, client id and secret")
            }
            egress::Error::Vault(_) => Failure::environment("store.vault", message, ""),
            _ => Failure::input("connection.settings", message, ""),
        }
    }
}

/// A refusal of the gate in words that say what to do.
pub(super) fn refused(refusal: &egress::Refusal) -> Failure {
    match refusal {
        egress::Refusal::Denied(why) => Failure::input(
            "connection.denied",
            why.clone(),
            "private addresses, plain http and odd ports need the operator's grant of exactly that address: \
             `crmsync connection add … --grant ADDRESS:PORT`",
        ),
        egress::Refusal::LoggedOut => {
            Failure::failed("connection.logged_out", refusal.to_string(), "run `crmsync connection login NAME`")
        }
        egress::Refusal::NotSent(why) | egress::Refusal::NoAnswer(why) => Failure::environment(
            "connection.unreachable",
            why.clone(),
            "check the address, and that the CRM is running",
        ),
        egress::Refusal::TooLarge(_) => Failure::environment(
            "connection.unreachable",
            refusal.to_string(),
            "this does not look like the CRM: check the address",
        ),
        egress::Refusal::RateLimited(wait_ms) => Failure::environment(
            "connection.rate_limited",
            format!("the CRM wants to be left alone for {} s", wait_ms.div_ceil(1_000)),
            "nothing is wrong with user or key; try again after that time",
        ),
        egress::Refusal::Cancelled => Failure::environment(
            "connection.no_time",
            "the login did not come to its end in time",
            "the CRM is slow, or another process is logging in: try again in a minute",
        ),
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Failure {
        match error {
            engine::Error::Store(error) => error.into(),
            engine::Error::NotApproved(why) => Failure::failed("flow.not_approved", why, ""),
            engine::Error::Call { connection, call, source } => call_failed(&connection, &call, &source),
            engine::Error::Transform(_) => Failure::failed("flow.transform", error.to_string(), ""),
            engine::Error::Incomplete { .. } => Failure::failed("flow.incomplete", error.to_string(), ""),
            engine::Error::Endless { .. } => Failure::failed("flow.endless", error.to_string(), ""),
        }
    }
}

/// A call to a CRM that failed, in words that say what to do.
pub(super) fn call_failed(connection: &str, call: &str, source: &engine::CallError) -> Failure {
    use crmsync_core::Fault;
    let message = format!("`{connection}`: failed to {call}: {source}");
    match source {
        engine::CallError::Fault(Fault::LoggedOut) => {
            Failure::failed("connection.logged_out", message, format!("run `crmsync connection login {connection}`"))
        }
        engine::CallError::Fault(Fault::RateLimited(_)) => {
            Failure::failed("connection.rate_limited", message, "nothing is lost; run again later")
        }
        engine::CallError::Fault(Fault::Transient(_)) => Failure::environment(
            "connection.unreachable",
            message,
            "nothing is lost; check that the CRM is running and run again",
        ),
        engine::CallError::Fault(_) => Failure::failed("connection.refused", message, ""),
        engine::CallError::Plugin(_) => {
            Failure::failed("plugin.broke", message, "nothing is lost; tell the plugin's author")
        }
    }
}
