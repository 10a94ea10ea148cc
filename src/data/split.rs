//! Data sets in three parts.

use ndarray::{Axis, Slice};
use rand::RngExt;

use super::Dataset;
use crate::rng::{Stream, generator};
use crate::{Error, Result};

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

    /// A data set that comes with a test set of its own: `validation` samples are drawn by chance from `training`.
    /// The same `seed` draws the same samples. They are moved, not copied, and so change the order of the others.
    ///
    /// # Errors
    /// When training or validation would be empty, or the two sets differ in their features.
    pub fn with_test(mut training: Dataset, test: Dataset, validation: usize, seed: u64) -> Result<Self> {
        let operation = "Split::with_test";
        if test.features() != training.features() {
            let expected = format!("{} features, as the training samples have", training.features());
            return Err(Error::shape(operation, "test", expected, test.features()));
        }
        let Some(rest) = training.len().checked_sub(validation).filter(|&rest| rest > 0 && validation > 0)
        else {
            let expected = format!("at least 1 and fewer than the {} training samples", training.len());
            return Err(Error::value(operation, "validation", expected, validation));
        };
        let mut generator = generator(seed, Stream::Split);
        for last in (rest..training.len()).rev() {
            training.swap(generator.random_range(0..=last), last);
        }
        let x = training.x.slice_axis(Axis(0), Slice::from(rest..)).to_owned();
        training.x.slice_axis_inplace(Axis(0), Slice::from(..rest));
        let labels = training.labels.split_off(rest);
        Ok(Self { training, validation: Dataset { x, labels }, test })
    }

    /// Features of a sample.
    pub fn features(&self) -> usize {
        self.training.features()
    }

    /// One more than the largest label of any part: the outputs of a network for it.
    pub fn classes(&self) -> usize {
        self.parts().map(Dataset::classes).into_iter().fold(0, usize::max)
    }

    /// Shifts and scales every number by the same `mean` and `deviation`: of the pixels of MNIST's training images
    /// these are 0.1307 and 0.3081. Those of the training samples at hand are their
    /// [moments](Dataset::moments).
    ///
    /// # Errors
    /// When one of them is not finite, or the deviation is not positive.
    pub fn normalise(mut self, mean: f64, deviation: f64) -> Result<Self> {
        let operation = "Split::normalise";
        if !mean.is_finite() {
            return Err(Error::value(operation, "mean", "a finite number", mean));
        }
        if !(deviation.is_finite() && deviation > 0.0) {
            return Err(Error::value(operation, "deviation", "a finite number above 0", deviation));
        }
        self.parts_mut().into_iter().for_each(|part| part.normalise(mean, deviation));
        Ok(self)
    }

    /// Shifts and scales each feature to mean 0 and standard deviation 1 *over the training samples*. A feature that
    /// is constant there is only shifted.
    pub fn standardise(mut self) -> Self {
        let x = &self.training.x;
        let count = x.nrows() as f64;
        let moments: Vec<(f64, f64)> = x
            .columns()
            .into_iter()
            .map(|column| {
                let mean = column.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                let variance =
                    column.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
                (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
            })
            .collect();
        for part in self.parts_mut() {
            for (mut column, &(mean, deviation)) in part.x.columns_mut().into_iter().zip(&moments) {
                // In f64: a mean may be far larger than what is left.
                column.mapv_inplace(|value| ((f64::from(value) - mean) / deviation) as f32);
            }
        }
        self
    }

    /// A checksum of all samples and labels, which another data set is most unlikely to have.
    #[cfg(feature = "experiment")]
    pub(crate) fn checksum(&self) -> u32 {
        let (mut crc, mut bytes) = (flate2::Crc::new(), Vec::new());
        for part in self.parts() {
            for (row, &label) in part.x.rows().into_iter().zip(&part.labels) {
                bytes.clear();
                row.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
                bytes.extend((label as u64).to_le_bytes());
                crc.update(&bytes);
            }
        }
        crc.sum()
    }

    fn parts(&self) -> [&Dataset; 3] {
        [&self.training, &self.validation, &self.test]
    }

    fn parts_mut(&mut self) -> [&mut Dataset; 3] {
        [&mut self.training, &mut self.validation, &mut self.test]
    }
}
