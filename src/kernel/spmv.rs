//! `Y = activation(W·X + bias)` for a few samples: what the kernels of all formats for rows are given, and how their
//! sums end.

use std::ops::Range;

use super::activate::fused;
use super::vector::spread;
use super::{Outputs, SpmvCsr, Vector};
use crate::Activation;
use crate::format::{CsrMatrix, RowChunks, Rows};

/// One layer on one to four samples, which share what a packed matrix says of its columns: a [task](super::Task) for
/// each of the formats that `M` can be.
pub(crate) struct Spmv<'a, M> {
    pub(crate) matrix: &'a M,
    pub(crate) layer: RowLayer<'a>,
}

/// What such a layer has besides its packed weights, and which of its rows are asked for.
pub(crate) struct RowLayer<'a> {
    /// What the matrix was packed from: for its shares, and for what does not come out finite.
    pub(crate) exact: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    /// `[samples, x_stride]`, of which each sample's first `in` are its features; readable as far as the format asks.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    /// Whole [shares](CsrMatrix::shares) of rows.
    pub(crate) y: Outputs<'a>,
}

impl RowLayer<'_> {
    /// Measures the slices against a matrix `[rows, columns]`, of which a kernel reads `readable` columns.
    ///
    /// # Panics
    /// When one of them is too short.
    #[inline(always)]
    pub(super) fn check(&self, (rows, columns): (usize, usize), readable: usize) {
        let whole = |end| end == 0 || end == rows || self.exact.shares().contains(&end);
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert_eq!(self.exact.shape(), (rows, columns), "the same matrix in CSR");
        let Range { start, end } = self.y.rows();
        assert!(end <= rows && whole(start) && whole(end), "whole shares of the rows");
        assert!(self.x_stride >= readable.max(columns), "x is readable as far as the format asks");
        assert!(self.x.len() >= self.y.samples() * self.x_stride, "x is [samples, x_stride]");
    }

    /// Sees that chunks of rows keep to the shares that `y` is whole ones of.
    ///
    /// # Panics
    /// When they keep to others.
    #[inline(always)]
    pub(super) fn check_chunks(&self, chunks: &RowChunks) {
        // All rows are a share.
        let whole = self.y.rows() == (0..self.bias.len());
        assert!(whole || chunks.shares() == self.exact.shares(), "chunks of the same shares");
    }

    /// The same rows as vectors, or whatever else has so many of them and begins where shares do.
    #[inline(always)]
    pub(super) fn vectors(&self, height: usize) -> Range<usize> {
        let Range { start, end } = self.y.rows();
        start / height..end.div_ceil(height)
    }

    /// Adds the bias to a sample's sums of some rows, applies the activation, and writes them where they belong. A sum
    /// that is not finite is done again from the CSR.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`; what [`check`](Self::check) asserts holds, and
    /// [`check_chunks`](Self::check_chunks), if the rows are a chunk's; and there are such a sample and the rows that
    /// are named, among those that are asked for.
    #[inline(always)]
    pub(super) unsafe fn finish<V: Vector>(&mut self, sample: usize, rows: Rows<'_>, sums: V) {
        let (exact, bias, activation, first) = (self.exact, self.bias, self.activation, self.y.start());
        let complete = match rows {
            Rows::From(row) => row + V::LANES <= bias.len(),
            Rows::Of(rows) => rows[V::LANES - 1] != u32::MAX,
        };
        // SAFETY: the caller's promises; the rows of a complete vector, neighbours or not, all lie in `bias`, and, as
        // chunks keep to shares, in `y`.
        unsafe {
            let x = self.x.get_unchecked(sample * self.x_stride..);
            let y = self.y.sample_unchecked(sample);
            if complete && sums.all_finite() {
                let sums = sums.add(match rows {
                    Rows::From(row) => V::load(bias, row),
                    Rows::Of(rows) => V::gather(bias, rows, 0),
                });
                let values = match activation {
                    Activation::Relu => sums.relu(),
                    _ => sums,
                };
                match rows {
                    Rows::From(row) => values.store(y, row - first),
                    Rows::Of(rows) => {
                        for (value, &row) in spread(values).into_iter().zip(rows) {
                            y[row as usize - first] = value;
                        }
                    }
                }
                return;
            }
            for (lane, sum) in spread(sums).into_iter().enumerate().take(V::LANES) {
                let row = match rows {
                    Rows::From(row) => row + lane,
                    Rows::Of(rows) => rows[lane] as usize,
                };
                if row >= bias.len() {
                    break;
                }
                let bias = V::read(bias, row);
                let sum = if sum.is_finite() { sum + bias } else { SpmvCsr::row::<V>(exact, row, bias, x) };
                y[row - first] = fused(activation, sum);
            }
        }
    }
}
