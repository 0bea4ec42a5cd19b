//! The farpane program.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    farpane_server::cli::main()
}
