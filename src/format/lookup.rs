//! Slots for in-register lookup, for single samples and small batches.
//!
//! With one sample there is nothing to vectorise over but rows, and each row wants its own activations: a gather. The
//! lookup layout makes the gather a permutation of registers. Rows are taken a *chunk* at a time, as many as a vector
//! has lanes, and columns a *panel* at a time, as many as two, four or eight vectors of activations hold. A *slot* is one
//! kept weight for each row of the chunk, and which of the panel's columns it belongs to, in as few bits as that takes.
//!
//! Every panel of a chunk has the same number of slots, so that the loop over them has no branch. Rows that have more
//! entries in a panel put the rest into a short CSR *tail*; rows that have fewer leave padding, weight 0 on the panel's
//! first column. More slots mean more padding and less tail: each chunk gets the number that costs least. A wider panel
//! evens out the counts, so it pads less, and takes more permutations: each matrix gets the width that costs least.
//! Where rows differ much in length they are sorted by it, so that those of a chunk want about the same; else they keep
//! their order, and a chunk's outputs are written as one vector.
//!
//! A padded slot computes 0 × an activation, which is NaN where that is infinite or NaN. The kernel redoes from the
//! plain CSR whatever does not come out finite.

use std::cmp::Reverse;

use super::{CsrMatrix, csr_of_rows};
use crate::aligned::Aligned;
use crate::csr::Csr;
use crate::{Error, Result};

/// The registers that a lookup matrix is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Rows of a chunk: lanes of a vector.
    pub(crate) lanes: usize,
    /// Vectors of activations in a panel.
    pub(crate) tables: usize,
}

/// How many vectors of activations a panel may have.
const TABLES: [usize; 3] = [2, 4, MAX_TABLES];

/// Vectors of activations in the widest panel.
pub(crate) const MAX_TABLES: usize = 8;

impl Registers {
    /// Bits of a column in its panel.
    pub(crate) fn bits(self) -> usize {
        self.columns().ilog2() as usize
    }

    /// Columns of a panel.
    pub(crate) fn columns(self) -> usize {
        self.tables * self.lanes
    }

    /// Column numbers in a word, whose highest bit stays free for [`KEPT`].
    pub(crate) fn per_word(self) -> usize {
        31 / self.bits()
    }

    /// Roughly the cycles of a slot: a permutation for each two tables, what chooses between them, a multiply-add and mostly
    /// a shift, on two ports.
    fn slot_cycles(self) -> f64 {
        match self.tables {
            2 => 1.5,
            4 => 3.0,
            _ => 5.5,
        }
    }
}

/// The bit of a panel's first word that tells a first slot with a kept weight from padding. (Later slots tell by
/// themselves: only padding has the panel's first column there.)
const KEPT: u32 = 1 << 31;

/// The most slots of a panel.
const MAX_SLOTS: usize = 32;

/// A sparse matrix in slots for in-register lookup: for each slot of a row 4 bytes for the value and 5 to 7 bits for the
/// column, which with padding and tail comes to 7 to 9 bytes per kept weight at 80 to 95%, on random
/// masks of 300×784 and more.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupMatrix {
    shape: (usize, usize),
    registers: Registers,
    chunks: Vec<Chunk>,
    /// The rows of each chunk; `u32::MAX` where the last chunk lacks one.
    rows: Vec<u32>,
    /// For each panel of a chunk, the column numbers of its slots: a vector of words for each `per_word` slots, the
    /// first slot in the lowest bits.
    words: Aligned<u32>,
    /// For each panel of a chunk and each slot, a vector of values.
    values: Aligned<f32>,
    /// Row pointers of the tail, in the order of `rows`.
    tail_pointers: Vec<u32>,
    tail_columns: Vec<u32>,
    tail_values: Vec<f32>,
}

/// What lookups do for one sample, but for writing the sums of each chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LookupWork {
    /// Vectors of activations that are loaded.
    pub(crate) tables: f64,
    /// Vectors of slots.
    pub(crate) slots: f64,
    /// Roughly the cycles of their permutations and multiply-adds.
    pub(crate) cycles: f64,
    /// Entries of the tail.
    pub(crate) tail: f64,
}

