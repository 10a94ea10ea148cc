//! `tombola shrink`

use clap::Args;
use tombola::io::Model;

use crate::convert::Output;
use crate::input::Input;
use crate::{Failure, plain, print};

/// Remove the neurons of a model that do nothing.
///
/// Those that read nothing are constants, which go into the biases of the next layer; those that nothing reads just go.
/// What is left is a smaller model with the same inputs and outputs, and with every weight that lies on a path between
/// them.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola shrink ticket.safetensors small.safetensors
  tombola shrink dense.safetensors --prune neurons:0.5 --dense small.safetensors")]
pub(crate) struct Shrink {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    output: Output,
}

impl Shrink {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let Model { names, mlp } = self.input.read()?;
        let model = Model { mlp: mlp.shrink()?, names };
        self.output.write(&self.input, &model)?;
        let mut text = String::new();
        for ((name, before), after) in model.names.iter().zip(mlp.layers()).zip(model.mlp.layers()) {
            let [(out, inputs), (out_after, inputs_after)] = [before.shape(), after.shape()];
            let (kept, kept_after) = (before.kept(), after.kept());
            text += &format!(
                "{}: {out}×{inputs} → {out_after}×{inputs_after}, {kept} → {kept_after} weights\n",
                plain(name)
            );
        }
        print(&text)
    }
}
