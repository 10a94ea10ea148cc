//! Constant fan-in, packed: as many slots in every row, for single samples and small batches of very sparse layers.
//!
//! The layout is ELLPACK's (Kincaid et al., *ITPACKV 2D User's Guide*, 1989): every row has the same length, so nothing says where
//! one begins, and no loop ends early. Rows are taken a vector at a time, slot by slot, and their activations are gathered. A
//! gather costs several times a step of a [lookup](super::LookupMatrix), but only for weights that are there: it wins where a
//! lookup's panels would be nearly empty, from some 99% sparsity on.
//!
//! Any matrix can be packed, with as many slots as its longest row has entries; it pays where rows are about as long, and
//! [`FanInMatrix::fit`] tells. A slot that holds nothing has weight 0 on the first column, and computes 0 × an activation, which
//! is NaN where that is infinite or NaN. The kernel redoes from the plain CSR whatever does not come out finite.

use super::{CsrMatrix, csr_of_rows};
use crate::aligned::Aligned;
use crate::csr::Csr;
use crate::{Error, Result};

/// The share of slots without a weight up to which a matrix fits.
const PADDING: f64 = 0.2;

/// A sparse matrix with the same count of slots in each row: 8 bytes a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct FanInMatrix {
    shape: (usize, usize),
    lanes: usize,
    fan_in: usize,
    /// For each vector of rows and each slot, a vector of columns, each below `in`.
    columns: Aligned<u32>,
    /// The same of values.
    values: Aligned<f32>,
    /// Slots of each row that hold a weight: the first ones.
    filled: Vec<u32>,
}

impl FanInMatrix {
    /// The fan-in of a matrix, if no more than a fifth of the slots stay empty when every row has so many.
    pub fn fit(matrix: &CsrMatrix) -> Option<usize> {
        let (rows, _) = matrix.shape();
        let longest = longest(matrix);
        let fits = matrix.kept() as f64 >= (1.0 - PADDING) * (rows * longest) as f64;
        (longest > 0 && fits).then_some(longest)
    }

    /// Packs a matrix for vectors of `lanes` rows.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        if ![4, 8, 16].contains(&lanes) {
            return Err(Error::value("FanInMatrix::new", "lanes", "4, 8 or 16", lanes));
        }
        let ((rows, _), fan_in) = (matrix.shape(), longest(matrix));
        let slots = rows.next_multiple_of(lanes) * fan_in;
        let (mut columns, mut values) = (Aligned::zeros(slots), Aligned::zeros(slots));
        let mut filled = Vec::with_capacity(rows);
        for (row, pointers) in matrix.pointers().windows(2).enumerate() {
            let entries = pointers[0] as usize..pointers[1] as usize;
            filled.push(entries.len() as u32);
            for (slot, entry) in entries.enumerate() {
                let place = place(row, slot, fan_in, lanes);
                (columns[place], values[place]) = (matrix.columns()[entry], matrix.values()[entry]);
            }
        }
        Ok(Self { shape: matrix.shape(), lanes, fan_in, columns, values, filled })
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Slots of each row.
    pub fn fan_in(&self) -> usize {
        self.fan_in
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.columns[..]) + size_of_val(&self.values[..]) + size_of_val(&self.filled[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let entry = |row: usize, slot: u32| {
            let place = place(row, slot as usize, self.fan_in, self.lanes);
            (self.columns[place], self.values[place])
        };
        let rows = self.filled.iter().enumerate();
        let rows = rows.map(|(row, &filled)| (0..filled).map(|slot| entry(row, slot)).collect());
        csr_of_rows(self.shape, rows.collect())
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Where a slot of a row is.
fn place(row: usize, slot: usize, fan_in: usize, lanes: usize) -> usize {
    (row / lanes * fan_in + slot) * lanes + row % lanes
}

/// Entries of the longest row.
fn longest(matrix: &CsrMatrix) -> usize {
    matrix.pointers().windows(2).map(|row| (row[1] - row[0]) as usize).max().unwrap_or(0)
}
