//! `tombola scan`

use clap::Args;
use serde_json::json;
use tombola::dense::DenseMlp;
use tombola::io::{Model, Source};
use tombola::ticket::Sensitivity;

use crate::find::DATA_SEED;
use crate::input::Input;
use crate::inspect::{table, trimmed};
use crate::{Failure, plain, print};

/// Tell how much of each layer a trained model can do without.
///
/// One layer at a time is pruned by magnitude, and nothing is trained again. Accuracy is of the validation samples:
/// what is suggested must not have seen the test. Suggested is the largest of the sparsities at which the accuracy
/// lacks no more than the tolerance; that all layers are pruned so at once was not measured.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola scan runs/1/trained/round-00.safetensors --data digits
  tombola scan checkpoint.safetensors --data mnist/ --tolerance 0.01 --json")]
pub(crate) struct Scan {
    #[command(flatten)]
    input: Input,
    /// digits, mnist1d, a folder with the four files of MNIST or its kin, or a pair x.npy,y.npy.
    #[arg(long)]
    data: Source,
    /// The sparsities.
    #[arg(long, value_name = "S,…", value_delimiter = ',',
          default_values_t = [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98])]
    sparsity: Vec<f64>,
    /// The accuracy that a layer may cost.
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    tolerance: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Scan {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let Model { names, mlp } = self.input.read_whole(32)?;
        let data = self.data.load(DATA_SEED)?;
        if data.features() != mlp.inputs() {
            let (file, found) = (self.input.input.display(), data.features());
            let sentence =
                format!("{file}: expected {found} inputs, the features of the data, found {}", mlp.inputs());
            return Err(Failure::contents(sentence));
        }
        let scan = Sensitivity::scan(&DenseMlp::from(&mlp), data.validation.samples(), &self.sparsity)?;
        let suggested = scan.suggested(self.tolerance)?;
        let layers = names.iter().zip(&scan.layers).zip(&suggested);
        if self.json {
            let layers = layers.map(|((name, pruned), suggested)| {
                let scan = pruned.iter().map(|pruned| {
                    let found = pruned.evaluation;
                    json!({ "sparsity": pruned.sparsity, "accuracy": found.accuracy, "loss": found.loss })
                });
                json!({ "name": name, "suggested": suggested, "scan": scan.collect::<Vec<_>>() })
            });
            let value = json!({
                "accuracy": scan.unpruned.accuracy,
                "loss": scan.unpruned.loss,
                "tolerance": self.tolerance,
                "layers": layers.collect::<Vec<_>>(),
            });
            return print(&format!("{value:#}\n"));
        }
        let sparsities = self.sparsity.iter().map(|sparsity| format!("{:.0}%", 100.0 * sparsity));
        let header = ["layer".to_owned()].into_iter().chain(sparsities).chain(["suggested".to_owned()]);
        let mut table = table(header.collect());
        for ((name, pruned), suggested) in layers {
            let accuracies = pruned.iter().map(|pruned| format!("{:.2}", 100.0 * pruned.evaluation.accuracy));
            let suggested = format!("{:.0}%", 100.0 * suggested);
            table.add_row([plain(name)].into_iter().chain(accuracies).chain([suggested]));
        }
        let unpruned = 100.0 * scan.unpruned.accuracy;
        print(&format!(
            "accuracy in %, of one layer pruned at a time; {unpruned:.2} unpruned\n\n{}\n",
            trimmed(&table)
        ))
    }
}
