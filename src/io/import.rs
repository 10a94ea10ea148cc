//! From a checkpoint to a sparse model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, ArrayView2};
use sprs::CsMatI;

use super::masks::Masks;
use super::names::{Group, Part, layers};
use super::storage::Origin;
use super::tensors::Tensors;
use super::{EMPTY, most_weights};
use crate::csr::{self, Csr};
use crate::mask::{Criterion, check_numbers};
use crate::{Activation, Error, ErrorKind, Mask, Result, SparseLinear, SparseMlp};

const OPERATION: &str = "Import::read";

/// A sparse model, and what its layers were called where it came from.
#[derive(Clone, Debug)]
pub struct Model {
    /// One for each layer.
    pub names: Vec<String>,
    /// The layers.
    pub mlp: SparseMlp,
}

/// Reads checkpoints: what file the masks are in, what to prune, and what the file leaves open.
///
/// A weight is kept if the mask of its layer says so, which is a tensor beside it or in a file of masks (if there are
/// two, both have to). Where there is no mask, what is not zero is kept.
///
/// ```no_run
/// use tombola::io::Import;
/// let model = Import::new().masks("masks.safetensors").read("checkpoint.safetensors")?;
/// println!("{}: {} weights", model.names.join(" → "), model.mlp.kept());
/// # Ok::<(), tombola::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Import {
    masks: Option<Origin>,
    layers: Vec<String>,
    criterion: Option<Criterion>,
    activations: Vec<Activation>,
}

impl Import {
    /// Takes the checkpoint as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes masks from a file of them: tensors named like the weights, with or without `_mask`, of 0 and 1. Layers
    /// that it does not name stay as they are. A file of one matrix without a name (`.npy`, `.mtx`, scipy's `.npz`) has
    /// its name for one; a model of a single layer takes it whatever that is.
    #[must_use]
    pub fn masks(mut self, file: impl Into<PathBuf>) -> Self {
        self.masks = Some(Origin::File(file.into()));
        self
    }

    /// [`masks`](Self::masks) from the bytes of such a file. Errors call it by the name.
    #[must_use]
    pub fn masks_from_bytes(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.masks = Some(Origin::Bytes(name.into(), bytes.into()));
        self
    }

    /// Takes these layers, in this order, and nothing else from the file.
    #[must_use]
    pub fn layers(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.layers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Prunes what the masks leave.
    #[must_use]
    pub fn prune(mut self, criterion: Criterion) -> Self {
        self.criterion = Some(criterion);
        self
    }

    /// The activation of each layer. Without them it is what the file says; checkpoints of PyTorch say nothing, and
    /// then it is ReLU between layers and nothing after the last.
    #[must_use]
    pub fn activations(mut self, activations: impl IntoIterator<Item = Activation>) -> Self {
        self.activations = activations.into_iter().collect();
        self
    }

    /// Reads a file, in any of the [ways](crate::io) to hold a pruned layer. The order of the layers is that of
    /// their names (`fc2` before `fc10`), or, where shapes do not fit so, the only one in which they do.
    ///
    /// # Errors
    /// When a file cannot be read or is broken, a tensor is none of a linear layer's, or shapes do not fit: the error
    /// names the file and the tensor.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Model> {
        self.read_from(Origin::File(path.as_ref().to_owned()))
    }

