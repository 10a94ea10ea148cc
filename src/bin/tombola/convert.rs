//! `tombola convert`

use std::path::PathBuf;

use clap::Args;
use tombola::Activation;
use tombola::io::Model;

use crate::input::Input;
use crate::{Failure, plain, print};

/// Make a sparse model of a checkpoint.
///
/// Reads safetensors files (weights with zeros, torch.nn.utils.prune, parametrizations, compressed-tensors' bitmasks,
/// and tombola's own), numpy's and scipy's .npy and .npz, and Matrix Market.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola convert checkpoint.safetensors ticket.safetensors
  tombola convert checkpoint.safetensors --masks masks.safetensors ticket.safetensors
  tombola convert dense.safetensors --prune magnitude:0.8 ticket.safetensors
  tombola convert dense.safetensors --prune block:16x1:0.9 blocks.safetensors
  tombola convert ticket.safetensors 'layer-{}.npz'
  tombola convert ticket.safetensors --dense pruned.safetensors
  tombola convert vision.safetensors --layers head.0,head.2 head.safetensors")]
pub(crate) struct Convert {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    output: Output,
}

/// Where a model goes.
#[derive(Args)]
pub(crate) struct Output {
    /// Write pruned weights as zeros: .safetensors or .npz (numpy) with NAME.weight and NAME.bias of all layers.
    #[arg(long)]
    dense: bool,
    /// The file to write: .safetensors, or .npz (scipy), .mtx (Matrix Market) or .npy (numpy, with zeros) for the
    /// weights of a layer, in whose name {} stands for the layer's. It is written beside its place and moved there:
    /// whole, or not at all.
    output: PathBuf,
}

impl Convert {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let model = self.input.read()?;
        self.output.write(&self.input, &model)?;
        let mut text = String::new();
        for (name, layer) in model.names.iter().zip(model.mlp.layers()) {
            let (out, inputs) = layer.shape();
            let (kept, all) = (layer.kept(), out * inputs);
            let density = 100.0 * kept as f64 / all as f64;
            let activation = layer.activation();
            let name = plain(name);
            text +=
                &format!("{name}: {out}×{inputs}, {kept} of {all} weights ({density:.1}%), {activation}\n");
        }
        print(&text)
    }
}

impl Output {
    /// What such a file does not say of a model, and would not be read back.
    fn left_out(&self, model: &Model) -> Option<&'static str> {
        if self.output.extension().is_some_and(|extension| extension == "safetensors") {
            return None;
        }
        let layers = model.mlp.layers();
        let usual = |index| if index + 1 < layers.len() { Activation::Relu } else { Activation::Identity };
        let activations = layers.iter().enumerate().any(|(index, layer)| layer.activation() != usual(index));
        let has_biases = self.dense && self.output.extension().is_some_and(|extension| extension == "npz");
        let biases = layers.iter().any(|layer| layer.bias().iter().any(|&bias| bias != 0.0));
        match (biases && !has_biases, activations) {
            (true, true) => Some("biases and activations"),
            (true, false) => Some("biases"),
            (false, true) => Some("activations"),
            (false, false) => None,
        }
    }

    /// Writes what was made of an input, and not over it.
    pub(crate) fn write(&self, input: &Input, model: &Model) -> Result<(), Failure> {
        input.spare(&self.output)?;
        // With the layers' names in its place, it may be several files.
        if let Some(pattern) = self.output.to_str() {
            let written = model.names.iter().map(|name| PathBuf::from(pattern.replace("{}", name)));
            written.into_iter().try_for_each(|written| input.spare(&written))?;
        }
        let written = match self.dense {
            true => model.save_dense(&self.output),
            false => model.save(&self.output),
        };
        written.map_err(Failure::wish)?;
        if let Some(lost) = self.left_out(model) {
            eprintln!("tombola: {} has no place for {lost}", plain(&self.output.display().to_string()));
        }
        Ok(())
    }
}
