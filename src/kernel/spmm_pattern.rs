//! `Y = activation(W·X + bias)` for a tile of samples, where the values of `W` change: [`Pattern`].

use super::spmm_panel::multiply;
use super::{Task, Vector};
use crate::Activation;
use crate::format::Pattern;

/// A product with the weights at the places of a pattern, or, with a transposed pattern, with their transpose.
/// Activations are feature-major: `samples` floats for each feature.
pub(crate) struct SpmmPattern<'a> {
    pub(crate) pattern: &'a Pattern,
    /// One a place.
    pub(crate) values: &'a [f32],
    /// `[out]`; none is zeros.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    /// Samples of the tile: one to four times the lanes of the instruction set.
    pub(crate) samples: usize,
    /// `[in, samples]`.
    pub(crate) x: &'a [f32],
    /// `[out, samples]`.
    pub(crate) y: &'a mut [f32],
}

/// Sums of a row that run side by side, each of as many vectors as the tile has: they hide the latency of a
/// multiply-add.
const SUMS: usize = 2;

impl Task for SpmmPattern<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (rows, columns) = self.pattern.shape();
        assert_eq!(self.values.len(), self.pattern.kept(), "one value a place");
        assert!(self.bias.is_none_or(|bias| bias.len() == rows), "one bias a row");
        assert_eq!(self.x.len(), columns * self.samples, "x is [in, samples]");
        assert_eq!(self.y.len(), rows * self.samples, "y is [out, samples]");
        // SAFETY: the caller promises the instruction set; the slices have just been measured against `samples`,
        // and `N` vectors are what `samples` is in each arm.
        unsafe { run_tile!(self, V) }
    }
}

impl SpmmPattern<'_> {
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `N` vectors, and the slices have the lengths that `run`
    /// asserts.
    #[inline(always)]
    unsafe fn tile<V: Vector, const N: usize>(self) {
        // SAFETY: the caller's promises.
        unsafe {
            match self.pattern.order() {
                None => self.rows::<V, N, false>(&[]),
                Some(order) => self.rows::<V, N, true>(order),
            }
        }
    }

    /// # Safety
    /// As [`tile`](Self::tile), and `order` is the pattern's if it is `ORDERED`.
    #[inline(always)]
    unsafe fn rows<V: Vector, const N: usize, const ORDERED: bool>(self, order: &[u32]) {
        let Self { pattern, values, bias, activation, x, y, .. } = self;
        let (rows, columns, pointers) = (pattern.shape().0, pattern.columns(), pattern.pointers());
        let segments = pointers.len() - 1;
        let rows_of_panels = (0..rows).cycle();
        for (segment, row) in (0..segments).zip(rows_of_panels) {
            let (first, last) = (segment < rows, segment + rows >= segments);
            // SAFETY: for the whole body: `Pattern` keeps a row's places between ascending pointers, its columns below
            // `in` and its order below the count of values, so the vectors of a row or a column lie in `y` or `x`,
            // which hold `N` vectors for each.
            unsafe {
                let (mut at, end) =
                    (V::read(pointers, segment) as usize, V::read(pointers, segment + 1) as usize);
                let mut sums = [[V::splat(0.0); N]; SUMS];
                for (n, sum) in sums[0].iter_mut().enumerate() {
                    *sum = match bias {
                        _ if !first => V::load(y, (row * N + n) * V::LANES),
                        Some(bias) => V::splat(V::read(bias, row)),
                        None => V::splat(0.0),
                    };
                }
                while at + 4 <= end {
                    let weights = if ORDERED {
                        let mut weights = [V::splat(0.0); 4];
                        for (offset, weight) in weights.iter_mut().enumerate() {
                            *weight = V::splat(V::read(values, V::read(order, at + offset) as usize));
                        }
                        weights
                    } else {
                        V::splat_four(values, at)
                    };
                    for (offset, weight) in weights.into_iter().enumerate() {
                        let column = V::read(columns, at + offset) as usize;
                        multiply(weight, x, column * N * V::LANES, &mut sums[offset % SUMS]);
                    }
                    at += 4;
                }
                while at < end {
                    let value = V::read(values, if ORDERED { V::read(order, at) as usize } else { at });
                    let column = V::read(columns, at) as usize;
                    multiply(V::splat(value), x, column * N * V::LANES, &mut sums[0]);
                    at += 1;
                }
                let [sums, others] = sums;
                for (n, (sum, other)) in sums.into_iter().zip(others).enumerate() {
                    let sum = sum.add(other);
                    let value = match activation {
                        Activation::Relu if last => sum.relu(),
                        _ => sum,
                    };
                    value.store(y, (row * N + n) * V::LANES);
                }
            }
        }
    }
}
