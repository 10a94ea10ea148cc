//! Arrays as numpy keeps them: `.npy`, one of them behind a header, and `.npz`, a zip archive of such files.
//!
//! The header is a Python literal of a fixed form (numpy's format description, versions 1 to 3), and it comes from
//! strangers: what it claims is held against what is there before anything is made of it.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use safetensors::Dtype;

use super::scipy;
use super::tensors::{NPY_MAGIC, Tensors, TensorsBuilder};
use crate::{Error, ErrorKind, Result};

/// Bytes that an archive may unpack to for each of its own, and those that any archive may: so many has a 4096×4096 mask that
/// prunes nothing, which packs to next to nothing.
const UNPACKED: (u64, u64) = (256, 16 << 20);

/// Dimensions that an array may have, as numpy has it.
const DIMENSIONS: usize = 64;

/// The array of a `.npy` file, under a name.
pub(super) fn read_npy(operation: &'static str, bytes: &[u8], name: &str) -> Result<Tensors> {
    let mut tensors = TensorsBuilder::new(operation);
    push(&mut tensors, name, bytes)?;
    tensors.finish_named()
}

/// The arrays of a `.npz` file, or the sparse matrix in one, under a name.
pub(super) fn read_npz(operation: &'static str, bytes: Vec<u8>, name: &str) -> Result<Tensors> {
    let mut left = UNPACKED.0 * bytes.len() as u64 + UNPACKED.1;
    let invalid = |error: zip::result::ZipError| {
        Error::caused_by(ErrorKind::Format, operation, "file", "a valid zip archive", error)
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(invalid)?;
    if archive.has_duplicate_names() {
        let expected = "an archive of files with different names";
        return Err(Error::new(ErrorKind::Format, operation, "file", expected, "two of one name"));
    }
    let mut tensors = TensorsBuilder::new(operation);
    let mut sparse_format = None;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(invalid)?;
        let file = member.name().map_err(invalid)?;
        let name = file.strip_suffix(".npy").unwrap_or(&file).to_owned();
        let fault = |expected: &str, found: String| {
            Err(Error::new(ErrorKind::Format, operation, format!("`{name}`"), expected, found))
        };
        // What the archive says of the size is a claim, too: so it is read up to the limit, and a byte more.
        let size = member.size();
        let mut unpacked = Vec::new();
        if let Err(error) = member.take(left + 1).read_to_end(&mut unpacked) {
            return fault("an array that can be unpacked", error.to_string());
        }
        let Some(rest) = left.checked_sub(unpacked.len() as u64) else {
            let expected = format!("at most {} bytes for each of the archive's", UNPACKED.0);
            return fault(&expected, "more".into());
        };
        left = rest;
        if unpacked.len() as u64 != size {
            return fault(&format!("{size} bytes, as the archive has it"), unpacked.len().to_string());
        }
        match text(&unpacked).filter(|_| name == "format") {
            Some(format) => sparse_format = Some(format),
            None => push(&mut tensors, &name, &unpacked)?,
        }
    }
    match sparse_format {
        Some(format) => scipy::read(operation, &tensors.finish(), &format, name),
        None => tensors.finish_named(),
    }
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

/// Adds the array of a `.npy` file, little-endian and row-major.
fn push(tensors: &mut TensorsBuilder, name: &str, bytes: &[u8]) -> Result<()> {
    let operation = tensors.operation();
    let fault = |expected: &str, found: String| {
        Err(Error::new(ErrorKind::Format, operation, format!("`{name}`"), expected, found))
    };
    let Some((text, data)) = split(bytes) else {
        return fault("a numpy array", "no header of one, or only the beginning".into());
    };
    let Some(header) = Header::parse(text) else {
        return fault("a header of descr, fortran_order and shape", format!("{:?}", text.trim_end()));
    };
    let Some((dtype, size, big_endian)) = header.dtype() else {
        return fault("an array of numbers", format!("dtype {}", header.descr));
    };
    let len = header.shape.iter().try_fold(size, |len, &dimension| len.checked_mul(dimension));
    if len != Some(data.len()) {
        let expected = format!("the {} bytes that are there", data.len());
        return fault(&expected, format!("shape {:?} of {}", header.shape, header.descr));
    }
    if header.shape.len() > DIMENSIONS {
        return fault(&format!("at most {DIMENSIONS} dimensions"), header.shape.len().to_string());
    }
    let mut data = Cow::Borrowed(data);
    if big_endian {
        data.to_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if header.fortran_order && header.shape.len() > 1 {
        data = by_rows(&data, &header.shape, size).into();
    }
    tensors.push(name.to_owned(), dtype, header.shape, &data)
}

/// What comes before the data of an array.
pub(super) fn header(descr: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Padded so that the data begins at a multiple of 64 bytes: ten come before the text, a line feed after it.
    let len = (text.len() + 11).next_multiple_of(64) - 10;
    let mut bytes = NPY_MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = len - 1).bytes());
    bytes
}

/// The header's text and the data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(NPY_MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    // Version 1 has 16 bits for the length of the header.
    let digits = if version[0] == 1 { 2 } else { 4 };
    let (len, rest) = rest.split_at_checked(digits)?;
    let len = len.iter().rev().fold(0, |len, &byte| len << 8 | usize::from(byte));
    let (text, data) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(text).ok()?, data))
}

/// Elements from column-major to row-major order.
fn by_rows(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
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
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.trim_start();
        while !rest.starts_with('}') {
            let (key, after) = string(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let after = match key {
                "descr" => {
                    let (value, after) = string(value)?;
                    descr = Some(value);
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
    fn dtype(&self) -> Option<(Dtype, usize, bool)> {
        let (order, kind) = self.descr.split_at_checked(1)?;
        let big_endian = order == ">";
        if !["<", ">", "|", "="].contains(&order) {
            return None;
        }
        let (dtype, size) = match kind {
            "b1" => (Dtype::BOOL, 1),
            "u1" => (Dtype::U8, 1),
            "i1" => (Dtype::I8, 1),
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
        Some((dtype, size, big_endian))
    }
}

/// A quoted string without escapes, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}
