//! From the names of tensors to the layers of an MLP.
//!
//! | a layer `fc1` as | tensors |
//! |---|---|
//! | PyTorch saves it, pruned weights as zeros | `fc1.weight` `[out, in]`, `fc1.bias` `[out]` |
//! | `torch.nn.utils.prune` keeps it | `fc1.weight_orig`, `fc1.weight_mask`, the same of the bias |
//! | `torch.nn.utils.parametrize` keeps it | `fc1.parametrizations.weight.original`, `….weight.0.mask` |
//! | compressed-tensors packs it | `fc1.weight.compressed`, `….bitmask`, `….shape`, `….row_offsets` |
//! | tombola writes it | `fc1.crow_indices`, `fc1.col_indices`, `fc1.values`, `fc1.shape`, `fc1.bias` |

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::tensors::{Tensor, Tensors};
use crate::{Error, ErrorKind, Result};

/// What a tensor is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Weight,
    Mask,
    Bias,
    BiasMask,
    Compressed,
    Bitmask,
    RowOffsets,
    Shape,
    RowPointers,
    Columns,
    Values,
}

/// How names end, after the layer's and a dot. Those that end in others come first.
const ENDINGS: [(&str, Part); 25] = [
    ("parametrizations.weight.original", Part::Weight),
    ("parametrizations.weight.0.mask", Part::Mask),
    ("parametrizations.bias.original", Part::Bias),
    ("parametrizations.bias.0.mask", Part::BiasMask),
    ("weight.compressed", Part::Compressed),
    ("weight.bitmask", Part::Bitmask),
    ("weight.row_offsets", Part::RowOffsets),
    ("weight.shape", Part::Shape),
    ("weight.crow_indices", Part::RowPointers),
    ("weight.col_indices", Part::Columns),
    ("weight.values", Part::Values),
    ("weight_orig", Part::Weight),
    ("weight_mask", Part::Mask),
    ("bias_orig", Part::Bias),
    ("bias_mask", Part::BiasMask),
    ("weight", Part::Weight),
    ("bias", Part::Bias),
    ("mask", Part::Mask),
    ("compressed", Part::Compressed),
    ("bitmask", Part::Bitmask),
    ("row_offsets", Part::RowOffsets),
    ("shape", Part::Shape),
    ("crow_indices", Part::RowPointers),
    ("col_indices", Part::Columns),
    ("values", Part::Values),
];

/// The layer that a tensor belongs to, and what it is there. If it can be several, as `weight.values` can, it is of one
/// that is wanted.
fn split<'a>(name: &'a str, wanted: &HashSet<&str>) -> Option<(&'a str, Part)> {
    let mut ways = ENDINGS.into_iter().filter_map(|(ending, part)| {
        let layer = name.strip_suffix(ending)?;
        if layer.is_empty() { Some((layer, part)) } else { Some((layer.strip_suffix('.')?, part)) }
    });
    ways.clone().rfind(|(layer, _)| wanted.contains(layer)).or_else(|| ways.next())
}

/// Whether a name says what the tensor is to a layer.
#[cfg(feature = "numpy")]
pub(super) fn is_part(name: &str) -> bool {
    split(name, &HashSet::new()).is_some() || name.ends_with("_mask")
}

/// The layer that a tensor of a mask file belongs to: it has the name of the weight, or that with `mask` behind it.
pub(super) fn layer_of_mask(name: &str) -> &str {
    let name = name.strip_suffix("_mask").unwrap_or(name);
    match split(name, &HashSet::new()) {
        Some((layer, Part::Weight | Part::Mask)) => layer,
        _ => name,
    }
}

/// The tensors of one layer.
pub(super) struct Group<'a> {
    pub(super) operation: &'static str,
    pub(super) name: String,
    parts: HashMap<Part, Tensor<'a>>,
}

impl<'a> Group<'a> {
    pub(super) fn get(&self, part: Part) -> Option<Tensor<'a>> {
        self.parts.get(&part).copied()
    }

    /// A tensor without which the layer makes no sense.
    pub(super) fn need(&self, part: Part) -> Result<Tensor<'a>> {
        self.get(part).ok_or_else(|| {
            let ending =
                ENDINGS.into_iter().rfind(|&(_, other)| other == part).map_or("", |(ending, _)| ending);
            self.fault(format!("`{}` with it", join(&self.name, ending)), "no such tensor")
        })
    }

    /// `[out, in]`.
    pub(super) fn shape(&self) -> Result<(usize, usize)> {
        if let Some(weight) = self.get(Part::Weight) {
            return match *weight.shape {
                [out, inputs] if out > 0 && inputs > 0 => Ok((out, inputs)),
                _ => {
                    Err(weight
                        .fault("the weight of a linear layer, [out, in]", format!("{:?}", weight.shape)))
                }
            };
        }
        let shape = self.need(Part::Shape)?;
        match shape.indices()?[..] {
            [out, inputs] if out > 0 && inputs > 0 => Ok((out as usize, inputs as usize)),
            ref sizes => Err(shape.fault("the shape of a linear layer, [out, in]", format!("{sizes:?}"))),
        }
    }

    /// What errors call it.
    pub(super) fn subject(&self) -> String {
        format!("layer `{}`", self.name)
    }

    /// An error about this layer.
    pub(super) fn fault(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Format, self.operation, self.subject(), expected, found)
    }
}

