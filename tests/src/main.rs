//! Long-running programs beside the test suite: `cargo run -p crmsync-tests -- bench`.

mod bench;

use std::process::ExitCode;

use clap::Parser;

/// Programs that measure and torture crmsync.
#[derive(Debug, Parser)]
#[command(name = "crmsync-tests", max_term_width = 120)]
enum Program {
    /// Measure what the sandbox costs against native code, and how many calls a full read takes
    Bench(bench::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Program::parse() {
        Program::Bench(options) => bench::run(options).await,
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("failed to {failure}");
        ExitCode::FAILURE
    })
}
