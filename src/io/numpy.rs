//! Arrays as numpy keeps them: `.npy`, one of them behind a header, and `.npz`, a zip archive of such files.
//!
//! The header is a Python literal of a fixed form (numpy's format description, versions 1 to 3), and it comes from
//! strangers: what it claims is held against what is there before anything is made of it.

use std::collections::HashMap;
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, Write};
use std::ops::Range;

use safetensors::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::array::{Array, Data};
use super::scipy;
use super::storage::Storage;
use super::tensors::{Info, NPY_MAGIC, Tensors, fault, unreadable};
use crate::{Error, ErrorKind, Result};

/// Bytes that an archive may unpack to for each of its own, which is as many as deflate can pack into one (zlib,
/// *Technical Details*), and those that any archive may.
const UNPACKED: (u64, u64) = (1032, 16 << 20);

/// Bytes that tell where the header's text lies.
pub(super) const PREFIX: usize = 12;

/// Dimensions that an array may have, as numpy has it.
const DIMENSIONS: usize = 64;

/// The array of a `.npy` file, under a name.
pub(super) fn read_npy(operation: &'static str, mut storage: Storage, name: &str) -> Result<Tensors> {
    let unreadable = |error| unreadable(operation, "file", error);
    let end = header_place(&storage.start(PREFIX).map_err(unreadable)?).map_or(PREFIX, |place| place.end);
    let layout = Layout::read(operation, name, &storage.start(end).map_err(unreadable)?, storage.len())?;
    if !layout.is_tensor() {
        let mut bytes = storage.into_bytes().map_err(unreadable)?;
        layout.straighten(&mut bytes);
        storage = Storage::Memory(bytes);
    }
    let infos = HashMap::from([(name.to_owned(), layout.into_info(0))]);
    Ok(Tensors::new(operation, storage, infos, HashMap::new()).named_by_shape()?.unnamed())
}

/// The arrays of a `.npz` file, or the sparse matrix in one, under a name.
pub(super) fn read_npz(operation: &'static str, storage: Storage, name: &str) -> Result<Tensors> {
    let len = storage.len();
    match storage {
        Storage::File(file, _) => unpack(operation, BufReader::new(file), len, name),
        Storage::Memory(bytes) => unpack(operation, Cursor::new(bytes), len, name),
    }
}

/// The same of an archive of so many bytes.
fn unpack(operation: &'static str, file: impl Read + Seek, len: usize, name: &str) -> Result<Tensors> {
    let invalid = |error: zip::result::ZipError| {
        Error::caused_by(ErrorKind::Format, operation, "file", "a valid zip archive", error)
    };
    let mut archive = ZipArchive::new(file).map_err(invalid)?;
    if archive.has_duplicate_names() {
        let expected = "an archive of files with different names";
        return Err(Error::new(ErrorKind::Format, operation, "file", expected, "two of one name"));
    }
    // By what the archive says of the sizes there is memory for all at once, which then need not grow: growing takes a
    // copy.
    let most = UNPACKED.0.saturating_mul(len as u64).saturating_add(UNPACKED.1);
    let mut total = 0_u64;
    for index in 0..archive.len() {
        let member = archive.by_index_data(index).map_err(invalid)?;
        total = total.saturating_add(member.size());
        if total > most {
            let name = array_name(&member.name().map_err(invalid)?);
            let expected = format!("at most {} bytes for each of the archive's", UNPACKED.0);
            return Err(fault(operation, &name, expected, "more"));
        }
    }
    let mut bytes = Vec::with_capacity(total as usize);
    let mut infos = HashMap::new();
    let mut sparse_format = None;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(invalid)?;
        let name = array_name(&member.name().map_err(invalid)?);
        let (start, size) = (bytes.len(), member.size());
        // The size is a claim: so no more is read than that, and a byte.
        if let Err(error) = member.take(size.saturating_add(1)).read_to_end(&mut bytes) {
            return Err(fault(operation, &name, "an array that can be unpacked", error));
        }
        let array = &mut bytes[start..];
        if array.len() as u64 != size {
            return Err(fault(operation, &name, format!("{size} bytes, as the archive has it"), array.len()));
        }
        if let Some(format) = text(array).filter(|_| name == "format") {
            sparse_format = Some(format);
            continue;
        }
        let layout = Layout::read(operation, &name, array, array.len())?;
        layout.straighten(array);
        if infos.contains_key(&name) {
            return Err(fault(operation, &name, "one of this name", "another"));
        }
        infos.insert(name, layout.into_info(start));
    }
    let tensors = Tensors::new(operation, Storage::Memory(bytes), infos, HashMap::new());
    match sparse_format {
        Some(format) => scipy::read(operation, &tensors, &format, name),
        None => tensors.named_by_shape(),
    }
}

