//! The `crmsync` program: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    crmsync::cli::main(std::env::args_os())
}
