//! N:M, packed: at most N kept weights in every M columns, for single samples and small batches.
//!
//! Where every row has as many weights in each *group* of M neighbouring columns, nothing has to be said about where a
//! row or a group begins: there are N *slots* a group, and a slot is a value and a position in the group, in as few
//! bits as M takes. Rows are taken a vector at a time, as for a [lookup](super::LookupMatrix), and [`BLOCK`] such
//! vectors together, so that a group's activations are brought into a register once for all of their rows.
//!
//! M is 4, 8, 16 or 32, and columns begin at 0: the last group may have fewer columns. Any matrix can be packed, if
//! need be with as many slots as columns; it pays where a mask fits, by what it was made or by chance, and
//! [`NmMatrix::fit`] tells. A slot that holds nothing has weight 0 on the first column of its group, and computes 0 ×
//! an activation, which is NaN where that is infinite or NaN. The kernel redoes from the plain CSR whatever does not
//! come out finite.

use super::chunks::{check_lanes, entries};
use super::{CsrMatrix, csr_of_rows};
use crate::Result;
use crate::aligned::Aligned;
use crate::csr::Csr;

/// Vectors of rows that are walked together: enough independent sums to hide the latency of a multiply-add. The last
/// rows come a vector at a time.
pub(crate) const BLOCK: usize = 4;

/// Columns of a group: powers of two, so that their numbers fill whole bits.
const GROUPS: [usize; 4] = [4, 8, 16, 32];

/// The share of slots without a weight up to which a matrix fits.
const PADDING: f64 = 0.2;

/// How many of every how many columns a row keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nm {
    /// Slots of a group.
    pub n: usize,
    /// Columns of a group: 4, 8, 16 or 32.
    pub m: usize,
}

impl Nm {
    /// Bits of a position.
    pub(crate) fn bits(self) -> u32 {
        self.m.ilog2()
    }

    /// Positions in a word.
    pub(crate) fn per_word(self) -> usize {
        (u32::BITS / self.bits()) as usize
    }

    /// Slots of a row.
    pub(crate) fn slots(self, columns: usize) -> usize {
        self.n * columns.div_ceil(self.m)
    }

    /// Bytes of a row.
    fn bytes(self, columns: usize) -> usize {
        let slots = self.slots(columns);
        size_of::<f32>() * slots + size_of::<u32>() * slots.div_ceil(self.per_word())
    }
}

/// A sparse matrix in N:M groups: 4 bytes for the value of each slot and 2 to 5 bits for its position. That is 4.25
/// bytes per kept weight for 2:4, and 4.4 to 4.7 for others that fill whole words.
#[derive(Clone, Debug, PartialEq)]
pub struct NmMatrix {
    shape: (usize, usize),
    lanes: usize,
    pattern: Nm,
    /// For each block of rows, its slots in turn: a vector of words for each `per_word` slots and each vector of rows,
    /// the first slot in the lowest bits.
    words: Aligned<u32>,
    /// The same of values, for each slot.
    values: Aligned<f32>,
    /// The slots of rows that hold nothing, ascending, counted row by row.
    empty: Vec<usize>,
}

impl NmMatrix {
    /// The N:M pattern that a matrix fits in the fewest bytes, if there is one with N < M in which no more than a fifth
    /// of the slots stay empty.
    pub fn fit(matrix: &CsrMatrix) -> Option<Nm> {
        let (rows, columns) = matrix.shape();
        let fits = |nm: &Nm| {
            let slots = (rows * nm.slots(columns)) as f64;
            (1..nm.m).contains(&nm.n) && matrix.kept() as f64 >= (1.0 - PADDING) * slots
        };
        // Many a matrix can be told not to fit by its first rows.
        let limit = |m: usize| {
            let slots = matrix.kept() as f64 / (1.0 - PADDING) / (rows * columns.div_ceil(m)) as f64;
            (slots as usize).min(m - 1)
        };
        let patterns = GROUPS.into_iter().filter_map(|m| Some(Nm { n: most(matrix, m, limit(m))?, m }));
        patterns.filter(fits).min_by_key(|nm| nm.bytes(columns))
    }

