//! Packed layouts: what a kernel reads. Each is built from a [CSR](crate::csr), checks it once, and gives it back
//! exactly. Safe code, and nothing about instruction sets.
//!
//! | layout | for | bytes per kept weight |
//! |---|---|---|
//! | [`CsrMatrix`] | what the others are packed from; sums that are not finite are done again from it, and it can be run itself | 8, and 4 a row |
//! | [`LookupMatrix`] | single samples and small batches | 6 to 8 at 80%, 10 to 14 at 95%, with padding |
//! | [`NmMatrix`] | the same, where every M columns of a row keep N | 4.25 for 2:4, up to 4.7 for others |
//! | [`BlockMatrix`] | the same, where R neighbouring rows share their columns | 4.25 for 16 rows, 5 for 4 |
//! | [`SellMatrix`] | the same, where few weights are left or large layers come from far away, or without AVX2 | 6, or 5 by gaps between columns, and padding, which is little where rows are about equally long or can be sorted by length |
//! | [`PanelMatrix`] | batches | 4.5 to 6, and 36 for each four rows in each panel |
//! | `Pattern` | training: the places alone, as values change | 4, and 4 a row in each panel |

mod block;
mod chunks;
mod csr;
mod grouping;
mod lookup;
mod nm;
mod panel;
mod parts;
#[cfg(feature = "dense")]
mod pattern;
mod sell;
mod zeros;

use sprs::CsMatI;

pub use block::{BlockMatrix, Blocks};
pub(crate) use chunks::{MAX_LANES, RowChunks, Rows};
pub use csr::CsrMatrix;
pub(crate) use csr::SHARE_WEIGHTS;
pub use lookup::{LookupMatrix, Window};
pub(crate) use lookup::{LookupWork, MAX_TABLES};
pub(crate) use nm::BLOCK as NM_BLOCK;
pub use nm::{Nm, NmMatrix};
pub use panel::{BAND_ROWS, PANEL_ROWS, PanelMatrix};
pub(crate) use panel::{MAX_PANEL, PLACES, bands};
#[cfg(feature = "dense")]
pub(crate) use pattern::Pattern;
pub use sell::SellMatrix;
pub(crate) use sell::{Columns, MAX_GATHERED, SellWork};

use crate::csr::Csr;

/// The CSR of rows of columns and values, each sorted by column.
fn csr_of_rows(shape: (usize, usize), rows: Vec<Vec<(u32, f32)>>) -> Csr {
    let mut pointers = vec![0];
    pointers.extend(rows.iter().scan(0, |end, row| {
        *end += row.len() as u32;
        Some(*end)
    }));
    let (columns, values) = rows.into_iter().flatten().unzip();
    CsMatI::new(shape, pointers, columns, values)
}