    /// [`read`](Self::read) from the bytes of such a file. Errors call it by the name, which is that of a layer, too,
    /// where that of a file would be.
    ///
    /// ```no_run
    /// use tombola::io::Import;
    /// # macro_rules! include_bytes { ($path:literal) => { [0; 8] } }
    /// let model = Import::new().parse("ticket.safetensors", include_bytes!("ticket.safetensors"))?;
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(&self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Result<Model> {
        self.read_from(Origin::Bytes(name.into(), bytes.into()))
    }

    fn read_from(&self, origin: Origin) -> Result<Model> {
        let (name, stem) = (origin.name(), origin.stem());
        let tensors = Tensors::read(OPERATION, origin).map_err(|error| error.within(&name))?;
        let mut masks = match &self.masks {
            Some(origin) => {
                Masks::read(OPERATION, origin.clone()).map_err(|error| error.within(origin.name()))?
            }
            None => Masks::default(),
        };
        let mut model = self.assemble(&tensors, &mut masks).map_err(|error| error.within(&name))?;
        // A layer's tensors may be called `weight` and `bias` and no more.
        if let Some(index) = model.names.iter().position(String::is_empty) {
            let mut name = stem;
            while model.names.contains(&name) {
                name.push('_');
            }
            model.names[index] = name;
        }
        if let (Some(origin), Some(layer)) = (&self.masks, masks.left()) {
            let expected = format!("the name of a layer: {}", model.names.join(", "));
            let error = Error::new(ErrorKind::Format, OPERATION, "mask", expected, format!("`{layer}`"));
            return Err(error.within(origin.name()));
        }
        Ok(model)
    }

    /// Takes the masks that it uses.
    fn assemble(&self, tensors: &Tensors, masks: &mut Masks) -> Result<Model> {
        let recorded = Recorded::of(tensors)?;
        let wanted = if self.layers.is_empty() { &recorded.layers } else { &self.layers };
        let groups = layers(OPERATION, tensors, wanted)?;
        let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        let weights = groups.iter().map(|group| {
            let weights = Weights::of(group)?;
            match masks.take(&group.name, groups.len() == 1) {
                Some(mask) => weights.restrict(mask).map_err(|error| error.within(group.subject())),
                None => Ok(weights),
            }
        });
        let mut weights = weights.collect::<Result<Vec<_>>>()?;
        if let Some(criterion) = self.criterion {
            prune(&groups, &mut weights, criterion)?;
        }
        let activations = self.chosen_activations(&recorded, &names)?;
        let layers = groups.iter().zip(weights).zip(activations).map(|((group, weights), activation)| {
            let csr = weights.into_csr()?;
            SparseLinear::new(csr, bias(group)?, activation).map_err(|error| error.within(group.subject()))
        });
        Ok(Model { mlp: SparseMlp::new(layers.collect::<Result<_>>()?)?, names })
    }

    fn chosen_activations(&self, recorded: &Recorded, names: &[String]) -> Result<Vec<Activation>> {
        let places: HashMap<_, _> = recorded.layers.iter().zip(0..).collect();
        let given = if !self.activations.is_empty() {
            self.activations.clone()
        } else if recorded.layers.is_empty() {
            recorded.activations.clone()
        } else {
            names.iter().filter_map(|name| recorded.activations.get(*places.get(name)?).copied()).collect()
        };
        if given.is_empty() {
            let last = |index| if index + 1 < names.len() { Activation::Relu } else { Activation::Identity };
            return Ok((0..names.len()).map(last).collect());
        }
        if given.len() != names.len() {
            let expected = format!("{}, one for each layer", names.len());
            return Err(Error::new(ErrorKind::Value, OPERATION, "activations", expected, given.len()));
        }
        Ok(given)
    }
}

/// What tombola's own files record in their metadata.
#[derive(Default)]
struct Recorded {
    layers: Vec<String>,
    activations: Vec<Activation>,
}

impl Recorded {
    fn of(tensors: &Tensors) -> Result<Self> {
        if tensors.metadata("format") != Some(super::FORMAT) {
            return Ok(Self::default());
        }
        let fault = |key: &str, expected: &str| {
            let found = tensors.metadata(key).unwrap_or("nothing");
            Error::new(ErrorKind::Format, OPERATION, format!("metadata `{key}`"), expected, found)
        };
        if tensors.metadata("version") != Some(super::VERSION) {
            return Err(fault("version", super::VERSION));
        }
        let names = tensors.metadata("activations").unwrap_or_default().split(',');
        let activations = names.map(str::parse).collect::<Result<Vec<_>>>();
        let activations =
            activations.map_err(|_| fault("activations", "names of activations, separated by commas"))?;
        let layers = tensors.metadata("layers").map_or(Ok(Vec::new()), serde_json::from_str);
        let layers: Vec<String> = layers.map_err(|_| fault("layers", "a JSON array of names"))?;
        if !layers.is_empty() && layers.len() != activations.len() {
            return Err(fault("activations", &format!("{}, one for each layer", layers.len())));
        }
        Ok(Self { layers, activations })
    }
}

/// The weights of a layer, as the file has them.
enum Weights {
    /// With its mask, if it has one: else what is not zero is kept.
    Dense(Array2<f32>, Option<Mask>),
    Sparse(Csr),
}

impl Weights {
    fn of(group: &Group<'_>) -> Result<Self> {
        let shape = group.shape()?;
        if group.get(Part::Weight).is_some() {
            Self::dense(group, shape)
        } else if group.get(Part::Compressed).is_some() {
            bitmask(group, shape).map(Self::Sparse)
        } else {
            sparse(group, shape).map(Self::Sparse)
        }
    }