/// Some rows: where their words and values begin, and how many slots each of their panels has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) slots: usize,
    pub(crate) word: usize,
    pub(crate) value: usize,
    /// The first of the rows, where they are all there and follow each other.
    pub(crate) neighbours: Option<usize>,
}

impl LookupMatrix {
    /// Packs a matrix for vectors of `lanes` floats: chunks of so many rows, panels of two, four or eight times as many
    /// columns.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        if ![4, 8, 16].contains(&lanes) {
            return Err(Error::value("LookupMatrix::new", "lanes", "4, 8 or 16", lanes));
        }
        let ((rows, columns), order, mut counts) = (matrix.shape(), order(matrix, lanes), Counts::new());
        let registers = cheapest_registers(matrix, &order, lanes, &mut counts);
        let panels = columns.div_ceil(registers.columns());
        let (mut word, mut value) = (0, 0);
        let chunk = |rows: &[u32]| {
            counts.count(matrix, rows, registers);
            let slots = cheapest_slots(&counts.of_size, panels, registers).0;
            let follow = rows.len() == lanes && rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            let chunk = Chunk { slots, word, value, neighbours: follow.then_some(rows[0] as usize) };
            word += panels * slots.div_ceil(registers.per_word()) * lanes;
            value += panels * slots * lanes;
            chunk
        };
        let mut packed = Self {
            shape: matrix.shape(),
            registers,
            chunks: order.chunks(lanes).map(chunk).collect(),
            rows: Vec::with_capacity(rows.next_multiple_of(lanes)),
            words: Aligned::zeros(word),
            values: Aligned::zeros(value),
            tail_pointers: vec![0],
            tail_columns: Vec::new(),
            tail_values: Vec::new(),
        };
        for (index, rows) in order.chunks(lanes).enumerate() {
            packed.fill(index, matrix, rows, counts.clear(panels * lanes));
        }
        Ok(packed)
    }

    /// What lookups would do if a matrix were packed for vectors of `lanes` floats, judged by some of its chunks.
    pub(crate) fn work(matrix: &CsrMatrix, lanes: usize) -> LookupWork {
        let (order, mut counts) = (order(matrix, lanes), Counts::new());
        let registers = cheapest_registers(matrix, &order, lanes, &mut counts);
        let panels = matrix.shape().1.div_ceil(registers.columns());
        let (mut with_slots, mut slots, mut tail, mut judged) = (0, 0, 0, 0);
        for rows in some_chunks(&order, lanes) {
            counts.count(matrix, rows, registers);
            let most = cheapest_slots(&counts.of_size, panels, registers).0;
            let rest = |(size, &count): (usize, &u32)| size.saturating_sub(most) * count as usize;
            with_slots += if most > 0 { panels } else { 0 };
            slots += most * panels;
            tail += counts.of_size.iter().enumerate().map(rest).sum::<usize>();
            judged += 1;
        }
        let all = order.len().div_ceil(lanes) as f64 / f64::from(judged.max(1));
        let [tables, slots, tail] =
            [registers.tables * with_slots, slots, tail].map(|count| all * count as f64);
        LookupWork { tables, slots, cycles: registers.slot_cycles() * slots, tail }
    }

    /// Puts some rows into the slots of a chunk, and what they have more into the tail. `counts` are zeros, one for each lane of
    /// each panel.
    fn fill(&mut self, chunk: usize, matrix: &CsrMatrix, rows: &[u32], counts: &mut [u8]) {
        let (lanes, bits) = (self.registers.lanes, self.registers.bits());
        let (width, per_word) = (self.registers.columns(), self.registers.per_word());
        let entries =
            |row: u32| matrix.pointers()[row as usize] as usize..matrix.pointers()[row as usize + 1] as usize;

        let Chunk { slots, word: first_word, value: first_value, .. } = self.chunks[chunk];
        for (lane, &row) in rows.iter().enumerate() {
            for at in entries(row) {
                let (column, value) = (matrix.columns()[at] as usize, matrix.values()[at]);
                let panel = column / width;
                let count = &mut counts[panel * lanes + lane];
                let slot = usize::from(*count);
                *count += 1;
                if slot < slots {
                    let word = panel * slots.div_ceil(per_word) + slot / per_word;
                    let shift = bits * (slot % per_word);
                    let kept = if slot == 0 { KEPT } else { 0 };
                    self.words[first_word + word * lanes + lane] |=
                        (((column % width) as u32) << shift) | kept;
                    self.values[first_value + (panel * slots + slot) * lanes + lane] = value;
                } else {
                    self.tail_columns.push(column as u32);
                    self.tail_values.push(value);
                }
            }
            self.tail_pointers.push(self.tail_columns.len() as u32);
        }
        self.rows.extend_from_slice(rows);
        for _ in rows.len()..lanes {
            self.rows.push(u32::MAX);
            self.tail_pointers.push(self.tail_columns.len() as u32);
        }
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.chunks[..])
            + size_of_val(&self.rows[..])
            + size_of_val(&self.words[..])
            + size_of_val(&self.values[..])
            + size_of_val(&self.tail_pointers[..])
            + size_of_val(&self.tail_columns[..])
            + size_of_val(&self.tail_values[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let (lanes, bits) = (self.registers.lanes, self.registers.bits());
        let (width, per_word) = (self.registers.columns(), self.registers.per_word());
        let mut rows = vec![Vec::new(); self.shape.0];
        for (index, &row) in self.rows.iter().enumerate().filter(|&(_, &row)| row != u32::MAX) {
            let (chunk, lane) = (self.chunks[index / lanes], index % lanes);
            let row = &mut rows[row as usize];
            for panel in 0..self.shape.1.div_ceil(width) {
                for slot in 0..chunk.slots {
                    let at = panel * chunk.slots.div_ceil(per_word) + slot / per_word;
                    let word = self.words[chunk.word + at * lanes + lane];
                    let column = (word >> (bits * (slot % per_word))) as usize % width;
                    if if slot == 0 { word & KEPT == 0 } else { column == 0 } {
                        break;
                    }
                    let value = self.values[chunk.value + (panel * chunk.slots + slot) * lanes + lane];
                    row.push(((panel * width + column) as u32, value));
                }
            }
            let tail = self.tail_pointers[index] as usize..self.tail_pointers[index + 1] as usize;
            row.extend(
                self.tail_columns[tail.clone()].iter().copied().zip(self.tail_values[tail].iter().copied()),
            );
            row.sort_unstable_by_key(|&(column, _)| column);
        }
        csr_of_rows(self.shape, rows)
    }

    /// The registers that it was packed for.
    pub(crate) fn registers(&self) -> Registers {
        self.registers
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn tail_pointers(&self) -> &[u32] {
        &self.tail_pointers
    }

    pub(crate) fn tail_columns(&self) -> &[u32] {
        &self.tail_columns
    }

    pub(crate) fn tail_values(&self) -> &[f32] {
        &self.tail_values
    }
}

/// The order in which rows come into chunks.
fn order(matrix: &CsrMatrix, lanes: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..matrix.shape().0 as u32).collect();
    if is_skewed(matrix, lanes) {
        let len = |row: u32| matrix.pointers()[row as usize + 1] - matrix.pointers()[row as usize];
        order.sort_by_key(|&row| Reverse(len(row)));
    }
    order
}

