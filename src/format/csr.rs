//! Plain CSR, checked.

use crate::Result;
use crate::csr::{self, Csr};

/// Weights of a share of rows, at least about: so many that it pays to hand their products to another thread.
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
        let shares = shares(&pointers);
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

    /// Rows that one thread takes as a whole: where each share of them begins, and the last one ends. Formats for rows keep the order of
    /// shares, so that each computes outputs that follow each other.
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

/// Cuts rows into shares of about as many weights. Their number is a power of two, so that as many threads, or a half or a quarter, have
/// the same to do: one that waits for another goes to sleep.
fn shares(pointers: &[u32]) -> Vec<usize> {
    let (rows, kept) = (pointers.len() - 1, pointers[pointers.len() - 1] as usize);
    let count = 1 << (kept / SHARE_WEIGHTS).max(1).ilog2();
    let start = |share| {
        let row = pointers.partition_point(|&at| (at as usize) < kept * share / count);
        ((row + SHARE_UNIT / 2) / SHARE_UNIT * SHARE_UNIT).min(rows)
    };
    let mut starts: Vec<_> = (0..count).map(start).chain([rows]).collect();
    starts.dedup();
    starts
}
