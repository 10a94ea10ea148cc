//! Between the caller's `[batch, features]` and rows: the features of a few samples, side by side.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::Isa;
use crate::kernel::CopySlice;

/// Some samples of a batch as rows.
pub(super) struct Rows {
    pub(super) samples: Range<usize>,
    /// Floats from the beginning of a sample to that of the next, as many as there are features or more.
    pub(super) stride: usize,
}

/// Samples of which all values of a feature are moved at once, where they follow each other: one sample after the other
/// would go through the whole batch for each.
const TOGETHER: usize = 4;

impl Rows {
    /// Copies the samples of `x` (`[batch, features]`) to `rows`.
    pub(super) fn load(&self, x: ArrayView2<'_, f32>, rows: &mut [f32], isa: Isa) {
        let (batch, features) = x.dim();
        let mut rows = rows.chunks_exact_mut(self.stride.max(1)).map(|row| &mut row[..features]);
        if batch > 1 && x.strides()[0] == 1 {
            for samples in self.groups() {
                // Without gaps the features follow each other in one slice; in a part of a wider matrix each is a slice
                // of its own.
                match x.reversed_axes().to_slice() {
                    Some(x) => gather_some(x.chunks_exact(batch), &samples, &mut rows),
                    None => {
                        gather_some(x.columns().into_iter().filter_map(|x| x.to_slice()), &samples, &mut rows)
                    }
                }
            }
            return;
        }
        for (sample, row) in self.samples.clone().zip(rows) {
            let x = x.row(sample);
            match x.as_slice() {
                Some(x) => isa.run(CopySlice { from: x, to: row }),
                None => row.iter_mut().zip(x).for_each(|(place, &value)| *place = value),
            }
        }
    }

    /// Copies `rows` to the samples of `y` (`[batch, features]`).
    pub(super) fn store(&self, rows: &[f32], mut y: ArrayViewMut2<'_, f32>, isa: Isa) {
        let (batch, features) = y.dim();
        let mut rows = rows.chunks_exact(self.stride.max(1)).map(|row| &row[..features]);
        if batch > 1 && y.strides()[0] == 1 {
            for samples in self.groups() {
                match y.view_mut().reversed_axes().into_slice() {
                    Some(y) => scatter_some(&mut rows, y.chunks_exact_mut(batch), &samples),
                    None => {
                        let y = y.columns_mut().into_iter().filter_map(|y| y.into_slice());
                        scatter_some(&mut rows, y, &samples);
                    }
                }
            }
            return;
        }
        for (sample, row) in self.samples.clone().zip(rows) {
            let mut y = y.row_mut(sample);
            match y.as_slice_mut() {
                Some(y) => isa.run(CopySlice { from: row, to: y }),
                None => y.iter_mut().zip(row).for_each(|(place, &value)| *place = value),
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.samples.end;
        self.samples.clone().step_by(TOGETHER).map(move |start| start..(start + TOGETHER).min(end))
    }
}

/// Of each feature the values of some samples, to the next rows.
fn gather_some<'a, 'b>(
    x: impl Iterator<Item = &'a [f32]>,
    samples: &Range<usize>,
    rows: &mut impl Iterator<Item = &'b mut [f32]>,
) {
    let x = x.map(|x| &x[samples.clone()]);
    match samples.len() {
        1 => gather::<1>(x, rows),
        2 => gather::<2>(x, rows),
        3 => gather::<3>(x, rows),
        _ => gather::<TOGETHER>(x, rows),
    }
}

/// Of each feature the values of `N` samples, to the next `N` rows.
fn gather<'a, 'b, const N: usize>(
    x: impl Iterator<Item = &'a [f32]>,
    rows: &mut impl Iterator<Item = &'b mut [f32]>,
) {
    let mut rows: [_; N] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    for (feature, x) in x.filter_map(|x| x.first_chunk::<N>()).enumerate() {
        for (row, &value) in rows.iter_mut().zip(x) {
            row[feature] = value;
        }
    }
}

/// Of the next rows, to each feature their values of some samples.
fn scatter_some<'a, 'b>(
    rows: &mut impl Iterator<Item = &'a [f32]>,
    y: impl Iterator<Item = &'b mut [f32]>,
    samples: &Range<usize>,
) {
    let y = y.map(|y| &mut y[samples.clone()]);
    match samples.len() {
        1 => scatter::<1>(rows, y),
        2 => scatter::<2>(rows, y),
        3 => scatter::<3>(rows, y),
        _ => scatter::<TOGETHER>(rows, y),
    }
}

/// Of the next `N` rows, to each feature their values.
fn scatter<'a, 'b, const N: usize>(
    rows: &mut impl Iterator<Item = &'a [f32]>,
    y: impl Iterator<Item = &'b mut [f32]>,
) {
    let rows: [_; N] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    for (feature, y) in y.filter_map(|y| y.first_chunk_mut::<N>()).enumerate() {
        for (value, row) in y.iter_mut().zip(&rows) {
            *value = row[feature];
        }
    }
}
