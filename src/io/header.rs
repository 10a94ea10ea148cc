//! The header of a safetensors file, held against the file before anything is made of it. The crate `safetensors` could read
//! it, too, but it lets the last of two tensors of a name win, seldom says which tensor is at fault, and can take 25 bytes of
//! memory for one of the header.

use std::collections::HashMap;
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::{Error, ErrorKind, Result};

/// The longest header that there may be, in bytes, as the crate has it.
const LONGEST: usize = 100_000_000;

/// The tensors of a file by name, and its metadata.
pub(super) struct Header {
    pub(super) tensors: HashMap<String, TensorInfo>,
    pub(super) metadata: HashMap<String, String>,
    /// The byte at which the header ends: offsets of tensors count from there.
    pub(super) end: usize,
}

impl Header {
    /// Reads the header of a file. The tensors fill the file behind it, in some order, without gap or overlap.
    pub(super) fn read(operation: &'static str, bytes: &[u8]) -> Result<Self> {
        let invalid = |found: String| {
            Error::new(ErrorKind::Format, operation, "file", "a valid safetensors file", found)
        };
        let Some((&len, rest)) = bytes.split_first_chunk() else {
            return Err(invalid(format!("{} bytes", bytes.len())));
        };
        let len = u64::from_le_bytes(len);
        let parts = usize::try_from(len).ok().filter(|&len| len <= LONGEST);
        let Some((text, data)) = parts.and_then(|len| rest.split_at_checked(len)) else {
            return Err(invalid(format!("a header of {len} bytes and {} for it", rest.len().min(LONGEST))));
        };
        let fields: Fields = serde_json::from_slice(text).map_err(|error| {
            Error::caused_by(ErrorKind::Format, operation, "file", "a valid safetensors file", error)
        })?;
        let mut tensors: Vec<_> = fields.tensors.iter().collect();
        // By name where they tie, so that of several faults it is always the same that is named.
        tensors.sort_by_key(|&(name, info)| (info.data_offsets, name));
        let mut filled = 0;
        for (name, info) in tensors {
            let (start, end) = info.data_offsets;
            let fault = |expected: String, found: String| {
                Err(Error::new(ErrorKind::Format, operation, format!("`{name}`"), expected, found))
            };
            let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, &size| bits.checked_mul(size));
            let Some(len) = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8) else {
                return fault("a shape of whole bytes".into(), format!("{:?} {:?}", info.dtype, info.shape));
            };
            if start != filled {
                return fault(
                    format!("data from {filled} on, where other tensors' ends"),
                    format!("{start}"),
                );
            }
            if start.checked_add(len) != Some(end) {
                let expected = format!("{len} bytes, for {:?} {:?}", info.dtype, info.shape);
                return fault(expected, format!("those from {start} to {end}"));
            }
            if end > data.len() {
                return fault(format!("data in the {} bytes that there are", data.len()), format!("{end}"));
            }
            filled = end;
        }
        if filled != data.len() {
            return Err(invalid(format!("{} bytes of which no tensor is made", data.len() - filled)));
        }
        Ok(Self { tensors: fields.tensors, metadata: fields.metadata, end: bytes.len() - data.len() })
    }
}

/// What the JSON of a header says.
#[derive(Default)]
struct Fields {
    tensors: HashMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                fields.metadata = map.next_value()?;
                continue;
            }
            let info = map.next_value();
            let info = info.map_err(|error| A::Error::custom(format_args!("`{name}`: {error}")))?;
            if fields.tensors.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` twice")));
            }
            fields.tensors.insert(name, info);
        }
        Ok(fields)
    }
}
