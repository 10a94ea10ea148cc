//! The files of a trial.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{Header, Measured};
use crate::data::Split;
use crate::dense::{DenseMlp, LayerMoments, Moments};
use crate::io::{Model, state};
use crate::{Error, ErrorKind, Mask, Result, SparseMlp};

const CHECKPOINT: &str = "checkpoint.safetensors";
const RECORDS: &str = "records.jsonl";
const ROUNDS: &str = "rounds.jsonl";
/// The folders of networks.
const PARTS: [&str; 3] = ["tickets", "trained", "rewind"];

/// The folder of a trial.
pub(super) struct Folder(PathBuf);

/// A file of JSON lines, and how far it goes: what a killed process wrote beyond is cut off when the trial goes on.
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    len: u64,
}

/// Where a trial stood.
#[derive(Serialize, Deserialize)]
pub(super) struct Position {
    /// Trainings that are done.
    pub(super) runs: usize,
    /// Bytes of the records and of the rounds.
    pub(super) lens: [u64; 2],
    /// The [checksum](Split::checksum) of the data.
    pub(super) data: u32,
    /// The training at hand, if it has begun.
    pub(super) training: Option<TrainingPosition>,
}

impl Position {
    /// That of a trial on these samples which has not begun.
    pub(super) fn start(data: &Split) -> Self {
        Self { runs: 0, lens: [0; 2], data: data.checksum(), training: None }
    }
}

/// Where a training stood.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TrainingPosition {
    pub(super) iteration: usize,
    /// Sum and count of the losses since the last evaluation.
    pub(super) losses: (f64, usize),
    /// The evaluation of lowest validation loss.
    pub(super) best: Option<Measured>,
    /// The last one.
    pub(super) last: Option<Measured>,
}

/// The parameters of a training.
pub(super) struct Parameters {
    pub(super) network: DenseMlp,
    pub(super) masks: Vec<Mask>,
    pub(super) moments: Moments,
}

impl Folder {
    /// A new folder, for the trial of a header, and its [lines](Self::lines).
    pub(super) fn create(path: &Path, header: &Header) -> Result<(Self, [Lines; 2])> {
        let folder = Self(path.to_owned());
        folder.check_empty()?;
        fs::create_dir_all(path).map_err(|error| fault(path, error))?;
        let lines = folder.lines()?;
        // Another process may have been here meanwhile.
        folder.check_empty()?;
        let text = serde_json::to_string_pretty(header)
            .map_err(|error| fault(&folder.place(Header::FILE), error))?;
        state::write_bytes(&folder.place(Header::FILE), format!("{text}\n").as_bytes())?;
        Ok((folder, lines))
    }

    /// Refuses a folder with anything of a trial. (Who was stopped before there was a header leaves lines without a
    /// line.)
    fn check_empty(&self) -> Result<()> {
        let has =
            |name: &str| fs::metadata(self.place(name)).is_ok_and(|file| file.is_dir() || file.len() > 0);
        match [Header::FILE, CHECKPOINT, RECORDS, ROUNDS].into_iter().chain(PARTS).find(|name| has(name)) {
            None => Ok(()),
            Some(name) => {
                let subject = self.0.display().to_string();
                let expected = "a folder without a trial; a trial is resumed, or removed by hand";
                Err(Error::new(ErrorKind::Io, "Trial::start", subject, expected, name))
            }
        }
    }

    /// Whether nothing is written down yet: the trial was stopped as soon as it had a header.
    pub(super) fn is_at_the_start(&self, lines: &[Lines; 2]) -> Result<bool> {
        let len = |lines: &Lines| lines.file.metadata().map_err(|error| fault(&lines.path, error));
        Ok(!self.place(CHECKPOINT).exists() && len(&lines[0])?.len() == 0 && len(&lines[1])?.len() == 0)
    }

    /// The folder of a trial that was started.
    pub(super) fn open(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Removes what a killed process left half-written; nobody else is at work here.
    pub(super) fn sweep(&self) -> Result<()> {
        let folders = PARTS.into_iter().chain([""]).map(|part| self.place(part));
        folders.filter(|folder| folder.is_dir()).try_for_each(|folder| state::sweep(&folder))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The records and the rounds. Whoever has them works on the trial, and nobody else does, so that they come before
    /// the checkpoint that says how far they go.
    pub(super) fn lines(&self) -> Result<[Lines; 2]> {
        Ok([self.open_lines(RECORDS)?, self.open_lines(ROUNDS)?])
    }

    fn open_lines(&self, name: &str) -> Result<Lines> {
        let path = self.place(name);
        let open = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            // Two processes would write one file; where locks are not to be had, nobody is kept from that.
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(io::Error::other("another process is at work on this trial"));
            }
            Ok(file)
        };
        let file = open().map_err(|error| fault(&path, error))?;
        Ok(Lines { path, file, len: 0 })
    }

