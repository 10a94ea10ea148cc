//! From a sparse model to the files that others read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::array::{Array, Data};
use super::names::join;
use super::{FORMAT, Model, VERSION, checkpoint, file, market, most_weights};
#[cfg(feature = "numpy")]
use super::{numpy, scipy};
use crate::{Error, ErrorKind, Result, SparseLinear, SparseMlp};

/// How the weights of a layer are written.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Sparse,
    Dense,
}

/// Writes a model to a safetensors file in tombola's [format](crate::io), its layers as `layers.0`, `layers.1` and so
/// on. The file appears whole or not at all, as with [`Model::save`].
///
/// # Errors
/// When the file cannot be written.
pub fn save(mlp: &SparseMlp, path: impl AsRef<Path>) -> Result<()> {
    let names: Vec<_> = (0..mlp.layers().len()).map(|index| format!("layers.{index}")).collect();
    safetensors(&names, mlp.layers(), path.as_ref(), Form::Sparse)
}

impl Model {
    /// Writes it in the form that the extension of the path names, sparse wherever that form can be.
    ///
    /// | extension | what is written |
    /// |---|---|
    /// | `.safetensors` | all of it, in tombola's [format](crate::io) |
    /// | `.mtx` | the weights of a layer as a Matrix Market file |
    /// | `.npz` | the weights of a layer, for `scipy.sparse.load_npz` (feature `numpy`) |
    /// | `.npy` | the weights of a layer with their zeros, for `numpy.load` (feature `numpy`) |
    ///
    /// A file of the latter three holds one layer, without bias and activation. Of a model with several layers `{}` in
    /// the path makes a file each: it stands for the layer's name.
    ///
    /// Each file appears whole or not at all: it is written beside its place and moved there. Where a symbolic link
    /// stands, the file that it leads to is written; and a file that was there leaves its permissions to the new one.
    ///
    /// # Errors
    /// When the extension is none of these, two layers have one name, several would be written to one file, zeros would
    /// take [too much room](Self::check_weights), or a file cannot be written: a pipe or a device, say, is none.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write(path.as_ref(), "Model::save", Form::Sparse)
    }

    /// Writes it with the zeros of the pruned weights, as a checkpoint that needs nobody who knows sparse matrices.
    ///
    /// | extension | what is written |
    /// |---|---|
    /// | `.safetensors` | `NAME.weight` `[out, in]` and `NAME.bias` `[out]` of all layers; the activations in its metadata |
    /// | `.npz` | the same without activations, for `numpy.load` (feature `numpy`) |
    /// | `.npy` | as [`save`](Self::save) writes it |
    ///
    /// A kept weight of 0.0 is a zero among zeros there: what reads the file takes it for pruned.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_dense(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write(path.as_ref(), "Model::save_dense", Form::Dense)
    }

    /// Refuses a model of which a layer has very many weights for those that it keeps, where each would take so many
    /// bits: 16 KB of them for each that is kept, and 64 MB for any, are not too many. In a file an empty matrix of any
    /// size takes a few bytes.
    ///
    /// # Errors
    /// When there is such a layer.
    pub fn check_weights(&self, bits: usize) -> Result<()> {
        for (name, layer) in self.names.iter().zip(self.mlp.layers()) {
            let ((out, inputs), kept) = (layer.shape(), layer.kept());
            let most = most_weights(kept, bits);
            if out.saturating_mul(inputs) > most {
                let subject = format!("layer `{name}`");
                let expected = format!("at most {most} weights for the {kept} that it keeps");
                let (kind, operation) = (ErrorKind::Structure, "Model::check_weights");
                return Err(Error::new(kind, operation, subject, expected, format!("{out}×{inputs}")));
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, operation: &'static str, form: Form) -> Result<()> {
        if form == Form::Dense || path.extension().is_some_and(|extension| extension == "npy") {
            self.check_weights(u32::BITS as usize)?;
        }
        let (names, layers) = (&self.names, self.mlp.layers());
        if names.len() != layers.len() || (1..names.len()).any(|index| names[..index].contains(&names[index]))
        {
            let expected = format!("{}, one for each layer and no two the same", layers.len());
            return Err(Error::new(ErrorKind::Value, operation, "names", expected, names.join(", ")));
        }
        match (path.extension().and_then(|extension| extension.to_str()), form) {
            (Some("safetensors"), _) => safetensors(names, layers, path, form),
            (Some("mtx"), Form::Sparse) => {
                self.each(path, operation, |layer, file| market::write(layer.csr(), file))
            }
            #[cfg(feature = "numpy")]
            (Some("npz"), Form::Sparse) => {
                self.each(path, operation, |layer, file| scipy::write(layer.csr(), file))
            }
            #[cfg(feature = "numpy")]
            (Some("npz"), Form::Dense) => {
                let arrays = arrays(names, layers, form);
                file::write(path, |file| numpy::write_npz(&arrays, zip::CompressionMethod::Stored, file))
            }
            #[cfg(feature = "numpy")]
            (Some("npy"), _) => self.each(path, operation, |layer, file| {
                numpy::write_npy(&Array::new("", Data::Dense(layer.csr())), file)
            }),
            (_, form) => {
                let expected = match form {
                    Form::Sparse => "a name that ends in .safetensors, .mtx or (feature numpy) .npz or .npy",
                    Form::Dense => "a name that ends in .safetensors or (feature numpy) .npz or .npy",
                };
                let found = path.display();
                Err(Error::new(ErrorKind::Unsupported, operation, "file", expected, found))
            }
        }
    }

    /// Writes a file for each layer.
    fn each(
        &self,
        path: &Path,
        operation: &'static str,
        write: impl Fn(&SparseLinear, &mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> Result<()> {
        let pattern = path.to_string_lossy();
        let fault = |subject: &str, expected: &str, found: &str| {
            Err(Error::new(ErrorKind::Value, operation, subject, expected, found))
        };
        if !pattern.contains("{}") {
            return match self.mlp.layers() {
                [layer] => file::write(path, |file| write(layer, file)),
                layers => {
                    let expected = format!("{{}} in its name, for {} layers in a file each", layers.len());
                    fault("file", &expected, &pattern)
                }
            };
        }
        if path.to_str().is_none() {
            return fault("file", "a name in UTF-8, to have a layer's in it", &pattern);
        }
        if let Some(name) =
            self.names.iter().find(|name| name.contains(['/', '\\']) || [".", ".."].contains(&name.as_str()))
        {
            let expected = "a name that can be one of a file";
            return Err(Error::new(ErrorKind::Structure, operation, "layer", expected, name));
        }
        let paths = self.names.iter().map(|name| PathBuf::from(pattern.replace("{}", name)));
        file::write_all(paths.zip(self.mlp.layers()), write)
    }
}

/// Writes a model with what its activations are.
fn safetensors(names: &[String], layers: &[SparseLinear], path: &Path, form: Form) -> Result<()> {
    let activations: Vec<_> = layers.iter().map(|layer| layer.activation().to_string()).collect();
    let metadata = BTreeMap::from(
        [
            ("format", FORMAT),
            ("version", VERSION),
            ("layers", &serde_json::json!(names).to_string()),
            ("activations", &activations.join(",")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    file::write(path, |file| checkpoint::write(arrays(names, layers, form), metadata, file))
}

/// The arrays of all layers.
fn arrays<'a>(names: &[String], layers: &'a [SparseLinear], form: Form) -> Vec<Array<'a>> {
    let of_layer = |(name, layer): (&String, &'a SparseLinear)| {
        let csr = layer.csr();
        let mut arrays = match form {
            Form::Sparse => {
                let [pointers, columns] = Data::indices(csr);
                vec![
                    ("crow_indices", pointers),
                    ("col_indices", columns),
                    ("values", Data::Floats(csr.data().into())),
                    ("shape", Data::Sizes([csr.rows(), csr.cols()])),
                ]
            }
            Form::Dense => vec![("weight", Data::Dense(csr))],
        };
        arrays.push(("bias", Data::Floats(layer.bias().to_vec().into())));
        arrays.into_iter().map(|(ending, data)| Array::new(join(name, ending), data)).collect::<Vec<_>>()
    };
    names.iter().zip(layers).flat_map(of_layer).collect()
}
