//! Masks with a structure, which kernels can use: N of every M, blocks, neurons, and the same count in each row.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2};

use super::ranking::{Number, Rank, check_numbers, keep_largest, pairs};
use super::{Mask, check_not_empty, prune_count};
use crate::{Error, Result};

/// Blocks that a weight matrix `[out, in]` is cut into, from its first row and column on: those at the far edges may
/// have fewer rows and columns.
///
/// As text, `16x1` for 16 rows and one column, with the L2 norm; `16x1:l1` and `16x1:max` for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Rows of a block: outputs that one activation is loaded for.
    pub rows: usize,
    /// Columns of a block.
    pub columns: usize,
    /// What blocks are ranked by.
    pub norm: Norm,
}

/// What the weights of a block are worth together. It is a mean over the block, so that a smaller one at the edge is
/// ranked as the others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Norm {
    /// The mean of the magnitudes.
    L1,
    /// The root of the mean square.
    L2,
    /// The largest magnitude.
    Max,
}

impl Mask {
    /// Keeps the `n` largest by magnitude of every `m` weights that follow each other along the input dimension: 2 of 4
    /// is what GPUs have units for (Mishra et al., *Accelerating Sparse Deep Neural Networks*, 2021). Where `m` does
    /// not divide the inputs, the last of a row count as if they were filled up with zeros: `n` of them stay, or all
    /// that there are.
    ///
    /// ```
    /// use tombola::Mask;
    /// let weight = ndarray::array![[0.1_f32, -0.9, 0.3, 0.2, 0.4, 0.1]];
    /// let mask = Mask::n_of_m(weight.view(), 2, 4)?;
    /// assert_eq!(mask.to_array(), ndarray::array![[false, true, true, false, true, true]]);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `n` is above `m`, `m` is 0, the layer is empty, or a weight is NaN.
    pub fn n_of_m(weight: ArrayView2<'_, f32>, n: usize, m: usize) -> Result<Self> {
        check_not_empty("Mask::n_of_m", weight.dim())?;
        Self::all(weight.dim()).n_of_m_within(weight, n, m)
    }

    /// [`n_of_m`](Self::n_of_m) of the weights that this mask keeps: fewer where it has fewer.
    ///
    /// # Errors
    /// As [`n_of_m`](Self::n_of_m) for the kept weights, and when `weight` has another shape than the mask.
    pub fn n_of_m_within(&self, weight: ArrayView2<'_, f32>, n: usize, m: usize) -> Result<Self> {
        let operation = "Mask::n_of_m";
        if m == 0 || n > m {
            return Err(Error::value(
                operation,
                "n",
                "at most m, which is at least 1",
                format!("{n} of {m}"),
            ));
        }
        self.largest_of_each(operation, weight, n, m)
    }

    /// Keeps the `keep` largest weights by magnitude of each row: every output has as many inputs (constant fan-in;
    /// Lasby et al., *Dynamic Sparse Training with Structured Sparsity*, ICLR 2024). Rows with fewer keep what they
    /// have.
    ///
    /// # Errors
    /// When the layer is empty, or a weight is NaN.
    pub fn fan_in(weight: ArrayView2<'_, f32>, keep: usize) -> Result<Self> {
        check_not_empty("Mask::fan_in", weight.dim())?;
        Self::all(weight.dim()).fan_in_within(weight, keep)
    }

    /// [`fan_in`](Self::fan_in) of the weights that this mask keeps.
    ///
    /// # Errors
    /// When `weight` has another shape than the mask, or a kept weight is NaN.
    pub fn fan_in_within(&self, weight: ArrayView2<'_, f32>, keep: usize) -> Result<Self> {
        self.largest_of_each("Mask::fan_in", weight, keep, self.shape.1.max(1))
    }

    /// The `n` largest kept weights of every `m` of a row, ties in the order of their index.
    fn largest_of_each(
        &self,
        operation: &'static str,
        weight: ArrayView2<'_, f32>,
        n: usize,
        m: usize,
    ) -> Result<Self> {
        self.check_shape(operation, "weight", weight.dim())?;
        check_numbers(operation, "weight", weight, self)?;
        let mut mask = Self::none(self.shape);
        let mut group = Vec::with_capacity(m.min(self.shape.1));
        for row in 0..self.shape.0 {
            let mut columns = self.row(row).peekable();
            while let Some(&first) = columns.peek() {
                let end = (first / m * m).saturating_add(m);
                group.clear();
                group.extend(std::iter::from_fn(|| columns.next_if(|&column| column < end)));
                // Stable, so ties stay in order.
                group.sort_by_key(|&column| std::cmp::Reverse(weight[(row, column)].abs().key()));
                group.iter().take(n).for_each(|&column| mask.keep(row, column));
            }
        }
        Ok(mask)
    }

