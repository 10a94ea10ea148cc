//! `Y = activation(W·X + bias)` for a tile of samples and a band of rows, `W` packed in [panels](PanelMatrix).

use std::ops::Range;

use super::{Task, Vector};
use crate::Activation;
use crate::format::{PANEL_ROWS, PLACES, PanelMatrix};

/// A band of a layer's rows on one tile. Activations are feature-major: `samples` floats for each feature.
pub(crate) struct SpmmPanel<'a> {
    pub(crate) matrix: &'a PanelMatrix,
    pub(crate) band: usize,
    /// The band's panels to add to the sums; with the first they begin, after the last they are complete.
    pub(crate) panels: Range<usize>,
    /// `[rows of the band]`.
    pub(crate) bias: &'a [f32],
    /// Applied if it [is fused](super::is_fused).
    pub(crate) activation: Activation,
    /// Samples of the tile: one to four times the lanes of the instruction set.
    pub(crate) samples: usize,
    /// Whether rows have two sums each, which take turns, in a tile of one vector.
    pub(crate) sums_twice: bool,
    /// Whether each weight is splat by a load of its own, or four by one load and shuffles.
    pub(crate) splat_by_loads: bool,
    /// Whether the matrix is asked for ahead of its use.
    pub(crate) ask_ahead: bool,
    /// `[features, samples]`, for the columns of those panels.
    pub(crate) x: &'a [f32],
    /// `[rows of the band, samples]`: sums, between the first panel and the last.
    pub(crate) y: &'a mut [f32],
}

/// How far ahead of its use a matrix is asked for.
const AHEAD: usize = 1024;

impl Task for SpmmPanel<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = self.matrix.rows_of(self.band..self.band + 1).len();
        assert_eq!(self.bias.len(), rows, "one bias a row");
        let columns = self.matrix.columns_of(self.panels.clone());
        assert_eq!(self.x.len(), columns.len() * self.samples, "x is [features, samples]");
        assert_eq!(self.y.len(), rows * self.samples, "y is [rows, samples]");
        assert!(
            !self.sums_twice || self.samples == V::LANES,
            "there are registers for twice the sums of one vector"
        );
        // SAFETY: the caller promises the instruction set; the slices have just been measured against `samples`,
        // and `N` vectors are what `samples` is in each arm.
        unsafe {
            match (self.splat_by_loads, self.sums_twice) {
                (true, false) => run_tile!(self, V, true),
                (false, false) => run_tile!(self, V, false),
                (true, true) => self.walk::<V, 1, true, 2>(),
                (false, true) => self.walk::<V, 1, false, 2>(),
            }
        }
    }
}

