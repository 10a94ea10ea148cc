//! Forward, loss and backward.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1};

use super::layer::Layer;
use super::{DenseMlp, Samples};
use crate::aligned::Aligned;
use crate::kernel::{Activate, Derive, RowsToTile, is_fused, needs_sums};
use crate::sparse::{Tile, matrix_mut, tiles};
use crate::{Activation, Isa, Result};

/// The gradient of the loss by every parameter, first layer to last.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    pub(super) layers: Vec<(Array2<f32>, Array1<f32>)>,
}

impl Gradients {
    /// By the weights of a layer, `[out, in]`; `None` past the last layer.
    pub fn weight(&self, layer: usize) -> Option<ArrayView2<'_, f32>> {
        self.layers.get(layer).map(|(weight, _)| weight.view())
    }

    /// By the biases of a layer, `[out]`; `None` past the last layer.
    pub fn bias(&self, layer: usize) -> Option<ArrayView1<'_, f32>> {
        self.layers.get(layer).map(|(_, bias)| bias.view())
    }
}

impl DenseMlp {
    /// The mean softmax cross-entropy of some samples, in nats, and its gradient. A softmax after the last layer is
    /// the one of the loss.
    ///
    /// # Errors
    /// When there are no samples, their shapes do not fit the network or each other, or a label is no class.
    pub fn loss_and_gradients(&self, samples: Samples<'_>) -> Result<(f64, Gradients)> {
        self.check_samples("DenseMlp::loss_and_gradients", samples)?;
        let isa = Isa::widest();
        let mut layers: Vec<_> = self.layers.iter().map(|layer| Layer::dense(layer, None, isa)).collect();
        let mut pass = Pass::new(&layers, isa);
        pass.load(samples, &(0..samples.labels.len()).collect::<Vec<_>>());
        Ok(pass.gradients(&mut layers))
    }
}

/// What the forward and the backward pass say about the weights of a layer, tile by tile.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) tiles: &'a [Tile],
    /// The gradient by the sums of the layer, `[out, samples]` in each tile; 0 in lanes without a sample.
    pub(super) delta: &'a [f32],
    /// The layer's input, `[in, samples]` in each tile.
    pub(super) input: &'a [f32],
    /// The same as `[samples, in]`, if it is the network's and [the batch small](FEW).
    pub(super) rows: Option<&'a [f32]>,
}

/// Samples up to which the gradient by a dense layer's weights is faster from rows of samples, which faer reads as they
/// are, than from rows of features, which it has to pack. (Of more samples it packs either.)
const FEW: usize = 128;

/// The buffers of a training step. Activations are feature-major, in tiles that follow each other: tiles as wide as
/// sparse kernels take them if any layer is sparse, else one for the whole batch. Either way dense products are the
/// fastest so. Lanes without a sample repeat the last one: they are finite where it is, and weigh nothing in the
/// gradients.
pub(super) struct Pass {
    isa: Isa,
    narrow: bool,
    /// Features of the input and of each layer's output.
    features: Vec<usize>,
    tiles: Vec<Tile>,
    labels: Vec<usize>,
    /// Lanes of the tiles, and how many the buffers have room for.
    lanes: usize,
    room: usize,
    /// The input, then each layer's output.
    activations: Vec<Aligned<f32>>,
    /// The input of [a small batch](FEW) once more, as `[samples, features]`.
    rows: Aligned<f32>,
    /// What each layer's activation was applied to, where its derivative cannot do without.
    sums: Vec<Aligned<f32>>,
    /// The gradient by a layer's output and by its input.
    deltas: [Aligned<f32>; 2],
}

impl Pass {
    pub(super) fn new(layers: &[Layer], isa: Isa) -> Self {
        let mut features = vec![layers[0].shape().1];
        features.extend(layers.iter().map(|layer| layer.shape().0));
        Self {
            isa,
            narrow: layers.iter().any(Layer::is_sparse),
            features,
            tiles: Vec::new(),
            labels: Vec::new(),
            lanes: 0,
            room: 0,
            activations: Vec::new(),
            rows: Aligned::zeros(0),
            sums: layers.iter().map(|_| Aligned::zeros(0)).collect(),
            deltas: [Aligned::zeros(0), Aligned::zeros(0)],
        }
    }

