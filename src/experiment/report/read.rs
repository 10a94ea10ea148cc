//! What the folders of trials hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::experiment::{Header, Recipe, Run, Summary};
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "Report::read";

/// A trial, as far as its folder has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Where it is.
    #[serde(serialize_with = "displayed")]
    pub folder: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// What came of each training, as written.
    pub rounds: Vec<Summary>,
}

impl Recorded {
    /// What came of a training; none if it has not ended.
    pub fn summary(&self, run: Run) -> Option<&Summary> {
        self.rounds.iter().find(|summary| summary.run == run)
    }

    /// Whether it has all that the recipe asks for: the ticket of each round, and after the dense one its controls.
    pub fn is_finished(&self, recipe: &Recipe) -> bool {
        let has = |round, control| self.summary(Run { round, control }).is_some();
        let controls = |round| recipe.controls.iter().all(|&control| has(round, Some(control)));
        has(0, None) && (1..=recipe.rounds).all(|round| has(round, None) && controls(round))
    }
}

fn displayed<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Reads the folder of a trial.
pub(super) fn trial(folder: &Path) -> Result<(Recipe, Recorded)> {
    let header = Header::read(folder)?;
    let rounds = rounds(&folder.join("rounds.jsonl"))?;
    Ok((header.recipe, Recorded { folder: folder.to_owned(), seed: header.seed, rounds }))
}

/// The lines of `rounds.jsonl`, checked; a trial that has just begun has no such file.
fn rounds(path: &Path) -> Result<Vec<Summary>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            let subject = path.display().to_string();
            return Err(Error::caused_by(
                ErrorKind::Io,
                OPERATION,
                subject,
                "a file that can be read",
                source,
            ));
        }
    };
    let mut summaries: Vec<Summary> = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        // Half a line at the end is being written, or its writer was stopped: the trial goes on before it.
        if !line.ends_with(b"\n") && serde_json::from_slice::<Summary>(line).is_err() {
            break;
        }
        let place = format!("{}: line {}", path.display(), index + 1);
        let summary: Summary = parse(line, &place, "what came of a training, whole")?;
        let fault =
            |expected: &str, found: String| Error::new(ErrorKind::Format, OPERATION, &place, expected, found);
        if summaries.iter().any(|other| other.run == summary.run) {
            return Err(fault("each training once", format!("{} again", summary.run)));
        }
        let Summary { weights, kept, effective, .. } = &summary;
        if weights.is_empty() || kept.len() != weights.len() || effective.len() != weights.len() {
            let found = format!("{}, {} and {}", weights.len(), kept.len(), effective.len());
            return Err(fault("as many layers in weights, kept and effective, and at least one", found));
        }
        let fits = |layer: usize| effective[layer] <= kept[layer] && kept[layer] <= weights[layer];
        if let Some(layer) = (0..weights.len()).find(|&layer| weights[layer] == 0 || !fits(layer)) {
            let found = format!("{}, {} and {}", effective[layer], kept[layer], weights[layer]);
            return Err(fault("in each layer effective ≤ kept ≤ weights, and some weights", found));
        }
        summaries.push(summary);
    }
    Ok(summaries)
}

fn parse<T: DeserializeOwned>(bytes: &[u8], subject: &str, expected: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|source| Error::caused_by(ErrorKind::Format, OPERATION, subject, expected, source))
}