impl SpmmPanel<'_> {
    /// # Safety
    /// The CPU has the instruction set of `V`, `samples` is `N` vectors, and the slices have the lengths that `run`
    /// asserts.
    #[inline(always)]
    unsafe fn tile<V: Vector, const N: usize, const BY_LOADS: bool>(self) {
        // SAFETY: the caller's promises.
        unsafe { self.walk::<V, N, BY_LOADS, 1>() }
    }

    /// The tile, with `S` sums for each of a group's rows.
    ///
    /// # Safety
    /// As [`tile`](Self::tile).
    #[inline(always)]
    unsafe fn walk<V: Vector, const N: usize, const BY_LOADS: bool, const S: usize>(self) {
        let Self { matrix, band, panels, bias, activation, ask_ahead, x, y, .. } = self;
        let origin = matrix.columns_of(panels.clone()).start;
        let turn = if S == 1 { V::PANEL_STEPS } else { 1 };
        for index in panels {
            let panel = &matrix.band(band)[index];
            let (first, last) = (index == 0, index + 1 == matrix.panels_of_band());
            let x = &x[(panel.column - origin) * N * V::LANES..];
            let mut entries = Entries { matrix, at: panel.at, entry: panel.entry };
            for group in &matrix.groups()[panel.groups.clone()] {
                // SAFETY: for the whole body: `PanelMatrix` keeps rows below those of the band and a panel's columns
                // below its width, so the vectors of a row or a column lie in `y` or `x`, which hold `N` vectors for
                // each; and the counts of a panel's groups add up to the columns and entries that it has.
                unsafe {
                    let rows = group.rows.map(usize::from);
                    if ask_ahead {
                        entries.prefetch::<V>(group.entries());
                    }
                    let mut sums = [[[V::splat(0.0); N]; PANEL_ROWS]; S];
                    for (sums, &row) in sums[0].iter_mut().zip(&rows) {
                        for (n, sum) in sums.iter_mut().enumerate() {
                            *sum = if first {
                                V::splat(V::read(bias, row))
                            } else {
                                V::load(y, (row * N + n) * V::LANES)
                            };
                        }
                    }
                    for _ in 0..group.fours as usize / S {
                        for sums in &mut sums {
                            entries.four(x, sums);
                        }
                    }
                    for sums in sums.iter_mut().take(group.fours as usize % S) {
                        entries.four(x, sums);
                    }
                    for _ in 0..group.pairs as usize / S {
                        for sums in &mut sums {
                            entries.pair::<V, N, BY_LOADS>(x, sums);
                        }
                    }
                    for sums in sums.iter_mut().take(group.pairs as usize % S) {
                        entries.pair::<V, N, BY_LOADS>(x, sums);
                    }
                    for _ in 0..group.singles as usize / (turn * S) {
                        for _ in 0..turn {
                            for sums in &mut sums {
                                entries.single::<V, N, BY_LOADS>(x, sums);
                            }
                        }
                    }
                    for _ in 0..group.singles as usize % (turn * S) / S {
                        for sums in &mut sums {
                            entries.single::<V, N, BY_LOADS>(x, sums);
                        }
                    }
                    for sums in sums.iter_mut().take(group.singles as usize % S) {
                        entries.single::<V, N, BY_LOADS>(x, sums);
                    }
                    for (sums, &rest) in sums[0].iter_mut().zip(&group.rest) {
                        for _ in 0..rest {
                            entries.rest(x, sums);
                        }
                    }
                    let mut total = sums[0];
                    for sums in &sums[1..] {
                        for (total, sums) in total.iter_mut().zip(sums) {
                            for (total, &sum) in total.iter_mut().zip(sums) {
                                *total = total.add(sum);
                            }
                        }
                    }
                    // Backwards, so that the first row comes last: it stands in for rows that a last group lacks.
                    for (sums, &row) in total.iter().zip(&rows).rev() {
                        for (n, &sum) in sums.iter().enumerate() {
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
    }
}

/// The entries of a panel, walked from the first to the last.
struct Entries<'a> {
    matrix: &'a PanelMatrix,
    /// Where the next places are.
    at: usize,
    /// Where the next values are.
    entry: usize,
}

/// # Safety
/// For all methods: the CPU has the instruction set of `V`, there are so many entries left, and `x` has `N` vectors for
/// each of their columns.
impl Entries<'_> {
    /// Asks for so many entries, ahead of their use.
    #[inline(always)]
    unsafe fn prefetch<V: Vector>(&self, entries: usize) {
        // SAFETY: the caller's promises.
        unsafe {
            for line in (0..entries).step_by(16) {
                V::prefetch(self.matrix.values(), self.entry + AHEAD + line);
            }
            for line in (0..entries).step_by(32) {
                V::prefetch(self.matrix.places(), self.at + AHEAD + line);
            }
        }
    }

    /// A column that all rows share.
    #[inline(always)]
    unsafe fn four<V: Vector, const N: usize>(&mut self, x: &[f32], sums: &mut [[V; N]; PANEL_ROWS]) {
        let values = self.matrix.values();
        // SAFETY: the caller's promises.
        unsafe {
            let x_at = first_of::<V, N>(V::read(self.matrix.places(), self.at));
            let (first, second) = sums.split_at_mut(2);
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| V::read(values, self.entry + row));
            multiply_both([V::splat(a), V::splat(b)], x, x_at, first);
            multiply_both([V::splat(c), V::splat(d)], V::again(x), x_at, second);
        }
        (self.at, self.entry) = (self.at + 1, self.entry + PANEL_ROWS);
    }

    /// A column that the first two rows share, and one of the last two.
    #[inline(always)]
    unsafe fn pair<V: Vector, const N: usize, const BY_LOADS: bool>(
        &mut self,
        x: &[f32],
        sums: &mut [[V; N]; PANEL_ROWS],
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            let [a, b, c, d] = splat_four::<V, BY_LOADS>(self.matrix.values(), self.entry);
            let places = [self.at, self.at + 1].map(|at| V::read(self.matrix.places(), at));
            let (first, second) = sums.split_at_mut(2);
            multiply_both([a, b], x, first_of::<V, N>(places[0]), first);
            multiply_both([c, d], x, first_of::<V, N>(places[1]), second);
        }
        (self.at, self.entry) = (self.at + 2, self.entry + PANEL_ROWS);
    }

    /// A column of each row.
    #[inline(always)]
    unsafe fn single<V: Vector, const N: usize, const BY_LOADS: bool>(
        &mut self,
        x: &[f32],
        sums: &mut [[V; N]; PANEL_ROWS],
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            let places = V::read_four(self.matrix.places(), self.at);
            let weights = splat_four::<V, BY_LOADS>(self.matrix.values(), self.entry);
            for (offset, (weight, sums)) in weights.into_iter().zip(sums).enumerate() {
                let x_at = first_of::<V, N>((places >> (16 * offset)) as u16);
                multiply(weight, x, x_at, sums);
            }
        }
        (self.at, self.entry) = (self.at + PANEL_ROWS, self.entry + PANEL_ROWS);
    }

    /// A column of one row.
    #[inline(always)]
    unsafe fn rest<V: Vector, const N: usize>(&mut self, x: &[f32], sums: &mut [V; N]) {
        // SAFETY: the caller's promises.
        unsafe {
            let x_at = first_of::<V, N>(V::read(self.matrix.places(), self.at));
            multiply(V::splat(V::read(self.matrix.values(), self.entry)), x, x_at, sums);
        }
        (self.at, self.entry) = (self.at + 1, self.entry + 1);
    }
}

