//! The `holograd` program: a thin user of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(holograd::cli::main())
}
