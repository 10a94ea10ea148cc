//! The weights that rank highest, exactly as many as asked for.

use ndarray::ArrayView2;

use super::{Bits, Mask};
use crate::{Error, Result};

impl Mask {
    /// Of the weights that this mask keeps, keeps exactly the `keep` of highest score, whatever a score is: an
    /// importance, or the negative of what pruning would gain. Scores are f32 or f64. Ties stay in the order of their
    /// index.
    ///
    /// ```
    /// use tombola::Mask;
    /// let scores = ndarray::array![[0.5_f32, -3.0, -0.1]];
    /// let mask = Mask::all((1, 3)).highest_within(scores.view(), 2)?;
    /// assert_eq!(mask.to_array(), ndarray::array![[true, false, true]]);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `scores` has another shape than the mask, the mask keeps fewer than `keep`, or the score of a kept weight
    /// is NaN.
    pub fn highest_within<S: Rankable>(&self, scores: ArrayView2<'_, S>, keep: usize) -> Result<Self> {
        let mut masks = keep_largest(Rank::Value, "Mask::highest_within", &[(scores, self)], keep)?;
        Ok(masks.remove(0))
    }

    /// [`highest_within`](Self::highest_within) with one ranking over all layers: `keep` is the count of them all.
    ///
    /// # Errors
    /// As [`highest_within`](Self::highest_within), and when there is not one matrix of scores a mask.
    pub fn highest_within_global<S: Rankable>(
        masks: &[Self],
        scores: &[ArrayView2<'_, S>],
        keep: usize,
    ) -> Result<Vec<Self>> {
        let operation = "Mask::highest_within_global";
        keep_largest(Rank::Value, operation, &pairs(operation, masks, scores)?, keep)
    }
}

/// A matrix for each mask.
pub(super) fn pairs<'a, S: Rankable>(
    operation: &'static str,
    masks: &'a [Mask],
    weights: &[ArrayView2<'a, S>],
) -> Result<Vec<(ArrayView2<'a, S>, &'a Mask)>> {
    if masks.len() != weights.len() {
        let expected = format!("{} matrices, one a mask", masks.len());
        return Err(Error::shape(operation, "weights", expected, weights.len()));
    }
    Ok(weights.iter().copied().zip(masks).collect())
}

/// What weights are ranked by.
#[derive(Clone, Copy)]
pub(super) enum Rank {
    Magnitude,
    Value,
}

/// What a weight can be ranked by: f32 or f64.
pub trait Rankable: Number {}

impl Rankable for f32 {}
impl Rankable for f64 {}

/// The part of [`Rankable`] that is nobody else's business, and keeps others from implementing it.
pub trait Number: Copy {
    /// The bits of a number, which order as it does.
    type Key: Copy + Ord;

    /// A key whose order is that of the numbers; ±0 have one key.
    fn key(self) -> Self::Key;

    /// Without its sign.
    fn magnitude(self) -> Self;

    /// Whether it is not a number.
    fn is_nan(self) -> bool;
}

macro_rules! number {
    ($float:ty, $key:ty) => {
        impl Number for $float {
            type Key = $key;

            fn key(self) -> $key {
                const SIGN: $key = 1 << (<$key>::BITS - 1);
                // Above 0 the order of the bits is the order of the numbers, and below it is reversed; adding 0.0 makes
                // one zero of both.
                match (self + 0.0).to_bits() {
                    bits if bits < SIGN => bits | SIGN,
                    bits => !bits,
                }
            }

            fn magnitude(self) -> Self {
                self.abs()
            }

            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
    };
}

number!(f32, u32);
number!(f64, u64);

impl Rank {
    fn key<S: Rankable>(self, value: S) -> S::Key {
        match self {
            Self::Magnitude => value.magnitude().key(),
            Self::Value => value.key(),
        }
    }
}

/// The primitive under every count: of the weights that the masks keep, the `count` that rank highest, ties in the
/// order of layers and indices.
pub(super) fn keep_largest<S: Rankable>(
    rank: Rank,
    operation: &'static str,
    layers: &[(ArrayView2<'_, S>, &Mask)],
    count: usize,
) -> Result<Vec<Mask>> {
    let mut ranking: Vec<S::Key> = Vec::with_capacity(layers.iter().map(|(_, mask)| mask.kept()).sum());
    for (index, (weight, mask)) in layers.iter().enumerate() {
        let subject = if layers.len() == 1 { "weight".into() } else { format!("weight of layer {index}") };
        if weight.is_empty() {
            return Err(Error::shape(operation, subject, "at least one weight", weight.shape()));
        }
        mask.check_shape(operation, &subject, weight.dim())?;
        check_numbers(operation, &subject, *weight, mask)?;
        for row in 0..mask.shape.0 {
            ranking.extend(mask.row(row).map(|column| rank.key(weight[(row, column)])));
        }
    }
    if count > ranking.len() {
        return Err(Error::value(operation, "keep", format!("at most {}", ranking.len()), count));
    }
    let Some(last) = count.checked_sub(1) else {
        return Ok(layers.iter().map(|(_, mask)| Mask::none(mask.shape)).collect());
    };
    // All above the threshold stay, and as many of those on it as the count leaves room for.
    let (larger, &mut threshold, _) = ranking.select_nth_unstable_by(last, |a, b| b.cmp(a));
    let mut ties = count - larger.iter().filter(|&&key| key > threshold).count();
    let masks = layers.iter().map(|(weight, mask)| {
        let mut kept = Mask::none(mask.shape);
        let width = mask.row_words();
        for (index, &word) in mask.words.iter().enumerate() {
            let row = index / width;
            for bit in Bits(word) {
                let key = rank.key(weight[(row, index % width * 64 + bit)]);
                let tied = key == threshold && ties > 0;
                ties -= usize::from(tied);
                kept.words[index] |= u64::from(key > threshold || tied) << bit;
            }
        }
        kept
    });
    Ok(masks.collect())
}

pub(crate) fn check_numbers<S: Rankable>(
    operation: &'static str,
    subject: &str,
    weight: ArrayView2<'_, S>,
    mask: &Mask,
) -> Result<()> {
    // One pass that vectorises; the place is looked for only when there is something to find.
    if !weight.iter().any(|value| value.is_nan()) {
        return Ok(());
    }
    for row in 0..mask.shape.0 {
        if let Some(column) = mask.row(row).find(|&column| weight[(row, column)].is_nan()) {
            return Err(Error::value(operation, subject, "numbers", format!("NaN at [{row}, {column}]")));
        }
    }
    Ok(())
}
