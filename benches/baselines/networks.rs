//! The networks, with their masks.

use ndarray::{Array2, ArrayView2, ShapeBuilder};
use tombola::dense::{DenseLayer, DenseMlp, Initialisation};
use tombola::mask::{Block, Norm, neurons};
use tombola::{Activation, Mask, SparseMlp};

/// How a matrix lies in memory. Activations are `[batch, features]`, so column-major ones are feature-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    RowMajor,
    ColumnMajor,
}

impl Order {
    /// The order of a contiguous matrix. A single row is of both; it is called row-major.
    pub fn of(matrix: ArrayView2<'_, f32>) -> Self {
        if matrix.is_standard_layout() {
            return Self::RowMajor;
        }
        assert!(matrix.t().is_standard_layout(), "row-major or column-major");
        Self::ColumnMajor
    }

    pub fn zeros(self, shape: (usize, usize)) -> Array2<f32> {
        Array2::zeros(shape.set_f(self == Self::ColumnMajor))
    }
}

/// The sizes of a network, how its caller's activations lie, and where its weights are kept.
#[derive(Debug)]
pub struct Network {
    pub name: &'static str,
    pub sizes: &'static [usize],
    pub order: Order,
    pub masks: Masks,
}

/// Which weights masks keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks {
    /// Any: rows keep about as many. The hardest case, for there is nothing to find.
    Uniform,
    /// Of the n-th longest row a share of 1/n, in no order, and none more than there are columns.
    PowerLaw,
    /// The largest `n` of every `m`.
    OfEvery(usize, usize),
    /// The columns of so many rows that have the largest norm.
    Blocks(usize),
    /// All weights between the hidden neurons with the largest norms. The others are taken out, for the dense network
    /// as well: it is a smaller dense one.
    Neurons,
}

impl Network {
    pub fn weights(&self) -> usize {
        self.sizes.windows(2).map(|pair| pair[0] * pair[1]).sum()
    }

    /// The shares of weights that are pruned.
    pub fn sparsities(&self) -> &'static [f64] {
        match self.masks {
            Masks::Uniform | Masks::PowerLaw => &SPARSITIES,
            Masks::OfEvery(2, 4) | Masks::Neurons => &[0.5],
            Masks::OfEvery(..) => &[0.75],
            Masks::Blocks(16) => &[0.8, 0.9],
            Masks::Blocks(_) => &[0.9],
        }
    }

    pub fn batches(&self) -> &'static [usize] {
        match self.masks {
            // 70 is a whole panel of samples and a part of one.
            _ if is_test() => &[1, 70],
            Masks::Uniform | Masks::PowerLaw => &[1, 16, 64, 256, 512],
            Masks::OfEvery(..) | Masks::Blocks(_) | Masks::Neurons => &[1, 64, 512],
        }
    }
}

const NETWORKS: &[Network] = &[
    Network {
        name: "LeNet-300-100",
        sizes: &[784, 300, 100, 10],
        order: Order::RowMajor,
        masks: Masks::Uniform,
    },
    Network { name: "1024×1024", sizes: &[1024, 1024], order: Order::ColumnMajor, masks: Masks::Uniform },
    Network {
        name: "1024×1024 row-major",
        sizes: &[1024, 1024],
        order: Order::RowMajor,
        masks: Masks::Uniform,
    },
    Network {
        name: "1024×1024 skewed",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        masks: Masks::PowerLaw,
    },
    Network {
        name: "768→3072→768", sizes: &[768, 3072, 768], order: Order::RowMajor, masks: Masks::Uniform
    },
    Network { name: "4096×4096", sizes: &[4096, 4096], order: Order::ColumnMajor, masks: Masks::Uniform },
    Network {
        name: "1024×1024 2:4",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        masks: Masks::OfEvery(2, 4),
    },
    Network {
        name: "768→3072→768 2:4",
        sizes: &[768, 3072, 768],
        order: Order::RowMajor,
        masks: Masks::OfEvery(2, 4),
    },
    Network {
        name: "1024×1024 1:4",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        masks: Masks::OfEvery(1, 4),
    },
    Network {
        name: "768→3072→768 1:4",
        sizes: &[768, 3072, 768],
        order: Order::RowMajor,
        masks: Masks::OfEvery(1, 4),
    },
    Network {
        name: "1024×1024 16×1 blocks",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        masks: Masks::Blocks(16),
    },
    Network {
        name: "768→3072→768 16×1 blocks",
        sizes: &[768, 3072, 768],
        order: Order::RowMajor,
        masks: Masks::Blocks(16),
    },
    Network {
        name: "1024×1024 4×1 blocks",
        sizes: &[1024, 1024],
        order: Order::ColumnMajor,
        masks: Masks::Blocks(4),
    },
    Network {
        name: "768→3072→768 4×1 blocks",
        sizes: &[768, 3072, 768],
        order: Order::RowMajor,
        masks: Masks::Blocks(4),
    },
    Network {
        name: "768→3072→768 half the neurons",
        sizes: &[768, 3072, 768],
        order: Order::RowMajor,
        masks: Masks::Neurons,
    },
];

