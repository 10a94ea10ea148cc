//! Panels of columns, for batches.
//!
//! The batched product `Y = W·X` with `X` as `[in, samples]` reads one row of `X` for each kept weight. It is fast when
//! those rows come from the first-level cache, so the columns are cut into panels whose rows of `X` fit there, and a
//! band of about [`BAND_ROWS`] of `W`'s rows, or fewer, is walked for one panel before the next begins. The sums of a
//! band stay in the second-level cache meanwhile, and bands need nothing of each other, so threads can share them out.
//!
//! Within a panel rows are taken [`PANEL_ROWS`] at a time, and matched so that they share columns: what is loaded of
//! `X` then serves four rows, or two. First come the columns that all four share, then those that two pairs share, then
//! as many for each row alone as the shortest has, interleaved; last the rests of the longer ones. Groups of the same
//! counts follow each other, so loops end where the branch predictor expects them to, and nothing is padded: a padded
//! slot would multiply 0 by an activation that may be infinite.

use std::hint::{black_box, select_unpredictable};
use std::ops::Range;

use super::chunks::entries;
use super::grouping::{self, Columns, Kinds, Segment};
use super::parts::parts;
use super::{CsrMatrix, csr_of_rows};
use crate::csr::Csr;
use crate::{Error, Result};

/// Rows that are walked together: enough independent sums to hide the latency of a multiply-add.
pub const PANEL_ROWS: usize = 4;

/// What a place is a column times: lanes of the shortest vector that there is a kernel for. An address of x86
/// multiplies by as much again at no cost, so that kernels get from a place to a column's activations with one
/// instruction less.
pub(crate) const PLACES: usize = 8;

/// Rows of a band, at most, if all have as many weights. Bands take about as long as each other, so that of short rows
/// one has more.
pub const BAND_ROWS: usize = 512;

/// A power of two of bands for so many rows. (There are fewer if some of the rows have most of the weights.)
pub(crate) fn bands(rows: usize) -> usize {
    rows.div_ceil(BAND_ROWS).next_power_of_two()
}

/// The time that a row takes, in units of a kept weight: its weights, of which dense rows share loads with their
/// neighbours; two for each panel, in which its sums are loaded and stored; and 25 to bring them to the caller. (Fitted
/// to the times of both halves of layers whose rows are sorted by length.)
fn row_cost(kept: f64, columns: usize, panels: usize) -> f64 {
    kept * (1.0 - 0.4 * kept / columns as f64) + 2.0 * panels as f64 + 25.0
}

/// A sparse matrix cut into panels of columns, for batches: 4.5 to 6 bytes per kept weight, the fewer the more columns
/// are shared, and 36 for each group of [`PANEL_ROWS`] rows in each panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelMatrix {
    shape: (usize, usize),
    width: usize,
    /// The first row of each band, and where the last one ends.
    bands: Vec<usize>,
    /// Of one band after the other, as many in each.
    panels: Vec<Panel>,
    groups: Vec<Group>,
    /// Columns relative to their panel's first, each below the panel's width, times [`PLACES`]; one for the entries
    /// that share it.
    places: Vec<u16>,
    values: Vec<f32>,
}

/// One panel of a band: the groups of rows that have entries in its columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// Its first column.
    pub(crate) column: usize,
    /// Its groups.
    pub(crate) groups: Range<usize>,
    /// Where its places begin.
    pub(crate) at: usize,
    /// Its first entry.
    pub(crate) entry: usize,
}

/// [`PANEL_ROWS`] rows of a panel, and the counts of their entries in the order in which they lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// The rows, relative to the first of their band. Only the last group of a panel can lack some, and then the first
    /// row stands in their places, all entries are rests and those of the missing rows are 0.
    pub(crate) rows: [u16; PANEL_ROWS],
    /// One column, and a value for each row.
    pub(crate) fours: u32,
    /// Two columns, that of the first two rows and that of the last two, and a value for each row.
    pub(crate) pairs: u32,
    /// A column and a value for each row.
    pub(crate) singles: u32,
    /// What is left of the first row, of the second, and so on.
    pub(crate) rest: [u32; PANEL_ROWS],
}

impl Group {
    /// The values that its rows have there.
    pub(crate) fn entries(&self) -> usize {
        let interleaved = PANEL_ROWS as u32 * (self.fours + self.pairs + self.singles);
        (interleaved + self.rest.iter().sum::<u32>()) as usize
    }
}

/// Four numbers, 16 bits each, the first lowest. (In memory each would wait for the last one to be stored.)
const fn in_one(numbers: [usize; 4]) -> u64 {
    let [a, b, c, d] = numbers;
    a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48
}

