//! The one door from mask × weight to CSR, and the checks of a CSR that comes from elsewhere.
//!
//! CSR (compressed sparse row) is `sprs`' [`CsMatI`] here, with 32-bit column indices and row pointers: each row's
//! kept columns, ascending, and their values. It is the format that every other one is packed from and gives back.

use ndarray::{Array2, ArrayView2};
use sprs::CsMatI;

use crate::{Error, ErrorKind, Mask, Result};

/// A sparse weight matrix `[out, in]`: `sprs` compressed sparse rows with u32 indices and u32 row pointers.
pub type Csr = CsMatI<f32, u32, u32>;

const APPLY: &str = "Mask::apply";

impl Mask {
    /// The kept weights of `weight` (`[out, in]`) as CSR, rows and columns ascending.
    ///
    /// The *mask* says what becomes an entry: a kept weight that happens to be 0.0 stays one, and a pruned weight
    /// leaves nothing, whatever its value.
    ///
    /// ```
    /// use tombola::Mask;
    /// let mask = Mask::from_array(ndarray::array![[true, false], [true, true]].view());
    /// let csr = mask.apply(ndarray::array![[0.0, 2.0], [3.0, 4.0]].view())?;
    /// assert_eq!(csr.indices(), [0, 0, 1]);
    /// assert_eq!(csr.data(), [0.0, 3.0, 4.0]);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the shapes differ, or a dimension or the count of kept weights does not fit 32 bits.
    pub fn apply(&self, weight: ArrayView2<'_, f32>) -> Result<Csr> {
        let (pointers, columns) = self.places(weight.dim())?;
        let mut values = Vec::with_capacity(columns.len());
        for (weights, row) in weight.rows().into_iter().zip(pointers.windows(2)) {
            let columns = &columns[row[0] as usize..row[1] as usize];
            values.extend(columns.iter().map(|&column| weights[column as usize]));
        }
        self.csr(pointers, columns, values)
    }

    /// [`apply`](Self::apply) to weights that nobody needs any more: what they lie in becomes the room of the kept
    /// ones.
    #[cfg(feature = "io")]
    pub(crate) fn apply_owned(&self, weight: Array2<f32>) -> Result<Csr> {
        if !weight.is_standard_layout() {
            return self.apply(weight.view());
        }
        let (pointers, columns) = self.places(weight.dim())?;
        let width = weight.ncols();
        let (mut values, start) = weight.into_raw_vec_and_offset();
        values.drain(..start.unwrap_or(0));
        // None moves back: before a kept weight there are at most as many kept ones as there are weights.
        let places =
            (0..self.shape().0).flat_map(|row| self.row(row).map(move |column| row * width + column));
        for (index, place) in places.enumerate() {
            values[index] = values[place];
        }
        values.truncate(columns.len());
        values.shrink_to_fit();
        self.csr(pointers, columns, values)
    }

    /// Row pointers and columns of what is kept of a weight of a shape.
    fn places(&self, shape: (usize, usize)) -> Result<(Vec<u32>, Vec<u32>)> {
        self.check_shape(APPLY, "weight", shape)?;
        let (rows, columns) = self.shape();
        let kept = self.kept();
        for (what, count) in [("rows", rows), ("columns", columns), ("kept weights", kept)] {
            if u32::try_from(count).is_err() {
                let expected = format!("at most {} {what}, to fit 32-bit CSR", u32::MAX);
                return Err(Error::shape(APPLY, "weight", expected, count));
            }
        }
        let mut pointers = Vec::with_capacity(rows + 1);
        let mut indices = Vec::with_capacity(kept);
        pointers.push(0);
        for row in 0..rows {
            self.row(row).for_each(|column| indices.push(column as u32));
            pointers.push(indices.len() as u32);
        }
        Ok((pointers, indices))
    }

    fn csr(&self, pointers: Vec<u32>, columns: Vec<u32>, values: Vec<f32>) -> Result<Csr> {
        CsMatI::try_new(self.shape(), pointers, columns, values).map_err(|(_, _, _, fault)| {
            Error::new(ErrorKind::Structure, APPLY, "weight", "a valid CSR", fault)
        })
    }
}

/// The entries of a CSR for which `keep(row, column, value)` holds, in the room that all of them had.
#[cfg(feature = "io")]
pub(crate) fn retain(csr: Csr, keep: impl Fn(usize, usize, f32) -> bool) -> Csr {
    let shape = csr.shape();
    let (mut pointers, mut columns, mut values) = csr.into_raw_storage();
    let (mut kept, mut start) = (0, 0);
    for (row, pointer) in pointers[1..].iter_mut().enumerate() {
        let end = *pointer as usize;
        for place in start..end {
            if keep(row, columns[place] as usize, values[place]) {
                (columns[kept], values[kept]) = (columns[place], values[place]);
                kept += 1;
            }
        }
        (*pointer, start) = (kept as u32, end);
    }
    columns.truncate(kept);
    values.truncate(kept);
    CsMatI::new(shape, pointers, columns, values)
}

