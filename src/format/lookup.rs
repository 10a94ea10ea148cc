//! Slots for in-register lookup, for single samples and small batches.
//!
//! With one sample there is nothing to vectorise over but rows, and each row wants its own activations: a gather. The
//! lookup layout makes the gather a permutation of registers. Rows are taken a *chunk* at a time, as many as a vector
//! has lanes, and go through the columns in *steps*. A step looks at a *window* of columns, as many as one, two, four
//! or eight vectors of activations hold, and has a constant number of *slots*: a slot is one kept weight for each row
//! of the chunk, and which of the window's columns it belongs to, in as few bits as that takes.
//!
//! A window begins at the first column that some row of the chunk has not come to yet, or, of more than one vector, at
//! the vector that this lies in. So windows overlap, and rows need not keep pace: one with many entries at a place
//! takes them in several steps, while the others go ahead, as far as the window reaches. A row that has nothing more
//! there gets padding, weight 0 on the window's first column. A wider window pads less, and takes more permutations;
//! fewer slots a step pad less, and load the window more often: each matrix gets those that cost least. Where rows
//! differ much in length they are sorted by it, so that those of a chunk want about as many steps; else they keep their
//! order, and a chunk's outputs are written as one vector.
//!
//! A padded slot computes 0 × an activation, which is NaN where that is infinite or NaN. The kernel redoes from the
//! plain CSR whatever does not come out finite.

use std::hint::select_unpredictable;
use std::ops::Range;

use super::CsrMatrix;
use super::chunks::{MAX_LANES, RowChunks, check_lanes, entries, longest};
use super::zeros::Zeros;
use crate::Result;
use crate::aligned::Aligned;
use crate::csr::Csr;

/// What a step of a [`LookupMatrix`] sees and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows of a chunk: lanes of a vector.
    lanes: usize,
    /// Vectors of activations that it sees.
    tables: usize,
    /// Weights of each row that it takes.
    slots: usize,
}

/// The windows that kernels know: vectors of activations, and slots. With 16 lanes the first is none of them: there a
/// permutation of two vectors takes no longer than that of one.
const WINDOWS: [(usize, usize); 6] = [(1, 1), (2, 2), (2, 3), (4, 2), (4, 5), (MAX_TABLES, 2)];

fn windows(lanes: usize) -> impl Iterator<Item = Window> + Clone {
    let fewest = if lanes == MAX_LANES { 2 } else { 1 };
    let windows = WINDOWS.into_iter().filter(move |&(tables, _)| tables >= fewest);
    windows.map(move |(tables, slots)| Window { lanes, tables, slots })
}

/// Vectors of activations in the widest window.
pub(crate) const MAX_TABLES: usize = 8;

/// Writing each output of a chunk by itself takes about as long as so many slots for a vector of `lanes` rows.
const fn writing(lanes: usize) -> usize {
    4 * lanes
}

impl Window {
    /// All windows for vectors of `lanes` floats.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn all(lanes: usize) -> Result<impl Iterator<Item = Self> + Clone> {
        check_lanes("Window::all", lanes)?;
        Ok(windows(lanes))
    }

    /// One that kernels know, for a kernel that is compiled for it.
    pub(crate) const fn of(lanes: usize, tables: usize, slots: usize) -> Self {
        Self { lanes, tables, slots }
    }

    /// Lanes of the vectors: rows that take a step together.
    pub fn lanes(self) -> usize {
        self.lanes
    }

    /// Vectors of activations that a step sees: 1, 2, 4 or 8.
    pub fn tables(self) -> usize {
        self.tables
    }

    /// Weights of each row that a step takes, at most.
    pub fn slots(self) -> usize {
        self.slots
    }

    /// Bits of a column in its window.
    pub(crate) const fn bits(self) -> usize {
        self.columns().ilog2() as usize
    }

    const fn columns(self) -> usize {
        self.tables * self.lanes
    }

    /// Columns that windows begin at multiples of: a vector by itself may as well begin anywhere.
    const fn unit(self) -> usize {
        if self.tables == 1 { 1 } else { self.lanes }
    }

    /// Steps whose column numbers share a word.
    pub(crate) const fn steps_of_word(self) -> usize {
        32 / self.bits() / self.slots
    }

    /// The features that a layer's activations must be readable to.
    pub(crate) fn readable(self, columns: usize) -> usize {
        columns.div_ceil(self.lanes).max(self.tables) * self.lanes
    }

    /// The bytes that a step takes: those of its values, of its column numbers, and of the number where its window
    /// begins.
    fn step_bytes(self) -> f64 {
        let words = 1.0 / self.steps_of_word() as f64;
        (size_of::<f32>() * self.lanes) as f64 * (self.slots as f64 + words) + size_of::<u32>() as f64
    }
}

