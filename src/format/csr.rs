//! Plain CSR, checked.

use crate::Result;
use crate::csr::{self, Csr};

/// A CSR whose invariants hold: kernels may follow its pointers without looking.
#[derive(Clone, Debug, PartialEq)]
pub struct CsrMatrix {
    csr: Csr,
    /// Row pointers that begin at 0.
    pointers: Vec<u32>,
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
        Ok(Self { csr, pointers })
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