    /// Writes the network of a round as a ticket, before or after training.
    pub(super) fn write_ticket(&self, part: &str, round: usize, mlp: SparseMlp) -> Result<()> {
        let place = self.ticket(part, round);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|error| fault(folder, error))?;
        }
        let names = (1..=mlp.layers().len()).map(|layer| format!("fc{layer}")).collect();
        Model { names, mlp }.save(place)
    }

    /// Reads the network of a round.
    pub(super) fn read_ticket(&self, part: &str, round: usize) -> Result<SparseMlp> {
        crate::io::load(self.ticket(part, round))
    }

    fn ticket(&self, part: &str, round: usize) -> PathBuf {
        self.place(part).join(format!("round-{round:02}.safetensors"))
    }

    /// Writes a checkpoint in the place of the last one.
    pub(super) fn write_checkpoint(
        &self,
        position: &Position,
        parameters: Option<&Parameters>,
    ) -> Result<()> {
        let path = self.place(CHECKPOINT);
        let mut arrays: Vec<(String, Vec<f32>)> = Vec::new();
        if let Some(Parameters { network, masks, moments }) = parameters {
            let layers = network.layers().iter().zip(masks).zip(&moments.layers).enumerate();
            for (index, ((layer, mask), moments)) in layers {
                let keeps = mask.to_array().iter().map(|&keep| f32::from(u8::from(keep))).collect();
                let [first, second] = &moments.weight;
                let [bias_first, bias_second] = &moments.bias;
                arrays.extend([
                    (format!("{index}.weight"), layer.weight().iter().copied().collect()),
                    (format!("{index}.weight.first"), first.iter().copied().collect()),
                    (format!("{index}.weight.second"), second.iter().copied().collect()),
                    (format!("{index}.mask"), keeps),
                    (format!("{index}.bias"), layer.bias().to_vec()),
                    (format!("{index}.bias.first"), bias_first.to_vec()),
                    (format!("{index}.bias.second"), bias_second.to_vec()),
                ]);
            }
        }
        let steps = parameters.map_or(0, |parameters| parameters.moments.steps);
        let position = serde_json::to_string(position).map_err(|error| fault(&path, error))?;
        let metadata = [("position", position), ("steps", steps.to_string())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        state::write(&path, &arrays, metadata)
    }

    /// Reads the checkpoint of a trial of networks like `network`.
    pub(super) fn read_checkpoint(&self, network: &DenseMlp) -> Result<(Position, Option<Parameters>)> {
        let path = self.place(CHECKPOINT);
        let (mut arrays, metadata) = state::read("Trial::resume", &path)?;
        let broken = |what: &str| {
            let subject = path.display().to_string();
            Error::new(ErrorKind::Format, "Trial::resume", subject, format!("{what} of a checkpoint"), "none")
        };
        let of = |metadata: &HashMap<String, String>, key: &str| metadata.get(key).cloned();
        let position = of(&metadata, "position").ok_or_else(|| broken("the position"))?;
        let position: Position = serde_json::from_str(&position).map_err(|error| {
            let subject = path.display().to_string();
            Error::caused_by(
                ErrorKind::Format,
                "Trial::resume",
                subject,
                "the position of a checkpoint",
                error,
            )
        })?;
        if position.training.is_none() {
            return Ok((position, None));
        }
        let steps = of(&metadata, "steps").and_then(|steps| steps.parse().ok());
        let steps = steps.ok_or_else(|| broken("the count of steps"))?;
        let mut network = network.clone();
        let (mut masks, mut layers) = (Vec::new(), Vec::new());
        for index in 0..network.layers().len() {
            let (out, inputs) = network.layers()[index].shape();
            let mut take = |name: &str, len: usize| {
                let name = format!("{index}.{name}");
                let array = arrays.remove(&name).filter(|array| array.len() == len);
                array.ok_or_else(|| broken(&format!("`{name}` of {len} numbers")))
            };
            let weight = take("weight", out * inputs)?;
            let bias = take("bias", out)?;
            let keeps = take("mask", out * inputs)?;
            let moments = [take("weight.first", out * inputs)?, take("weight.second", out * inputs)?];
            let of_bias = [take("bias.first", out)?, take("bias.second", out)?];
            masks.push(Mask::from_fn((out, inputs), |row, column| keeps[row * inputs + column] != 0.0));
            layers.push(LayerMoments {
                weight: moments.map(|moment| {
                    ndarray::Array2::from_shape_vec((out, inputs), moment)
                        .unwrap_or_else(|error| unreachable!("the length was checked: {error}"))
                }),
                bias: of_bias.map(Into::into),
            });
            if let Some(mut place) = network.weight_mut(index) {
                place.iter_mut().zip(weight).for_each(|(place, value)| *place = value);
            }
            if let Some(mut place) = network.bias_mut(index) {
                place.iter_mut().zip(bias).for_each(|(place, value)| *place = value);
            }
        }
        Ok((position, Some(Parameters { network, masks, moments: Moments { steps, layers } })))
    }
}

impl Lines {
    /// Goes on after `len` bytes, and cuts off what comes behind them.
    pub(super) fn go_on(&mut self, len: u64) -> Result<()> {
        let mut cut = || {
            if self.file.metadata()?.len() < len {
                return Err(io::Error::other("less than the checkpoint knows of"));
            }
            self.file.set_len(len)?;
            io::Seek::seek(&mut self.file, io::SeekFrom::Start(len))
        };
        self.len = cut().map_err(|error| fault(&self.path, error))?;
        Ok(())
    }

    /// Adds a line.
    pub(super) fn push(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|error| fault(&self.path, error))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(|error| fault(&self.path, error))?;
        self.len += text.len() as u64;
        Ok(())
    }

    /// How far it goes, when all of that is on the disk.
    pub(super) fn sync(&self) -> Result<u64> {
        self.file.sync_data().map_err(|error| fault(&self.path, error))?;
        Ok(self.len)
    }
}

fn fault(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let subject = path.display().to_string();
    Error::caused_by(ErrorKind::Io, "Trial", subject, "a file that can be written", error)
}