/// The kind of a single entry. Those that two rows share, or four, come next: see [`Kinds`].
const SINGLE: usize = 0;

/// The kind of what is left of a row.
const REST: usize = 3;

/// How far the values of a row are apart, by kind: of single entries, of those in pairs, of those in fours, and of the
/// rest; four [`in_one`].
static VALUES_APART: [u64; 4] = [
    in_one([PANEL_ROWS, 0, 0, 0]),
    in_one([0, PANEL_ROWS, 0, 0]),
    in_one([0, 0, PANEL_ROWS, 0]),
    in_one([0, 0, 0, 1]),
];

/// The same of their places.
static PLACES_APART: [u64; 4] =
    [in_one([PANEL_ROWS, 0, 0, 0]), in_one([0, 2, 0, 0]), in_one([0, 0, 1, 0]), in_one([0, 0, 0, 1])];

/// Columns of the widest panel: a place in one is named by 16 bits.
pub(crate) const MAX_PANEL: usize = (1 << 16) / PLACES;

impl PanelMatrix {
    /// Packs a matrix into panels of `width` columns.
    ///
    /// The first and the last panel of a band name every row, for the bias and for the activation; the ones between
    /// them only the rows that have entries there.
    ///
    /// # Errors
    /// When `width` is 0 or above 8,192.
    pub fn new(matrix: &CsrMatrix, width: usize) -> Result<Self> {
        if !(1..=MAX_PANEL).contains(&width) {
            return Err(Error::value("PanelMatrix::new", "width", "1 to 8192 columns", width));
        }
        let (rows, columns) = matrix.shape();
        let kept = matrix.pointers().windows(2).map(|row| f64::from(row[1] - row[0]));
        // With at least this for each, no band has more than ten times the rows of the mean, which are counted in 16
        // bits.
        let least = matrix.kept() as f64 / (8 * rows) as f64;
        let costs: Vec<_> =
            kept.map(|kept| row_cost(kept, columns, columns.div_ceil(width)).max(least)).collect();
        let bands = parts(&costs, bands(rows), PANEL_ROWS);
        let mut packed = Self {
            shape: matrix.shape(),
            width,
            panels: Vec::with_capacity((bands.len() - 1) * columns.div_ceil(width)),
            groups: Vec::new(),
            places: Vec::with_capacity(matrix.kept()),
            values: Vec::with_capacity(matrix.kept()),
            bands: Vec::new(),
        };
        for band in bands.windows(2) {
            packed.push_band(matrix, band[0]..band[1]);
        }
        packed.bands = bands;
        Ok(packed)
    }

    fn push_band(&mut self, matrix: &CsrMatrix, rows: Range<usize>) {
        let (columns, count) = (self.shape.1, self.panels_of_band());
        let mut left: Vec<_> = rows.map(|row| entries(matrix, row as u32)).collect();
        for panel in 0..count {
            let first = panel * self.width;
            let mut segments = segments(matrix, &mut left, first..(first + self.width).min(columns));
            if panel > 0 && panel + 1 < count {
                segments.retain(|segment| !segment.columns.is_empty());
            }
            self.push_panel(first, &segments);
        }
    }

    /// Loads of activations for each kept weight, if a matrix were packed into panels of that width: 1 where no rows
    /// share columns, a quarter where all do. It is taken from one panel, in the middle of the matrix.
    pub(crate) fn loads(matrix: &CsrMatrix, width: usize) -> f64 {
        let (rows, columns) = matrix.shape();
        let middle = |len: usize, part: usize| {
            let start = (len.saturating_sub(part) / 2).next_multiple_of(4);
            start.min(len)..(start + part).min(len)
        };
        let (rows, columns) = (middle(rows, BAND_ROWS), middle(columns, width));
        let from_first = |row| {
            let Range { start, end } = entries(matrix, row as u32);
            let before =
                matrix.columns()[start..end].partition_point(|&column| (column as usize) < columns.start);
            start + before..end
        };
        let segments = segments(matrix, &mut rows.map(from_first).collect::<Vec<_>>(), columns.clone());
        let (groups, left_over) = grouping::groups(&segments, &Columns::new(&segments, columns.start, width));
        let len = |segment: usize| segments[segment].columns.len();
        let saved: usize = groups.iter().map(|group| 3 * group.fours + 2 * group.pairs).sum();
        let kept: usize = (0..left_over.end).map(len).sum();
        if kept == 0 { 1.0 } else { 1.0 - saved as f64 / kept as f64 }
    }

