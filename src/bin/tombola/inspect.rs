//! `tombola inspect`

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tombola::io::Model;
use tombola::measure::duration;
use tombola::plan::{Format, Plan};
use tombola::sparse::LayerStatistics;

use crate::input::{Input, batch_size};
use crate::{Failure, plain, print};

/// Say what a model holds, layer by layer, and what would run it.
///
/// Effective weights are those on a path from an input to an output; all others are dead. Rows are outputs, columns
/// inputs. Packed bytes are those of the format that the plan takes for the first batch size. Times are expected, by a
/// cost model, on one thread; `tombola bench` measures them.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola inspect ticket.safetensors
  tombola inspect dense.safetensors --prune global:0.9 --batch 1
  tombola inspect ticket.safetensors --json | jq '.layers[].effective'")]
pub(crate) struct Inspect {
    #[command(flatten)]
    input: Input,
    /// The batch sizes to plan for.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 64, 512], value_parser = batch_size())]
    batch: Vec<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let model = self.input.read_whole(1)?;
        let plans: Vec<Plan> = self.batch.iter().map(|&batch| model.mlp.plan(batch as usize)).collect();
        let layers = model.mlp.statistics();
        if self.json {
            let file = self.input.input.display().to_string();
            return print(&format!("{:#}\n", as_json(&file, &model, &layers, &plans)));
        }
        let (kept, all) = (model.mlp.kept(), layers.iter().map(LayerStatistics::weights).sum::<usize>());
        let summary = format!(
            "{}: {} {}, {kept} of {all} weights ({:.1}%), {} kernels\n\n",
            self.input.input.display(),
            layers.len(),
            if layers.len() == 1 { "layer" } else { "layers" },
            100.0 * kept as f64 / all as f64,
            model.mlp.isa()
        );
        print(&format!("{summary}{}\n\n{}\n", masks(&model, &layers, &plans), kernels(&model, &plans)))
    }
}

/// A table without lines, its columns to the right but for the first.
pub(crate) fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Lines without the blank before them and those that fill them.
pub(crate) fn trimmed(table: &Table) -> String {
    let line = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
    table.to_string().lines().map(line).collect::<Vec<_>>().join("\n")
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1}%", 100.0 * part as f64 / whole as f64)
}

/// Bytes of a layer: dense, as CSR, and as the plan has it.
fn bytes(model: &Model, plan: &Plan, layer: usize) -> [usize; 3] {
    let format = plan.choices().nth(layer).map_or(Format::Csr, |choice| choice.format);
    let layer = &model.mlp.layers()[layer];
    [layer.dense_bytes(), layer.csr_bytes(), layer.packed_bytes(format)]
}

fn masks(model: &Model, layers: &[LayerStatistics], plans: &[Plan]) -> String {
    let mut header: Vec<String> = [
        "layer",
        "out×in",
        "kept",
        "density",
        "effective",
        "empty rows",
        "empty columns",
        "row lengths",
        "structure",
    ]
    .map(String::from)
    .to_vec();
    header.extend(["dense bytes", "CSR bytes", "packed bytes", "activation"].map(String::from));
    let mut table = table(header);
    for (index, (name, layer)) in model.names.iter().zip(layers).enumerate() {
        let [least, _, median, _, most] = layer.row_lengths;
        let (out, inputs) = layer.shape;
        let mut row = vec![
            plain(name),
            format!("{out}×{inputs}"),
            layer.kept.to_string(),
            percent(layer.kept, layer.weights()),
            percent(layer.effective, layer.weights()),
            layer.empty_rows.to_string(),
            layer.empty_columns.to_string(),
            format!("{least} – {median} – {most}"),
            layer.structure.to_string(),
        ];
        row.extend(bytes(model, &plans[0], index).map(|bytes| bytes.to_string()));
        row.push(model.mlp.layers()[index].activation().to_string());
        table.add_row(row);
    }
    if layers.len() > 1 {
        let sum = |count: fn(&LayerStatistics) -> usize| layers.iter().map(count).sum::<usize>();
        let (all, kept) = (sum(LayerStatistics::weights), sum(|layer| layer.kept));
        let mut row = vec!["all".to_owned(), String::new(), kept.to_string(), percent(kept, all)];
        row.push(percent(sum(|layer| layer.effective), all));
        row.extend([sum(|layer| layer.empty_rows), sum(|layer| layer.empty_columns)].map(|n| n.to_string()));
        row.extend([String::new(), String::new()]);
        let bytes = (0..layers.len()).map(|layer| bytes(model, &plans[0], layer));
        let bytes = bytes.fold([0; 3], |sums, bytes| std::array::from_fn(|index| sums[index] + bytes[index]));
        row.extend(bytes.map(|bytes| bytes.to_string()));
        table.add_row(row);
    }
    trimmed(&table)
}

fn kernels(model: &Model, plans: &[Plan]) -> String {
    let header = plans.iter().map(|plan| format!("batch {}", plan.batch()));
    let mut table = table(["plan".to_owned()].into_iter().chain(header).collect());
    for (index, name) in model.names.iter().enumerate() {
        let choices = plans.iter().filter_map(|plan| {
            let choice = plan.choices().nth(index)?;
            Some(format!("{choice} {}", duration(plan.seconds(index))))
        });
        table.add_row([plain(name)].into_iter().chain(choices));
    }
    for (name, seconds) in [("between layouts", Plan::conversions as fn(&Plan) -> f64), ("all", Plan::total)]
    {
        let times = plans.iter().map(|plan| duration(seconds(plan)));
        table.add_row([name.to_owned()].into_iter().chain(times));
    }
    trimmed(&table)
}

fn as_json(file: &str, model: &Model, layers: &[LayerStatistics], plans: &[Plan]) -> Value {
    let layers = layers.iter().enumerate().map(|(index, layer)| {
        let ([dense, csr, _], linear) = (bytes(model, &plans[0], index), &model.mlp.layers()[index]);
        let plans = plans.iter().map(|plan| {
            let choice = plan.choices().nth(index);
            let candidates = plan.candidates(index).into_iter().map(|(candidate, seconds)| {
                json!({
                    "kernel": candidate.to_string(),
                    "seconds": seconds,
                    "bytes": linear.packed_bytes(candidate.format),
                    "chosen": Some(candidate) == choice,
                })
            });
            json!({ "batch": plan.batch(), "candidates": candidates.collect::<Vec<_>>() })
        });
        let [least, lower, median, upper, most] = layer.row_lengths;
        json!({
            "name": model.names[index],
            "out": layer.shape.0,
            "in": layer.shape.1,
            "activation": linear.activation().to_string(),
            "weights": layer.weights(),
            "kept": layer.kept,
            "effective": layer.effective,
            "direct_sparsity": layer.direct_sparsity(),
            "effective_sparsity": layer.effective_sparsity(),
            "empty_rows": layer.empty_rows,
            "empty_columns": layer.empty_columns,
            "row_lengths": {
                "min": least, "lower_quartile": lower, "median": median, "upper_quartile": upper, "max": most,
            },
            "structure": layer.structure.to_string(),
            "dense_bytes": dense,
            "csr_bytes": csr,
            "plans": plans.collect::<Vec<_>>(),
        })
    });
    let totals = plans.iter().map(
        |plan| json!({ "batch": plan.batch(), "seconds": plan.total(), "conversions": plan.conversions() }),
    );
    json!({
        "file": file,
        "isa": model.mlp.isa().to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "plans": totals.collect::<Vec<_>>(),
    })
}
