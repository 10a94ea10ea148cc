//! Packed layouts: what a kernel reads. Each is built from a [CSR](crate::csr), checks it once, and gives it back
//! exactly. Safe code, and nothing about instruction sets.
//!
//! | layout | for | bytes per kept weight |
//! |---|---|---|
//! | [`CsrMatrix`] | single samples | 8, and 4 a row |
//! | [`PanelMatrix`] | batches | 6, and 20 for each two rows in each panel |

mod csr;
mod panel;

pub use csr::CsrMatrix;
pub(crate) use panel::{Group, Panel};
pub use panel::{PANEL_ROWS, PanelMatrix};
