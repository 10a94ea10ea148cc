//! Between `[batch, features]` and `[features, samples]`.

use super::{Task, Vector};

/// `target[column, row] = source[row, column]` for a matrix of `rows` × `columns`.
pub(crate) struct Transpose<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `rows`, or the next whole vectors of them: the target has room for so many, and those beyond `rows` become zeros.
    pub(crate) padded_rows: usize,
    pub(crate) source: &'a [f32],
    /// Floats from a row of the source to the next: at least `columns`.
    pub(crate) source_stride: usize,
    pub(crate) target: &'a mut [f32],
    /// Floats from a column (of the source) to the next in the target.
    pub(crate) target_stride: usize,
}

impl Task for Transpose<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { rows, columns, padded_rows, source, source_stride, target, target_stride } = self;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(
            padded_rows == rows || padded_rows == rows.next_multiple_of(V::LANES),
            "whole vectors of padding"
        );
        assert!(source_stride >= columns, "rows do not overlap");
        assert!(source.len() >= (rows - 1) * source_stride + columns, "the source holds the matrix");
        assert!(target.len() >= (columns - 1) * target_stride + padded_rows, "the target holds the matrix");
        // A last block that is not whole reaches back over its neighbour, if there is one.
        let back = |start: usize, end: usize| {
            if end >= V::LANES { start.min(end - V::LANES) } else { start }
        };
        for row in (0..rows).step_by(V::LANES) {
            let row = if row + V::LANES > padded_rows { back(row, rows) } else { row };
            for column in (0..columns).step_by(V::LANES) {
                let column = back(column, columns);
                let block = ((rows - row).min(V::LANES), (columns - column).min(V::LANES));
                let (at, to) = (row * source_stride + column, column * target_stride + row);
                let readable = at + (block.0 - 1) * source_stride + V::LANES <= source.len();
                if readable && row + V::LANES <= padded_rows {
                    // SAFETY: the caller promises the instruction set; the block's last row can be read to its end,
                    // and each of its columns has room for whole vectors.
                    unsafe { V::transpose(block, source, at, source_stride, target, to, target_stride) };
                    continue;
                }
                let lanes = V::LANES.min(padded_rows - row);
                for column in 0..block.1 {
                    for lane in 0..lanes {
                        let place = &mut target[to + column * target_stride + lane];
                        *place =
                            if lane < block.0 { source[at + lane * source_stride + column] } else { 0.0 };
                    }
                }
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
            target[to + whole..to + columns].copy_from_slice(&source[at + whole..at + columns]);
        }
    }
}
