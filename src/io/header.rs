//! The header of a safetensors file, held against the file before anything is made of it. The crate `safetensors` could
//! read it, too, but it lets the last of two tensors of a name win, seldom says which tensor is at fault, and can take
//! 25 bytes of memory for one of the header.

use std::collections::HashMap;
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::storage::Storage;
use super::tensors::{fault, unreadable};
use crate::{Error, ErrorKind, Result};

/// The longest header that there may be, in bytes, as the crate has it.
pub(super) const LONGEST: usize = 100_000_000;

/// The tensors of a file by name, and its metadata.
pub(super) struct Header {
    pub(super) tensors: HashMap<String, TensorInfo>,
    pub(super) metadata: HashMap<String, String>,
    /// The byte at which the header ends: offsets of tensors count from there.
    pub(super) end: usize,
}

impl Header {
    /// Reads the header of a file. The tensors fill the file behind it, in some order, without gap or overlap.
    pub(super) fn read(operation: &'static str, storage: &Storage) -> Result<Self> {
        let unreadable = |error| unreadable(operation, "file", error);
        let invalid = |found: String| {
            Error::new(ErrorKind::Format, operation, "file", "a valid safetensors file", found)
        };
        let digits = storage.start(size_of::<u64>()).map_err(unreadable)?;
        let Ok(digits) = digits.as_ref().try_into() else {
            return Err(invalid(format!("{} bytes", digits.len())));
        };
        let (len, rest) = (u64::from_le_bytes(digits), storage.len() - size_of::<u64>());
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= LONGEST.min(rest)) else {
            return Err(invalid(format!("a header of {len} bytes and {} for it", rest.min(LONGEST))));
        };
        let end = size_of::<u64>() + len;
        let text = storage.bytes(size_of::<u64>()..end).map_err(unreadable)?;
        let fields: Fields = serde_json::from_slice(&text).map_err(|error| {
            Error::caused_by(ErrorKind::Format, operation, "file", "a valid safetensors file", error)
        })?;
        fields.fill(operation, rest - len)?;
        Ok(Self { tensors: fields.tensors, metadata: fields.metadata, end })
    }
}

/// What the JSON of a header says.
#[derive(Default)]
struct Fields {
    tensors: HashMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
}

impl Fields {
    /// Refuses tensors that do not fill so many bytes of data.
    fn fill(&self, operation: &'static str, len: usize) -> Result<()> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        // By name where they tie, so that of several faults it is always the same that is named.
        tensors.sort_by_key(|&(name, info)| (info.data_offsets, name));
        let mut filled = 0;
        for (name, info) in tensors {
            let (start, end) = info.data_offsets;
            let fault = |expected: String, found: String| Err(fault(operation, name, expected, found));
            let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, &size| bits.checked_mul(size));
            let Some(own) = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8) else {
                return fault("a shape of whole bytes".into(), format!("{:?} {:?}", info.dtype, info.shape));
            };
            if start != filled {
                let expected = format!("data from {filled} on, where other tensors' ends");
                return fault(expected, start.to_string());
            }
            if start.checked_add(own) != Some(end) {
                let expected = format!("{own} bytes, for {:?} {:?}", info.dtype, info.shape);
                return fault(expected, format!("those from {start} to {end}"));
            }
            if end > len {
                return fault(format!("data in the {len} bytes that there are"), end.to_string());
            }
            filled = end;
        }
        if filled != len {
            let found = format!("{} bytes of which no tensor is made", len - filled);
            return Err(Error::new(ErrorKind::Format, operation, "file", "a valid safetensors file", found));
        }
        Ok(())
    }
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
