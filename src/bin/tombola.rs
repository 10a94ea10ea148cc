//! The `tombola` program: parses, calls the library, prints.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tombola::io::{Import, Model};
use tombola::mask::Criterion;
use tombola::plan::Format;
use tombola::{Activation, Error};

/// Sparse models that run at the speed of their sparsity.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a sparse model of a checkpoint.
    ///
    /// Reads safetensors files (weights with zeros, torch.nn.utils.prune, parametrizations, compressed-tensors' bitmasks, and
    /// tombola's own), numpy's and scipy's .npy and .npz, and Matrix Market.
    #[command(after_help = "Examples:
  tombola convert checkpoint.safetensors ticket.safetensors
  tombola convert checkpoint.safetensors --masks masks.safetensors ticket.safetensors
  tombola convert dense.safetensors --prune magnitude:0.8 ticket.safetensors
  tombola convert ticket.safetensors 'layer-{}.npz'
  tombola convert ticket.safetensors --dense pruned.safetensors
  tombola convert vision.safetensors --layers head.0,head.2 head.safetensors")]
    Convert {
        #[command(flatten)]
        input: Input,
        /// Write pruned weights as zeros: .safetensors or .npz (numpy) with NAME.weight and NAME.bias of all layers.
        #[arg(long)]
        dense: bool,
        /// The file to write: .safetensors, or .npz (scipy), .mtx (Matrix Market) or .npy (numpy, with zeros) for the weights
        /// of a layer, in whose name {} stands for the layer's. It is written beside its place and moved there: whole, or
        /// not at all.
        output: PathBuf,
    },
    /// Say what a model holds, layer by layer.
    #[command(after_help = "Example:
  tombola inspect ticket.safetensors --batch 1")]
    Inspect {
        #[command(flatten)]
        input: Input,
        /// The batch size to plan for.
        #[arg(long, default_value_t = 64)]
        batch: usize,
    },
}

/// A model, and how to read it.
#[derive(Args)]
struct Input {
    /// The file to read.
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Masks of 0 and 1, named like the weights, with or without `_mask`.
    #[arg(long, value_name = "FILE")]
    masks: Option<PathBuf>,
    /// Prune what the masks leave: magnitude:0.8 (each layer), global:0.8 (all together) or quantile:0.8 (the lecture's).
    #[arg(long, value_name = "CRITERION:SPARSITY")]
    prune: Option<Criterion>,
    /// The layers to take, first to last, and no others.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    layers: Vec<String>,
    /// The activation of each layer: identity, relu, leaky_relu(0.01), gelu, gelu_tanh, sigmoid, tanh, softmax.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    activations: Vec<Activation>,
}

impl Input {
    fn read(&self) -> Result<Model, Error> {
        let mut import = Import::new().layers(&self.layers).activations(self.activations.iter().copied());
        if let Some(masks) = &self.masks {
            import = import.masks(masks);
        }
        if let Some(criterion) = self.prune {
            import = import.prune(criterion);
        }
        import.read(&self.input)
    }
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

fn run(arguments: Arguments) -> Result<String, String> {
    match arguments.command {
        Command::Convert { input, dense, output } => convert(&input, dense, &output),
        Command::Inspect { input, batch } => inspect(&input, batch).map_err(|error| error.to_string()),
    }
}

fn convert(input: &Input, dense: bool, output: &Path) -> Result<String, String> {
    let model = input.read().map_err(|error| error.to_string())?;
    // With the layers' names in its place, it may be several files.
    let pattern = output.to_string_lossy();
    let written = model.names.iter().map(|name| PathBuf::from(pattern.replace("{}", name)));
    for written in written.chain([output.to_owned()]) {
        let read = [Some(&input.input), input.masks.as_ref()].into_iter().flatten();
        let same = |read: &PathBuf| matches!((read.canonicalize(), written.canonicalize()), (Ok(read), Ok(written)) if read == written);
        if read.into_iter().any(same) {
            return Err(format!("{}: this is what is read; write to another file", written.display()));
        }
    }
    let saved = if dense { model.save_dense(output) } else { model.save(output) };
    saved.map_err(|error| error.to_string())?;
    let mut text = String::new();
    for (name, layer) in model.names.iter().zip(model.mlp.layers()) {
        let (out, inputs) = layer.shape();
        let (kept, all) = (layer.kept(), out * inputs);
        let density = 100.0 * kept as f64 / all as f64;
        let activation = layer.activation();
        text += &format!("{name}: {out}×{inputs}, {kept} of {all} weights ({density:.1}%), {activation}\n");
    }
    Ok(text)
}

fn inspect(input: &Input, batch: usize) -> Result<String, Error> {
    let Model { mlp, .. } = input.read()?;
    let layers = mlp.layers().iter();
    let [dense, csr, packed] = layers.fold([0; 3], |[dense, csr, packed], layer| {
        [dense + layer.dense_bytes(), csr + layer.csr_bytes(), packed + layer.packed_bytes(Format::Panel)]
    });
    Ok(format!("{}{dense} bytes dense, {csr} as CSR, {packed} packed\n", mlp.explain(batch)))
}