/// A sparse matrix in slots for in-register lookup: for each slot of a row 4 bytes for the value and 2 to 7 bits for
/// the column, which with padding comes to 6 to 7 bytes per kept weight at 80%, 7 to 9 at 90% and 10 to 13 at 95%, on
/// random masks of 300×784 and more with the windows that are fastest for a single sample on vectors of 16 lanes; with
/// 8 lanes, whose windows are narrower, to 8, 10 and 14.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupMatrix {
    shape: (usize, usize),
    window: Window,
    rows: RowChunks,
    /// The words of each chunk of rows.
    chunks: Vec<Range<usize>>,
    /// For each step, the first column of its window.
    starts: Vec<u32>,
    /// For some steps each, a vector of words: the column numbers of their slots, the first slot in the lowest bits.
    words: Aligned<u32>,
    /// For each step and each slot, a vector of values.
    values: Aligned<f32>,
    zeros: Zeros,
}

/// What lookups would do with a window, but for writing the sums of each chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LookupWork {
    pub(crate) window: Window,
    /// Steps of all chunks.
    pub(crate) steps: f64,
}

impl LookupWork {
    /// The work that a matrix makes with each window for vectors of `lanes` floats, judged by some of its chunks.
    pub(crate) fn of(matrix: &CsrMatrix, lanes: usize) -> Vec<Self> {
        let rows = RowChunks::new(matrix, lanes, writing(lanes));
        let apart = rows.iter().len().div_ceil(SOME_CHUNKS).max(1);
        // Steps go with the longest row of a chunk, which in sorted ones falls from the first to the last of a share.
        let all: usize = rows.iter().map(|rows| longest(matrix, rows)).sum();
        let some: usize = rows.iter().step_by(apart).map(|rows| longest(matrix, rows)).sum();
        let for_all = all as f64 / some.max(1) as f64;
        let judged = |window| {
            // Those of a word are all taken, whether or not a chunk comes to them.
            let steps = |rows: &[u32]| {
                walk(matrix, rows, window, |_, _, _| {}).next_multiple_of(window.steps_of_word())
            };
            let steps: usize = rows.iter().step_by(apart).map(steps).sum();
            Self { window, steps: for_all * steps as f64 }
        };
        windows(lanes).map(judged).collect()
    }

    /// Bytes that are read.
    pub(crate) fn bytes(self) -> f64 {
        self.window.step_bytes() * self.steps
    }
}

/// Chunks by which the work of a matrix is judged, at most.
const SOME_CHUNKS: usize = 6;

