//! From a sparse model to the files that others read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

#[cfg(feature = "numpy")]
use super::scipy;
use super::{Model, market, tombola};
use crate::csr::Csr;
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "Model::save";

impl Model {
    /// Writes it in the form that the extension of the path names.
    ///
    /// | extension | what is written |
    /// |---|---|
    /// | `.safetensors` | all of it, in tombola's [format](crate::io) |
    /// | `.mtx` | the weights of a layer as a Matrix Market file |
    /// | `.npz` | the weights of a layer, for `scipy.sparse.load_npz` (feature `numpy`) |
    ///
    /// A file of the latter two holds one layer, without bias and activation. Of a model with several layers `{}` in the path
    /// makes a file each: it stands for the layer's name. Each file appears whole or not at all: it is written beside its place
    /// and moved there.
    ///
    /// # Errors
    /// When the extension is none of these, several layers would be written to one file, or a file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => tombola::write(&self.names, &self.mlp, path),
            Some("mtx") => self.each(path, |csr, file| market::write(csr, file)),
            #[cfg(feature = "numpy")]
            Some("npz") => self.each(path, |csr, file| scipy::write(csr, file)),
            _ => {
                let expected = "a name that ends in .safetensors, .mtx or (feature numpy) .npz";
                let found = path.display();
                Err(Error::new(ErrorKind::Unsupported, OPERATION, "file", expected, found))
            }
        }
    }

    /// Writes a file for each layer.
    fn each(
        &self,
        path: &Path,
        write: impl Fn(&Csr, &mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> Result<()> {
        let pattern = path.to_string_lossy();
        if self.names.len() > 1 && !pattern.contains("{}") {
            let expected = format!("{{}} in its name, for {} layers in a file each", self.names.len());
            return Err(Error::new(ErrorKind::Value, OPERATION, "file", expected, pattern));
        }
        for (name, layer) in self.names.iter().zip(self.mlp.layers()) {
            if pattern.contains("{}") && name.contains(['/', '\\']) {
                let expected = "a name that can be one of a file";
                return Err(Error::new(ErrorKind::Value, OPERATION, "layer", expected, name));
            }
            let path = PathBuf::from(pattern.replace("{}", name));
            atomically(&path, |file| {
                let mut file = BufWriter::new(file);
                write(layer.csr(), &mut file)?;
                file.flush()
            })?;
        }
        Ok(())
    }
}

/// Writes a file that appears whole or not at all.
pub(crate) fn atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| fault(path, error))?;
    write(file.as_file_mut()).map_err(|error| fault(path, error))?;
    file.as_file().sync_all().map_err(|error| fault(path, error))?;
    file.persist(path).map_err(|error| fault(path, error))?;
    Ok(())
}

/// An error of writing a file.
pub(super) fn fault(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    let subject = path.display().to_string();
    Error::caused_by(ErrorKind::Io, "io::save", subject, "a file that can be written", source)
}