/// Small ones, to see that everything works.
const TINY: &[Network] = &[
    Network { name: "60→40→10", sizes: &[60, 40, 10], order: Order::RowMajor, masks: Masks::Uniform },
    Network { name: "70×50", sizes: &[70, 50], order: Order::ColumnMajor, masks: Masks::PowerLaw },
    Network {
        name: "60→40→10 half the neurons",
        sizes: &[60, 40, 10],
        order: Order::RowMajor,
        masks: Masks::Neurons,
    },
    Network { name: "70×50 1:4", sizes: &[70, 50], order: Order::ColumnMajor, masks: Masks::OfEvery(1, 4) },
];

pub const SPARSITIES: [f64; 3] = [0.8, 0.9, 0.95];

/// Whether the bench only has to show that it runs: `cargo bench -- --test`.
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

pub fn networks() -> &'static [Network] {
    if is_test() { TINY } else { NETWORKS }
}

/// A network with pruned weights, dense and sparse.
pub struct Model {
    pub network: &'static Network,
    pub sparsity: f64,
    /// With zeros where the sparse one has nothing.
    pub dense: DenseMlp,
    pub sparse: SparseMlp,
}

impl Model {
    pub fn new(network: &'static Network, sparsity: f64) -> Self {
        let initial = DenseMlp::initialise(network.sizes, Initialisation::TorchDefault, 1)
            .expect("the sizes are positive");
        // A layer by itself stands for one inside of a network: it has a ReLU.
        let last = initial.layers().len() - 1;
        let layers = initial.layers().iter().enumerate().map(|(index, layer)| {
            let activation = if index < last || last == 0 { Activation::Relu } else { Activation::Identity };
            DenseLayer::new(layer.weight().to_owned(), layer.bias().to_owned(), activation)
        });
        let mut dense =
            DenseMlp::new(layers.collect::<Result<_, _>>().expect("as they were")).expect("the sizes fit");
        let masks = network.masks.of_layers(&dense.weight_views(), sparsity);
        dense.apply_masks(&masks).expect("the masks fit");
        let mut sparse = dense.to_sparse(&masks).expect("the masks fit");
        if network.masks == Masks::Neurons {
            sparse = sparse.shrink().expect("there are dead neurons");
            dense = DenseMlp::from(&sparse);
        }
        Self { network, sparsity, dense, sparse }
    }
}

impl Masks {
    fn of_layers(self, weights: &[ArrayView2<'_, f32>], sparsity: f64) -> Vec<Mask> {
        if self == Self::Neurons {
            let all: Vec<Mask> = weights.iter().map(|weight| Mask::all(weight.dim())).collect();
            let layers: Vec<_> = weights.iter().copied().zip(&all).collect();
            let hidden = &weights[..weights.len() - 1];
            let kept: Vec<usize> =
                hidden.iter().map(|weight| ((1.0 - sparsity) * weight.nrows() as f64) as usize).collect();
            return neurons(&layers, Norm::L2, &kept).expect("a count for each hidden layer");
        }
        let weights = weights.iter().enumerate();
        weights.map(|(index, weight)| self.of(*weight, sparsity, 1 + index as u64)).collect()
    }

    fn of(self, weight: ArrayView2<'_, f32>, sparsity: f64, seed: u64) -> Mask {
        let shape = weight.dim();
        match self {
            Self::OfEvery(n, m) => Mask::n_of_m(weight, n, m).expect("some of every so many"),
            Self::Blocks(rows) => {
                let block = Block { rows, columns: 1, norm: Norm::L2 };
                Mask::blocks(weight, block, sparsity).expect("a sparsity of a layer")
            }
            Self::Neurons => unreachable!("its layers depend on each other"),
            Self::Uniform => Mask::random(shape, sparsity, seed).expect("a sparsity of a layer"),
            Self::PowerLaw => {
                let lengths = power_law(shape, sparsity);
                let rows: Vec<Mask> = (lengths.iter().enumerate())
                    .map(|(row, &len)| {
                        Mask::random_count((1, shape.1), len, seed + 1000 * (1 + row as u64))
                            .expect("no row is longer than the matrix is wide")
                    })
                    .collect();
                Mask::from_fn(shape, |row, column| rows[row].get(0, column) == Some(true))
            }
        }
    }
}

/// Lengths of rows, the n-th longest about `scale / n`, together about what the sparsity leaves.
fn power_law((rows, columns): (usize, usize), sparsity: f64) -> Vec<usize> {
    let wanted = (1.0 - sparsity) * (rows * columns) as f64;
    let length = |scale: f64, rank: usize| (scale / (1 + rank) as f64).round().min(columns as f64);
    let (mut low, mut high) = (0.0, (rows * columns) as f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let sum: f64 = (0..rows).map(|rank| length(middle, rank)).sum();
        if sum < wanted { low = middle } else { high = middle }
    }
    // Shuffled, as neurons come: a prime that divides no count of rows here visits each once.
    (0..rows).map(|row| length(high, row * 7919 % rows) as usize).collect()
}