/// The name of a layer's tensor.
pub(super) fn join(layer: &str, ending: &str) -> String {
    if layer.is_empty() { ending.to_owned() } else { format!("{layer}.{ending}") }
}

/// The layers of a file, in the order in which they run. Those of `wanted`, if it names any: then other tensors may be
/// what they like.
pub(super) fn layers<'a>(
    operation: &'static str,
    tensors: &'a Tensors,
    wanted: &[String],
) -> Result<Vec<Group<'a>>> {
    let mut groups: BTreeMap<&str, Group<'a>> = BTreeMap::new();
    let any: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    // In alphabetical order, so that of several faults it is always the same that is named.
    let mut names: Vec<&str> = tensors.names().collect();
    names.sort_unstable();
    for name in names {
        let Some(tensor) = tensors.get(name) else { continue };
        let Some((layer, part)) = split(name, &any) else {
            if wanted.is_empty() {
                let found = format!("{:?} {:?}", tensor.dtype, tensor.shape);
                return Err(tensor.fault("the weight, mask or bias of a linear layer", found));
            }
            continue;
        };
        let group = groups.entry(layer).or_insert_with(|| Group {
            operation,
            name: layer.to_owned(),
            parts: HashMap::new(),
        });
        if let Some(other) = group.parts.insert(part, tensor) {
            return Err(tensor.fault("one tensor of this kind in a layer", format!("`{}` too", other.name)));
        }
    }
    if !wanted.is_empty() {
        return wanted
            .iter()
            .map(|name| {
                groups.remove(name.as_str()).ok_or_else(|| {
                    let found = groups.keys().copied().collect::<Vec<_>>().join(", ");
                    Error::new(
                        ErrorKind::Format,
                        operation,
                        format!("layer `{name}`"),
                        "one of the file's",
                        found,
                    )
                })
            })
            .collect();
    }
    if groups.is_empty() {
        return Err(Error::new(ErrorKind::Format, operation, "file", "at least one layer", "no tensors"));
    }
    let mut layers: Vec<_> = groups.into_values().collect();
    layers.sort_by(|a, b| natural(&a.name, &b.name));
    in_order(operation, layers)
}

/// Layers as they follow each other: in the order of their names if their shapes fit so, else in the only order in
/// which the shapes fit.
fn in_order<'a>(operation: &'static str, layers: Vec<Group<'a>>) -> Result<Vec<Group<'a>>> {
    let shapes: Vec<_> = layers.iter().map(Group::shape).collect::<Result<_>>()?;
    let Some(gap) = shapes.windows(2).position(|pair| pair[0].0 != pair[1].1) else { return Ok(layers) };
    let mut chains = Chains { shapes: &shapes, found: Vec::new(), steps: 0 };
    if shapes.len() <= Chains::LAYERS {
        chains.extend(&mut Vec::new());
    }
    let [order] = &chains.found[..] else {
        let (before, (out, inputs)) = (&layers[gap], shapes[gap + 1]);
        let expected = format!(
            "{} inputs, to follow `{}`; or name the layers in their order",
            shapes[gap].0, before.name
        );
        let subject = format!("layer `{}`", layers[gap + 1].name);
        return Err(Error::new(ErrorKind::Shape, operation, subject, expected, format!("[{out}, {inputs}]")));
    };
    let mut layers: Vec<_> = layers.into_iter().map(Some).collect();
    Ok(order.iter().filter_map(|&index| layers[index].take()).collect())
}

/// Looks for orders in which every layer takes what the one before gives.
struct Chains<'a> {
    shapes: &'a [(usize, usize)],
    /// Two are as good as many: then the shapes do not tell.
    found: Vec<Vec<usize>>,
    steps: usize,
}

impl Chains<'_> {
    /// Layers above which it is not tried: their names had better be numbered.
    const LAYERS: usize = 64;
    /// Steps after which the search gives up: no network that has a single order is near it.
    const STEPS: usize = 100_000;

    fn extend(&mut self, chain: &mut Vec<usize>) {
        self.steps += 1;
        if chain.len() == self.shapes.len() {
            self.found.push(chain.clone());
        }
        for next in 0..self.shapes.len() {
            let fits = chain.last().is_none_or(|&last| self.shapes[last].0 == self.shapes[next].1);
            if fits && !chain.contains(&next) && self.found.len() < 2 && self.steps < Self::STEPS {
                chain.push(next);
                self.extend(chain);
                chain.pop();
            }
        }
        if self.steps >= Self::STEPS {
            self.found.clear();
        }
    }
}

/// Compares names with their numbers as numbers: `fc2` comes before `fc10`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    fn pieces(name: &str) -> impl Iterator<Item = (bool, &str)> {
        name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).scan(
            0,
            move |start, piece| {
                let range = *start..*start + piece.len();
                *start = range.end;
                Some((piece[0].is_ascii_digit(), &name[range]))
            },
        )
    }
    let mut a_pieces = pieces(a);
    let mut b_pieces = pieces(b);
    loop {
        let order = match (a_pieces.next(), b_pieces.next()) {
            (None, None) => return a.cmp(b),
            (Some((true, a)), Some((true, b))) => {
                let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
                a.len().cmp(&b.len()).then(a.cmp(b))
            }
            (a, b) => a.map(|(_, piece)| piece).cmp(&b.map(|(_, piece)| piece)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