    fn dense(group: &Group<'_>, shape: (usize, usize)) -> Result<Self> {
        let weight = Array2::from_shape_vec(shape, group.need(Part::Weight)?.floats()?)
            .unwrap_or_else(|error| unreachable!("the file was checked: {error}"));
        let mask = match group.get(Part::Mask) {
            Some(mask) => {
                mask.check_shape(&[shape.0, shape.1])?;
                let keeps = mask.keeps()?;
                Some(Mask::from_fn(shape, |row, column| keeps[row * shape.1 + column]))
            }
            None => None,
        };
        Ok(Self::Dense(weight, mask))
    }

    /// Keeps nothing that the mask does not.
    fn restrict(self, mask: Mask) -> Result<Self> {
        Ok(match self {
            Self::Dense(weight, own) => {
                mask.check_shape(OPERATION, "weight", weight.dim())?;
                let mask = own.map_or_else(|| Ok(mask.clone()), |own| own.and(&mask))?;
                Self::Dense(weight, Some(mask))
            }
            Self::Sparse(csr) => {
                mask.check_shape(OPERATION, "weight", csr.shape())?;
                Self::Sparse(csr::retain(csr, |row, column, _| mask.get(row, column) == Some(true)))
            }
        })
    }

    fn into_csr(self) -> Result<Csr> {
        match self {
            Self::Dense(weight, mask) => {
                mask.unwrap_or_else(|| Mask::nonzero(weight.view())).apply_owned(weight)
            }
            Self::Sparse(csr) => Ok(csr),
        }
    }
}

/// Prunes all layers by one criterion, which looks at them together.
fn prune(groups: &[Group<'_>], weights: &mut [Weights], criterion: Criterion) -> Result<()> {
    let mut masks = Vec::with_capacity(weights.len());
    for (group, weights) in groups.iter().zip(weights.iter_mut()) {
        if let Weights::Sparse(csr) = weights {
            let (out, inputs) = csr.shape();
            let most = most_weights(csr.nnz(), u32::BITS as usize);
            if out.saturating_mul(inputs) > most {
                let expected = format!("at most {most} weights to prune, for its {} entries", csr.nnz());
                let (subject, found) = (group.subject(), format!("[{out}, {inputs}]"));
                return Err(Error::new(ErrorKind::Structure, OPERATION, subject, expected, found));
            }
            *weights = Weights::Dense(csr::to_dense(csr), Some(csr::mask(csr)));
        }
        if let Weights::Dense(weight, mask) = weights {
            let mask = mask.take().unwrap_or_else(|| Mask::nonzero(weight.view()));
            // By the name that the file has for it: the criterion counts layers.
            check_numbers(OPERATION, &group.subject(), weight.view(), &mask)?;
            masks.push(mask);
        }
    }
    let dense = weights.iter().filter_map(|weights| match weights {
        Weights::Dense(weight, _) => Some(weight.view()),
        Weights::Sparse(_) => None,
    });
    let layers: Vec<(ArrayView2<'_, f32>, &Mask)> = dense.zip(&masks).collect();
    let pruned = criterion.masks(&layers)?;
    for (weights, pruned) in weights.iter_mut().zip(pruned) {
        if let Weights::Dense(_, mask) = weights {
            *mask = Some(pruned);
        }
    }
    Ok(())
}

/// `[out]`, without what a mask prunes of it.
fn bias(group: &Group<'_>) -> Result<Option<Array1<f32>>> {
    let Some(bias) = group.get(Part::Bias) else { return Ok(None) };
    bias.check_shape(&[group.shape()?.0])?;
    let mut values = bias.floats()?;
    if let Some(mask) = group.get(Part::BiasMask) {
        mask.check_shape(bias.shape)?;
        let keeps = mask.keeps()?;
        values.iter_mut().zip(keeps).filter(|(_, keep)| !keep).for_each(|(value, _)| *value = 0.0);
    }
    Ok(Some(values.into()))
}

/// A layer that compressed-tensors packed: the kept values row by row, and a bit for each weight, every row's from a
/// byte on, the first in the lowest bit.
fn bitmask(group: &Group<'_>, (out, inputs): (usize, usize)) -> Result<Csr> {
    let (values, bits) = (group.need(Part::Compressed)?, group.need(Part::Bitmask)?);
    let row_bytes = inputs.div_ceil(8);
    bits.check_shape(&[out, row_bytes])?;
    let bytes = bits.bytes()?;
    let (mut pointers, mut columns) = (vec![0_u32], Vec::new());
    // Where all rows keep as many, as by 2:4, the values are a matrix.
    let (count, of_row) = match *values.shape {
        [count] => (count, None),
        [rows, of_row] if rows == out => (rows.saturating_mul(of_row), Some(of_row)),
        _ => {
            let expected = format!("one dimension, or two of which the first is {out}");
            return Err(values.fault(expected, format!("{:?}", values.shape)));
        }
    };
    for row in bytes.chunks_exact(row_bytes) {
        let kept = (0..inputs).filter(|column| row[column / 8] >> (column % 8) & 1 == 1);
        // One more than there are values is too many, and enough to see it.
        columns.extend(kept.map(|column| column as u32).take(count + 1 - columns.len()));
        if columns.len() > count {
            break;
        }
        pointers.push(columns.len() as u32);
    }
    if columns.len() != count {
        return Err(values.fault("a value for each bit of the bitmask that is set", count));
    }
    let unlike = |of_row| pointers.windows(2).position(|row| row[1] as usize - row[0] as usize != of_row);
    if let Some((of_row, row)) = of_row.and_then(|of_row| Some((of_row, unlike(of_row)?))) {
        let found = pointers[row + 1] - pointers[row];
        return Err(bits.fault(format!("{of_row} bits that are set in row {row}"), found));
    }
    if let Some(offsets) = group.get(Part::RowOffsets) {
        offsets.check_shape(&[out])?;
        let recorded = offsets.indices()?;
        if let Some(row) = (0..out).find(|&row| recorded[row] != pointers[row]) {
            let expected = format!("{} at row {row}, as the bitmask has it", pointers[row]);
            return Err(offsets.fault(expected, recorded[row]));
        }
    }
    csr_of(group, (out, inputs), pointers, columns, values.floats()?)
}

/// A layer that is CSR already.
pub(super) fn sparse(group: &Group<'_>, shape: (usize, usize)) -> Result<Csr> {
    let (pointers, columns) = (group.need(Part::RowPointers)?, group.need(Part::Columns)?);
    let values = group.need(Part::Values)?;
    pointers.check_shape(&[shape.0 + 1])?;
    values.check_shape(columns.shape)?;
    let (starts, given) = (pointers.indices()?, columns.indices()?);
    if starts[0] != 0 || starts[shape.0] as usize != given.len() {
        let expected = format!("numbers from 0 to {}, the count of columns", given.len());
        return Err(pointers.fault(expected, format!("those from {} to {}", starts[0], starts[shape.0])));
    }
    if let Some(row) = (0..shape.0).find(|&row| starts[row] > starts[row + 1]) {
        let found = format!("{} then {} at row {row}", starts[row], starts[row + 1]);
        return Err(pointers.fault("numbers that do not fall", found));
    }
    for (row, bounds) in starts.windows(2).enumerate() {
        let kept = &given[bounds[0] as usize..bounds[1] as usize];
        if let Some(pair) = kept.windows(2).find(|pair| pair[0] >= pair[1]) {
            let expected = format!("columns that ascend in row {row}");
            return Err(columns.fault(expected, format!("{} then {}", pair[0], pair[1])));
        }
        if let Some(last) = kept.last().filter(|&&last| last as usize >= shape.1) {
            return Err(columns.fault(format!("columns below {} in row {row}", shape.1), last));
        }
    }
    csr_of(group, shape, starts, given, values.floats()?)
}

fn csr_of(
    group: &Group<'_>,
    shape: (usize, usize),
    pointers: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
) -> Result<Csr> {
    if shape.1 > values.len() + EMPTY {
        let expected = format!("at most {} columns, for its {} entries", values.len() + EMPTY, values.len());
        let subject = group.subject();
        return Err(Error::new(ErrorKind::Structure, OPERATION, subject, expected, shape.1));
    }
    CsMatI::try_new(shape, pointers, columns, values).map_err(|(_, _, _, fault)| {
        Error::new(ErrorKind::Structure, OPERATION, group.subject(), "a valid CSR", fault)
    })
}