    fn push_panel(&mut self, first: usize, segments: &[Segment<'_>]) {
        let (group, at, entry) = (self.groups.len(), self.places.len(), self.values.len());
        let columns = Columns::new(segments, first, self.width);
        let (groups, left_over) = grouping::groups(segments, &columns);
        let mut kinds = Kinds::default();
        for group in groups {
            if group.segments.iter().all(|&segment| segments[segment].columns.len() == group.fours) {
                self.push_block(&group, segments, first);
            } else {
                group.kinds(&columns, &mut kinds);
                self.push_group(&group, &kinds, segments, first);
            }
        }
        if let Some(&Segment { row, .. }) = segments[left_over.clone()].first() {
            let mut group =
                Group { rows: [row; PANEL_ROWS], fours: 0, pairs: 0, singles: 0, rest: [0; PANEL_ROWS] };
            for (index, segment) in segments[left_over].iter().enumerate() {
                group.rows[index] = segment.row;
                group.rest[index] = segment.columns.len() as u32;
                (0..segment.columns.len()).for_each(|at| self.push_place(segment, at, first));
                self.values.extend(segment.values);
            }
            self.groups.push(group);
        }
        self.panels.push(Panel { column: first, groups: group..self.groups.len(), at, entry });
    }

    /// Lays out the entries of four rows that share all of them: of a block, or of dense rows.
    fn push_block(&mut self, group: &grouping::Group, segments: &[Segment<'_>], first: usize) {
        let (rows, fours) = (group.segments.map(|segment| &segments[segment]), group.fours);
        let entry = self.values.len();
        self.values.resize(entry + PANEL_ROWS * fours, 0.0);
        for (row, segment) in rows.into_iter().enumerate() {
            let places = self.values[entry..].iter_mut().skip(row).step_by(PANEL_ROWS);
            places.zip(segment.values).for_each(|(place, &value)| *place = value);
        }
        (0..fours).for_each(|at| self.push_place(rows[0], at, first));
        let rows = rows.map(|segment| segment.row);
        self.groups.push(Group { rows, fours: fours as u32, pairs: 0, singles: 0, rest: [0; PANEL_ROWS] });
    }

    /// Lays out the entries of four rows: those that all share, those that pairs share, single ones, and what is left
    /// of each row.
    fn push_group(&mut self, group: &grouping::Group, kinds: &Kinds, segments: &[Segment<'_>], first: usize) {
        let &grouping::Group { fours, pairs, singles, .. } = group;
        let (rows, together) = (group.segments.map(|segment| &segments[segment]), fours + pairs + singles);
        let rest = rows.map(|segment| segment.columns.len() - together);
        // Where what is left of a row begins, of values and of places: as all of four rows, below 2¹⁶.
        let mut rests = (PANEL_ROWS * together, fours + 2 * pairs + PANEL_ROWS * singles);
        let (entry, at, left) = (self.values.len(), self.places.len(), rest.iter().sum::<usize>());
        self.values.resize(entry + rests.0 + left, 0.0);
        self.places.resize(at + rests.1 + left, 0);
        let (values, places) = (&mut self.values[entry..], &mut self.places[at..]);
        for (row, (segment, rest)) in rows.into_iter().zip(rest).enumerate() {
            // Where the value and the place of the next entry go, by kind. Rows that share a column agree on its place.
            let mut value_at =
                in_one([PANEL_ROWS * (fours + pairs) + row, PANEL_ROWS * fours + row, row, rests.0]);
            let mut place_at = in_one([fours + 2 * pairs + row, fours + row / 2, 0, rests.1]);
            let mut singles = singles;
            let kinds = kinds.of(row);
            for (&column, &value) in segment.columns.iter().zip(segment.values) {
                let column = column as usize - first;
                // Of which kind it is, nobody foresees: so no branch depends on it.
                let kind = usize::from(kinds[column]);
                let kind = select_unpredictable(kind == SINGLE && singles == 0, REST, kind);
                singles -= usize::from(kind == SINGLE);
                values[usize::from((value_at >> (16 * kind)) as u16)] = value;
                places[usize::from((place_at >> (16 * kind)) as u16)] = (PLACES * column) as u16;
                value_at += VALUES_APART[kind];
                place_at += PLACES_APART[kind];
            }
            rests = (rests.0 + rest, rests.1 + rest);
        }
        self.groups.push(Group {
            rows: group.segments.map(|segment| segments[segment].row),
            fours: fours as u32,
            pairs: pairs as u32,
            singles: singles as u32,
            rest: rest.map(|rest| rest as u32),
        });
    }

    fn push_place(&mut self, segment: &Segment<'_>, at: usize, first: usize) {
        self.places.push((PLACES * (segment.columns[at] as usize - first)) as u16);
    }

    /// `(out, in)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Columns of a panel; the last one may have fewer.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.values[..])
            + size_of_val(&self.places[..])
            + size_of_val(&self.groups[..])
            + size_of_val(&self.panels[..])
            + size_of_val(&self.bands[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let mut rows = vec![Vec::new(); self.shape.0];
        for (index, panel) in self.panels.iter().enumerate() {
            let first = self.bands[index / self.panels_of_band()];
            let (mut at, mut entry) = (panel.at, panel.entry);
            let mut take = |together: &[u16]| {
                let column = panel.column + usize::from(self.places[at]) / PLACES;
                for &row in together {
                    rows[first + usize::from(row)].push((column as u32, self.values[entry]));
                    entry += 1;
                }
                at += 1;
            };
            for Group { rows, fours, pairs, singles, rest } in &self.groups[panel.groups.clone()] {
                (0..*fours).for_each(|_| take(rows));
                (0..*pairs).for_each(|_| rows.chunks(2).for_each(&mut take));
                (0..*singles).for_each(|_| rows.chunks(1).for_each(&mut take));
                for (row, &rest) in rows.chunks(1).zip(rest) {
                    (0..rest).for_each(|_| take(row));
                }
            }
        }
        rows.iter_mut().for_each(|row| row.sort_unstable_by_key(|&(column, _)| column));
        csr_of_rows(self.shape, rows)
    }

    pub(crate) fn bands(&self) -> usize {
        self.bands.len() - 1
    }

    /// Panels of each band.
    pub(crate) fn panels_of_band(&self) -> usize {
        self.shape.1.div_ceil(self.width)
    }

    /// The panels of a band.
    pub(crate) fn band(&self, band: usize) -> &[Panel] {
        &self.panels[band * self.panels_of_band()..][..self.panels_of_band()]
    }

    /// The rows of some neighbouring bands.
    pub(crate) fn rows_of(&self, bands: Range<usize>) -> Range<usize> {
        self.bands[bands.start]..self.bands[bands.end]
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The columns of some neighbouring panels of a band.
    pub(crate) fn columns_of(&self, panels: Range<usize>) -> Range<usize> {
        (panels.start * self.width).min(self.shape.1)..(panels.end * self.width).min(self.shape.1)
    }

    pub(crate) fn places(&self) -> &[u16] {
        &self.places
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// What some rows have of the columns that come next, from `columns.start` on, from long to short, and rows that begin
/// with the same columns side by side. `left` is what they have from there on, and afterwards what they have beyond.
fn segments<'a>(matrix: &'a CsrMatrix, left: &mut [Range<usize>], columns: Range<usize>) -> Vec<Segment<'a>> {
    bring_near(matrix, left, columns.len());
    let segment = |(left, row): (&mut Range<usize>, u16)| {
        let all = &matrix.columns()[left.clone()];
        let len = all.iter().take_while(|&&column| (column as usize) < columns.end).count();
        let values = &matrix.values()[left.start..left.start + len];
        left.start += len;
        Segment { row, columns: &all[..len], values }
    };
    let mut segments: Vec<_> = left.iter_mut().zip(0..).map(segment).collect();
    // By their first columns, since to compare all would take longer than what it gains. In one number: none of the
    // four comes to 2¹⁶, as panels are no wider than `MAX_PANEL`.
    segments.sort_by_cached_key(|segment| {
        let place =
            |at| segment.columns.get(at).map_or(0, |&column| 1 + u64::from(column) - columns.start as u64);
        let shortness = (MAX_PANEL - segment.columns.len()) as u64;
        [0, 1, 2].into_iter().fold(shortness, |key, at| key << 16 | place(at))
    });
    segments
}

/// Entries of a matrix that no second-level cache holds.
const FAR: usize = 1 << 20;

/// Of a large matrix, reads a number of each cache line of the entries that come next, in some `columns`, in all rows
/// at once: they come from far, and would be waited for one row after the other, since where a row ends nobody
/// foresees. (Packing 4096×4096, half pruned, takes a tenth less on a Granite Rapids.)
fn bring_near(matrix: &CsrMatrix, left: &[Range<usize>], columns: usize) {
    const LINE: usize = 64 / size_of::<f32>();
    if matrix.kept() <= FAR {
        return;
    }
    let (rows, all_columns) = matrix.shape();
    let in_each = (matrix.kept() as f64 / rows as f64 * columns as f64 / all_columns as f64) as usize + 1;
    let some = left.iter().flat_map(|left| (left.start..left.end.min(left.start + in_each)).step_by(LINE));
    let read = some.fold(0, |read, at| read ^ matrix.columns()[at] ^ matrix.values()[at].to_bits());
    // Without this it would be left out, as nobody wants it.
    black_box(read);
}