/// What an array is called, by the name of its file.
fn array_name(file: &str) -> String {
    file.strip_suffix(".npy").unwrap_or(file).to_owned()
}

/// A string, as bytes or in Unicode: what is not text of it is padding.
fn text(bytes: &[u8]) -> Option<String> {
    let (header, data) = split(bytes)?;
    let header = Header::parse(header).filter(|header| header.descr.contains(['S', 'U']))?;
    header
        .shape
        .is_empty()
        .then(|| data.iter().filter(|byte| byte.is_ascii_graphic()).map(|&byte| char::from(byte)).collect())
}

/// How an array lies in a `.npy` file.
struct Layout {
    dtype: Dtype,
    /// Bytes of an element.
    size: usize,
    shape: Vec<usize>,
    big_endian: bool,
    by_columns: bool,
    /// Of its data in the file.
    place: Range<usize>,
}

impl Layout {
    /// That of a file that begins with these bytes, and has so many.
    fn read(operation: &'static str, name: &str, start: &[u8], len: usize) -> Result<Self> {
        let fault = |expected: &str, found: String| Err(fault(operation, name, expected, found));
        let Some((text, data)) = split(start) else {
            return fault("a numpy array", "no header of one, or only the beginning".into());
        };
        let Some(header) = Header::parse(text) else {
            return fault("a header of descr, fortran_order and shape", format!("{:?}", text.trim_end()));
        };
        let Some((dtype, size, big_endian)) = header.dtype() else {
            return fault("an array of numbers", format!("dtype {}", header.descr));
        };
        let place = start.len() - data.len()..len;
        let claimed = header.shape.iter().try_fold(size, |len, &dimension| len.checked_mul(dimension));
        if claimed != Some(place.len()) {
            let expected = format!("the {} bytes that are there", place.len());
            return fault(&expected, format!("shape {:?} of {}", header.shape, header.descr));
        }
        if header.shape.len() > DIMENSIONS {
            return fault(&format!("at most {DIMENSIONS} dimensions"), header.shape.len().to_string());
        }
        let by_columns = header.fortran_order && header.shape.len() > 1;
        Ok(Self { dtype, size, shape: header.shape, big_endian, by_columns, place })
    }

    /// Whether the data are those of a tensor as they lie.
    fn is_tensor(&self) -> bool {
        !self.by_columns && !self.big_endian
    }

    /// Makes the data in a file those of a tensor: little-endian and row by row.
    fn straighten(&self, file: &mut [u8]) {
        let data = &mut file[self.place.clone()];
        if self.big_endian {
            data.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
        }
        if self.by_columns {
            data.copy_from_slice(&by_rows(data, &self.shape, self.size));
        }
    }

    /// The tensor, in a storage where the file begins at a byte.
    fn into_info(self, file: usize) -> Info {
        let place = file + self.place.start..file + self.place.end;
        Info { dtype: self.dtype, shape: self.shape, place }
    }
}

/// Writes an array with its header.
pub(super) fn write_npy(array: &Array<'_>, file: &mut impl Write) -> io::Result<()> {
    write_header(&descr(array), &array.shape(), file)?;
    array.write(file)
}

/// Writes what comes before the data of an array.
pub(super) fn write_header(descr: &str, shape: &[usize], file: &mut impl Write) -> io::Result<()> {
    let sizes: Vec<_> = shape.iter().map(usize::to_string).collect();
    // A tuple, as Python spells it.
    let shape =
        if let [size] = &sizes[..] { format!("({size},)") } else { format!("({})", sizes.join(", ")) };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Padded so that the data begins at a multiple of 64 bytes: ten come before the text, a line feed after it.
    let len = (text.len() + 11).next_multiple_of(64) - 10;
    file.write_all(NPY_MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&(len as u16).to_le_bytes())?;
    file.write_all(format!("{text:<width$}\n", width = len - 1).as_bytes())
}

