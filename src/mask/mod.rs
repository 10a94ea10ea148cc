//! Which weights stay.
//!
//! A [`Mask`] is one bit for each weight of a layer, and this room has the criteria that make one:
//! [magnitude](Mask::magnitude) within a layer or [over all of them](Mask::magnitude_global), [above a
//! quantile](Mask::above), [chance](Mask::random), [any score](Mask::highest_within), and with a structure: [N of every
//! M](Mask::n_of_m), [blocks](Mask::blocks), the [same count in each row](Mask::fan_in), whole [neurons](neurons()). A
//! [`Criterion`] is one of them by name, for all layers of a network; a [`Pattern`] is a structure that masks keep to
//! while a search makes them sparser. What of a whole network's masks any path [uses](Mask::effective) is told here,
//! too.
//!
//! **Counts are exact.** A criterion that is asked for a sparsity `s` of `n` weights prunes `round(s·n)` of them
//! (halves to even, as `torch.nn.utils.prune` does), whatever ties there are: among weights of the same score
//! those with the lower index, row by row, stay. Across layers the earlier layer goes first.

mod criterion;
mod magnitude;
mod paths;
mod pattern;
mod random;
mod ranking;
mod structure;
mod structured;

use std::fmt;

use ndarray::{Array2, ArrayView2};

pub use criterion::Criterion;
pub use magnitude::quantile;
pub use pattern::Pattern;
pub use ranking::Rankable;
#[cfg(feature = "io")]
pub(crate) use ranking::check_numbers;
pub use structure::Structure;
pub use structured::{Block, Norm, neurons};

use crate::{Error, Result};

/// Which weights of a layer `[out, in]` are kept.
///
/// ```
/// use tombola::Mask;
/// let weight = ndarray::array![[0.1_f32, -0.9, 0.3], [0.7, 0.0, -0.2]];
/// let mask = Mask::magnitude(weight.view(), 0.5)?;
/// assert_eq!(mask.to_array(), ndarray::array![[false, true, true], [true, false, false]]);
/// assert_eq!((mask.kept(), mask.density()), (3, 0.5));
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    shape: (usize, usize),
    /// Bit `c % 64` of word `c / 64` of a row; each row begins a word, and the bits past its end are zero.
    words: Vec<u64>,
}

impl Mask {
    /// The mask of `shape` (`[out, in]`) that keeps every weight for which `keep(row, column)` holds.
    pub fn from_fn(shape: (usize, usize), mut keep: impl FnMut(usize, usize) -> bool) -> Self {
        let mut mask = Self::none(shape);
        for row in 0..shape.0 {
            for column in 0..shape.1 {
                if keep(row, column) {
                    mask.keep(row, column);
                }
            }
        }
        mask
    }

    /// The mask that an array of booleans `[out, in]` spells out.
    pub fn from_array(keep: ArrayView2<'_, bool>) -> Self {
        Self::from_fn(keep.dim(), |row, column| keep[(row, column)])
    }

    /// The mask of the weights that are not zero: what a pruned checkpoint without a mask file holds.
    /// A NaN is not zero; neither sign of zero is kept.
    pub fn nonzero(weight: ArrayView2<'_, f32>) -> Self {
        Self::from_fn(weight.dim(), |row, column| weight[(row, column)] != 0.0)
    }

    /// The mask of `shape` that keeps everything.
    pub fn all(shape: (usize, usize)) -> Self {
        Self::from_fn(shape, |_, _| true)
    }

    /// The mask of `shape` that keeps nothing.
    pub fn none(shape: (usize, usize)) -> Self {
        Self { shape, words: vec![0; shape.0.saturating_mul(shape.1.div_ceil(64))] }
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// How many weights the layer has, kept or not.
    pub fn len(&self) -> usize {
        self.shape.0 * self.shape.1
    }

    /// Whether the layer has no weights at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many weights are kept.
    pub fn kept(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Kept weights over all weights; 0 for a layer without weights.
    pub fn density(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.kept() as f64 / self.len() as f64 }
    }

    /// One minus the [density](Self::density).
    pub fn sparsity(&self) -> f64 {
        1.0 - self.density()
    }

    /// Whether the weight at `(row, column)` is kept; `None` outside of the layer.
    pub fn get(&self, row: usize, column: usize) -> Option<bool> {
        (row < self.shape.0 && column < self.shape.1).then(|| self.bit(row, column))
    }

    /// The mask as an array of booleans `[out, in]`.
    pub fn to_array(&self) -> Array2<bool> {
        Array2::from_shape_fn(self.shape, |(row, column)| self.bit(row, column))
    }

    /// The columns that a row keeps, ascending; none for a row outside of the layer.
    pub fn row(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        let words = if row < self.shape.0 { self.row_bits(row) } else { &[] };
        words.iter().enumerate().flat_map(|(index, &word)| Bits(word).map(move |bit| index * 64 + bit))
    }

    /// The bits of a row, which must lie in the layer: that of column `c` is bit `c % 64` of word `c / 64`.
    pub(crate) fn row_bits(&self, row: usize) -> &[u64] {
        &self.words[row * self.row_words()..][..self.row_words()]
    }

    fn row_words(&self) -> usize {
        self.shape.1.div_ceil(64)
    }

    /// Keeps one more weight; the place must lie in the layer.
    pub(crate) fn keep(&mut self, row: usize, column: usize) {
        let word = row * self.row_words() + column / 64;
        self.words[word] |= 1 << (column % 64);
    }

    fn bit(&self, row: usize, column: usize) -> bool {
        self.words[row * self.row_words() + column / 64] >> (column % 64) & 1 == 1
    }

    /// The mask of what both keep.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn and(&self, other: &Self) -> Result<Self> {
        self.check_shape("Mask::and", "other", other.shape)?;
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        Ok(Self { shape: self.shape, words })
    }

    /// The mask of what either keeps.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn or(&self, other: &Self) -> Result<Self> {
        self.check_shape("Mask::or", "other", other.shape)?;
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a | b).collect();
        Ok(Self { shape: self.shape, words })
    }

    /// The mask of what this one prunes.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self::from_fn(self.shape, |row, column| !self.bit(row, column))
    }

    /// What this mask keeps and `keep(row, column)` holds for.
    fn filtered(&self, keep: impl Fn(usize, usize) -> bool) -> Self {
        let mut filtered = Self::none(self.shape);
        for row in 0..self.shape.0 {
            self.row(row).filter(|&column| keep(row, column)).for_each(|column| filtered.keep(row, column));
        }
        filtered
    }

    pub(crate) fn check_shape(
        &self,
        operation: &'static str,
        subject: &str,
        shape: (usize, usize),
    ) -> Result<()> {
        if shape == self.shape {
            return Ok(());
        }
        Err(Error::shape(operation, subject, format!("the shape {:?} of the mask", self.shape), shape))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({}/{} of {:?})", self.kept(), self.len(), self.shape)
    }
}

/// The positions of the ones of a word, ascending.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}

/// The share of weights to prune, checked, times `count`.
fn prune_count(operation: &'static str, sparsity: f64, count: usize) -> Result<usize> {
    if !(0.0..1.0).contains(&sparsity) {
        return Err(Error::value(operation, "sparsity", "a number in [0, 1)", sparsity));
    }
    Ok((sparsity * count as f64).round_ties_even() as usize)
}

fn check_not_empty(operation: &'static str, shape: (usize, usize)) -> Result<()> {
    if shape.0 == 0 || shape.1 == 0 {
        return Err(Error::shape(operation, "weight", "at least one weight", shape));
    }
    Ok(())
}
