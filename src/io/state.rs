//! Arrays of numbers by name, with some text: what a program writes down to go on from.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use super::array::{Array, Data};
use super::storage::Origin;
use super::tensors::Tensors;
use super::{checkpoint, file};
use crate::Result;

/// Writes arrays and texts by their names, as a safetensors file that appears whole or not at all.
pub(crate) fn write(
    path: &Path,
    arrays: &[(String, Vec<f32>)],
    texts: BTreeMap<String, String>,
) -> Result<()> {
    let arrays = arrays.iter().map(|(name, values)| Array::new(name, Data::Floats(values.into())));
    file::write(path, |file| checkpoint::write(arrays.collect(), texts, file))
}

/// What [`write`] wrote, for an operation that errors will name.
#[expect(clippy::type_complexity, reason = "once")]
pub(crate) fn read(
    operation: &'static str,
    path: &Path,
) -> Result<(HashMap<String, Vec<f32>>, HashMap<String, String>)> {
    let within = |error: crate::Error| error.within(path.display());
    let tensors = Tensors::read(operation, Origin::File(path.to_owned())).map_err(within)?;
    let names: Vec<String> = tensors.names().map(str::to_owned).collect();
    let arrays = names.into_iter().filter_map(|name| {
        let floats = tensors.get(&name)?.floats();
        Some(floats.map(|floats| (name.clone(), floats)).map_err(within))
    });
    Ok((arrays.collect::<Result<_>>()?, tensors.into_metadata()))
}

/// Writes bytes as a file that appears whole or not at all.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    file::write(path, |file| file.write_all(bytes))
}

/// Removes what a process that was killed while it wrote left in a folder.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    file::sweep(folder)
}
