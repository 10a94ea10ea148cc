//! Plain CSR, checked.

#[cfg(feature = "dense")]
use super::chunks::entries;
use super::parts::parts;
use crate::Result;
#[cfg(feature = "dense")]
use crate::aligned::Aligned;
use crate::csr::{self, Csr};

/// About how many weights a share of rows has at least: to multiply so many by one sample takes some five microseconds,
/// for which it pays to wake a thread.
pub(crate) const SHARE_WEIGHTS: usize = 1 << 16;

/// Shares begin at multiples of so many rows: of those of a block, of a vector, and of those that are packed together.
const SHARE_UNIT: usize = 64;

/// A CSR whose invariants hold: kernels may follow its pointers without looking.
#[derive(Clone, Debug, PartialEq)]
pub struct CsrMatrix {
    csr: Csr,
    /// Row pointers that begin at 0.
    pointers: Vec<u32>,
    shares: Vec<usize>,
}

impl CsrMatrix {
    /// Checks a CSR and takes it.
    ///
    /// # Errors
    /// When it is not CSR, has no rows or no columns, or its pointers or columns are out of range, unsorted or
    /// duplicate: the error says which, and where.
    pub fn new(csr: Csr) -> Result<Self> {
        csr::check("CsrMatrix::new", &csr)?;
        let pointers = csr.proper_indptr().into_owned();
        let count = 1 << (csr.nnz() / SHARE_WEIGHTS).max(1).ilog2();
        // Lookups go through all columns, however few weights a row has.
        let row_cost = |weights: u32| f64::from(weights) + csr.cols() as f64 / 32.0;
        let costs: Vec<_> = pointers.windows(2).map(|row| row_cost(row[1] - row[0])).collect();
        let shares = parts(&costs, count, SHARE_UNIT);
        Ok(Self { csr, pointers, shares })
    }

    /// The CSR.
    pub fn csr(&self) -> &Csr {
        &self.csr
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.csr.shape()
    }

    /// Count of kept weights.
    pub fn kept(&self) -> usize {
        self.csr.data().len()
    }

    /// `[out, in]`, row-major, with zeros.
    #[cfg(feature = "dense")]
    pub(crate) fn to_dense(&self) -> Aligned<f32> {
        let (out, inputs) = self.shape();
        let mut dense = Aligned::zeros(out * inputs);
        for (row, places) in (0..).zip(dense.chunks_exact_mut(inputs)) {
            let entries = entries(self, row);
            for (&column, &value) in self.columns()[entries.clone()].iter().zip(&self.values()[entries]) {
                places[column as usize] = value;
            }
        }
        dense
    }

    /// Rows that one thread takes as a whole: where each share of them begins, and the last one ends. Formats for rows
    /// keep the order of shares, so that each computes outputs that follow each other.
    pub(crate) fn shares(&self) -> &[usize] {
        &self.shares
    }

    /// Where each row begins in `columns` and `values`, and where the last one ends: ascends, from 0 to
    /// [`kept`](Self::kept).
    pub(crate) fn pointers(&self) -> &[u32] {
        &self.pointers
    }

    /// Columns of the entries, each below `in`.
    pub(crate) fn columns(&self) -> &[u32] {
        self.csr.indices()
    }

    /// Values of the entries, as many as columns.
    pub(crate) fn values(&self) -> &[f32] {
        self.csr.data()
    }
}
