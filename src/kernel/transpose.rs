//! Between `[batch, features]` and `[features, samples]`.

use super::{Task, Vector};

/// `target[column, row] = source[row, column]` for a matrix of `rows` × `columns`.
pub(crate) struct Transpose<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) source: &'a [f32],
    /// Floats from a row of the source to the next.
    pub(crate) source_stride: usize,
    pub(crate) target: &'a mut [f32],
    /// Floats from a column (of the source) to the next in the target.
    pub(crate) target_stride: usize,
}

impl Task for Transpose<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, columns, source, source_stride, target, target_stride } = self;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(source.len() >= (rows - 1) * source_stride + columns, "the source holds the matrix");
        assert!(target.len() >= (columns - 1) * target_stride + rows, "the target holds the matrix");
        let (whole_rows, whole_columns) = (rows / V::LANES * V::LANES, columns / V::LANES * V::LANES);
        for row in (0..whole_rows).step_by(V::LANES) {
            for column in (0..whole_columns).step_by(V::LANES) {
                let (at, to) = (row * source_stride + column, column * target_stride + row);
                // SAFETY: the caller promises the instruction set; the block is whole, and source and target have been
                // measured.
                unsafe { V::transpose(source, at, source_stride, target, to, target_stride) };
            }
        }
        for row in 0..rows {
            let done = if row < whole_rows { whole_columns } else { 0 };
            for column in done..columns {
                target[column * target_stride + row] = source[row * source_stride + column];
            }
        }
    }
}

/// `target[row, column] = source[row, column]` for a matrix of `rows` × `columns`.
pub(crate) struct CopyRows<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) source: &'a [f32],
    /// Floats from a row of the source to the next.
    pub(crate) source_stride: usize,
    pub(crate) target: &'a mut [f32],
    /// Floats from a row of the target to the next.
    pub(crate) target_stride: usize,
}

impl Task for CopyRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, columns, source, source_stride, target, target_stride } = self;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(source.len() >= (rows - 1) * source_stride + columns, "the source holds the matrix");
        assert!(target.len() >= (rows - 1) * target_stride + columns, "the target holds the matrix");
        let whole = columns / V::LANES * V::LANES;
        for row in 0..rows {
            let (at, to) = (row * source_stride, row * target_stride);
            for column in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller promises the instruction set; source and target have been measured.
                unsafe { V::load(source, at + column).store(target, to + column) };
            }
            for column in whole..columns {
                target[to + column] = source[at + column];
            }
        }
    }
}
