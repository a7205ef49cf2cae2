//! The command `tipring`: arguments in, text and an exit code out. See [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
