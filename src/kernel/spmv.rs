//! `Y = activation(W·X + bias)` for a few samples: what the kernels of all formats for rows are given, and how their sums end.

use super::activate::fused;
use super::vector::spread;
use super::{SpmvCsr, Vector};
use crate::Activation;
use crate::format::{CsrMatrix, Rows};

/// One layer on one to four samples, which share what a packed matrix says of its columns: a [task](super::Task) for each of the formats
/// that `M` can be.
pub(crate) struct Spmv<'a, M> {
    pub(crate) matrix: &'a M,
    pub(crate) layer: RowLayer<'a>,
}

/// What such a layer has besides its packed weights. Activations are sample-major: `x_stride` and `y_stride` floats apart.
pub(crate) struct RowLayer<'a> {
    /// The same matrix in plain CSR, for what does not come out finite.
    pub(crate) exact: &'a CsrMatrix,
    /// `[out]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    pub(crate) samples: usize,
    /// `[samples, x_stride]`, of which each sample's first `in` are its features; readable as far as the format asks.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    /// `[samples, y_stride]`.
    pub(crate) y: &'a mut [f32],
    pub(crate) y_stride: usize,
    /// Whether sliced ELLPACK, the only one to gather activations, does so by the CPU's instruction, rather than lane by lane.
    pub(crate) gather_at_once: bool,
}

impl RowLayer<'_> {
    /// Measures the slices against a matrix `[rows, columns]`, of which a kernel reads `readable` columns.
    ///
    /// # Panics
    /// When one of them is too short.
    #[inline(always)]
    pub(super) fn check(&self, (rows, columns): (usize, usize), readable: usize) {
        assert_eq!(self.bias.len(), rows, "one bias a row");
        assert_eq!(self.exact.shape(), (rows, columns), "the same matrix in CSR");
        assert!(self.x_stride >= readable.max(columns), "x is readable as far as the format asks");
        assert!(self.x.len() >= self.samples * self.x_stride, "x is [samples, x_stride]");
        assert!(
            self.y_stride >= rows && self.y.len() >= self.samples * self.y_stride,
            "y is [samples, y_stride]"
        );
    }

    /// Adds the bias to a sample's sums of some rows, applies the activation, and writes them where they belong. A sum that is not
    /// finite is done again from the CSR.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`; what [`check`](Self::check) asserts holds, and there are such a sample and the rows
    /// that are named.
    #[inline(always)]
    pub(super) unsafe fn finish<V: Vector>(&mut self, sample: usize, rows: Rows<'_>, sums: V) {
        let (exact, bias, activation) = (self.exact, self.bias, self.activation);
        let complete = match rows {
            Rows::From(row) => row + V::LANES <= bias.len(),
            Rows::Of(rows) => rows[V::LANES - 1] != u32::MAX,
        };
        // SAFETY: the caller's promises; the rows of a complete vector, neighbours or not, all lie in `bias` and `y`.
        unsafe {
            let x = self.x.get_unchecked(sample * self.x_stride..);
            let y = self.y.get_unchecked_mut(sample * self.y_stride..);
            if complete && sums.all_finite() {
                let sums = sums.add(match rows {
                    Rows::From(row) => V::load(bias, row),
                    Rows::Of(rows) => V::gather::<_, false>(bias, rows, 0),
                });
                let values = match activation {
                    Activation::Relu => sums.relu(),
                    _ => sums,
                };
                match rows {
                    Rows::From(row) => values.store(y, row),
                    Rows::Of(rows) => {
                        for (value, &row) in spread(values).into_iter().zip(rows) {
                            y[row as usize] = value;
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
                y[row] = fused(activation, sum);
            }
        }
    }
}
