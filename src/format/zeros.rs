//! Weights of 0 that are kept.

use super::{CsrMatrix, csr_of_rows};
use crate::csr::Csr;

/// Rows and columns of the entries whose value is +0, which a format's slots do not tell from padding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Zeros(Vec<(u32, u32)>);

impl Zeros {
    pub(super) fn of(matrix: &CsrMatrix) -> Self {
        let values = &matrix.values()[..matrix.kept()];
        let is_zero = |&at: &usize| values[at].to_bits() == 0;
        // Counted first, which takes a vector at a time: mostly there are none.
        let count = values.iter().filter(|value| value.to_bits() == 0).count();
        let zeros = (0..values.len()).filter(is_zero).take(count).map(|at| {
            let row = matrix.pointers().partition_point(|&start| start as usize <= at) - 1;
            (row as u32, matrix.columns()[at])
        });
        Self(zeros.collect())
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.0[..])
    }

    /// The matrix of all other entries, row by row, and these.
    pub(super) fn csr_with(&self, shape: (usize, usize), mut others: Vec<Vec<(u32, f32)>>) -> Csr {
        for &(row, column) in &self.0 {
            others[row as usize].push((column, 0.0));
        }
        others.iter_mut().for_each(|row| row.sort_unstable_by_key(|&(column, _)| column));
        csr_of_rows(shape, others)
    }
}
