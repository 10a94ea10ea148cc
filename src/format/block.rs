//! Blocks, packed: the weights of R neighbouring rows in a column, for single samples and small batches.
//!
//! What R rows share, they share the cost of: a block has one column number, so the bytes are nearly those of the
//! values, and one activation, splat, serves them all. Wider blocks (square ones, whole rows of neurons) are such
//! columns side by side. (Batches are left to [panels](super::PanelMatrix), which find shared columns themselves and
//! keep them in the first-level cache.)
//!
//! Blocks begin at rows that R divides; the last rows are padded. Any matrix can be packed, with blocks that are filled
//! up; it pays where a mask consists of blocks, by what it was made or by chance, and [`BlockMatrix::fit`] tells. A
//! place in a block that holds nothing has weight 0, and computes 0 × an activation, which is NaN where that is
//! infinite or NaN. The kernels redo from the plain CSR whatever does not come out finite.

use super::chunks::{check_lanes, entries};
use super::{CsrMatrix, csr_of_rows};
use crate::Result;
use crate::aligned::Aligned;
use crate::csr::Csr;

/// Rows of a block: powers of two, so that blocks fill vectors or vectors fill blocks.
const HEIGHTS: [usize; 4] = [4, 8, 16, 32];

/// Blocks that are filled row by row.
const NEAR: usize = 128;

/// The share of places without a weight up to which a matrix fits.
const PADDING: f64 = 0.1;

/// How a matrix falls into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Blocks {
    /// Rows of a block: 4, 8, 16 or 32.
    pub rows: usize,
    /// How many blocks there are.
    pub count: usize,
}

impl Blocks {
    /// Weights that all blocks have room for.
    pub fn places(self) -> usize {
        self.rows * self.count
    }

    /// Bytes of their values and columns.
    pub(crate) fn bytes(self) -> usize {
        self.count * (size_of::<f32>() * self.rows + size_of::<u32>())
    }
}

/// A sparse matrix in blocks of R rows and a column: 4 bytes for each value and 4 for each column number. That is 4.25
/// bytes per kept weight for whole blocks of 16 rows, 5 for 4 rows.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMatrix {
    shape: (usize, usize),
    lanes: usize,
    blocks: Blocks,
    /// Where the blocks of each R rows begin in `columns`, and where the last end: ascends.
    pointers: Vec<u32>,
    /// Each below `in`.
    columns: Aligned<u32>,
    /// The values of a block side by side, first row first.
    values: Aligned<f32>,
    /// The places in `values` that hold nothing, ascending, but for those of rows beyond the last.
    empty: Vec<usize>,
}

impl BlockMatrix {
    /// The blocks of the fewest bytes that a matrix falls into, if there are some in which no more than a tenth of the
    /// places stays empty.
    pub fn fit(matrix: &CsrMatrix) -> Option<Blocks> {
        let (rows, _) = matrix.shape();
        // Rows that the last blocks lack do not count.
        let limit = |height: usize| {
            let padded = rows.next_multiple_of(height) as f64 / rows as f64;
            (matrix.kept() as f64 * padded / (1.0 - PADDING) / height as f64) as usize
        };
        // What does not fall into low blocks will not fall into high ones.
        blocks::<1>(matrix, limit(HEIGHTS[0]))?;
        let all = blocks::<{ HEIGHTS.len() }>(matrix, usize::MAX)?.into_iter();
        let fit =
            all.take_while(|blocks| blocks.count <= limit(blocks.rows)).filter(|blocks| blocks.count > 0);
        fit.min_by_key(|blocks| blocks.bytes())
    }

