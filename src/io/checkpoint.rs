//! Files of safetensors: a header in JSON, and then the tensors.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use safetensors::SafeTensorError;
use safetensors::tensor::TensorInfo;

use super::array::Array;
use super::header::{self, Header};
use super::storage::Storage;
use super::tensors::{Info, Tensors};
use crate::Result;

/// The tensors of a file. They neither overlap nor leave it.
pub(super) fn read(operation: &'static str, storage: Storage) -> Result<Tensors> {
    let Header { tensors, metadata, end } = Header::read(operation, &storage)?;
    let infos = tensors.into_iter().map(|(name, info)| {
        let place = end + info.data_offsets.0..end + info.data_offsets.1;
        (name, Info { dtype: info.dtype, shape: info.shape, place })
    });
    let infos = infos.collect();
    Ok(Tensors::new(operation, storage, infos, metadata))
}

/// Writes a file of tensors, of which none is in memory as a whole.
pub(super) fn write(
    mut tensors: Vec<Array<'_>>,
    metadata: BTreeMap<String, String>,
    file: &mut impl Write,
) -> io::Result<()> {
    // So every number lies at a multiple of its size.
    tensors.sort_by_key(|tensor| Reverse(tensor.dtype().bitsize()));
    let mut end = 0;
    let mut infos = Vec::new();
    for tensor in &tensors {
        let data_offsets = (end, end + tensor.len());
        end = data_offsets.1;
        let info = TensorInfo { dtype: tensor.dtype(), shape: tensor.shape(), data_offsets };
        infos.push((tensor.name.as_str(), serde_json::to_value(info)?));
    }
    // Sorted, so that the same model is the same bytes.
    let mut header: BTreeMap<_, _> = infos.into_iter().collect();
    header.insert("__metadata__", serde_json::to_value(metadata)?);
    let mut text = serde_json::to_vec(&header)?;
    text.resize(text.len().next_multiple_of(size_of::<u64>()), b' ');
    if text.len() > header::LONGEST {
        return Err(io::Error::other(SafeTensorError::HeaderTooLarge));
    }
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&text)?;
    tensors.iter().try_for_each(|tensor| tensor.write(file))
}
