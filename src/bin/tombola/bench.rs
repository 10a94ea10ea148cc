//! `tombola bench`

use clap::Args;
use serde_json::{Value, json};
use tombola::compare::{Comparison, Way};
use tombola::measure::duration;

use crate::input::{Input, batch_size};
use crate::inspect::{table, trimmed};
use crate::{Failure, print};

/// What the plan's pick may take, of the time of the best.
const REGRET: f64 = 1.1;

/// Time a model on this machine: dense, and in every sparse way.
///
/// Dense is faer in its three orientations; × is over the fastest of them: of the best times, and between which
/// quartiles the rounds lie. All run in turn in one process, on one thread; conversions, bias and activations count.
/// The pick of the plan, ▸, is what runs in a program that links tombola.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola bench ticket.safetensors
  tombola bench dense.safetensors --prune magnitude:0.9 --batch 1,16,256
  tombola bench ticket.safetensors --assert --json > bench.json")]
pub(crate) struct Bench {
    #[command(flatten)]
    input: Input,
    /// The batch sizes.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 64, 512], value_parser = batch_size())]
    batch: Vec<u32>,
    /// Rounds, in each of which every way is timed once.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// End with status 1 if, for any batch size, the pick takes more than 1.1 times as long as the best.
    #[arg(long)]
    assert: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mlp = self.input.read_whole(32)?.mlp;
        if cfg!(debug_assertions) {
            eprintln!(
                "tombola: a build without optimisation: these times mean nothing (cargo build --release)"
            );
        }
        let (mut results, mut slow) = (Vec::new(), Vec::new());
        for batch in self.batch.iter().map(|&batch| batch as usize) {
            let comparison = Comparison::of(&mlp, batch, self.rounds as usize);
            if comparison.regret() > REGRET {
                slow.push(format!("{:.2} at batch {batch}", comparison.regret()));
            }
            if self.json {
                results.push(as_json(&comparison));
            } else {
                print(&as_text(&comparison))?;
            }
        }
        if self.json {
            let (model, isa) = (self.input.input.display().to_string(), mlp.isa().to_string());
            let value = json!({
                "model": model, "isa": isa, "threads": 1, "rounds": self.rounds, "batches": results,
            });
            print(&format!("{value:#}\n"))?;
        }
        if self.assert && !slow.is_empty() {
            let sentence = format!("the pick takes longer than the best, times {}", slow.join(", "));
            return Err(Failure::assertion(sentence));
        }
        Ok(())
    }
}

fn as_text(comparison: &Comparison) -> String {
    let title = format!("batch {}", comparison.batch());
    let mut table = table([&title, "best", "median", "speed-up over dense"].map(String::from).to_vec());
    for (index, (way, timing)) in comparison.contenders().iter().enumerate() {
        let mark = if index == comparison.pick() { "▸" } else { " " };
        table.add_row([
            format!("{mark} {way}"),
            duration(timing.best()),
            duration(timing.median()),
            timing.speedup_over(comparison.dense()).to_string(),
        ]);
    }
    format!("{}\n\n", trimmed(&table))
}

fn as_json(comparison: &Comparison) -> Value {
    let contenders = comparison.contenders().iter().enumerate().map(|(index, (way, timing))| {
        let speedup = timing.speedup_over(comparison.dense());
        let kernels: Vec<String> = match way {
            Way::Dense(_) => Vec::new(),
            Way::Sparse(plan) => plan.choices().map(|choice| choice.to_string()).collect(),
        };
        json!({
            "name": way.to_string(),
            "kernels": kernels,
            "pick": index == comparison.pick(),
            "best_seconds": timing.best(),
            "median_seconds": timing.median(),
            "speedup": speedup.best,
            "speedup_quartiles": speedup.quartiles,
        })
    });
    json!({
        "batch": comparison.batch(),
        "dense_seconds": comparison.dense().best(),
        "best_seconds": comparison.best().best(),
        "regret": comparison.regret(),
        "contenders": contenders.collect::<Vec<_>>(),
    })
}
