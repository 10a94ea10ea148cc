//! A report in words and tables.

use super::{Recorded, Report, Row};
use crate::experiment::Run;
use crate::mask::Pattern;
use crate::ticket::Spread;

impl Report {
    /// The table: a header, and a row for each training. Numbers are over trials, mean ± sample standard deviation.
    ///
    /// | column | what it says |
    /// |---|---|
    /// | round | rounds of pruning before it |
    /// | trained | the dense network, the ticket of the round, or a control of it |
    /// | weights % | kept weights; in brackets those on a path from an input to an output, where that is another number |
    /// | kept per layer | kept weights, first layer to last |
    /// | accuracy % | of the test samples, at the iteration of lowest validation loss |
    /// | at the end % | the same at the end of training |
    /// | early stop | that iteration of lowest validation loss |
    /// | difference | accuracy at early stop, in points and in pairs of the same seed: ticket − dense, control − ticket |
    /// | n | trials |
    pub fn table(&self) -> Vec<[String; 9]> {
        let header = [
            "round",
            "trained",
            "weights %",
            "kept per layer",
            "accuracy %",
            "at the end %",
            "early stop",
            "difference",
            "n",
        ];
        std::iter::once(header.map(String::from)).chain(self.rows.iter().map(cells)).collect()
    }

    /// Sentences on what is reported: how many trials, of what, and what they lack.
    pub fn summary(&self) -> String {
        let seeds: Vec<String> = self.trials.iter().map(|trial| trial.seed.to_string()).collect();
        let mut text = format!(
            "{} of {}, hidden layers {:?}, {} at rate {} by {}{}; {}: {}.",
            counted(self.trials.len(), "trial"),
            self.recipe.data,
            self.recipe.hidden,
            counted(self.recipe.rounds, "round"),
            self.recipe.rate,
            self.recipe.method,
            if self.recipe.pattern != Pattern::Unstructured {
                format!(", {}", self.recipe.pattern)
            } else if self.recipe.method.prunes_trained() {
                format!(", {}", self.recipe.scope)
            } else {
                String::new()
            },
            if seeds.len() == 1 { "seed" } else { "seeds" },
            seeds.join(", ")
        );
        let unfinished: Vec<String> = self.unfinished().map(progress).collect();
        if !unfinished.is_empty() {
            text += &format!(" Not finished: {}.", unfinished.join(", "));
        }
        text
    }

    /// Sentences on where a ticket is first clearly worse than the dense network, and a control than the ticket: by
    /// more than three standard errors of the difference at early stop, of at least two trials.
    pub fn findings(&self) -> Vec<String> {
        let mut controls: Vec<_> = self.rows.iter().map(|row| row.run.control).collect();
        controls.sort_unstable();
        controls.dedup();
        let finding = |control| {
            let compared = self.rows.iter().filter_map(|row| {
                let difference = row.difference.as_ref()?.early_stop.test_accuracy;
                (row.run.control == control && difference.count > 1).then_some((row, difference))
            });
            let compared: Vec<(&Row, Spread)> = compared.collect();
            let name = name(compared.first()?.0.run);
            let other = if control.is_some() { "its ticket" } else { "the dense network" };
            Some(match compared.iter().find(|(_, difference)| difference.is_clearly_negative()) {
                Some((row, difference)) => format!(
                    "{name}: first clearly below {other} at {}% of the weights, round {} ({:+.2} points)",
                    percent(row.remaining.mean),
                    row.run.round,
                    100.0 * difference.mean
                ),
                None => format!("{name}: nowhere clearly below {other}"),
            })
        };
        controls.into_iter().filter_map(finding).collect()
    }

