//! `crmsync sandbox`: a simulated CRM as a process of its own.

use std::process::ExitCode;

use crmsync_sandbox::serve;

use super::args::{SandboxKind, SandboxOptions};
use crate::service::Failure;

pub(super) async fn run(options: SandboxOptions) -> Result<ExitCode, Failure> {
    let served = serve::Options {
        listen: options.listen,
        records: options.records,
        organizations: options.organizations,
        leads: options.leads,
        families: options.families,
        doubles: options.doubles,
        seed: options.seed,
        profile: options.profile,
        faults: options.faults,
        ..serve::Options::default()
    };
    let outcome = match options.kind {
        SandboxKind::Zoho => serve::zoho(served).await,
        SandboxKind::Vtiger => serve::vtiger(served).await,
    };
    outcome.map(|()| ExitCode::SUCCESS).map_err(|error| {
        let input = matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData);
        match input {
            true => Failure::input("sandbox.options", error.to_string(), ""),
            false => Failure::environment("sandbox.start", error.to_string(), ""),
        }
    })
}
