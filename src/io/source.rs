//! Data sets by name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(not(feature = "numpy"))]
use crate::ErrorKind;
use crate::data::{Dataset, Split};
use crate::{Error, Result};

/// Where a data set comes from: what a command line names.
///
/// As text it is `digits`, `mnist1d`, two files `x.npy,y.npy`, or else the path of a folder (`./digits` is one, too).
///
/// ```
/// use tombola::io::Source;
/// let data = "mnist1d".parse::<Source>()?.load(0)?;
/// assert_eq!((data.features(), data.classes(), data.test.len()), (40, 10, 1000));
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The [digits](Dataset::digits) of the crate: 1,079 for training, 359 for validation, 359 for the test, each pixel
    /// standardised.
    Digits,
    /// [MNIST-1D](Dataset::mnist1d): 3,500 for training, 500 for validation, 1,000 for the test.
    Mnist1d,
    /// A folder of MNIST, Fashion-MNIST, or another set in [their four files](Split::from_idx): pixels with the mean 0
    /// and the deviation 1 of all training pixels.
    Idx(PathBuf),
    /// A pair of numpy's files, as `io::read_samples` takes them (feature `numpy`): a fifth for validation, a fifth for
    /// the test, and all numbers with the mean 0 and the deviation 1 of all training numbers.
    Numpy {
        /// `[samples, …]`.
        x: PathBuf,
        /// `[samples]`.
        y: PathBuf,
    },
}

impl Source {
    /// Reads or makes the set, splits it by `seed` (of MNIST-1D, the seed makes the samples, too), and scales it.
    ///
    /// # Errors
    /// When a file cannot be read, is broken, or needs a feature that this build lacks, or there are too few samples.
    pub fn load(&self, seed: u64) -> Result<Split> {
        match self {
            Self::Digits => Ok(Dataset::digits()?.split(359, 359, seed)?.standardise()),
            Self::Mnist1d => Dataset::mnist1d(seed)?.split(500, 1000, seed),
            Self::Idx(folder) => self.normalised(Split::from_idx(folder, seed)?),
            #[cfg(feature = "numpy")]
            Self::Numpy { x, y } => {
                let set = super::read_samples(x, y)?;
                let fifth = set.len() / 5;
                self.normalised(set.split(fifth, fifth, seed).map_err(|error| error.within(self))?)
            }
            #[cfg(not(feature = "numpy"))]
            Self::Numpy { .. } => {
                let expected = "a build with the feature `numpy`, for files of numpy";
                Err(Error::new(
                    ErrorKind::Unsupported,
                    "Source::load",
                    self.to_string(),
                    expected,
                    "one without",
                ))
            }
        }
    }

    /// With the mean and the deviation of the training samples.
    fn normalised(&self, split: Split) -> Result<Split> {
        let (mean, deviation) = split.training.moments();
        split.normalise(mean, deviation).map_err(|error| error.within(self))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Mnist1d => f.write_str("mnist1d"),
            Self::Idx(folder) => write!(f, "{}", folder.display()),
            Self::Numpy { x, y } => write!(f, "{},{}", x.display(), y.display()),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "digits" => return Ok(Self::Digits),
            "mnist1d" => return Ok(Self::Mnist1d),
            _ => {}
        }
        let pair = text.split_once(".npy,").filter(|(_, y)| y.ends_with(".npy"));
        if let Some((x, y)) = pair {
            return Ok(Self::Numpy { x: format!("{x}.npy").into(), y: y.into() });
        }
        if text.is_empty() || text.ends_with(".npy") {
            let expected = "digits, mnist1d, a folder of IDX files, or two files x.npy,y.npy";
            return Err(Error::value("Source::from_str", "data set", expected, format!("`{text}`")));
        }
        Ok(Self::Idx(text.into()))
    }
}
