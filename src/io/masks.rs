//! Files of masks.

use std::collections::BTreeMap;

use super::import::sparse;
use super::most_weights;
use super::names::{Group, Part, layer_of_mask, layers};
use super::storage::Origin;
use super::tensors::{Tensor, Tensors};
use crate::{Mask, Result, csr};

/// The masks of a file, by the layers that they are for.
#[derive(Default)]
pub(super) struct Masks {
    by_layer: BTreeMap<String, Mask>,
    /// One mask, which has its name from the file alone: a model of one layer takes it, whatever that is called.
    unnamed: bool,
}

impl Masks {
    /// Reads a file of tensors of 0 and 1, or of a sparse matrix of ones.
    pub(super) fn read(operation: &'static str, origin: Origin) -> Result<Self> {
        let tensors = Tensors::read(operation, origin)?;
        let mut by_layer = BTreeMap::new();
        // One matrix in more than one tensor is sparse.
        if tensors.is_unnamed() && tensors.names().len() > 1 {
            for group in layers(operation, &tensors, &[])? {
                by_layer.insert(layer_of_mask(&group.name).to_owned(), of_sparse(&group)?);
            }
            return Ok(Self { by_layer, unnamed: true });
        }
        let mut names: Vec<&str> = tensors.names().collect();
        names.sort_unstable();
        for tensor in names.into_iter().filter_map(|name| tensors.get(name)) {
            if by_layer.insert(layer_of_mask(tensor.name).to_owned(), of_dense(&tensor)?).is_some() {
                return Err(tensor.fault("one mask for a layer", "another before it"));
            }
        }
        Ok(Self { by_layer, unnamed: tensors.is_unnamed() })
    }

    /// The mask of a layer, the only one of its model perhaps.
    pub(super) fn take(&mut self, layer: &str, only: bool) -> Option<Mask> {
        if self.unnamed && only {
            return self.by_layer.pop_first().map(|(_, mask)| mask);
        }
        self.by_layer.remove(layer)
    }

    /// A layer whose mask nobody took.
    pub(super) fn left(&self) -> Option<&str> {
        self.by_layer.keys().next().map(String::as_str)
    }
}

fn of_dense(tensor: &Tensor<'_>) -> Result<Mask> {
    let (out, inputs) = match *tensor.shape {
        [out, inputs] if out > 0 && inputs > 0 => (out, inputs),
        _ => return Err(tensor.fault("the mask of a linear layer, [out, in]", format!("{:?}", tensor.shape))),
    };
    let keeps = tensor.keeps()?;
    Ok(Mask::from_fn((out, inputs), |row, column| keeps[row * inputs + column]))
}

/// What has no entry is pruned.
fn of_sparse(group: &Group<'_>) -> Result<Mask> {
    let (out, inputs) = group.shape()?;
    let values = group.need(Part::Values)?.keeps()?;
    let most = most_weights(values.len(), 1);
    if out.saturating_mul(inputs) > most {
        return Err(group.fault(format!("a mask for at most {most} weights"), format!("{out}×{inputs}")));
    }
    let entries = sparse(group, (out, inputs))?;
    Ok(csr::mask(&csr::retain(entries, |_, _, value| value == 1.0)))
}