    /// Takes some of the samples, at least one, as the batch.
    pub(super) fn load(&mut self, samples: Samples<'_>, indices: &[usize]) {
        let (batch, lanes) = (indices.len(), self.isa.lanes());
        self.tiles.clear();
        if self.narrow {
            self.tiles.extend(tiles(batch, self.isa));
        } else {
            self.tiles.push(Tile { samples: 0..batch, width: batch.next_multiple_of(lanes), widest: 1 });
        }
        self.lanes = batch.next_multiple_of(lanes);
        self.labels.clear();
        self.labels.extend(indices.iter().map(|&index| samples.labels[index]));
        if self.lanes > self.room {
            self.room = self.lanes;
            self.activations =
                self.features.iter().map(|features| Aligned::zeros(self.room * features)).collect();
            let widest = self.features.iter().copied().max().unwrap_or(0);
            self.deltas = [Aligned::zeros(self.room * widest), Aligned::zeros(self.room * widest)];
            self.sums.fill_with(|| Aligned::zeros(0));
        }

        let (features, mut rest) = (self.features[0], &mut self.activations[0][..]);
        let mut rows: Vec<&[f32]> = Vec::with_capacity(self.lanes);
        for tile in &self.tiles {
            let (target, after) = rest.split_at_mut(features * tile.width);
            let indices = &indices[tile.samples.clone()];
            let padded = (0..tile.width).map(|lane| indices[lane.min(indices.len() - 1)]);
            rows.clear();
            rows.extend(padded.clone().map_while(|index| samples.x.row(index).to_slice()));
            if rows.len() == tile.width {
                let (rows, features, width) = (&rows[..], 0..features, tile.width);
                self.isa.run(RowsToTile { rows, features, tile: target, width });
            } else {
                let mut target = matrix_mut(target, tile.width, true);
                for (mut row, index) in target.rows_mut().into_iter().zip(padded) {
                    row.assign(&samples.x.row(index));
                }
            }
            rest = after;
        }
        if batch <= FEW {
            if self.rows.len() < batch * features {
                self.rows = Aligned::zeros(batch * features);
            }
            for (row, &index) in self.rows.chunks_exact_mut(features).zip(indices) {
                ArrayViewMut1::from(row).assign(&samples.x.row(index));
            }
        }
    }

    /// Forward and backward for the batch that was loaded: returns the mean loss, and shows each layer, last to first,
    /// what its gradients follow from. By then the pass has no more need of the layer.
    pub(super) fn run(
        &mut self,
        layers: &mut [Layer],
        mut take: impl FnMut(usize, &mut Layer, Evidence<'_>),
    ) -> f64 {
        for (index, layer) in layers.iter().enumerate() {
            self.forward(index, layer);
        }
        let loss = self.softmax();
        for (index, layer) in layers.iter_mut().enumerate().rev() {
            let (out, inputs) = layer.shape();
            let [by_output, by_input] = &mut self.deltas;
            let delta = &mut by_output[..self.lanes * out];
            self.isa.run(Derive {
                activation: layer.activation(),
                delta,
                outputs: &self.activations[index + 1][..self.lanes * out],
                sums: &self.sums[index],
            });
            let input = &self.activations[index][..self.lanes * inputs];
            if index > 0 {
                layer.backward(&self.tiles, delta, &mut by_input[..self.lanes * inputs]);
            }
            let rows = (index == 0 && self.labels.len() <= FEW).then(|| &self.rows[..]);
            take(index, layer, Evidence { tiles: &self.tiles, delta, input, rows });
            self.deltas.swap(0, 1);
        }
        loss
    }

    /// The mean loss and the gradients for the batch that was loaded.
    pub(super) fn gradients(&mut self, layers: &mut [Layer]) -> (f64, Gradients) {
        let mut gradients = Vec::with_capacity(layers.len());
        let loss = self.run(layers, |_, layer, evidence| gradients.push(layer.gradients(evidence)));
        gradients.reverse();
        (loss, Gradients { layers: gradients })
    }

    fn forward(&mut self, index: usize, layer: &Layer) {
        let (out, inputs) = layer.shape();
        let (before, after) = self.activations.split_at_mut(index + 1);
        let input = &before[index][..self.lanes * inputs];
        let output = &mut after[0][..self.lanes * out];
        let activation = layer.activation();
        if is_fused(activation) {
            return layer.forward(&self.tiles, activation, input, output);
        }
        layer.forward(&self.tiles, Activation::Identity, input, output);
        if needs_sums(activation) {
            let sums = &mut self.sums[index];
            if sums.len() < output.len() {
                *sums = Aligned::zeros(self.room * out);
            }
            sums[..output.len()].copy_from_slice(output);
        }
        // A softmax comes with the loss.
        if activation != Activation::Softmax {
            self.isa.run(Activate { activation, values: output, features: out, by_features: true });
        }
    }

    /// The mean cross-entropy of the logits; its gradient by them goes to the first delta.
    fn softmax(&mut self) -> f64 {
        let (batch, last) = (self.labels.len(), self.features.len() - 1);
        let classes = self.features[last];
        let (mut logits, mut deltas) = (&self.activations[last][..], &mut self.deltas[0][..]);
        let scale = 1.0 / batch as f32;
        let mut loss = 0.0;
        for &Tile { ref samples, width, .. } in &self.tiles {
            let (tile, delta);
            (tile, logits) = logits.split_at(classes * width);
            (delta, deltas) = deltas.split_at_mut(classes * width);
            delta.copy_from_slice(tile);
            let (activation, features) = (Activation::Softmax, classes);
            self.isa.run(Activate { activation, values: &mut *delta, features, by_features: true });
            for (lane, &label) in self.labels[samples.clone()].iter().enumerate() {
                let logit = |class: usize| tile[class * width + lane];
                let best =
                    (1..classes).fold(0, |best, class| if logit(class) > logit(best) { class } else { best });
                // The largest share is one over the sum of the exponentials of what logits lack to the largest.
                let share = f64::from(delta[best * width + lane]);
                loss += f64::from(logit(best) - logit(label)) - share.ln();
            }
            for row in delta.chunks_exact_mut(width) {
                let (row, padding) = row.split_at_mut(samples.len());
                row.iter_mut().for_each(|delta| *delta *= scale);
                padding.fill(0.0);
            }
            for (lane, &label) in self.labels[samples.clone()].iter().enumerate() {
                delta[label * width + lane] -= scale;
            }
        }
        loss / batch as f64
    }
}