    /// Packs a matrix for vectors of `lanes` rows, by the pattern that takes the fewest bytes.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        check_lanes("NmMatrix::new", lanes)?;
        let (rows, columns) = matrix.shape();
        let patterns = GROUPS.map(|m| Nm { n: most(matrix, m, m).unwrap_or(m).max(1), m });
        let cheapest = patterns.into_iter().min_by_key(|nm| nm.bytes(columns));
        let pattern = cheapest.unwrap_or_else(|| unreachable!("there are four"));
        let slots = pattern.slots(columns);
        let vectors = rows.div_ceil(lanes);
        let mut packed = Self {
            shape: (rows, columns),
            lanes,
            pattern,
            words: Aligned::zeros(vectors * slots.div_ceil(pattern.per_word()) * lanes),
            values: Aligned::zeros(vectors * slots * lanes),
            empty: Vec::new(),
        };
        for row in 0..rows {
            let (entries, mut filled) = (entries(matrix, row as u32), 0);
            let place = packed.places(row);
            let (words, values) = (&mut packed.words[..], &mut packed.values[..]);
            for (&column, &weight) in matrix.columns()[entries.clone()].iter().zip(&matrix.values()[entries])
            {
                let first = pattern.n * (column >> pattern.bits()) as usize;
                let slot = filled.max(first);
                packed.empty.extend((filled..slot).map(|slot| row * slots + slot));
                filled = slot + 1;
                let (word, shift, value) = place(slot);
                words[word] |= (column % (1 << pattern.bits())) << shift;
                values[value] = weight;
            }
            packed.empty.extend((filled..slots).map(|slot| row * slots + slot));
        }
        Ok(packed)
    }

    /// Where the slots of a row have their positions (a word, and by how much it is shifted) and their values.
    fn places(&self, row: usize) -> impl Fn(usize) -> (usize, u32, usize) + use<> {
        let (first, vectors) = self.block_of(row / self.lanes);
        let (vector, lane) = (row / self.lanes - first, row % self.lanes);
        let [word, value] = [self.words_of_row(), self.slots_of_row()]
            .map(|slots| (first * slots + vector) * self.lanes + lane);
        let (apart, bits, per_word) =
            (vectors * self.lanes, self.pattern.bits(), self.pattern.per_word() as u32);
        move |slot| {
            let shift = bits * (slot as u32 % per_word);
            (word + apart * (slot as u32 / per_word) as usize, shift, value + apart * slot)
        }
    }

    /// The block that a vector of rows is in: its first vector, and how many it has.
    fn block_of(&self, vector: usize) -> (usize, usize) {
        let first = vector / BLOCK * BLOCK;
        if first + BLOCK <= self.vectors() { (first, BLOCK) } else { (vector, 1) }
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// How many of every how many columns there is room for.
    pub fn pattern(&self) -> Nm {
        self.pattern
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.words[..]) + size_of_val(&self.values[..]) + size_of_val(&self.empty[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let slots = self.slots_of_row();
        let mut empty = self.empty.iter().copied().peekable();
        let rows = (0..self.shape.0).map(|row| {
            let place = self.places(row);
            let kept = (0..slots).filter(|slot| empty.next_if_eq(&(row * slots + slot)).is_none());
            let entry = |slot: usize| {
                let (word, shift, value) = place(slot);
                let position = (self.words[word] >> shift) as usize % self.pattern.m;
                ((slot / self.pattern.n * self.pattern.m + position) as u32, self.values[value])
            };
            kept.map(entry).collect()
        });
        csr_of_rows(self.shape, rows.collect())
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Vectors of rows.
    pub(crate) fn vectors(&self) -> usize {
        self.shape.0.div_ceil(self.lanes)
    }

    /// Groups of columns.
    pub(crate) fn groups(&self) -> usize {
        self.shape.1.div_ceil(self.pattern.m)
    }

    pub(crate) fn slots_of_row(&self) -> usize {
        self.pattern.slots(self.shape.1)
    }

    pub(crate) fn words_of_row(&self) -> usize {
        self.slots_of_row().div_ceil(self.pattern.per_word())
    }

    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// The most entries that a row has in a group of `m` columns; `None` if they are more than `limit`.
fn most(matrix: &CsrMatrix, m: usize, limit: usize) -> Option<usize> {
    // A power of two: to divide by it otherwise takes ten times as long.
    let (bits, mut most) = (m.ilog2(), 0);
    for row in matrix.pointers().windows(2) {
        let groups =
            matrix.columns()[row[0] as usize..row[1] as usize].chunk_by(|&a, &b| a >> bits == b >> bits);
        most = groups.map(<[u32]>::len).fold(most, usize::max);
        if most > limit {
            return None;
        }
    }
    Some(most)
}
