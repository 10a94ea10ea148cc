//! A layer in training: dense under a mask, or only its kept weights.

use ndarray::{Array1, Array2, ArrayView2, s};

use super::optimizer::Parameter;
use super::pass::Evidence;
use super::{DenseLayer, LayerMoments};
use crate::aligned::Aligned;
use crate::format::{CsrMatrix, Pattern};
use crate::kernel::{RowSums, Rule, Sddmm, SpmmPattern, finish, gemm, gemm_into};
use crate::plan::panel_width;
use crate::sparse::{Tile, matrix, matrix_mut};
use crate::{Activation, Isa, Mask, Result};

/// A layer, its moments, and what its steps need of memory.
pub(super) struct Layer {
    shape: (usize, usize),
    activation: Activation,
    isa: Isa,
    places: Places,
    /// The values in the order of the places.
    weight: Parameter,
    bias: Parameter,
    /// The gradient by all kept weights of a sparse layer, and by a block of rows of a dense one.
    gradient: Aligned<f32>,
    bias_gradient: Vec<f32>,
}

/// Which weights there are, and in which order.
enum Places {
    /// All, row by row; of those that the mask prunes the value is 0.0.
    Dense(Option<Mask>),
    /// Those of a pattern.
    Sparse { pattern: Pattern, transposed: Pattern },
}

impl Places {
    /// The values of a matrix at the places; 0.0 where they are pruned.
    fn gather(&self, matrix: ArrayView2<'_, f32>) -> Vec<f32> {
        match self {
            Self::Dense(None) => matrix.iter().copied().collect(),
            Self::Dense(Some(mask)) => {
                let mut values = vec![0.0; matrix.len()];
                for (index, (row, values)) in
                    matrix.rows().into_iter().zip(values.chunks_exact_mut(matrix.ncols())).enumerate()
                {
                    mask.row(index).for_each(|column| values[column] = row[column]);
                }
                values
            }
            Self::Sparse { pattern, .. } => pattern.gather(matrix),
        }
    }

    /// The matrix with these values at the places, and 0.0 elsewhere.
    fn scatter(&self, shape: (usize, usize), values: &[f32]) -> Array2<f32> {
        match self {
            Self::Dense(_) => matrix(values, shape.0, false).to_owned(),
            Self::Sparse { pattern, .. } => pattern.scatter(values),
        }
    }
}

/// Bytes of gradients that a dense layer makes before it uses them: they stay in the second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

impl Layer {
    /// All weights of a layer, or those that a mask keeps beside zeros.
    pub(super) fn dense(layer: &DenseLayer, mask: Option<&Mask>, isa: Isa) -> Self {
        let mask = mask.filter(|mask| mask.kept() < mask.len());
        let (out, inputs) = layer.shape();
        let rows = (BLOCK_BYTES / size_of::<f32>() / inputs).clamp(1, out);
        Self::new(layer, isa, Places::Dense(mask.cloned()), rows * inputs)
    }

    /// The weights that a mask keeps.
    pub(super) fn sparse(layer: &DenseLayer, mask: &Mask, isa: Isa) -> Result<Self> {
        let (out, inputs) = layer.shape();
        let matrix = CsrMatrix::new(mask.apply(layer.weight())?)?;
        let kept = matrix.kept();
        let pattern = Pattern::new(&matrix, panel_width((out, inputs), kept as f64, isa, isa.tile_vectors()));
        let width = panel_width((inputs, out), kept as f64, isa, isa.tile_vectors());
        let places = Places::Sparse { transposed: pattern.transposed(width), pattern };
        Ok(Self::new(layer, isa, places, kept))
    }

    fn new(layer: &DenseLayer, isa: Isa, places: Places, gradients: usize) -> Self {
        Self {
            shape: layer.shape(),
            activation: layer.activation,
            isa,
            weight: Parameter::new(&places.gather(layer.weight())),
            places,
            bias: Parameter::new(&layer.bias.to_vec()),
            gradient: Aligned::zeros(gradients),
            bias_gradient: vec![0.0; layer.bias.len()],
        }
    }

