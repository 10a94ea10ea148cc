//! Rows in chunks, each lane of a vector for one of them.

use std::cmp::Reverse;
use std::ops::Range;

use super::CsrMatrix;
use crate::{Error, Result};

/// Lanes of the widest vector.
pub(crate) const MAX_LANES: usize = 16;

/// Refuses what no vector has for lanes.
pub(super) fn check_lanes(operation: &'static str, lanes: usize) -> Result<()> {
    match lanes {
        4 | 8 | MAX_LANES => Ok(()),
        _ => Err(Error::value(operation, "lanes", "4, 8 or 16", lanes)),
    }
}

/// The rows that the lanes of a vector are for.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// Neighbours from this one on, as many as there are.
    From(usize),
    /// One a lane, up to the first `u32::MAX`.
    Of(&'a [u32]),
}

/// The rows of a matrix in chunks: in their own order, so that a chunk's outputs are written as one vector, or, where
/// they differ much in length, those of each [share](CsrMatrix::shares) sorted by it, so that those of a chunk are
/// about as long.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowChunks {
    lanes: usize,
    count: usize,
    /// Where the shares of rows begin that chunks keep to, and the last one ends.
    shares: Vec<usize>,
    /// So many rows, chunk by chunk, and `u32::MAX` where the last chunk lacks one.
    rows: Vec<u32>,
    /// For each chunk the first of its rows, where they are all there and follow each other.
    neighbours: Vec<Option<u32>>,
}

impl RowChunks {
    /// The rows of a matrix, a vector of `lanes` at a time. Writing each output of a chunk by itself takes as long as
    /// so many entries of one of its rows: they are sorted where that saves more.
    pub(super) fn new(matrix: &CsrMatrix, lanes: usize, writing: usize) -> Self {
        let slots = |rows: &[u32]| -> usize { rows.chunks(lanes).map(|rows| longest(matrix, rows)).sum() };
        let in_turn: Vec<u32> = (0..matrix.shape().0 as u32).collect();
        let mut rows = in_turn.clone();
        for share in matrix.shares().windows(2) {
            rows[share[0]..share[1]].sort_by_key(|&row| Reverse(entries(matrix, row).len()));
        }
        if slots(&in_turn) - slots(&rows) <= writing * rows.len().div_ceil(lanes) {
            rows = in_turn;
        }
        let follow = |rows: &[u32]| rows.len() == lanes && rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let neighbours = rows.chunks(lanes).map(|rows| follow(rows).then_some(rows[0])).collect();
        let count = rows.len();
        rows.resize(count.next_multiple_of(lanes), u32::MAX);
        Self { lanes, count, shares: matrix.shares().to_vec(), rows, neighbours }
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The [shares](CsrMatrix::shares) of the matrix that it was packed from: each chunk's rows are of one of them.
    pub(crate) fn shares(&self) -> &[usize] {
        &self.shares
    }

    /// The rows of each chunk.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.rows[..self.count].chunks(self.lanes)
    }

    /// The same of some chunks, for kernels.
    pub(crate) fn vectors(&self, chunks: Range<usize>) -> impl ExactSizeIterator<Item = Rows<'_>> {
        let rows = &self.rows[chunks.start * self.lanes..chunks.end * self.lanes];
        let rows = self.neighbours[chunks].iter().zip(rows.chunks_exact(self.lanes));
        rows.map(|(neighbours, rows)| neighbours.map_or(Rows::Of(rows), |row| Rows::From(row as usize)))
    }

    /// Chunks of which the rows are not a vector of neighbours.
    pub(super) fn scattered(&self) -> usize {
        self.neighbours.iter().filter(|row| row.is_none()).count()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.rows[..]) + size_of_val(&self.neighbours[..]) + size_of_val(&self.shares[..])
    }
}

/// Entries of the longest of some rows.
pub(super) fn longest(matrix: &CsrMatrix, rows: &[u32]) -> usize {
    rows.iter().map(|&row| entries(matrix, row).len()).max().unwrap_or(0)
}

/// The places of a row's entries.
pub(super) fn entries(matrix: &CsrMatrix, row: u32) -> Range<usize> {
    matrix.pointers()[row as usize] as usize..matrix.pointers()[row as usize + 1] as usize
}
