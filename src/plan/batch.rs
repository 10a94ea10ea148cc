//! A batch as its caller has it.

use ndarray::{ArrayView2, ArrayViewMut2};

/// How many samples a batch has, and how its input and output lie in memory: both say how long a layer takes, and so
/// which format is the fastest. A number stands for so many samples in rows, the features of each side by side.
///
/// ```
/// use tombola::plan::Batch;
///
/// assert_eq!(Batch::from(64), Batch::row_major(64));
/// assert!(Batch::feature_major(64).is_feature_major());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    samples: usize,
    feature_major: bool,
}

impl Batch {
    /// A batch whose features of a sample lie side by side, in the input or in the output: `[batch, features]`, as most
    /// callers have it.
    pub fn row_major(samples: usize) -> Self {
        Self { samples, feature_major: false }
    }

    /// A batch whose samples of a feature lie side by side, in the input and in the output: a view of a row-major
    /// `[features, batch]`. (A single sample lies both ways, and counts as row-major.)
    pub fn feature_major(samples: usize) -> Self {
        Self { samples, feature_major: samples > 1 }
    }

    /// The one from `x` to `y`, which are `[batch, features]`.
    pub(crate) fn of(x: &ArrayView2<'_, f32>, y: &ArrayViewMut2<'_, f32>) -> Self {
        if x.strides()[0] == 1 && y.strides()[0] == 1 {
            Self::feature_major(x.nrows())
        } else {
            Self::row_major(x.nrows())
        }
    }

    /// How many samples it has.
    pub fn samples(self) -> usize {
        self.samples
    }

    /// Whether the samples of a feature lie side by side.
    pub fn is_feature_major(self) -> bool {
        self.feature_major
    }

    /// Another count of samples that lie as these do.
    pub(crate) fn with_samples(self, samples: usize) -> Self {
        if self.feature_major { Self::feature_major(samples) } else { Self::row_major(samples) }
    }

    /// As many samples that lie as they do between layers of different layouts.
    pub(super) fn inner(self) -> Self {
        Self::row_major(self.samples)
    }
}

impl From<usize> for Batch {
    /// [`row_major`](Self::row_major).
    fn from(samples: usize) -> Self {
        Self::row_major(samples)
    }
}