impl LookupMatrix {
    /// Packs a matrix for steps of a window.
    pub fn new(matrix: &CsrMatrix, window: Window) -> Self {
        let lanes = window.lanes;
        let order = RowChunks::new(matrix, lanes, writing(lanes));
        let (mut chunks, mut starts) = (Vec::new(), Vec::new());
        let (mut words, mut values) = (Vec::new(), Vec::new());
        let (all_columns, all_values) = (matrix.columns(), &matrix.values()[..matrix.kept()]);
        let (steps_of_word, slots, bits) = (window.steps_of_word(), window.slots, window.bits());
        for rows in order.iter() {
            let word = words.len() / lanes;
            let steps = walk(matrix, rows, window, |step, start, taken| {
                if step % steps_of_word == 0 {
                    words.resize(words.len() + lanes, 0);
                    values.resize(values.len() + steps_of_word * slots * lanes, 0.0);
                }
                starts.push(start);
                let shift = bits * slots * (step % steps_of_word);
                let (first_word, last) = (words.len() - lanes, all_columns.len() - 1);
                let first_value = values.len() - (steps_of_word - step % steps_of_word) * slots * lanes;
                let values = &mut values[first_value..][..slots * lanes];
                for (lane, (entries, word)) in taken.iter().zip(&mut words[first_word..]).enumerate() {
                    for (slot, values) in values.chunks_exact_mut(lanes).enumerate() {
                        // Padding, too, looks at an entry, and makes it 0: a branch would take longer.
                        let at = entries.start + slot;
                        let is_entry = at < entries.end;
                        let at = at.min(last);
                        let column = all_columns[at].wrapping_sub(start);
                        *word |= select_unpredictable(is_entry, column, 0) << (shift + bits * slot);
                        let value = select_unpredictable(is_entry, all_values[at].to_bits(), 0);
                        values[lane] = f32::from_bits(value);
                    }
                }
            });
            starts.resize(starts.len() + steps.next_multiple_of(steps_of_word) - steps, 0);
            chunks.push(word..words.len() / lanes);
        }
        let (words, values, zeros) = (words.into(), values.into(), Zeros::of(matrix));
        Self { shape: matrix.shape(), window, rows: order, chunks, starts, words, values, zeros }
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.chunks[..])
            + self.rows.bytes()
            + size_of_val(&self.starts[..])
            + size_of_val(&self.words[..])
            + size_of_val(&self.values[..])
            + self.zeros.bytes()
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let Window { lanes, slots, .. } = self.window;
        let (bits, steps_of_word) = (self.window.bits(), self.window.steps_of_word());
        let mut rows = vec![Vec::new(); self.shape.0];
        for (chunk, words) in self.rows.iter().zip(&self.chunks) {
            for (lane, &row) in chunk.iter().enumerate() {
                let row = &mut rows[row as usize];
                for step in words.start * steps_of_word..words.end * steps_of_word {
                    for slot in 0..slots {
                        let value = self.values[(step * slots + slot) * lanes + lane];
                        if value.to_bits() != 0 {
                            let word = self.words[step / steps_of_word * lanes + lane];
                            let column = word as usize >> (bits * (step % steps_of_word * slots + slot))
                                & ((1 << bits) - 1);
                            row.push(((self.starts[step] as usize + column) as u32, value));
                        }
                    }
                }
            }
        }
        self.zeros.csr_with(self.shape, rows)
    }

    /// What its steps see and do.
    pub fn window(&self) -> Window {
        self.window
    }

    pub(crate) fn rows(&self) -> &RowChunks {
        &self.rows
    }

    /// The words of each chunk of rows.
    pub(crate) fn chunks(&self) -> &[Range<usize>] {
        &self.chunks
    }

    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Goes through the columns of a chunk's rows. `take` gets each step, the first column of its window, and which entries
/// of each row it takes. Returns the number of steps.
fn walk(
    matrix: &CsrMatrix,
    rows: &[u32],
    window: Window,
    mut take: impl FnMut(usize, u32, &[Range<usize>]),
) -> usize {
    let (unit, columns) = (window.unit() as u32, matrix.columns());
    let last_start = (window.readable(matrix.shape().1) - window.columns()) as u32;
    let left: [_; MAX_LANES] =
        std::array::from_fn(|lane| rows.get(lane).map_or(0..0, |&row| entries(matrix, row)));
    // The column that a row has come to.
    let head_of = |at: usize, end: usize| {
        let column = columns.get(at).copied().unwrap_or(u32::MAX);
        if at < end { column } else { u32::MAX }
    };
    let mut heads: [_; MAX_LANES] = std::array::from_fn(|lane| head_of(left[lane].start, left[lane].end));
    let mut taken = left.clone().map(|left| left.start..left.start);
    // No more of them than there are rows.
    let (heads, taken) = (&mut heads[..rows.len()], &mut taken[..rows.len()]);
    for step in 0.. {
        let first = heads.iter().fold(u32::MAX, |first, &head| first.min(head));
        if first == u32::MAX {
            return step;
        }
        let start = (first / unit * unit).min(last_start);
        let end = start.saturating_add(window.columns() as u32);
        // Which rows have an entry for a slot, nobody foresees: so no branch depends on it.
        for ((taken, head), left) in taken.iter_mut().zip(&mut *heads).zip(&left) {
            taken.start = taken.end;
            for _ in 0..window.slots {
                taken.end += usize::from(*head < end);
                *head = head_of(taken.end, left.end);
            }
        }
        take(step, start, taken);
    }
    unreachable!("a step takes an entry at least")
}