/// A splat of each of `values[at..at + 4]`.
///
/// # Safety
/// The CPU has the instruction set of `V`, and the four lie in `values`.
#[inline(always)]
unsafe fn splat_four<V: Vector, const BY_LOADS: bool>(values: &[f32], at: usize) -> [V; 4] {
    // SAFETY: the caller's promises.
    unsafe {
        if BY_LOADS {
            let [a, b, c, d] = [0, 1, 2, 3].map(|offset| V::read(values, at + offset));
            [V::splat(a), V::splat(b), V::splat(c), V::splat(d)]
        } else {
            V::splat_four(values, at)
        }
    }
}

/// Where the activations of a column begin, from its place.
#[inline(always)]
fn first_of<V: Vector, const N: usize>(place: u16) -> usize {
    let place = usize::from(place);
    if V::LANES >= PLACES { place * (N * V::LANES / PLACES) } else { place / (PLACES / V::LANES) * N }
}

/// Adds two weights, splat, times the activations of one column to the sums of their rows, with one load for both.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_both<V: Vector, const N: usize>(
    weights: [V; 2],
    x: &[f32],
    x_at: usize,
    sums: &mut [[V; N]],
) {
    // SAFETY: the caller's promises.
    unsafe {
        for n in 0..N {
            let x = V::load(x, x_at + n * V::LANES);
            for (weight, sums) in weights.iter().zip(&mut *sums) {
                sums[n] = weight.mul_add(x, sums[n]);
            }
        }
    }
}

/// Adds a weight, splat, times the activations of a column, which begin at `x_at`, to the sums of its row.
///
/// # Safety
/// The CPU has the instruction set of `V`, and `x` has `N` vectors from `x_at` on.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, const N: usize>(
    weight: V,
    x: &[f32],
    x_at: usize,
    sums: &mut [V; N],
) {
    // SAFETY: the caller's promises.
    unsafe {
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = weight.mul_add(V::load(x, x_at + n * V::LANES), *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::format::CsrMatrix;
    use crate::{Isa, Mask};

    /// A CPU takes one of the two ways, so that no test through the public interface sees both.
    #[test]
    fn weights_are_splat_either_way_to_the_same_bits() {
        // Dense enough for columns that four rows and two rows share, and rows that do not fill their last group.
        let (rows, columns) = (67, 90);
        let weight = Array2::from_shape_fn((rows, columns), |(i, j)| ((31 * i + 7 * j) as f32).sin());
        let mask = Mask::random((rows, columns), 0.6, 1).unwrap();
        let csr = CsrMatrix::new(mask.apply(weight.view()).unwrap()).unwrap();
        let matrix = PanelMatrix::new(&csr, 40).unwrap();
        let bias: Vec<f32> = (0..rows).map(|row| (row as f32).cos()).collect();
        for isa in Isa::available() {
            let tiles = (1..=isa.tile_vectors()).map(|vectors| (vectors * isa.lanes(), false));
            for (samples, sums_twice) in tiles.chain([(isa.lanes(), true)]) {
                let x: Vec<f32> = (0..columns * samples).map(|at| (at as f32).sin()).collect();
                let [by_loads, by_shuffles] = [true, false].map(|splat_by_loads| {
                    let mut y = vec![0.0; rows * samples];
                    isa.run(SpmmPanel {
                        matrix: &matrix,
                        band: 0,
                        panels: 0..matrix.panels_of_band(),
                        bias: &bias,
                        activation: Activation::Relu,
                        samples,
                        sums_twice,
                        splat_by_loads,
                        ask_ahead: splat_by_loads,
                        x: &x,
                        y: &mut y,
                    });
                    y
                });
                assert_eq!(by_loads, by_shuffles, "{isa}, {samples} samples");
                // And against sums in f64: γ₄₀·Σ|w||x| of some 36 products below 1 is below 1e-4.
                for (row, y) in by_loads.chunks_exact(samples).enumerate() {
                    for (sample, &y) in y.iter().enumerate() {
                        let entries = csr.csr().outer_view(row).unwrap();
                        let products = entries.iter().map(|(column, &weight)| {
                            f64::from(weight) * f64::from(x[column * samples + sample])
                        });
                        let expected = (f64::from(bias[row]) + products.sum::<f64>()).max(0.0);
                        assert!((f64::from(y) - expected).abs() < 1e-4, "{isa}: {y} for {expected}");
                    }
                }
            }
        }
    }
}
