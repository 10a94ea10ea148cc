//! A model, and how to read it.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::RangedI64ValueParser;
use tombola::Activation;
use tombola::io::{Import, Model};
use tombola::mask::Criterion;

use crate::Failure;
use crate::failure::parse;

/// The batch sizes that a command takes: a million samples, about, and no more.
pub(crate) fn batch_size() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=1 << 20)
}

#[derive(Args)]
pub(crate) struct Input {
    /// The model: safetensors, numpy's and scipy's .npy and .npz, or Matrix Market.
    #[arg(value_name = "MODEL")]
    pub(crate) input: PathBuf,
    /// Masks of 0 and 1, named like the weights, with or without `_mask`.
    #[arg(long, value_name = "FILE")]
    masks: Option<PathBuf>,
    /// Prune what the masks leave, up to this sparsity of the whole layer: magnitude:0.8 (each layer), global:0.8 (all
    /// together), quantile:0.8 (what is not above the 0.8 quantile), 2:4 (any N:M), block:16x1:0.8 and
    /// global-block:16x1:0.8 (ROWSxCOLUMNS; block:16x1:l1:0.8 and block:16x1:max:0.8 for another norm than l2),
    /// fan-in:0.8 or neurons:0.5.
    #[arg(long, value_name = "CRITERION", value_parser = parse::<Criterion>)]
    prune: Option<Criterion>,
    /// The layers to take, first to last, and no others. Without it, all of them run in the order of their names (fc2
    /// before fc10) if their shapes fit so, else in the only order in which they do.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    layers: Vec<String>,
    /// The activation of each layer: identity, relu, leaky_relu(0.01), gelu, gelu_tanh, sigmoid, tanh, softmax.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse::<Activation>)]
    activations: Vec<Activation>,
}

impl Input {
    pub(crate) fn read(&self) -> Result<Model, Failure> {
        let mut import = Import::new().layers(&self.layers).activations(self.activations.iter().copied());
        if let Some(masks) = &self.masks {
            import = import.masks(masks);
        }
        if let Some(criterion) = self.prune {
            import = import.prune(criterion);
        }
        Ok(import.read(&self.input)?)
    }

    /// [`read`](Self::read), of what is to be spread out, pruned weights and all, to so many bits for each.
    pub(crate) fn read_whole(&self, bits: usize) -> Result<Model, Failure> {
        let model = self.read()?;
        model.check_weights(bits).map_err(|error| Failure::from(error).about(self.input.display()))?;
        Ok(model)
    }

    /// Refuses to write to a file that is read.
    pub(crate) fn spare(&self, written: &Path) -> Result<(), Failure> {
        [Some(&self.input), self.masks.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|read| spare(read, written))
    }
}

/// Refuses to write to a file that is read.
pub(crate) fn spare(read: &Path, written: &Path) -> Result<(), Failure> {
    match (read.canonicalize(), written.canonicalize()) {
        (Ok(read), Ok(place)) if read == place => {
            let sentence = format!("{}: this is what is read; write to another file", written.display());
            Err(Failure::usage(sentence))
        }
        _ => Ok(()),
    }
}
