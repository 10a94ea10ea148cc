//! Sliced ELLPACK, for single samples and small batches of very sparse layers.
//!
//! The layout is SELL-C-σ's (Kreutzer et al., *A unified sparse matrix data format for efficient general sparse
//! matrix-vector multiplication on modern processors with wide SIMD units*, 2014). Rows are taken a *chunk* at a time,
//! as many as a vector has lanes, and each chunk has as many *slots* for each of its rows as the longest of them has
//! entries. A slot is a value for each row and the column that it belongs to; its activations are gathered. A gather
//! costs several times a step of a [lookup](super::LookupMatrix), but only for weights that are there: it wins where a
//! lookup's windows are nearly empty or the matrix comes from far away, and takes the place of lookups without AVX2.
//!
//! Column numbers are taken out of memory lane by lane. Where the CPU gathers by one instruction, columns need not be
//! numbers: they are added up from the *gaps* between them, of which most fit a byte. A longer one takes several slots.
//!
//! Where rows differ in length they are sorted by it, as many as a thread takes together (the paper's σ: all of them,
//! in a small matrix), so that those of a chunk are about as long; else they keep their order, and a chunk's outputs
//! are written as one vector.
//!
//! A slot that holds nothing has weight 0 on some column, and computes 0 × an activation, which is NaN where that
//! is infinite or NaN. The kernel redoes from the plain CSR whatever does not come out finite.

use super::CsrMatrix;
use super::chunks::{RowChunks, check_lanes, entries};
use super::zeros::Zeros;
use crate::Result;
use crate::aligned::Aligned;
use crate::csr::Csr;

/// Writing each output of a chunk by itself takes about as long as so many slots.
const WRITING: usize = 2;

/// Gaps take fewer bytes where that makes a matrix one slot in so many longer, at most: a slot less takes less time
/// wherever the matrix lies, a byte less only where it comes from far away.
const SLOTS_FOR_ONE_MORE: usize = 32;

/// A sparse matrix in chunks of rows of the same length: for each slot 4 bytes for the value, and for the column 2, or
/// 4 where its number needs more than 16 bits; as a gap 1, or 2 where many are longer than that holds.
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
    zeros: Zeros,
}

/// The columns of slots, in as few bytes as hold them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Columns {
    Narrow(Aligned<u16>),
    Wide(Aligned<u32>),
    /// By how many columns each lies behind the slot before, or behind the first of all columns.
    Gaps(Aligned<u8>),
    WideGaps(Aligned<u16>),
}

/// How slots tell their columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Numbers,
    /// Up to this one. A longer gap takes several slots, of which the last has the weight.
    Gaps(u32),
}

/// What sliced ELLPACK makes of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SellWork {
    /// Slots of all rows, empty ones with them.
    pub(crate) slots: usize,
    /// Bytes of each.
    pub(crate) bytes: usize,
    /// Chunks whose outputs are written one by one.
    pub(crate) scattered: usize,
}

impl SellMatrix {
    /// Packs a matrix for vectors of `lanes` rows, with the number of each slot's column.
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn new(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        check_lanes("SellMatrix::new", lanes)?;
        Ok(Self::packed(matrix, RowChunks::new(matrix, lanes, WRITING), Told::Numbers))
    }

    /// Packs a matrix for vectors of `lanes` rows, with the gap between each slot's column and that of the slot before.
    /// The kernel adds them up as it goes along, in a vector: this is for CPUs that gather by one. (Where gaps of more
    /// than 2¹⁶ columns would take many slots it is numbers all the same, and of more than 2³¹ columns.)
    ///
    /// # Errors
    /// When `lanes` is not 4, 8 or 16.
    pub fn by_gaps(matrix: &CsrMatrix, lanes: usize) -> Result<Self> {
        check_lanes("SellMatrix::by_gaps", lanes)?;
        let rows = RowChunks::new(matrix, lanes, WRITING);
        let (told, _) = gaps(matrix, &rows);
        Ok(Self::packed(matrix, rows, told))
    }

