//! A layer on a few samples, its rows shared out between threads.

use super::{SparseLinear, join};
use crate::Activation;
use crate::kernel::{Activate, Outputs, RowLayer, Spmv, SpmvCsr, is_fused};
use crate::plan::Format;

/// A few samples side by side, which share a pass over a layer's weights.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) samples: usize,
    /// `[samples, stride]`, with a stride to which whole windows of a lookup can be read.
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    /// Samples of the largest group of the batch.
    pub(super) together: usize,
}

impl SparseLinear {
    /// The layer on a group of samples, in a format for rows: `y` is `[samples, stride]`, too. Threads of the current
    /// rayon pool share its rows, if there are several and it has weights enough.
    pub(super) fn forward_rows(&self, format: Format, group: Group<'_>, y: &mut [f32], threads: usize) {
        let mut y = Outputs::new(y, group.samples, group.stride, self.shape().0);
        if threads > 1 {
            self.share_rows(format, group, self.matrix().shares(), y.reborrow());
        } else {
            self.forward_shares(format, group, y.reborrow());
        }
        // It is not there before all rows are.
        if self.activation() == Activation::Softmax {
            self.activate(y);
        }
    }

    /// Some neighbouring shares, of which there are the starts, and the end of the last one. They are handed over one
    /// by one: a thread that has less to do than it seemed takes some of another's.
    fn share_rows(&self, format: Format, group: Group<'_>, shares: &[usize], y: Outputs<'_>) {
        if shares.len() <= 2 {
            return self.forward_shares(format, group, y);
        }
        let middle = shares.len() / 2;
        let (left, right) = y.split_at(shares[middle]);
        join(
            || self.share_rows(format, group, &shares[..=middle], left),
            || self.share_rows(format, group, &shares[middle..], right),
        );
    }

    /// Whole shares of rows, but for a softmax.
    fn forward_shares(&self, format: Format, group: Group<'_>, mut y: Outputs<'_>) {
        let Group { x, stride: x_stride, together, .. } = group;
        let (exact, bias, activation, isa) =
            (self.matrix(), self.bias_slice(), self.activation(), self.isa());
        let layer = RowLayer { exact, bias, activation, x, x_stride, y: y.reborrow() };
        match format {
            Format::Nm => isa.run(Spmv { matrix: self.nm(), layer }),
            Format::Block => isa.run(Spmv { matrix: self.blocks(), layer }),
            Format::Sell => isa.run(Spmv { matrix: self.sell(), layer }),
            Format::Lookup => isa.run(Spmv { matrix: self.lookup(together), layer }),
            Format::Csr | Format::Panel | Format::Dense => {
                isa.run(SpmvCsr { matrix: exact, bias, activation, x, x_stride, y: layer.y });
            }
        }
        if !is_fused(activation) && activation != Activation::Softmax {
            self.activate(y);
        }
    }

    /// The activation, on some rows of each sample.
    fn activate(&self, mut y: Outputs<'_>) {
        let (activation, features) = (self.activation(), y.rows().len());
        for sample in 0..y.samples() {
            let values = y.sample(sample);
            self.isa().run(Activate { activation, values, features, by_features: false });
        }
    }
}