/// Writes an archive of arrays, each packed by a method.
pub(super) fn write_npz(
    arrays: &[Array<'_>],
    method: CompressionMethod,
    file: &mut (impl Write + Seek),
) -> io::Result<()> {
    let mut archive = ZipWriter::new(file);
    for array in arrays {
        // With its header it may be more than the shape says.
        let large = array.len() > (u32::MAX / 2) as usize;
        // Weights hardly pack, so the fastest level loses next to nothing.
        let level = (method == CompressionMethod::Deflated).then_some(1);
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .compression_level(level)
            .large_file(large);
        archive.start_file(format!("{}.npy", array.name), options)?;
        let mut member = BufWriter::new(&mut archive);
        write_npy(array, &mut member)?;
        member.flush()?;
    }
    archive.finish()?;
    Ok(())
}

/// What numpy calls the type of an array's elements.
fn descr(array: &Array<'_>) -> String {
    match (&array.data, array.dtype()) {
        (Data::Text(text), _) => format!("|S{}", text.len()),
        (_, Dtype::I32) => "<i4".into(),
        (_, Dtype::I64) => "<i8".into(),
        _ => "<f4".into(),
    }
}

/// The header's text and the data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let header = header_place(bytes)?;
    let (before, data) = bytes.split_at_checked(header.end)?;
    Some((std::str::from_utf8(&before[header.start..]).ok()?, data))
}

/// Where the header's text lies, by the first [`PREFIX`] bytes.
pub(super) fn header_place(bytes: &[u8]) -> Option<Range<usize>> {
    let rest = bytes.strip_prefix(NPY_MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    // Version 1 has 16 bits for the length of the header.
    let digits = if version[0] == 1 { 2 } else { 4 };
    let len = rest.get(..digits)?.iter().rev().fold(0, |len, &byte| len << 8 | usize::from(byte));
    let start = NPY_MAGIC.len() + 2 + digits;
    Some(start..start + len)
}

/// Elements from column-major to row-major order.
pub(super) fn by_rows(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&index, &dimension)| at * dimension + index);
        ordered.extend_from_slice(&data[at * size..][..size]);
        for (index, &dimension) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < dimension {
                break;
            }
            *index = 0;
        }
    }
    ordered
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

impl Header {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.trim_start();
        while !rest.starts_with('}') {
            let (key, after) = string(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let after = match key {
                "descr" => {
                    let (value, after) = string(value)?;
                    descr = Some(value.to_owned());
                    after
                }
                "fortran_order" => {
                    let order = ["False", "True"].into_iter().position(|order| value.starts_with(order))?;
                    fortran_order = Some(order == 1);
                    &value[if order == 1 { 4 } else { 5 }..]
                }
                "shape" => {
                    let (sizes, after) = value.strip_prefix('(')?.split_once(')')?;
                    let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
                    shape = Some(
                        sizes.map(|size| size.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?,
                    );
                    after
                }
                _ => return None,
            };
            let after = after.trim_start();
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
            if rest.is_empty() {
                return None;
            }
        }
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }

    /// The dtype, the bytes of an element, and whether these are the wrong way round.
    pub(super) fn dtype(&self) -> Option<(Dtype, usize, bool)> {
        let (order, kind) = self.descr.split_at_checked(1)?;
        if !["<", ">", "|", "="].contains(&order) {
            return None;
        }
        let (dtype, size) = match kind {
            "b1" => (Dtype::BOOL, 1),
            "u1" => (Dtype::U8, 1),
            "i1" => (Dtype::I8, 1),
            "u2" => (Dtype::U16, 2),
            "i2" => (Dtype::I16, 2),
            "i4" => (Dtype::I32, 4),
            "i8" => (Dtype::I64, 8),
            "u4" => (Dtype::U32, 4),
            "u8" => (Dtype::U64, 8),
            "f2" => (Dtype::F16, 2),
            "f4" => (Dtype::F32, 4),
            "f8" => (Dtype::F64, 8),
            _ => return None,
        };
        Some((dtype, size, order == ">"))
    }
}

/// A quoted string without escapes, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}
