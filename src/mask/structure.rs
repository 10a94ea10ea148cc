//! What a mask is, however it was made.

use std::fmt;

use super::Mask;

/// The structure of a mask: the first of these that it has all over.
///
/// As text: `dense`, `empty`, `neurons 150×392`, `blocks 16×1`, `2:4`, `fan-in 39`, `unstructured`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// All weights.
    Dense,
    /// None.
    Empty,
    /// All weights between some outputs and some inputs, which are so many: what pruning neurons leaves.
    Neurons {
        /// Outputs.
        out: usize,
        /// Inputs.
        inputs: usize,
    },
    /// All or nothing of each block of 1, 2, 4, 8, 16 or 32 rows and as many or other columns; blocks at the far edges
    /// may be smaller.
    Blocks {
        /// Rows of a block.
        rows: usize,
        /// Columns of a block.
        columns: usize,
    },
    /// Exactly `n` of every `m` weights along the inputs, of 4, 8, 16 or 32; after the last whole `m`, no
    /// more. Of fewer than eight groups nothing is said.
    OfEvery {
        /// Weights that stay.
        n: usize,
        /// Weights.
        m: usize,
    },
    /// So many weights in each row.
    FanIn(usize),
    /// None of these.
    Unstructured,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Dense => "dense".into(),
            Self::Empty => "empty".into(),
            Self::Neurons { out, inputs } => format!("neurons {out}×{inputs}"),
            Self::Blocks { rows, columns } => format!("blocks {rows}×{columns}"),
            Self::OfEvery { n, m } => format!("{n}:{m}"),
            Self::FanIn(count) => format!("fan-in {count}"),
            Self::Unstructured => "unstructured".into(),
        };
        f.pad(&text)
    }
}

/// Sides of the blocks that are looked for.
const SIDES: [usize; 5] = [32, 16, 8, 4, 2];

/// Groups that an N:M mask has at least: fewer have the same count by chance.
const GROUPS: usize = 8;

impl Mask {
    /// What structure the mask has, found from its weights alone.
    ///
    /// ```
    /// use tombola::Mask;
    /// let mask = Mask::from_fn((64, 64), |row, column| (row + column) % 4 < 2);
    /// assert_eq!(mask.structure().to_string(), "2:4");
    /// ```
    pub fn structure(&self) -> Structure {
        if self.kept() == self.len() {
            return Structure::Dense;
        }
        if self.kept() == 0 {
            return Structure::Empty;
        }
        let found = self.as_neurons().or_else(|| self.as_blocks()).or_else(|| self.as_groups());
        found.or_else(|| self.as_fan_in()).unwrap_or(Structure::Unstructured)
    }

    fn as_neurons(&self) -> Option<Structure> {
        let mut rows = (0..self.shape.0).filter(|&row| self.row(row).next().is_some());
        let first = rows.next()?;
        let others =
            rows.try_fold(0, |count, row| (self.row_bits(row) == self.row_bits(first)).then_some(count + 1))?;
        (others > 0).then(|| Structure::Neurons { out: 1 + others, inputs: self.row(first).count() })
    }

    fn as_blocks(&self) -> Option<Structure> {
        let (out, inputs) = self.shape;
        let same_rows = |&rows: &usize| {
            rows <= out && (0..out).all(|row| self.row_bits(row) == self.row_bits(row / rows * rows))
        };
        let rows = SIDES.into_iter().find(same_rows).unwrap_or(1);
        let full_columns = |&columns: &usize| {
            columns <= inputs
                && (0..out).step_by(rows).all(|row| {
                    let kept: Vec<usize> = self.row(row).collect();
                    let mut blocks = kept.chunk_by(|&a, &b| a / columns == b / columns);
                    blocks.all(|block| {
                        let first = block[0] / columns * columns;
                        block.len() == columns.min(inputs - first)
                    })
                })
        };
        let columns = SIDES.into_iter().find(full_columns).unwrap_or(1);
        (rows * columns > 1).then_some(Structure::Blocks { rows, columns })
    }

    fn as_groups(&self) -> Option<Structure> {
        let (out, inputs) = self.shape;
        [4, 8, 16, 32].into_iter().find_map(|m| {
            let whole = inputs / m;
            let mut counts = vec![0; inputs.div_ceil(m)];
            let mut n = None;
            for row in 0..out {
                counts.fill(0);
                self.row(row).for_each(|column| counts[column / m] += 1);
                let n = *n.get_or_insert(*counts.first()?);
                let fits = counts[..whole].iter().all(|&count| count == n)
                    && counts[whole..].iter().all(|&count| count <= n);
                if whole * out < GROUPS || n == 0 || !fits {
                    return None;
                }
            }
            n.filter(|&n| n < m).map(|n| Structure::OfEvery { n, m })
        })
    }

    fn as_fan_in(&self) -> Option<Structure> {
        let count = self.row(0).count();
        let same =
            self.shape.0 > 1 && count > 0 && (1..self.shape.0).all(|row| self.row(row).count() == count);
        same.then_some(Structure::FanIn(count))
    }
}