    /// `(out, in)`.
    pub(super) fn shape(&self) -> (usize, usize) {
        self.shape
    }

    pub(super) fn activation(&self) -> Activation {
        self.activation
    }

    pub(super) fn is_sparse(&self) -> bool {
        matches!(self.places, Places::Sparse { .. })
    }

    /// `y = activation(W·x + b)`, for an activation that is fused.
    pub(super) fn forward(&self, tiles: &[Tile], activation: Activation, x: &[f32], y: &mut [f32]) {
        let (out, inputs) = self.shape;
        let (weight, bias) = (&self.weight.values, &self.bias.values);
        for (tile, x, y) in paired(tiles, (x, inputs), (y, out)) {
            match &self.places {
                Places::Dense(_) => {
                    let mut y = matrix_mut(y, tile.width, true);
                    gemm(y.view_mut(), matrix(x, tile.width, true), self.dense_weight().t(), 1);
                    finish(y, bias, activation, self.isa);
                }
                Places::Sparse { pattern, .. } => self.isa.run(SpmmPattern {
                    pattern,
                    values: weight,
                    bias: Some(bias),
                    activation,
                    samples: tile.width,
                    x,
                    y,
                }),
            }
        }
    }

    /// The gradient by the input from that by the sums: `by_input = Wᵀ·delta`.
    pub(super) fn backward(&self, tiles: &[Tile], delta: &[f32], by_input: &mut [f32]) {
        let (out, inputs) = self.shape;
        for (tile, x, y) in paired(tiles, (delta, out), (by_input, inputs)) {
            match &self.places {
                Places::Dense(_) => {
                    let y = matrix_mut(y, tile.width, true);
                    gemm(y, matrix(x, tile.width, true), self.dense_weight(), 1);
                }
                Places::Sparse { transposed, .. } => self.isa.run(SpmmPattern {
                    pattern: transposed,
                    values: &self.weight.values,
                    bias: None,
                    activation: Activation::Identity,
                    samples: tile.width,
                    x,
                    y,
                }),
            }
        }
    }

    /// One step of gradient descent.
    pub(super) fn descend(&mut self, rule: Rule, evidence: Evidence<'_>) {
        let (isa, (out, inputs)) = (self.isa, self.shape);
        self.bias_gradient(evidence);
        self.bias.descend(rule, &self.bias_gradient, 0, None, isa);
        let gradient = &mut self.gradient[..];
        match &self.places {
            Places::Dense(mask) => {
                for row in (0..out).step_by(gradient.len() / inputs) {
                    let start = row * inputs;
                    let len = gradient.len().min((out - row) * inputs);
                    let gradient = &mut gradient[..len];
                    dense_gradient(evidence, self.shape, row, gradient);
                    let mask = mask.as_ref().map(|mask| (mask, row));
                    self.weight.descend(rule, gradient, start, mask, isa);
                }
            }
            Places::Sparse { pattern, .. } => {
                sparse_gradient(evidence, pattern, gradient, isa);
                self.weight.descend(rule, gradient, 0, None, isa);
            }
        }
    }

    /// The gradients by the weights, `[out, in]` with 0.0 where a sparse layer has none, and by the bias.
    pub(super) fn gradients(&mut self, evidence: Evidence<'_>) -> (Array2<f32>, Array1<f32>) {
        self.bias_gradient(evidence);
        let weight = match &self.places {
            Places::Dense(_) => {
                let mut gradient = Array2::zeros(self.shape);
                if let Some(gradient) = gradient.as_slice_mut() {
                    dense_gradient(evidence, self.shape, 0, gradient);
                }
                gradient
            }
            Places::Sparse { pattern, .. } => {
                sparse_gradient(evidence, pattern, &mut self.gradient, self.isa);
                pattern.scatter(&self.gradient)
            }
        };
        (weight, self.bias_gradient.clone().into())
    }

