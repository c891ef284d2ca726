//! What the sandbox costs, measured in one run against native code that does the same: reading a CRM, transforming, starting an
//! instance, parsing an answer. And how many calls a full read takes, which matters more than all of it.
//!
//! Both CRMs are the sandbox servers, in this process but on other threads; the requests are real HTTP. All work is measured on one
//! thread by two clocks. Ours and the native program take turns, so that both meet the machine in the same mood. Start at [`run`].

mod measure;
mod native;
mod parsing;
mod reading;
mod report;
mod starting;
mod transforming;
mod wire;
mod world;

use std::process::ExitCode;

use clap::Args;

use report::Report;
use world::{Servers, World};

/// Why there is no result, in words that follow "failed to".
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much to measure.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo run -p crmsync-tests -- bench --json")]
pub(crate) struct Options {
    /// Contacts in each CRM
    #[arg(long, default_value_t = 2_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(200..=20_000))]
    records: usize,
    /// Turns of each measurement; the result is their median
    #[arg(long, default_value_t = 15, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    repetitions: usize,
}

/// Measures and prints. The exit code is 1 if a full read takes more calls than it may.
///
/// # Errors
/// The servers or the host cannot be started, or ours and the native program do not do the same.
pub(crate) async fn run(options: Options, json: bool) -> Result<ExitCode, Failure> {
    let servers = Servers::start(options.records).await?;
    // A thread with a runtime of its own, so that the servers' work does not count as ours.
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(servers, &options))
    });
    let report = measured.await??;
    let text = if json { serde_json::to_string_pretty(&report)? } else { report.text() };
    println!("{text}");
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(servers: Servers, options: &Options) -> Result<Report, Failure> {
    let world = World::open(servers).await?;
    let zoho = reading::measure(&world, "zoho", options).await?;
    let vtiger = reading::measure(&world, "vtiger", options).await?;
    Ok(Report {
        ok: zoho.calls.are_few() && vtiger.calls.are_few(),
        records: options.records,
        repetitions: options.repetitions,
        reading: report::Sides { zoho, vtiger },
        transforming: transforming::measure(&world.app, options).await?,
        starting: starting::measure(&world, options).await?,
        parsing: report::Sides {
            zoho: parsing::measure_zoho(&world, options).await?,
            vtiger: parsing::measure_vtiger(&world, options).await?,
        },
    })
}