    /// Everything, as JSON: means and deviations, and what each trial wrote down.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        // Maps with keys that are no strings are all that it refuses.
        text.unwrap_or_else(|error| unreachable!("a report is JSON: {error}")) + "\n"
    }

    /// The report as a page of Markdown, without pictures.
    pub fn to_markdown(&self) -> String {
        let mut page = format!("# Lottery tickets: {}\n\n{}\n\n", self.recipe.data, self.summary());
        if self.rows.is_empty() {
            page += "No training has ended yet.\n\n";
        } else {
            for (index, row) in self.table().iter().enumerate() {
                page += &format!("| {} |\n", row.join(" | "));
                if index == 0 {
                    page += "|--:|:--|--:|--:|--:|--:|--:|--:|--:|\n";
                }
            }
            page += &format!("\n{LEGEND}\n");
        }
        let findings = self.findings();
        if !findings.is_empty() {
            page += "Clearly below means by more than three standard errors of the paired difference.\n\n";
            findings.iter().for_each(|finding| page += &format!("- {finding}\n"));
            page.push('\n');
        }
        let recipe = serde_json::to_string_pretty(&self.recipe).unwrap_or_default();
        page += &format!(
            "## Recipe\n\n```json\n{recipe}\n```\n\n## Trials\n\n| seed | folder | rounds |\n|--:|:--|:--|\n"
        );
        for trial in &self.trials {
            let finished = if trial.is_finished(&self.recipe) { "" } else { ", not finished" };
            let rounds = last_round(trial).map_or("none".to_owned(), |round| format!("0 to {round}"));
            page += &format!("| {} | {} | {rounds}{finished} |\n", trial.seed, trial.folder.display());
        }
        page
    }
}

const LEGEND: &str = "\
Numbers are over trials, mean ± sample standard deviation. *weights*: kept of all; in brackets those on a path from an input to
an output, where that is another number. *accuracy*: of the test samples, with the weights of *early stop*, the iteration of
lowest validation loss; then at the end of training. *difference*: of accuracy at early stop in points, in pairs of the same
seed: ticket − dense, control − ticket. *n*: trials.
";

fn cells(row: &Row) -> [String; 9] {
    let accuracy = |share: Spread| {
        let (mean, deviation) = (100.0 * share.mean, 100.0 * share.deviation);
        Spread { mean, deviation, ..share }
    };
    // One trial has no deviation.
    let text = |spread: Spread, precision: usize| match spread.count {
        1 => format!("{:.precision$}", spread.mean),
        _ => format!("{spread:.precision$}"),
    };
    let signed = |spread: Spread| match spread.count {
        1 => format!("{:+.2}", spread.mean),
        _ => format!("{spread:+.2}"),
    };
    let [kept, effective] = [row.remaining, row.effective].map(|share| percent(share.mean));
    let weights = if effective == kept { kept } else { format!("{kept} ({effective})") };
    let layers: Vec<String> = row.kept.iter().map(|kept| format!("{:.0}", kept.mean)).collect();
    let difference = row.difference.as_ref().map(|difference| accuracy(difference.early_stop.test_accuracy));
    [
        row.run.round.to_string(),
        name(row.run),
        weights,
        layers.join(" "),
        text(accuracy(row.early_stop.test_accuracy), 2),
        text(accuracy(row.end.test_accuracy), 2),
        text(row.early_stop.iteration, 0),
        difference.map_or(String::new(), signed),
        row.remaining.count.to_string(),
    ]
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What was trained, within a round.
pub(super) fn name(run: Run) -> String {
    match run {
        Run { round: 0, control: None } => "dense".to_owned(),
        Run { control: None, .. } => "ticket".to_owned(),
        Run { control: Some(control), .. } => control.to_string(),
    }
}

/// A share in percent, to three digits or so.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent >= 99.95 => format!("{percent:.0}"),
        percent if percent < 1.0 => format!("{percent:.2}"),
        percent => format!("{percent:.1}"),
    }
}

/// The last round whose ticket was trained.
pub(super) fn last_round(trial: &Recorded) -> Option<usize> {
    trial.rounds.iter().filter(|summary| summary.run.control.is_none()).map(|summary| summary.run.round).max()
}

fn progress(trial: &Recorded) -> String {
    match last_round(trial) {
        Some(round) => format!("seed {} (at round {round})", trial.seed),
        None => format!("seed {} (no round)", trial.seed),
    }
}