    /// Prunes the `round(sparsity·n)` of a layer's `n` blocks that are smallest by their norm. Ties stay in the order
    /// of their index.
    ///
    /// ```
    /// use tombola::Mask;
    /// let weight = ndarray::array![[0.1_f32, 3.0], [0.2, 0.0], [0.5, 0.1], [0.4, 0.2]];
    /// let mask = Mask::blocks(weight.view(), "2x1".parse()?, 0.5)?;
    /// assert_eq!(mask.to_array(), ndarray::array![[false, true], [false, true], [true, false], [true, false]]);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `sparsity` is outside of [0, 1), a side of the block is 0, the layer is empty, or a weight is NaN.
    pub fn blocks(weight: ArrayView2<'_, f32>, block: Block, sparsity: f64) -> Result<Self> {
        let operation = "Mask::blocks";
        check_not_empty(operation, weight.dim())?;
        block.check(operation)?;
        let all = block.grid(weight.dim());
        let count = all.0 * all.1;
        Self::all(weight.dim()).blocks_within(weight, block, count - prune_count(operation, sparsity, count)?)
    }

    /// Of the blocks of which this mask keeps something, the `keep` of highest norm, as far as it keeps them. What was
    /// pruned stays pruned, and counts as 0.
    ///
    /// # Errors
    /// When `weight` has another shape than the mask, a side of the block is 0, the mask has fewer than `keep` blocks,
    /// or a kept weight is NaN.
    pub fn blocks_within(&self, weight: ArrayView2<'_, f32>, block: Block, keep: usize) -> Result<Self> {
        let mut masks = keep_blocks("Mask::blocks_within", &[(weight, self)], block, keep)?;
        Ok(masks.remove(0))
    }