    fn bias_gradient(&mut self, evidence: Evidence<'_>) {
        let out = self.shape.0;
        for (index, tile) in evidence.tiles.iter().enumerate() {
            let (samples, rows) = (tile.width, of(tile, evidence.delta, out));
            self.isa.run(RowSums { rows, samples, sums: &mut self.bias_gradient, add: index > 0 });
        }
    }

    /// The layer as it is now.
    pub(super) fn network(&self) -> DenseLayer {
        DenseLayer {
            weight: self.places.scatter(self.shape, &self.weight.values),
            bias: self.bias.values.to_vec().into(),
            activation: self.activation,
        }
    }

    /// What the optimizer remembers.
    pub(super) fn moments(&self) -> LayerMoments {
        LayerMoments {
            weight: self.weight.moments.each_ref().map(|values| self.places.scatter(self.shape, values)),
            bias: self.bias.moments.each_ref().map(|values| values.to_vec().into()),
        }
    }

    /// Takes values and moments of the same shapes.
    pub(super) fn restore(&mut self, layer: &DenseLayer, moments: &LayerMoments) {
        self.weight = Parameter {
            values: self.places.gather(layer.weight()).into(),
            moments: moments.weight.each_ref().map(|moment| self.places.gather(moment.view()).into()),
        };
        self.bias = Parameter {
            values: layer.bias.to_vec().into(),
            moments: moments.bias.each_ref().map(|moment| moment.to_vec().into()),
        };
    }

    /// The weights of a dense layer.
    fn dense_weight(&self) -> ArrayView2<'_, f32> {
        matrix(&self.weight.values, self.shape.0, false)
    }
}

/// The gradient by some rows of a dense layer's weights, from `row` on.
fn dense_gradient(evidence: Evidence<'_>, shape: (usize, usize), row: usize, gradient: &mut [f32]) {
    let (out, inputs) = shape;
    let rows = gradient.len() / inputs;
    for (index, tile) in evidence.tiles.iter().enumerate() {
        let delta = matrix(of(tile, evidence.delta, out), tile.width, true);
        let samples = tile.samples.len();
        let input = match evidence.rows {
            Some(rows) => matrix(&rows[tile.samples.start * inputs..][..samples * inputs], samples, false),
            None => matrix(of(tile, evidence.input, inputs), tile.width, true).slice_move(s![..samples, ..]),
        };
        let delta = delta.slice_move(s![..samples, row..row + rows]).reversed_axes();
        let target = matrix_mut(gradient, rows, false);
        gemm_into(target, index > 0, delta, input);
    }
}

/// The gradient by the kept weights of a sparse layer.
fn sparse_gradient(evidence: Evidence<'_>, pattern: &Pattern, gradient: &mut [f32], isa: Isa) {
    let (out, inputs) = pattern.shape();
    for (index, tile) in evidence.tiles.iter().enumerate() {
        let (delta, x) = (of(tile, evidence.delta, out), of(tile, evidence.input, inputs));
        isa.run(Sddmm { pattern, samples: tile.width, delta, x, gradient, add: index > 0 });
    }
}

/// A tile's activations among those of all tiles.
fn of<'a>(tile: &Tile, values: &'a [f32], features: usize) -> &'a [f32] {
    &values[tile.samples.start * features..][..tile.width * features]
}

/// Each tile with its activations among two arrays of so many features.
fn paired<'a>(
    tiles: &'a [Tile],
    (x, inputs): (&'a [f32], usize),
    (mut y, out): (&'a mut [f32], usize),
) -> impl Iterator<Item = (&'a Tile, &'a [f32], &'a mut [f32])> {
    tiles.iter().map(move |tile| {
        let (own, rest) = std::mem::take(&mut y).split_at_mut(tile.width * out);
        y = rest;
        (tile, of(tile, x, inputs), own)
    })
}
