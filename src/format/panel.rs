//! Panels of columns, for batches.
//!
//! The batched product `Y = W·X` with `X` as `[in, samples]` reads one row of `X` for each kept weight. It is fast
//! when those rows come from the first-level cache, so the columns are cut into panels whose rows of `X` fit there, and
//! a band of [`BAND_ROWS`] of `W`'s rows is walked for one panel before the next begins. The sums of a band stay in the
//! second-level cache meanwhile, and bands need nothing of each other, so threads can share them out.
//!
//! Within a panel rows are sorted by their length and taken [`PANEL_ROWS`] at a time. Their entries are interleaved
//! as far as the shortest goes, then come the rests of the longer ones. Neighbours in the sorted order have nearly
//! the same length, so rests are rare, loops end where the branch predictor expects them to, and nothing is padded:
//! a padded slot would multiply 0 by an activation that may be infinite.

use std::ops::Range;

use super::{CsrMatrix, csr_of_rows};
use crate::csr::Csr;
use crate::{Error, Result};

/// Rows that are walked together: enough independent sums to hide the latency of a multiply-add.
pub const PANEL_ROWS: usize = 4;

/// Rows of a band; the last one may have fewer.
pub const BAND_ROWS: usize = 512;

/// A sparse matrix cut into panels of columns, for batches: 6 bytes per kept weight and 36 for each group of
/// [`PANEL_ROWS`] rows in each panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelMatrix {
    shape: (usize, usize),
    width: usize,
    /// Of one band after the other, as many in each.
    panels: Vec<Panel>,
    groups: Vec<Group>,
    /// Columns relative to their panel's first, each below the panel's width.
    columns: Vec<u16>,
    values: Vec<f32>,
}

/// One panel of a band: the groups of rows that have entries in its columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// Its first column.
    pub(crate) column: usize,
    /// Its groups.
    pub(crate) groups: Range<usize>,
    /// Its first entry.
    pub(crate) entry: usize,
}

/// [`PANEL_ROWS`] rows of a panel. Their entries are `common` for each row, interleaved, and then `rest[0]` more of
/// the first row, `rest[1]` more of the second, and so on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// The rows, relative to the first of their band. Only the last group of a panel can lack some, and then the first row stands in their places, all
    /// entries are rests and those of the missing rows are 0.
    pub(crate) rows: [u32; PANEL_ROWS],
    pub(crate) common: u32,
    pub(crate) rest: [u32; PANEL_ROWS],
}

impl PanelMatrix {
    /// Packs a matrix into panels of `width` columns.
    ///
    /// The first and the last panel of a band name every row, for the bias and for the activation; the ones between them
    /// only the rows that have entries there.
    ///
    /// # Errors
    /// When `width` is 0 or above 65,536, the reach of 16-bit columns.
    pub fn new(matrix: &CsrMatrix, width: usize) -> Result<Self> {
        if !(1..=1 << 16).contains(&width) {
            return Err(Error::value("PanelMatrix::new", "width", "1 to 65536 columns", width));
        }
        let (rows, columns) = matrix.shape();
        let mut packed = Self {
            shape: matrix.shape(),
            width,
            panels: Vec::with_capacity(rows.div_ceil(BAND_ROWS) * columns.div_ceil(width)),
            groups: Vec::new(),
            columns: Vec::with_capacity(matrix.kept()),
            values: Vec::with_capacity(matrix.kept()),
        };
        for first in (0..rows).step_by(BAND_ROWS) {
            packed.push_band(matrix, first..(first + BAND_ROWS).min(rows));
        }
        Ok(packed)
    }

    fn push_band(&mut self, matrix: &CsrMatrix, rows: Range<usize>) {
        let (columns, count) = (self.shape.1, self.panels_of_band());
        let (starts, ends) =
            (&matrix.pointers()[rows.clone()], &matrix.pointers()[rows.start + 1..=rows.end]);
        // Where the next panel begins in each row.
        let mut cursor = starts.to_vec();
        let mut segments: Vec<Segment> = Vec::with_capacity(rows.len());
        for panel in 0..count {
            let limit = ((panel + 1) * self.width).min(columns) as u32;
            let touch_all = panel == 0 || panel + 1 == count;
            segments.clear();
            for (row, (start, &end)) in cursor.iter_mut().zip(ends).enumerate() {
                let rest = &matrix.columns()[*start as usize..end as usize];
                let len = rest.iter().take_while(|&&column| column < limit).count() as u32;
                if len > 0 || touch_all {
                    segments.push(Segment { row: row as u32, start: *start, len });
                }
                *start += len;
            }
            // Stable, so that rows of the same length stay in order.
            segments.sort_by_key(|segment| std::cmp::Reverse(segment.len));
            self.push_panel(matrix, panel * self.width, &segments);
        }
    }

    fn push_panel(&mut self, matrix: &CsrMatrix, first: usize, segments: &[Segment]) {
        let (entry, group) = (self.values.len(), self.groups.len());
        for segments in segments.chunks(PANEL_ROWS) {
            let full = segments.len() == PANEL_ROWS;
            let common = if full { segments[PANEL_ROWS - 1].len } else { 0 };
            let mut group = Group { rows: [segments[0].row; PANEL_ROWS], common, rest: [0; PANEL_ROWS] };
            for at in 0..common {
                for segment in segments {
                    self.push_entry(matrix, first, segment.start + at);
                }
            }
            for (index, segment) in segments.iter().enumerate() {
                group.rows[index] = segment.row;
                group.rest[index] = segment.len - common;
                for at in common..segment.len {
                    self.push_entry(matrix, first, segment.start + at);
                }
            }
            self.groups.push(group);
        }
        self.panels.push(Panel { column: first, groups: group..self.groups.len(), entry });
    }

    fn push_entry(&mut self, matrix: &CsrMatrix, first: usize, at: u32) {
        self.columns.push((matrix.columns()[at as usize] as usize - first) as u16);
        self.values.push(matrix.values()[at as usize]);
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
            + size_of_val(&self.columns[..])
            + size_of_val(&self.groups[..])
            + size_of_val(&self.panels[..])
    }

    /// The matrix it was packed from.
    pub fn to_csr(&self) -> Csr {
        let mut rows = vec![Vec::new(); self.shape.0];
        for (index, panel) in self.panels.iter().enumerate() {
            let first = index / self.panels_of_band() * BAND_ROWS;
            let mut at = panel.entry;
            let mut take = |row: u32| {
                let column = panel.column + usize::from(self.columns[at]);
                rows[first + row as usize].push((column as u32, self.values[at]));
                at += 1;
            };
            for group in &self.groups[panel.groups.clone()] {
                for _ in 0..group.common {
                    group.rows.iter().for_each(|&row| take(row));
                }
                for (&row, &rest) in group.rows.iter().zip(&group.rest) {
                    (0..rest).for_each(|_| take(row));
                }
            }
        }
        // Panels ascend, and so do the entries of a row within each.
        csr_of_rows(self.shape, rows)
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
        (bands.start * BAND_ROWS).min(self.shape.0)..(bands.end * BAND_ROWS).min(self.shape.0)
    }

    /// How many bands there are.
    pub(crate) fn bands(&self) -> usize {
        self.shape.0.div_ceil(BAND_ROWS)
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The columns of some neighbouring panels of a band.
    pub(crate) fn columns_of(&self, panels: Range<usize>) -> Range<usize> {
        (panels.start * self.width).min(self.shape.1)..(panels.end * self.width).min(self.shape.1)
    }

    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// The entries of a row in a panel.
struct Segment {
    row: u32,
    start: u32,
    len: u32,
}
