//! Sparse matrices as `scipy.sparse.save_npz` writes them: arrays `data`, `indices`, `indptr`, `shape` and the name of
//! the `format`, CSR or CSC. Columns may be unsorted and come more than once; then their values are added, as scipy
//! does.

use std::io::{self, Seek, Write};

use sprs::CsMatI;
use zip::CompressionMethod;

use super::array::{Array, Data};
use super::tensors::{Tensor, Tensors, fault};
use super::{EMPTY, numpy};
use crate::csr::Csr;
use crate::{Error, ErrorKind, Result};

/// The one layer of such an archive, under a name and as tombola's own files have it.
pub(super) fn read(operation: &'static str, arrays: &Tensors, format: &str, layer: &str) -> Result<Tensors> {
    if !["csr", "csc"].contains(&format) {
        return Err(Error::new(ErrorKind::Unsupported, operation, "`format`", "csr or csc", format));
    }
    let need = |name| {
        let missing = || {
            let expected = "an array that scipy's sparse matrices have";
            fault(operation, name, expected, "none")
        };
        arrays.get(name).ok_or_else(missing)
    };
    let (shape, values) = (need("shape")?, need("data")?.floats()?);
    let sizes = shape.indices()?;
    let &[rows, columns] = &sizes[..] else {
        return Err(shape.fault("two sizes", format!("{sizes:?}")));
    };
    let (rows, columns) = (rows as usize, columns as usize);
    if rows.max(columns) > values.len() + EMPTY {
        return Err(shape.fault("a size that the entries could fill", format!("{sizes:?}")));
    }
    let (pointers, indices) = (need("indptr")?, need("indices")?);
    let csr = match format {
        "csr" => canonical((rows, columns), &pointers, &indices, &values)?,
        _ => canonical((columns, rows), &pointers, &indices, &values)?.transpose_into().to_csr(),
    };
    Ok(Tensors::of_csr(operation, layer, &csr))
}

/// CSR with its columns in order and each of them once.
fn canonical(
    (rows, columns): (usize, usize),
    pointers: &Tensor<'_>,
    indices: &Tensor<'_>,
    values: &[f32],
) -> Result<Csr> {
    let starts = pointers.indices()?;
    pointers.check_shape(&[rows + 1])?;
    let given = indices.indices()?;
    indices.check_shape(&[values.len()])?;
    if starts.first() != Some(&0) || !starts.is_sorted() || starts[rows] as usize > given.len() {
        return Err(pointers.fault(format!("numbers that rise from 0 to {}", given.len()), "others"));
    }
    if let Some(column) = given.iter().find(|&&column| column as usize >= columns) {
        return Err(indices.fault(format!("numbers below {columns}"), column));
    }
    let mut sorted = (vec![0_u32], Vec::with_capacity(given.len()), Vec::with_capacity(given.len()));
    let mut row: Vec<(u32, f32)> = Vec::new();
    for bounds in starts.windows(2) {
        let places = bounds[0] as usize..bounds[1] as usize;
        row.clear();
        row.extend(given[places.clone()].iter().copied().zip(values[places].iter().copied()));
        // Stable: those of one column are added in the order in which they come.
        row.sort_by_key(|&(column, _)| column);
        for group in row.chunk_by(|a, b| a.0 == b.0) {
            sorted.1.push(group[0].0);
            sorted.2.push(group[1..].iter().fold(group[0].1, |sum, &(_, value)| sum + value));
        }
        sorted.0.push(sorted.1.len() as u32);
    }
    CsMatI::try_new((rows, columns), sorted.0, sorted.1, sorted.2)
        .map_err(|(_, _, _, fault)| pointers.fault("a valid CSR", fault))
}

/// Writes a matrix as `scipy.sparse.load_npz` reads it, its arrays deflated.
pub(super) fn write(csr: &Csr, file: &mut (impl Write + Seek)) -> io::Result<()> {
    let [pointers, columns] = Data::indices(csr);
    let arrays = [
        Array::new("indices", columns),
        Array::new("indptr", pointers),
        Array::new("format", Data::Text("csr")),
        Array::new("shape", Data::Sizes([csr.rows(), csr.cols()])),
        Array::new("data", Data::Floats(csr.data().into())),
    ];
    numpy::write_npz(&arrays, CompressionMethod::Deflated, file)
}
