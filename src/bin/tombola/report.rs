//! `tombola report`

use std::path::PathBuf;

use clap::Args;
use comfy_table::CellAlignment;
use tombola::experiment::{Pictures, Report as Merged};

use crate::inspect::{table, trimmed};
use crate::{Failure, print};

/// Merge trials into a report.
///
/// Any number of trials of one recipe, each with a seed of its own; one that is not finished counts with the rounds
/// that it has. Numbers are over trials, mean ± sample standard deviation. Weights in brackets are those on a path from
/// an input to an output, where that is another number. Accuracy is of the test samples, with the weights of the lowest
/// validation loss (early stop: at which iteration), and at the end of training. Difference is of accuracy at early
/// stop in points, in pairs of the same seed: ticket − dense, control − ticket. n is the count of trials.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola report runs/*
  tombola report runs/* --out report
  tombola report runs/* --out report --rounds 3,7 --image 28x28
  tombola report runs/* --json | jq '.rows[] | [.round, .early_stop.test_accuracy.mean]'")]
pub(crate) struct Report {
    /// The folders of the trials.
    #[arg(value_name = "DIR", required = true)]
    trials: Vec<PathBuf>,
    /// Write report.md, report.json, charts (SVG and PNG) and pictures of masks to a folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The rounds whose masks are drawn, of the first trial; without it the last one and one in the middle.
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "out")]
    rounds: Vec<usize>,
    /// The images that the inputs are, for the footprint of the input layer; without it square ones, if they can be.
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = image, requires = "out")]
    image: Option<(usize, usize)>,
    /// Print JSON: all numbers, and what each trial wrote down.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let report = Merged::read(&self.trials)?;
        if let Some(folder) = &self.out {
            let mut pictures = Pictures::new().rounds(self.rounds.iter().copied());
            if let Some((width, height)) = self.image {
                pictures = pictures.image(width, height);
            }
            for sentence in report.write(folder, &pictures)? {
                eprintln!("tombola: left out: {sentence}");
            }
        }
        if self.json { print(&report.to_json()) } else { print(&as_text(&report)) }
    }
}

fn as_text(report: &Merged) -> String {
    let mut rows = report.table().into_iter();
    let mut table = table(rows.next().map(Vec::from).unwrap_or_default());
    table
        .column_iter_mut()
        .skip(1)
        .take(1)
        .for_each(|trained| trained.set_cell_alignment(CellAlignment::Left));
    rows.for_each(|row| {
        table.add_row(row);
    });
    let mut text = format!("{}\n\n{}\n", report.summary(), trimmed(&table));
    for (index, finding) in report.findings().iter().enumerate() {
        text += if index == 0 { "\n" } else { "" };
        text += &format!("{finding}\n");
    }
    text
}

/// `28x28`
fn image(text: &str) -> Result<(usize, usize), String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "expected a width and a height, as in 28x28".to_owned())
}
