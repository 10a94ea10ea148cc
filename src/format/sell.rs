//! Sliced ELLPACK, for single samples and small batches of very sparse layers.
//!
//! The layout is SELL-C-σ's (Kreutzer et al., *A unified sparse matrix data format for efficient general sparse
//! matrix-vector multiplication on modern processors with wide SIMD units*, 2014). Rows are taken a *chunk* at a time,
//! as many as a vector has lanes, and each chunk has as many *slots* for each of its rows as the longest of them has
//! entries. A slot is a value for each row and the column that it belongs to; its activations are gathered. A gather
//! costs several times a step of a [lookup](super::LookupMatrix), but only for weights that are there: it wins where a
//! lookup's windows are nearly empty, and takes the place of lookups without AVX2.
//!
//! Where rows differ in length they are sorted by it, as many as a thread takes together (the paper's σ: all of them,
//! in a small matrix), so that those of a chunk are about as long; else they keep their order, and a chunk's outputs
//! are written as one vector.
//!
//! A slot that holds nothing has weight 0 on the first column, and computes 0 × an activation, which is NaN where that
//! is infinite or NaN. The kernel redoes from the plain CSR whatever does not come out finite.

use super::chunks::{RowChunks, check_lanes, entries, longest};
use super::{CsrMatrix, csr_of_rows};
use crate::Result;
use crate::aligned::Aligned;
use crate::csr::Csr;

/// Writing each output of a chunk by itself takes about as long as so many slots.
const WRITING: usize = 2;

/// A sparse matrix in chunks of rows of the same length: 6 bytes a slot, or 8 where a column number needs more than 16
/// bits.
#[derive(Clone, Debug, PartialEq)]
pub struct SellMatrix {
    shape: (usize, usize),
    rows: RowChunks,
    /// The first slot of each chunk, and where the last one ends.
    starts: Vec<u32>,
    /// For each slot, a vector of columns, each below `in`.
    columns: Columns,
    /// The same of values.
    values: Aligned<f32>,
    /// Slots of each row of the chunks that hold a weight: the first ones.
    filled: Vec<u32>,
}

/// Column numbers, in as few bytes as hold them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Columns {
    Narrow(Aligned<u16>),
    Wide(Aligned<u32>),
}

impl SellMatrix {
    /// Packs a matrix for vectors of `lanes` rows.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        check_lanes("SellMatrix::new", lanes)?;
        let chunks = RowChunks::new(matrix, lanes, WRITING);
        let mut starts = vec![0];
        starts.extend(slots(matrix, &chunks).scan(0, |end, slots| {
            *end += slots as u32;
            Some(*end)
        }));
        let len = starts[starts.len() - 1] as usize * lanes;
        let (mut columns, mut values) = (vec![0; len], Aligned::zeros(len));
        let mut filled = Vec::with_capacity(matrix.shape().0);
        for (rows, &start) in chunks.iter().zip(&starts) {
            for (lane, &row) in rows.iter().enumerate() {
                let entries = entries(matrix, row);
                filled.push(entries.len() as u32);
                for (slot, entry) in entries.enumerate() {
                    let place = (start as usize + slot) * lanes + lane;
                    (columns[place], values[place]) = (matrix.columns()[entry], matrix.values()[entry]);
                }
            }
        }
        let columns = match matrix.shape().1 {
            0..=0x1_0000 => {
                Columns::Narrow(columns.iter().map(|&column| column as u16).collect::<Vec<_>>().into())
            }
            _ => Columns::Wide(columns.into()),
        };
        Ok(Self { shape: matrix.shape(), rows: chunks, starts, columns, values, filled })
    }

    /// What a matrix would be, packed for vectors of `lanes` rows: its slots, empty ones with them, and the chunks
    /// whose outputs are written one by one.
    pub(crate) fn work_of(matrix: &CsrMatrix, lanes: usize) -> (usize, usize) {
        let chunks = RowChunks::new(matrix, lanes, WRITING);
        (lanes * slots(matrix, &chunks).sum::<usize>(), chunks.scattered())
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Slots, those that hold nothing with them.
    pub fn slots(&self) -> usize {
        self.values.len()
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        let columns = match &self.columns {
            Columns::Narrow(columns) => size_of_val(&columns[..]),
            Columns::Wide(columns) => size_of_val(&columns[..]),
        };
        self.rows.bytes()
            + size_of_val(&self.starts[..])
            + columns
            + size_of_val(&self.values[..])
            + size_of_val(&self.filled[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let lanes = self.lanes();
        let column = |place: usize| match &self.columns {
            Columns::Narrow(columns) => columns[place].into(),
            Columns::Wide(columns) => columns[place],
        };
        let mut filled = self.filled.iter();
        let mut rows = vec![Vec::new(); self.shape.0];
        for (chunk, &start) in self.rows.iter().zip(&self.starts) {
            for ((lane, &row), &filled) in chunk.iter().enumerate().zip(&mut filled) {
                let places = (start as usize..).map(|slot| slot * lanes + lane).take(filled as usize);
                rows[row as usize] = places.map(|place| (column(place), self.values[place])).collect();
            }
        }
        csr_of_rows(self.shape, rows)
    }

    pub(crate) fn lanes(&self) -> usize {
        self.rows.lanes()
    }

    pub(crate) fn rows(&self) -> &RowChunks {
        &self.rows
    }

    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Slots of a row, chunk by chunk.
fn slots<'a>(matrix: &'a CsrMatrix, chunks: &'a RowChunks) -> impl Iterator<Item = usize> {
    chunks.iter().map(|rows| longest(matrix, rows))
}
