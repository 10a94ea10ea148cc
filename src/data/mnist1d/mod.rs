//! MNIST-1D (Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024), with the parameters of the
//! paper. The reference is its authors' package `mnist1d` (<https://github.com/greydanus/mnist1d>, Apache-2.0).

mod signal;

use std::array;

use ndarray::Array2;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use signal::{CLASSES, Draw, POINTS, SHIFTS, signal};

use super::Dataset;
use crate::Result;
use crate::rng::{Stream, generator};

/// Of the paper: 4,000 for training, 1,000 for the test.
const SAMPLES: usize = 5000;

impl Dataset {
    /// MNIST-1D (Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024): 5,000 signals of 40 points,
    /// ten classes, as many of each. A class is a template of 12 points, drawn like its digit, which is stretched,
    /// scaled, moved, sheared and surrounded by noise. In the paper a linear model gets 32% of the test samples right,
    /// and a perceptron 68%: small as it is, it takes hidden layers.
    ///
    /// They are made here, by the algorithm and the parameters of the paper and from `seed`; so they are others than
    /// those of its file, whose noise came from numpy. All numbers together have mean 0 and deviation 1. Sample `i` is
    /// of class `i mod 10`; [`split`](Self::split) gives the paper's 1,000 for the test, and some for validation.
    ///
    /// # Errors
    /// Never.
    pub fn mnist1d(seed: u64) -> Result<Self> {
        let mut generator = generator(seed, Stream::Samples);
        let labels: Vec<usize> = (0..SAMPLES).map(|sample| sample % CLASSES).collect();
        let points = labels.iter().flat_map(|&class| signal(class, &Draw::new(&mut generator)));
        let x = Array2::from_shape_vec((SAMPLES, POINTS), points.map(|point| point as f32).collect())
            .unwrap_or_else(|error| unreachable!("as many points a sample: {error}"));
        let mut set = Self::new(x, labels)?;
        let (mean, deviation) = set.moments();
        set.normalise(mean, deviation);
        Ok(set)
    }
}

impl Draw {
    fn new(generator: &mut impl Rng) -> Self {
        Self {
            padding: generator.random(),
            scale: generator.random(),
            shift: generator.random_range(0..SHIFTS),
            correlated: array::from_fn(|_| StandardNormal.sample(generator)),
            independent: array::from_fn(|_| StandardNormal.sample(generator)),
            shear: generator.random(),
        }
    }
}