/// Chunks that stand for all: up to 16, spread over the matrix.
fn some_chunks(order: &[u32], lanes: usize) -> impl Iterator<Item = &[u32]> {
    let chunks = order.chunks(lanes);
    let step = chunks.len().div_ceil(16).max(1);
    chunks.step_by(step)
}

/// Whether the longest row of a chunk is, on average, so much longer than the others that sorting pays for writing each
/// output by itself.
fn is_skewed(matrix: &CsrMatrix, lanes: usize) -> bool {
    let lens: Vec<usize> = matrix.pointers().windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
    let longest: usize = lens.chunks(lanes).map(|lens| lens.len() * lens.iter().max().unwrap_or(&0)).sum();
    longest as f64 > 1.5 * matrix.kept() as f64 + 4.0 * lens.len() as f64
}

/// Columns of the widest panel.
const MAX_SIZE: usize = MAX_TABLES * 16;

/// How many entries the rows of a chunk have in each panel.
struct Counts {
    /// For each panel, of each lane.
    of_cell: Vec<u8>,
    /// Cells with so many entries.
    of_size: [u32; MAX_SIZE + 1],
}

impl Counts {
    fn new() -> Self {
        Self { of_cell: Vec::new(), of_size: [0; MAX_SIZE + 1] }
    }

