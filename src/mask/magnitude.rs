//! Masks by the size of the weights (Han et al. 2015; Frankle & Carbin 2019).

use ndarray::ArrayView2;

use super::ranking::{Rank, check_numbers, keep_largest, pairs};
use super::{Mask, check_not_empty, prune_count};
use crate::{Error, Result};

impl Mask {
    /// Prunes the `round(sparsity·n)` weights of a layer that are smallest by magnitude.
    ///
    /// `weight` is `[out, in]`. Ties stay in the order of their index: see the [module](crate::mask).
    ///
    /// # Errors
    /// When `sparsity` is outside of [0, 1), the layer is empty, or a weight is NaN.
    pub fn magnitude(weight: ArrayView2<'_, f32>, sparsity: f64) -> Result<Self> {
        let operation = "Mask::magnitude";
        check_not_empty(operation, weight.dim())?;
        let keep = weight.len() - prune_count(operation, sparsity, weight.len())?;
        let mut masks =
            keep_largest(Rank::Magnitude, operation, &[(weight, &Mask::all(weight.dim()))], keep)?;
        Ok(masks.remove(0))
    }

    /// Keeps exactly the `keep` weights of a layer that are largest by magnitude.
    ///
    /// # Errors
    /// When the layer is empty, has fewer than `keep` weights, or a weight is NaN.
    pub fn magnitude_count(weight: ArrayView2<'_, f32>, keep: usize) -> Result<Self> {
        let mut masks = keep_largest(
            Rank::Magnitude,
            "Mask::magnitude_count",
            &[(weight, &Mask::all(weight.dim()))],
            keep,
        )?;
        Ok(masks.remove(0))
    }

    /// One mask a layer, with one ranking for all: prunes the `round(sparsity·n)` smallest of all `n` weights.
    ///
    /// Layers whose weights are small by their initialisation lose more than others, possibly everything.
    ///
    /// # Errors
    /// As [`magnitude`](Self::magnitude); the error names the layer.
    pub fn magnitude_global(weights: &[ArrayView2<'_, f32>], sparsity: f64) -> Result<Vec<Self>> {
        let operation = "Mask::magnitude_global";
        let all: Vec<_> = weights.iter().map(|weight| Mask::all(weight.dim())).collect();
        let layers: Vec<_> = weights.iter().copied().zip(&all).collect();
        let len = weights.iter().map(|weight| weight.len()).sum();
        keep_largest(Rank::Magnitude, operation, &layers, len - prune_count(operation, sparsity, len)?)
    }

    /// A further round: of the weights that this mask keeps, keeps exactly the `keep` largest by magnitude. What was
    /// pruned stays pruned.
    ///
    /// # Errors
    /// When `weight` has another shape than the mask, the mask keeps fewer than `keep`, or a kept weight is NaN.
    pub fn magnitude_within(&self, weight: ArrayView2<'_, f32>, keep: usize) -> Result<Self> {
        let mut masks = keep_largest(Rank::Magnitude, "Mask::magnitude_within", &[(weight, self)], keep)?;
        Ok(masks.remove(0))
    }

    /// [`magnitude_within`](Self::magnitude_within) with one ranking over all layers: `keep` is the count of them all.
    ///
    /// # Errors
    /// As [`magnitude_within`](Self::magnitude_within), and when there is not one weight matrix a mask.
    pub fn magnitude_within_global(
        masks: &[Self],
        weights: &[ArrayView2<'_, f32>],
        keep: usize,
    ) -> Result<Vec<Self>> {
        let operation = "Mask::magnitude_within_global";
        keep_largest(Rank::Magnitude, operation, &pairs(operation, masks, weights)?, keep)
    }

    /// Keeps the weights whose magnitude is strictly above `threshold`: with
    /// [`quantile`]`(weight, sparsity)` as the threshold, the rule of the lecture that this crate grew from.
    ///
    /// How many that are depends on the ties at the threshold; the other criteria keep exact counts.
    ///
    /// ```
    /// use tombola::{Mask, mask::quantile};
    /// let weight = ndarray::array![[1.0_f32, -2.0, 3.0, -4.0, 5.0]];
    /// let threshold = quantile(weight.view(), 0.8)?; // 4.2, between the fourth and the fifth
    /// assert_eq!(Mask::above(weight.view(), threshold)?.kept(), 1);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `threshold` or a weight is NaN, or the layer is empty.
    pub fn above(weight: ArrayView2<'_, f32>, threshold: f64) -> Result<Self> {
        let operation = "Mask::above";
        check_not_empty(operation, weight.dim())?;
        if threshold.is_nan() {
            return Err(Error::value(operation, "threshold", "a number", threshold));
        }
        check_numbers(operation, "weight", weight, &Mask::all(weight.dim()))?;
        Ok(Self::from_fn(weight.dim(), |row, column| f64::from(weight[(row, column)].abs()) > threshold))
    }
}

/// The `q` quantile of the magnitudes of `weight`, linear between order statistics: the default of
/// `numpy.quantile` and `torch.quantile` (type 7 of Hyndman & Fan 1996), computed in f64.
///
/// # Errors
/// When `q` is outside of [0, 1], the layer is empty, or a weight is NaN.
pub fn quantile(weight: ArrayView2<'_, f32>, q: f64) -> Result<f64> {
    let operation = "quantile";
    if !(0.0..=1.0).contains(&q) {
        return Err(Error::value(operation, "q", "a number in [0, 1]", q));
    }
    check_not_empty(operation, weight.dim())?;
    check_numbers(operation, "weight", weight, &Mask::all(weight.dim()))?;
    let mut magnitudes: Vec<f32> = weight.iter().map(|value| value.abs()).collect();
    let position = q * (magnitudes.len() - 1) as f64;
    let (_, &mut low, above) = magnitudes.select_nth_unstable_by(position as usize, f32::total_cmp);
    let fraction = position.fract();
    let high = above.iter().copied().fold(f32::INFINITY, f32::min);
    // At a whole position there may be nothing above; and between infinities the difference is NaN.
    if fraction == 0.0 || low == high {
        return Ok(f64::from(low));
    }
    Ok(f64::from(low) + fraction * (f64::from(high) - f64::from(low)))
}
