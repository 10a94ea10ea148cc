//! Where the bytes of a file come from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

/// A file, or what one would hold and be called.
#[derive(Clone, Debug)]
pub(super) enum Source {
    File(PathBuf),
    Bytes(String, Vec<u8>),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Bytes(name, _) => Path::new(name),
        }
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// The name without its folder and its extension: that of a layer which has none of its own.
    pub(super) fn stem(&self) -> String {
        self.path().file_stem().map_or("layer".into(), |stem| stem.to_string_lossy().into_owned())
    }

    pub(super) fn into_bytes(self, operation: &'static str) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path).map_err(|error| {
                Error::caused_by(ErrorKind::Io, operation, "file", "one that can be read", error)
            }),
            Self::Bytes(_, bytes) => Ok(bytes),
        }
    }
}