    /// Packs a matrix for vectors of `lanes`, in the blocks that take the fewest bytes.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        check_lanes("BlockMatrix::new", lanes)?;
        let any = || {
            blocks::<{ HEIGHTS.len() }>(matrix, usize::MAX)?.into_iter().min_by_key(|blocks| blocks.bytes())
        };
        let cheapest = Self::fit(matrix).or_else(any);
        let rows = cheapest.map_or(HEIGHTS[0], |blocks| blocks.rows);
        // As many blocks together as fill a vector.
        let together = (lanes / rows).max(1);
        let (out, inputs) = matrix.shape();
        let (mut pointers, mut columns, mut values, mut empty) =
            (vec![0], Vec::new(), Vec::new(), Vec::new());
        let mut place_of = vec![usize::MAX; inputs];
        let mut filled: Vec<bool> = Vec::new();
        for first in (0..out).step_by(rows) {
            let block_row = first..(first + rows).min(out);
            let [start, end] = [block_row.start, block_row.end].map(|row| matrix.pointers()[row] as usize);
            place_of.fill(usize::MAX);
            matrix.columns()[start..end].iter().for_each(|&column| place_of[column as usize] = 0);
            let before = columns.len();
            for (column, place) in place_of.iter_mut().enumerate().filter(|(_, place)| **place == 0) {
                *place = columns.len() * rows;
                columns.push(column as u32);
            }
            let blocks = before..columns.len();
            columns.resize(columns.len().next_multiple_of(together), 0);
            values.resize(columns.len() * rows, 0.0);
            let is_full = end - start == (columns.len() - before) * block_row.len();
            filled.clear();
            filled.resize(if is_full { 0 } else { (columns.len() - before) * rows }, false);
            let mut left: Vec<_> = block_row.clone().map(|row| entries(matrix, row as u32)).collect();
            // Some blocks at a time, which stay in the first-level cache until all rows have been there.
            for near in columns[blocks].chunks(NEAR) {
                let last = near[near.len() - 1];
                for (lane, left) in left.iter_mut().enumerate() {
                    let next = matrix.columns()[left.clone()].iter().take_while(|&&column| column <= last);
                    for (&column, &value) in next.zip(&matrix.values()[left.clone()]) {
                        let place = place_of[column as usize] + lane;
                        values[place] = value;
                        if !is_full {
                            filled[place - before * rows] = true;
                        }
                        left.start += 1;
                    }
                }
            }
            let places = filled.iter().enumerate();
            let gaps = places.filter(|&(place, filled)| !filled && place % rows < block_row.len());
            empty.extend(gaps.map(|(place, _)| before * rows + place));
            pointers.push(columns.len() as u32);
        }
        Ok(Self {
            shape: (out, inputs),
            lanes,
            blocks: Blocks { rows, count: columns.len() },
            pointers,
            columns: columns.into(),
            values: values.into(),
            empty,
        })
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Its blocks, with those that only fill a vector.
    pub fn blocks(&self) -> Blocks {
        self.blocks
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        let numbers = size_of_val(&self.pointers[..]) + size_of_val(&self.columns[..]);
        numbers + size_of_val(&self.values[..]) + size_of_val(&self.empty[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let mut rows = vec![Vec::new(); self.shape.0];
        let mut empty = self.empty.iter().copied().peekable();
        for (block_row, pointers) in self.pointers.windows(2).enumerate() {
            let first = block_row * self.blocks.rows;
            let here = self.blocks.rows.min(self.shape.0 - first);
            for block in pointers[0] as usize..pointers[1] as usize {
                for (lane, row) in rows[first..first + here].iter_mut().enumerate() {
                    let place = block * self.blocks.rows + lane;
                    if empty.next_if_eq(&place).is_none() {
                        row.push((self.columns[block], self.values[place]));
                    }
                }
            }
        }
        csr_of_rows(self.shape, rows)
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Where the blocks of each R rows begin and end.
    pub(crate) fn pointers(&self) -> &[u32] {
        &self.pointers
    }

    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// The blocks of the lowest `N` heights that a matrix has weights in; `None` if those of the lowest are more than
/// `limit`.
fn blocks<const N: usize>(matrix: &CsrMatrix, limit: usize) -> Option<[Blocks; N]> {
    let (out, inputs) = matrix.shape();
    // The last of the lowest blocks of a column, of which each higher one is a pair of the height before.
    let mut last = vec![usize::MAX; inputs];
    let mut blocks = std::array::from_fn(|height| Blocks { rows: HEIGHTS[height], count: 0 });
    for block in 0..out.div_ceil(HEIGHTS[0]) {
        let rows = [block, block + 1].map(|block| (HEIGHTS[0] * block).min(out));
        let [start, end] = rows.map(|row| matrix.pointers()[row] as usize);
        for &column in &matrix.columns()[start..end] {
            let last = std::mem::replace(&mut last[column as usize], block);
            if last != block {
                (0..).zip(&mut blocks).for_each(|(pairs, blocks)| {
                    blocks.count += usize::from(last >> pairs != block >> pairs);
                });
            }
        }
        if blocks[0].count > limit {
            return None;
        }
    }
    Some(blocks)
}
