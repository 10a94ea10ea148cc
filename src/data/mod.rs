//! Data sets to search tickets on. Nothing is downloaded: [digits](Dataset::digits) are part of the crate, other
//! sets are read from files.

mod csv;

use flate2::read::GzDecoder;
use ndarray::{Array1, Array2, Axis};
use rand::seq::SliceRandom;

use crate::dense::Samples;
use crate::rng::{Stream, generator};
use crate::{Error, Result};

/// Samples with classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    x: Array2<f32>,
    labels: Vec<usize>,
}

impl Dataset {
    /// Samples `[samples, features]` and the class of each, from 0.
    ///
    /// # Errors
    /// When there is nothing, or not one label a sample.
    pub fn new(x: Array2<f32>, labels: Vec<usize>) -> Result<Self> {
        let operation = "Dataset::new";
        if x.is_empty() {
            return Err(Error::shape(operation, "x", "at least one sample and one feature", x.shape()));
        }
        if labels.len() != x.nrows() {
            let expected = format!("{}, one a sample", x.nrows());
            return Err(Error::shape(operation, "labels", expected, labels.len()));
        }
        Ok(Self { x, labels })
    }

    /// The UCI handwritten digits that come with scikit-learn: 1,797 images of 8×8 pixels from 0 to 16, ten classes
    /// (Alpaydin & Kaynak 1998, CC BY 4.0). They are compiled into the crate.
    ///
    /// # Errors
    /// Never, short of a broken build.
    pub fn digits() -> Result<Self> {
        Self::from_csv(GzDecoder::new(&include_bytes!("digits.csv.gz")[..]), "digits.csv.gz")
    }

    /// The samples, as training takes them.
    pub fn samples(&self) -> Samples<'_> {
        Samples { x: self.x.view(), labels: &self.labels }
    }

    /// Count of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples; never so for a set that [`new`](Self::new) made.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features of a sample.
    pub fn features(&self) -> usize {
        self.x.ncols()
    }

    /// One more than the largest label.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&label| label + 1)
    }

    /// Splits the set by chance: `validation` and `test` samples, and the rest for training. The same `seed` gives
    /// the same split.
    ///
    /// # Errors
    /// When a part would be empty.
    pub fn split(&self, validation: usize, test: usize, seed: u64) -> Result<Split> {
        let training = self.len().checked_sub(validation.saturating_add(test)).filter(|&count| count > 0);
        let Some(training) = training.filter(|_| validation > 0 && test > 0) else {
            let expected = format!("three parts of {} samples, none empty", self.len());
            let found = format!("{validation} for validation and {test} for the test");
            return Err(Error::value("Dataset::split", "samples", expected, found));
        };
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut generator(seed, Stream::Split));
        let part = |indices: &[usize]| Self {
            x: self.x.select(Axis(0), indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        };
        let (held_out, rest) = order.split_at(validation + test);
        debug_assert_eq!(rest.len(), training);
        Ok(Split {
            training: part(rest),
            validation: part(&held_out[..validation]),
            test: part(&held_out[validation..]),
        })
    }
}

/// The three parts of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What the weights are fitted to.
    pub training: Dataset,
    /// What decides when to stop, and everything else that is chosen.
    pub validation: Dataset,
    /// What is looked at once, to report.
    pub test: Dataset,
}

impl Split {
    /// The default data: the [digits](Dataset::digits) in one fixed split of 1,079 for training, 359 for validation
    /// and 359 for the test, standardised.
    ///
    /// # Errors
    /// Never, short of a broken build.
    pub fn digits() -> Result<Self> {
        Ok(Dataset::digits()?.split(359, 359, 0)?.standardise())
    }

    /// Shifts and scales each feature to mean 0 and standard deviation 1 *over the training samples*. A feature that
    /// is constant there is only shifted.
    pub fn standardise(mut self) -> Self {
        let x = &self.training.x;
        let count = x.nrows() as f64;
        let (shift, scale): (Vec<f32>, Vec<f32>) = x
            .columns()
            .into_iter()
            .map(|column| {
                let mean = column.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                let variance =
                    column.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
                (mean as f32, if variance > 0.0 { (1.0 / variance.sqrt()) as f32 } else { 1.0 })
            })
            .unzip();
        let (shift, scale) = (Array1::from(shift), Array1::from(scale));
        for part in [&mut self.training, &mut self.validation, &mut self.test] {
            part.x -= &shift;
            part.x *= &scale;
        }
        self
    }
}