    fn count(&mut self, matrix: &CsrMatrix, rows: &[u32], registers: Registers) {
        let (width, lanes) = (registers.columns() as u32, registers.lanes);
        self.clear(matrix.shape().1.div_ceil(registers.columns()) * lanes);
        for (lane, &row) in rows.iter().enumerate() {
            let entries =
                matrix.pointers()[row as usize] as usize..matrix.pointers()[row as usize + 1] as usize;
            for &column in &matrix.columns()[entries] {
                self.of_cell[(column / width) as usize * lanes + lane] += 1;
            }
        }
        self.of_size.fill(0);
        self.of_cell.iter().for_each(|&count| self.of_size[usize::from(count)] += 1);
    }

    fn clear(&mut self, cells: usize) -> &mut [u8] {
        self.of_cell.clear();
        self.of_cell.resize(cells, 0);
        &mut self.of_cell
    }
}

/// The number of panel vectors for which a matrix takes the least time, judged by some of its chunks.
fn cheapest_registers(matrix: &CsrMatrix, order: &[u32], lanes: usize, counts: &mut Counts) -> Registers {
    let cost = |tables: usize, counts: &mut Counts| {
        let registers = Registers { lanes, tables };
        let panels = matrix.shape().1.div_ceil(registers.columns());
        let cost_of_chunk = |rows| {
            counts.count(matrix, rows, registers);
            cheapest_slots(&counts.of_size, panels, registers).1
        };
        some_chunks(order, lanes).map(cost_of_chunk).sum::<f64>()
    };
    let costs = TABLES.map(|tables| (tables, cost(tables, counts)));
    let cheapest = costs.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
    Registers { lanes, tables: cheapest.map_or(TABLES[0], |(tables, _)| tables) }
}

/// The number of slots for which a chunk takes the least time, and that time, by a rough count of cycles: those of the slots;
/// a panel loads its activations; an entry of the tail is a few scalar loads, and a share in a loop that ends where nobody
/// expects it; and a matrix is at best as fast as its bytes come from the third level of the cache. The time is for one
/// sample and a quarter of that for four together, for whom the tail weighs more.
fn cheapest_slots(of_size: &[u32], panels: usize, registers: Registers) -> (usize, f64) {
    const TAIL: f64 = 3.0;
    // Cycles for a byte from the third level.
    const BYTE: f64 = 0.1;
    let slot = registers.slot_cycles();
    let panel = 0.5 * registers.tables as f64;
    let panels = panels as f64;
    let mut tail: f64 = of_size.iter().enumerate().map(|(size, &count)| size as f64 * f64::from(count)).sum();
    let mut larger: f64 = of_size.iter().map(|&count| f64::from(count)).sum();
    let mut cheapest = (0, f64::INFINITY);
    for (slots, &count) in of_size.iter().enumerate().take(MAX_SLOTS + 1) {
        let words = slots.div_ceil(registers.per_word());
        let bytes = 4.0 * (panels * (registers.lanes * (slots + words)) as f64 + 2.0 * tail);
        let least = BYTE * bytes;
        let cycles = |samples: f64| {
            let body = if slots == 0 {
                0.0
            } else {
                panels * ((0.5 + samples * slot) * slots as f64 + samples * panel)
            };
            (body + (0.3 + samples) * TAIL * tail).max(least)
        };
        let cost = cycles(1.0) + 0.25 * cycles(4.0);
        if cost < cheapest.1 {
            cheapest = (slots, cost);
        }
        // One more slot takes an entry of each cell that has more than these.
        larger -= f64::from(count);
        tail -= larger;
    }
    cheapest
}