    /// [`blocks_within`](Self::blocks_within) with one ranking over all layers: `keep` is the count of them all.
    ///
    /// # Errors
    /// As [`blocks_within`](Self::blocks_within), and when there is not one weight matrix a mask.
    pub fn blocks_within_global(
        masks: &[Self],
        weights: &[ArrayView2<'_, f32>],
        block: Block,
        keep: usize,
    ) -> Result<Vec<Self>> {
        let operation = "Mask::blocks_within_global";
        keep_blocks(operation, &pairs(operation, masks, weights)?, block, keep)
    }

    /// How many blocks have a weight that the mask keeps.
    ///
    /// # Errors
    /// When a side of the block is 0.
    pub fn kept_blocks(&self, block: Block) -> Result<usize> {
        block.check("Mask::kept_blocks")?;
        Ok(block.alive(self).kept())
    }
}

/// Masks that remove whole neurons: each layer but the last keeps the `keep` of its outputs whose rows have the highest
/// norm (Li et al., *Pruning Filters for Efficient ConvNets*, ICLR 2017), and the layer after it the columns that read
/// them. `layers` are the weights and masks of a network, first to last, `keep` is a count for each layer but the last.
/// What the masks have pruned stays pruned; ties stay in the order of their index.
///
/// # Errors
/// When a layer does not take what the one before it gives, there is not one count for each layer but the last, one is
/// 0 or above the outputs, or a kept weight is NaN.
pub fn neurons(layers: &[(ArrayView2<'_, f32>, &Mask)], norm: Norm, keep: &[usize]) -> Result<Vec<Mask>> {
    let operation = "neurons";
    if layers.len() != keep.len() + 1 {
        let expected = format!("{} counts, one for each layer but the last", layers.len().saturating_sub(1));
        return Err(Error::shape(operation, "keep", expected, keep.len()));
    }
    for (index, &(weight, mask)) in layers.iter().enumerate() {
        let subject = format!("weight of layer {index}");
        mask.check_shape(operation, &subject, weight.dim())?;
        check_numbers(operation, &subject, weight, mask)?;
    }
    let mut masks: Vec<Mask> = layers.iter().map(|(_, mask)| (*mask).clone()).collect();
    for (index, &keep) in keep.iter().enumerate() {
        let ((weight, _), next) = (layers[index], layers[index + 1].1);
        let (out, inputs) = masks[index].shape;
        let subject = format!("weight of layer {}", index + 1);
        if next.shape.1 != out {
            let expected = format!("{out} inputs, the outputs of layer {index}");
            return Err(Error::shape(operation, subject, expected, next.shape));
        }
        if !(1..=out).contains(&keep) {
            return Err(Error::value(
                operation,
                format!("keep of layer {index}"),
                format!("1 to {out}"),
                keep,
            ));
        }
        let row = Block { rows: 1, columns: inputs.max(1), norm };
        let scores = row.scores(operation, &format!("weight of layer {index}"), weight, &masks[index])?;
        let stay = Mask::all(scores.dim()).highest_within(scores.view(), keep)?;
        let stays = |unit| stay.bit(unit, 0);
        masks[index] = masks[index].filtered(|row, _| stays(row));
        masks[index + 1] = masks[index + 1].filtered(|_, column| stays(column));
    }
    Ok(masks)
}

pub(super) fn keep_blocks(
    operation: &'static str,
    layers: &[(ArrayView2<'_, f32>, &Mask)],
    block: Block,
    keep: usize,
) -> Result<Vec<Mask>> {
    block.check(operation)?;
    let scores = layers.iter().enumerate().map(|(index, &(weight, mask))| {
        let subject = if layers.len() == 1 { "weight".into() } else { format!("weight of layer {index}") };
        Ok((block.scores(operation, &subject, weight, mask)?, block.alive(mask)))
    });
    let scores: Vec<(Array2<f64>, Mask)> = scores.collect::<Result<_>>()?;
    let ranked: Vec<_> = scores.iter().map(|(scores, alive)| (scores.view(), alive)).collect();
    let blocks = keep_largest(Rank::Value, operation, &ranked, keep)?;
    let masks = layers.iter().zip(blocks).map(|((_, mask), blocks)| {
        mask.filtered(|row, column| blocks.bit(row / block.rows, column / block.columns))
    });
    Ok(masks.collect())
}

impl Block {
    fn check(self, operation: &'static str) -> Result<()> {
        if self.rows == 0 || self.columns == 0 {
            return Err(Error::value(operation, "block", "at least one row and one column", self));
        }
        Ok(())
    }

    /// How many blocks of some layers stay: what `keep` says of the count of them all, and no more than there are.
    pub(super) fn kept_of(
        self,
        operation: &'static str,
        masks: &[&Mask],
        keep: impl Fn(usize) -> Result<usize>,
    ) -> Result<usize> {
        self.check(operation)?;
        let count = |mask: &&Mask| {
            let (rows, columns) = self.grid(mask.shape);
            rows * columns
        };
        let alive = masks.iter().map(|mask| self.alive(mask).kept()).sum();
        Ok(keep(masks.iter().map(count).sum())?.min(alive))
    }

    /// Blocks along each side of a matrix.
    fn grid(self, (out, inputs): (usize, usize)) -> (usize, usize) {
        (out.div_ceil(self.rows), inputs.div_ceil(self.columns))
    }

    /// The blocks that have a weight.
    fn alive(self, mask: &Mask) -> Mask {
        let mut alive = Mask::none(self.grid(mask.shape));
        for row in 0..mask.shape.0 {
            mask.row(row).for_each(|column| alive.keep(row / self.rows, column / self.columns));
        }
        alive
    }

    /// The norm of each block.
    fn scores(
        self,
        operation: &'static str,
        subject: &str,
        weight: ArrayView2<'_, f32>,
        mask: &Mask,
    ) -> Result<Array2<f64>> {
        mask.check_shape(operation, subject, weight.dim())?;
        check_numbers(operation, subject, weight, mask)?;
        let mut scores = Array2::<f64>::zeros(self.grid(mask.shape));
        for row in 0..mask.shape.0 {
            for column in mask.row(row) {
                let value = f64::from(weight[(row, column)]).abs();
                let score = &mut scores[(row / self.rows, column / self.columns)];
                match self.norm {
                    Norm::L1 => *score += value,
                    Norm::L2 => *score += value * value,
                    Norm::Max => *score = score.max(value),
                }
            }
        }
        if self.norm != Norm::Max {
            let len = |index: usize, side: usize, all: usize| side.min(all - index * side);
            for ((row, column), score) in scores.indexed_iter_mut() {
                let (rows, columns) =
                    (len(row, self.rows, mask.shape.0), len(column, self.columns, mask.shape.1));
                *score /= (rows * columns) as f64;
            }
        }
        Ok(scores)
    }
}

const NORMS: [(Norm, &str); 3] = [(Norm::L1, "l1"), (Norm::L2, "l2"), (Norm::Max, "max")];

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NORMS.iter().find(|(norm, _)| norm == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Norm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = NORMS.iter().find(|(_, name)| *name == text);
        known
            .map(|&(norm, _)| norm)
            .ok_or_else(|| Error::value("Norm::from_str", "norm", "l1, l2 or max", format!("`{text}`")))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, columns, norm } = self;
        write!(f, "{rows}x{columns}")?;
        if *norm == Norm::L2 { Ok(()) } else { write!(f, ":{norm}") }
    }
}

impl FromStr for Block {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            let expected = "ROWSxCOLUMNS, with :l1 or :max behind it for another norm than l2";
            Error::value("Block::from_str", "block", expected, format!("`{text}`"))
        };
        let (sides, norm) = text.split_once(':').map_or((text, None), |(sides, norm)| (sides, Some(norm)));
        let (rows, columns) = sides.split_once('x').ok_or_else(fault)?;
        let side = |text: &str| text.parse().ok().filter(|&side| side > 0).ok_or_else(fault);
        let norm = norm.map_or(Ok(Norm::L2), |norm| norm.parse().map_err(|_: Error| fault()))?;
        Ok(Self { rows: side(rows)?, columns: side(columns)?, norm })
    }
}