    fn packed(matrix: &CsrMatrix, rows: RowChunks, told: Told) -> Self {
        let lanes = rows.lanes();
        let mut starts = vec![0];
        starts.extend(slots(matrix, &rows, told).scan(0, |end, slots| {
            *end += slots as u32;
            Some(*end)
        }));
        let len = starts[starts.len() - 1] as usize * lanes;
        let (mut columns, mut values) = (vec![0; len], Aligned::zeros(len));
        for (rows, &start) in rows.iter().zip(&starts) {
            for (lane, &row) in rows.iter().enumerate() {
                let mut places = (start as usize * lanes + lane..).step_by(lanes);
                let mut put = |column, value| {
                    let place = places.next().unwrap_or_else(|| unreachable!("places have no end"));
                    (columns[place], values[place]) = (column, value);
                };
                let mut before = 0;
                for entry in entries(matrix, row) {
                    let (column, value) = (matrix.columns()[entry], matrix.values()[entry]);
                    match told {
                        Told::Numbers => put(column, value),
                        Told::Gaps(longest) => {
                            for _ in 0..passed(column - before, longest) {
                                put(longest, 0.0);
                                before += longest;
                            }
                            put(column - before, value);
                            before = column;
                        }
                    }
                }
            }
        }
        let in_16_bits = |columns: Vec<u32>| columns.iter().map(|&column| column as u16).collect::<Vec<_>>();
        let columns = match told {
            Told::Numbers if matrix.shape().1 <= 0x1_0000 => Columns::Narrow(in_16_bits(columns).into()),
            Told::Numbers => Columns::Wide(columns.into()),
            Told::Gaps(SHORT) => {
                Columns::Gaps(columns.iter().map(|&gap| gap as u8).collect::<Vec<_>>().into())
            }
            Told::Gaps(_) => Columns::WideGaps(in_16_bits(columns).into()),
        };
        Self { shape: matrix.shape(), rows, starts, columns, values, zeros: Zeros::of(matrix) }
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
            Columns::Narrow(columns) | Columns::WideGaps(columns) => size_of_val(&columns[..]),
            Columns::Wide(columns) => size_of_val(&columns[..]),
            Columns::Gaps(gaps) => size_of_val(&gaps[..]),
        };
        self.rows.bytes()
            + size_of_val(&self.starts[..])
            + columns
            + size_of_val(&self.values[..])
            + self.zeros.bytes()
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let lanes = self.lanes();
        let mut rows = vec![Vec::new(); self.shape.0];
        for (chunk, slots) in self.rows.iter().zip(self.starts.windows(2)) {
            for (lane, &row) in chunk.iter().enumerate() {
                let mut column = 0;
                for place in (slots[0]..slots[1]).map(|slot| slot as usize * lanes + lane) {
                    column = match &self.columns {
                        Columns::Narrow(columns) => columns[place].into(),
                        Columns::Wide(columns) => columns[place],
                        Columns::Gaps(gaps) => column + u32::from(gaps[place]),
                        Columns::WideGaps(gaps) => column + u32::from(gaps[place]),
                    };
                    let value = self.values[place];
                    if value.to_bits() != 0 {
                        rows[row as usize].push((column, value));
                    }
                }
            }
        }
        self.zeros.csr_with(self.shape, rows)
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

impl SellWork {
    /// The work that a matrix makes, packed for vectors of `lanes` rows, by gaps or not.
    pub(crate) fn of(matrix: &CsrMatrix, lanes: usize, by_gaps: bool) -> Self {
        let rows = RowChunks::new(matrix, lanes, WRITING);
        let (told, slots) = if by_gaps { gaps(matrix, &rows) } else { numbers(matrix, &rows) };
        let column = match told {
            Told::Gaps(SHORT) => size_of::<u8>(),
            Told::Numbers if matrix.shape().1 > 0x1_0000 => size_of::<u32>(),
            _ => size_of::<u16>(),
        };
        Self { slots: lanes * slots, bytes: size_of::<f32>() + column, scattered: rows.scattered() }
    }
}

/// Columns up to which they can be gaps: CPUs gather by numbers with a sign.
pub(crate) const MAX_GATHERED: usize = 1 << 31;

/// The longest gap of a byte, and of two.
const SHORT: u32 = u8::MAX as u32;
const LONG: u32 = u16::MAX as u32;

/// The gaps that take a matrix less time, if it had better have any, and the slots of each row of all chunks.
fn gaps(matrix: &CsrMatrix, rows: &RowChunks) -> (Told, usize) {
    let numbers = numbers(matrix, rows);
    if matrix.shape().1 > MAX_GATHERED {
        return numbers;
    }
    let (_, least) = numbers;
    let gaps = [SHORT, LONG].map(Told::Gaps).into_iter();
    let mut gaps = gaps.map(|told| (told, slots(matrix, rows, told).sum()));
    gaps.find(|&(_, slots)| slots <= least + least / SLOTS_FOR_ONE_MORE).unwrap_or(numbers)
}

/// The same with numbers.
fn numbers(matrix: &CsrMatrix, rows: &RowChunks) -> (Told, usize) {
    (Told::Numbers, slots(matrix, rows, Told::Numbers).sum())
}

/// Slots of each row, chunk by chunk.
fn slots(matrix: &CsrMatrix, rows: &RowChunks, told: Told) -> impl Iterator<Item = usize> {
    let slots = move |&row| match told {
        Told::Numbers => entries(matrix, row).len(),
        Told::Gaps(longest) => {
            let columns = &matrix.columns()[entries(matrix, row)];
            let passed = |gap| passed(gap, longest);
            let between = || columns.iter().zip(columns.get(1..).unwrap_or_default()).map(|(a, b)| b - a);
            // The widest first, for which a vector takes many at a time: mostly it is not that wide.
            let widest = between().fold(0, u32::max);
            let between = if widest > longest { between().map(passed).sum() } else { 0 };
            columns.len() + columns.first().map_or(0, |&first| passed(first)) + between
        }
    };
    rows.iter().map(move |rows| rows.iter().map(slots).max().unwrap_or(0))
}

/// Slots that hold nothing before one that lies so far behind the last.
fn passed(gap: u32, longest: u32) -> usize {
    if gap > longest { ((gap - 1) / longest) as usize } else { 0 }
}
