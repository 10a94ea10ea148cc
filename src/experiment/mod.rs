//! Searches for tickets as experiments in folders: recorded, resumable, and merged into a report.
//!
//! A [`Recipe`] says what is done; with a seed it is a trial, which is one process and one folder. Trials know nothing
//! of each other, so a sweep is as many processes as anything that starts processes can start.
//!
//! # The folder of a trial
//!
//! | file | what it holds |
//! |---|---|
//! | `trial.json` | a [`Header`]: the recipe and the seed |
//! | `records.jsonl` | an [`Evaluated`] a line, during training |
//! | `rounds.jsonl` | a [`Summary`] a line, after each training |
//! | `tickets/round-03.safetensors` | the ticket of a round as it begins: in tombola's [format](crate::io) |
//! | `trained/round-03.safetensors` | the same as trained |
//! | `rewind/round-00.safetensors` | the dense network at the iteration that tickets go back to, if it is not the first |
//! | `checkpoint.safetensors` | where the trial stands |
//!
//! # Reports
//!
//! A [`Report`] merges the folders of any number of trials, which differ in nothing but their seeds: a [`Row`] for each
//! training, with means and deviations over the trials that have ended it, and its difference to what it is held
//! against, in pairs of the same seed. So a sweep can be looked at while it runs. `Report::write` (feature `plot`)
//! makes a folder of it:
//!
//! | file | what it holds |
//! |---|---|
//! | `report.md` | the table, where tickets and controls first fall behind, and the pictures |
//! | `report.json` | all numbers: the [`Report`] with every [`Summary`] of its trials |
//! | `accuracy.svg`, `.png` | test accuracy at early stop against the remaining weights |
//! | `early-stop.svg`, `.png` | the iteration of early stop, the same way |
//! | `mask-round-07-fc1.png` | which weights the ticket of a round keeps, of the first trial |
//! | `footprint-round-07.png` | how many weights its input layer keeps at each pixel |

/// Types that are written as the text that they display.
macro_rules! text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

mod batches;
mod design;
mod folder;
mod method;
mod recipe;
mod record;
mod report;
mod trial;

pub use method::Method;
pub use recipe::{Control, Recipe, Rewind};
pub use record::{Evaluated, Header, Measured, Run, Summary};
#[cfg(feature = "plot")]
pub use report::picture;
#[cfg(feature = "plot")]
pub use report::{Chart, Pictures};
pub use report::{Difference, Recorded, Report, Row, Spreads};
pub use trial::{Step, Trial};
