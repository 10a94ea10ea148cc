//! The `tombola` program: parses, calls the library, prints.

mod bench;
mod convert;
mod failure;
mod find;
mod input;
mod inspect;
mod interrupt;
mod report;
mod run;
mod scan;
mod shrink;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tombola::Isa;

use failure::Failure;

/// Sparse models that run at the speed of their sparsity.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status:
  0  done
  1  what --assert claims does not hold
  2  the command line makes no sense
  3  a file cannot be read or written
  4  a file holds something else than it should
  130  stopped by Ctrl-C; what find did is saved, unless it is pressed twice"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Convert),
    Shrink(shrink::Shrink),
    Inspect(inspect::Inspect),
    Run(run::Run),
    Bench(bench::Bench),
    Find(find::Find),
    Scan(scan::Scan),
    Report(report::Report),
    /// Print the completions of a shell.
    #[command(after_help = "Example:
  tombola completions bash > ~/.local/share/bash-completion/completions/tombola")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // What the environment asks for is no fault of a file; and of no matter where nothing is computed.
    let computes = !matches!(command, Command::Report(_) | Command::Completions { .. });
    if let (true, Err(error)) = (computes, Isa::detect()) {
        return Failure::wish(error).about(Isa::VARIABLE).report();
    }
    let result = match command {
        Command::Convert(convert) => convert.run(),
        Command::Shrink(shrink) => shrink.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Run(run) => run.run(),
        Command::Bench(bench) => bench.run(),
        Command::Find(find) => find.run(),
        Command::Scan(scan) => scan.run(),
        Command::Report(report) => report.run(),
        Command::Completions { shell } => completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tombola", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints to stdout, at once. A reader that has seen enough is no failure, and no reason to leave work undone.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A name from a file, in which no character controls a terminal, breaks the line or turns its direction.
fn plain(name: &str) -> String {
    let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
    let turns = |letter: char| {
        matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') || marks.contains(&letter)
    };
    let escaped = |letter: char| match letter.is_control() || turns(letter) {
        true => letter.escape_debug().to_string(),
        false => letter.to_string(),
    };
    name.chars().map(escaped).collect()
}
