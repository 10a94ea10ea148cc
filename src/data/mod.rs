//! Data sets to search tickets on. Nothing is downloaded: the [digits](Dataset::digits) are part of the crate,
//! [MNIST-1D](Dataset::mnist1d) is made when it is asked for, and other sets are read from files: [MNIST and its
//! kin](Split::from_idx), and [comma-separated numbers](Dataset::from_csv). The module `io` adds numpy's arrays, and a
//! name for each set.

mod csv;
mod idx;
mod mnist1d;
mod split;

use flate2::read::GzDecoder;
use ndarray::{Array2, Axis};
use rand::seq::SliceRandom;

use crate::dense::Samples;
use crate::rng::{Stream, generator};
use crate::{Error, Result};

pub use split::Split;

/// Labels are below it: a network has an output for each class, and a label that is out of all reason would ask for a
/// network that no machine has room for.
const CLASSES: usize = 1 << 16;

/// Samples with classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    x: Array2<f32>,
    labels: Vec<usize>,
}

impl Dataset {
    /// Samples `[samples, features]` and the class of each, from 0 to 65,535.
    ///
    /// # Errors
    /// When there is nothing, a number is not finite, there is not one label a sample, or a label is out of range.
    pub fn new(x: Array2<f32>, labels: Vec<usize>) -> Result<Self> {
        let operation = "Dataset::new";
        if x.is_empty() {
            return Err(Error::shape(operation, "x", "at least one sample and one feature", x.shape()));
        }
        if labels.len() != x.nrows() {
            let expected = format!("{}, one a sample", x.nrows());
            return Err(Error::shape(operation, "labels", expected, labels.len()));
        }
        if let Some(((sample, feature), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{value} at [{sample}, {feature}]");
            return Err(Error::value(operation, "x", "finite numbers", found));
        }
        if let Some((index, label)) = labels.iter().enumerate().find(|&(_, &label)| label >= CLASSES) {
            let expected = format!("classes below {CLASSES}");
            return Err(Error::value(operation, "labels", expected, format!("{label} at {index}")));
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

    /// Mean and standard deviation (with n) of all numbers of all samples.
    pub fn moments(&self) -> (f64, f64) {
        let mean_of = |value: &dyn Fn(f64) -> f64| {
            self.x.iter().map(|&x| value(f64::from(x))).sum::<f64>() / self.x.len() as f64
        };
        let mean = mean_of(&|x| x);
        (mean, mean_of(&|x| (x - mean).powi(2)).sqrt())
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

    /// Shifts and scales every number by the same.
    fn normalise(&mut self, mean: f64, deviation: f64) {
        self.x.mapv_inplace(|x| ((f64::from(x) - mean) / deviation) as f32);
    }

    fn swap(&mut self, a: usize, b: usize) {
        for feature in 0..self.features() {
            self.x.swap([a, feature], [b, feature]);
        }
        self.labels.swap(a, b);
    }
}

/// A label, if it is one: a whole number from 0. That it is in range, [`Dataset::new`] sees to.
pub(crate) fn class(label: f64) -> Option<usize> {
    (label >= 0.0 && label.fract() == 0.0).then_some(label as usize)
}