/// The rows and columns of a CSR that stay; where none does, one without entries.
pub(crate) fn part(csr: &Csr, rows: &[bool], columns: &[bool]) -> Csr {
    let mut places = Vec::with_capacity(columns.len());
    let mut count = 0_u32;
    for &stays in columns {
        places.push(stays.then_some(count));
        count += u32::from(stays);
    }
    let (mut pointers, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for (row, _) in csr.outer_iterator().zip(rows).filter(|(_, stays)| **stays) {
        for (column, &value) in row.iter() {
            if let Some(place) = places[column] {
                indices.push(place);
                values.push(value);
            }
        }
        pointers.push(indices.len() as u32);
    }
    if pointers.len() == 1 {
        pointers.push(0);
    }
    CsMatI::new((pointers.len() - 1, count.max(1) as usize), pointers, indices, values)
}

/// The dense matrix `[out, in]` of a CSR, with 0.0 where nothing is stored.
pub fn to_dense(csr: &Csr) -> Array2<f32> {
    let mut dense = Array2::zeros(csr.shape());
    for (&value, (row, column)) in csr {
        dense[(row as usize, column as usize)] = value;
    }
    dense
}

/// The mask of the entries of a CSR.
pub fn mask(csr: &Csr) -> Mask {
    let mut mask = Mask::none(csr.shape());
    for (_, (row, column)) in csr {
        mask.keep(row as usize, column as usize);
    }
    mask
}

/// Bytes of the three arrays of a CSR.
pub fn bytes(csr: &Csr) -> usize {
    size_of_val(csr.data()) + size_of_val(csr.indices()) + size_of::<u32>() * (csr.outer_dims() + 1)
}

/// Refuses what is not a CSR with a positive shape that 32 bits can count, pointers that rise from 0 to the count of
/// entries, and columns that are in range and strictly ascend in each row. `sprs` can hold such matrices through its
/// unchecked doors.
pub(crate) fn check(operation: &'static str, csr: &Csr) -> Result<()> {
    let fault = |expected: String, found: String| {
        Err(Error::new(ErrorKind::Structure, operation, "weight", expected, found))
    };
    if !csr.is_csr() {
        return fault("compressed rows (CSR)".into(), "compressed columns (CSC): call to_csr()".into());
    }
    if csr.rows() == 0 || csr.cols() == 0 {
        return Err(Error::shape(operation, "weight", "at least one row and one column", csr.shape()));
    }
    if csr.rows().max(csr.cols()) > u32::MAX as usize {
        let expected = format!("at most {} rows and columns", u32::MAX);
        return Err(Error::shape(operation, "weight", expected, csr.shape()));
    }
    // As they are: to take the first from all of them would be to trust that none is below it.
    let pointers = csr.indptr();
    if let Some(row) = pointers.raw_storage().windows(2).position(|pair| pair[0] > pair[1]) {
        let [start, end] = [row, row + 1].map(|at| pointers.raw_storage()[at]);
        return fault("row pointers that do not fall".into(), format!("{start} then {end} at row {row}"));
    }
    let pointers = csr.proper_indptr();
    if pointers.len() != csr.rows() + 1 {
        return fault(format!("{} row pointers", csr.rows() + 1), pointers.len().to_string());
    }
    if csr.data().len() != csr.indices().len() || pointers[csr.rows()] as usize != csr.indices().len() {
        let found = format!(
            "{} values, {} columns and a last row pointer of {}",
            csr.data().len(),
            csr.indices().len(),
            pointers[csr.rows()]
        );
        return fault("as many values as columns as the last row pointer says".into(), found);
    }
    for (row, bounds) in pointers.windows(2).enumerate() {
        let &[start, end] = bounds else { unreachable!("windows(2) gives pairs") };
        let columns = &csr.indices()[start as usize..end as usize];
        if let Some(pair) = columns.windows(2).find(|pair| pair[0] >= pair[1]) {
            let what = if pair[0] == pair[1] { "duplicate" } else { "unsorted" };
            let found = format!("{what} columns {} and {} in row {row}", pair[0], pair[1]);
            return fault("columns that ascend within a row".into(), found);
        }
        if let Some(&last) = columns.last().filter(|&&last| last as usize >= csr.cols()) {
            return fault(format!("columns below {}", csr.cols()), format!("column {last} in row {row}"));
        }
    }
    Ok(())
}
