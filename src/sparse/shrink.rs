//! Networks without the neurons that do nothing.

use ndarray::{Array1, Array2};
use sprs::CsMatI;

use super::{SparseLinear, SparseMlp};
use crate::csr::{self, Csr};
use crate::{Activation, Result};

impl SparseMlp {
    /// This network without its dead neurons: a smaller one, with the same inputs and outputs, that computes the same.
    ///
    /// A hidden neuron is dead when none of its weights is kept, or those alone that read other dead neurons: its
    /// output is a constant then, which goes into the biases of the next layer. And it is dead when nothing that lives
    /// reads it. So what is left of the weights are those that are [effective](crate::Mask::effective), and they keep
    /// their values; outputs differ by no more than the order in which a sum is rounded. A hidden layer of which
    /// nothing is left keeps one neuron, without weights.
    ///
    /// Plans that were [given](Self::with_plan) are for other shapes, and are not taken along.
    ///
    /// ```
    /// use ndarray::{Array1, array};
    /// use tombola::{Activation, Mask, SparseLinear, SparseMlp};
    ///
    /// let layer = |weight: ndarray::Array2<f32>| {
    ///     let csr = Mask::nonzero(weight.view()).apply(weight.view())?;
    ///     SparseLinear::new(csr, Some(Array1::ones(weight.nrows())), Activation::Relu)
    /// };
    /// // The second neuron reads nothing, and the third is not read.
    /// let mlp = SparseMlp::new(vec![layer(array![[2.0, 1.0], [0.0, 0.0], [3.0, 1.0]])?, layer(array![[1.0, 5.0, 0.0]])?])?;
    /// let small = mlp.shrink()?;
    /// assert_eq!(small.layers()[0].shape(), (1, 2));
    /// assert_eq!(small.layers()[1].bias(), array![6.0]);
    /// assert_eq!(small.forward(array![[1.0, -2.0]].view())?, mlp.forward(array![[1.0, -2.0]].view())?);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// Never, short of a broken build.
    pub fn shrink(&self) -> Result<Self> {
        let layers = self.layers();
        let hidden = layers.len() - 1;
        // Forwards: what can change at all, and with which biases when the constants before it are in them.
        let mut changes = vec![vec![true; self.inputs()]];
        let mut biases = Vec::with_capacity(layers.len());
        let mut constants: Array1<f32> = Array1::zeros(self.inputs());
        for layer in layers {
            let before = &changes[changes.len() - 1];
            let (mut bias, mut reads) = (layer.bias().mapv(f64::from), vec![false; layer.shape().0]);
            for (&weight, (row, column)) in layer.csr() {
                let (row, column) = (row as usize, column as usize);
                if before[column] {
                    reads[row] = true;
                } else {
                    bias[row] += f64::from(weight) * f64::from(constants[column]);
                }
            }
            let bias = bias.mapv(|sum| sum as f32);
            constants = outputs_of(layer, &bias)?;
            changes.push(reads);
            biases.push(bias);
        }
        // Backwards: what of that is read by something that stays.
        let mut stays = changes;
        stays[hidden + 1] = vec![true; self.outputs()];
        for index in (0..hidden).rev() {
            let mut is_read = vec![false; stays[index + 1].len()];
            for (_, (row, column)) in layers[index + 1].csr() {
                is_read[column as usize] |= stays[index + 2][row as usize];
            }
            stays[index + 1].iter_mut().zip(is_read).for_each(|(stays, is_read)| *stays &= is_read);
        }
        let shrunk = layers.iter().zip(biases).zip(stays.windows(2)).map(|((layer, bias), stays)| {
            let (columns, rows) = (&stays[0], &stays[1]);
            let mut bias: Array1<f32> =
                bias.iter().zip(rows).filter(|(_, stays)| **stays).map(|(&bias, _)| bias).collect();
            if bias.is_empty() {
                bias = Array1::zeros(1);
            }
            let weight = csr::part(layer.csr(), rows, columns);
            SparseLinear::with_isa(weight, Some(bias), layer.activation(), self.isa())
        });
        Self::new(shrunk.collect::<Result<_>>()?)
    }
}

/// What a layer with those biases gives where it reads nothing.
fn outputs_of(layer: &SparseLinear, bias: &Array1<f32>) -> Result<Array1<f32>> {
    let activation = match layer.activation() {
        // Only the last layer can have one, and nothing reads that.
        Activation::Softmax => Activation::Identity,
        activation => activation,
    };
    let nothing: Csr = CsMatI::zero((bias.len(), 1));
    let layer = SparseLinear::with_isa(nothing, Some(bias.clone()), activation, layer.isa())?;
    let outputs = SparseMlp::new(vec![layer])?.forward(Array2::zeros((1, 1)).view())?;
    Ok(outputs.row(0).to_owned())
}
