//! Files of safetensors: a header in JSON, and then the tensors.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};

use super::array::Array;
use super::storage::Storage;
use super::tensors::{Info, Tensors, unreadable};
use crate::{Error, ErrorKind, Result};

/// Bytes that a header may have, for every reader of such files.
const HEADER: usize = 100_000_000;

/// The tensors of a file. They neither overlap nor leave it.
pub(super) fn read(operation: &'static str, storage: Storage) -> Result<Tensors> {
    let unreadable = |error| unreadable(operation, "file", error);
    let invalid =
        |error| Error::caused_by(ErrorKind::Format, operation, "file", "a valid safetensors file", error);
    let digits = storage.start(size_of::<u64>()).map_err(unreadable)?;
    let digits = digits.as_ref().try_into().map_err(|_| invalid(SafeTensorError::HeaderTooSmall))?;
    let len = usize::try_from(u64::from_le_bytes(digits)).ok().filter(|&len| len <= HEADER);
    let start = size_of::<u64>() + len.ok_or_else(|| invalid(SafeTensorError::HeaderTooLarge))?;
    if start > storage.len() {
        return Err(invalid(SafeTensorError::InvalidHeaderLength));
    }
    let header = storage.bytes(size_of::<u64>()..start).map_err(unreadable)?;
    // This checks that each tensor has the bytes of its shape, and that one begins where another ends.
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| invalid(SafeTensorError::InvalidHeaderDeserialization(error)))?;
    if header.data_len() != storage.len() - start {
        return Err(invalid(SafeTensorError::MetadataIncompleteBuffer));
    }
    let infos = header.tensors().into_iter().map(|(name, info)| {
        let place = start + info.data_offsets.0..start + info.data_offsets.1;
        (name, Info { dtype: info.dtype, shape: info.shape.clone(), place })
    });
    let infos = infos.collect();
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok(Tensors::new(operation, storage, infos, metadata))
}

/// Writes a file of tensors, of which none is in memory as a whole.
pub(super) fn write(
    mut tensors: Vec<Array<'_>>,
    metadata: HashMap<String, String>,
    file: &mut impl Write,
) -> io::Result<()> {
    // So every number lies at a multiple of its size.
    tensors.sort_by_key(|tensor| Reverse(tensor.dtype().bitsize()));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let data_offsets = (end, end + tensor.len());
        end = data_offsets.1;
        (tensor.name.clone(), TensorInfo { dtype: tensor.dtype(), shape: tensor.shape(), data_offsets })
    });
    let header = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    if header.len() > HEADER {
        return Err(io::Error::other(SafeTensorError::HeaderTooLarge));
    }
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    tensors.iter().try_for_each(|tensor| tensor.write(file))
}
