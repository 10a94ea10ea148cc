//! The `tombola` program: parses, calls the library, prints.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tombola::plan::Format;
use tombola::{Result, io};

/// Sparse models that run at the speed of their sparsity.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what a model file holds, layer by layer.
    Inspect {
        /// A model that tombola wrote.
        file: PathBuf,
        /// The batch size to plan for.
        #[arg(long, default_value_t = 64)]
        batch: usize,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tombola: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<String> {
    match arguments.command {
        Command::Inspect { file, batch } => {
            let mlp = io::load(file)?;
            let layers = mlp.layers().iter();
            let [dense, csr, packed] = layers.fold([0; 3], |[dense, csr, packed], layer| {
                [
                    dense + layer.dense_bytes(),
                    csr + layer.csr_bytes(),
                    packed + layer.packed_bytes(Format::Panel),
                ]
            });
            Ok(format!("{}{dense} bytes dense, {csr} as CSR, {packed} packed\n", mlp.explain(batch)))
        }
    }
}
