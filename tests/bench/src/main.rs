//! What the sandbox costs, measured in one run against native code that does the same: reading a CRM, transforming, starting an
//! instance, parsing an answer. And how many calls a full read takes, which matters more than all of it.
//!
//! Both CRMs are the sandbox servers, in this process but on other threads; the requests are real HTTP. All work is measured on one
//! thread by two clocks. Ours and the native program take turns, so that both meet the machine in the same mood.
//!
//! It is a package of its own because its loops are compared with native code and have to be optimised, which nothing else here needs.

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

use clap::Parser;
use tokio::sync::oneshot;

use report::Report;
use world::{Servers, World};

/// Why there is no result, in words that follow "failed to".
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much to measure.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "What the sandbox costs against native code, and how many calls a full read takes",
    max_term_width = 120,
    after_help = "Example: cargo run -p crmsync-bench -- --json"
)]
pub(crate) struct Options {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Contacts in each CRM
    #[arg(long, default_value_t = 2_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(200..=20_000))]
    records: usize,
    /// Turns of each measurement; the result is their median
    #[arg(long, default_value_t = 15, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    repetitions: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    runtime.block_on(run(options)).unwrap_or_else(|failure| {
        eprintln!("error: failed to {failure}");
        ExitCode::FAILURE
    })
}

/// Measures and prints. The exit code is 1 if a full read takes more calls than it may.
///
/// # Errors
/// The servers or the host cannot be started, or ours and the native program do not do the same.
async fn run(options: Options) -> Result<ExitCode, Failure> {
    let servers = Servers::start(options.records).await?;
    let (done, measured) = oneshot::channel();
    let json = options.json;
    // A thread with a runtime of its own, so that the servers' work does not count as ours. Its name is for profilers.
    std::thread::Builder::new().name("bench".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let report = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure(servers, &options)));
        // Nobody waits any more only if the program is ending.
        let _gone = done.send(report);
    })?;
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
