//! Weights that no path uses.

use super::Mask;
use crate::{Error, Result};

impl Mask {
    /// The masks of a chain of layers without their dead weights: those that no path of kept weights from an input of
    /// the network to an output leads through. What is left is the network's *effective* size (Vysogorets & Kempe,
    /// *Connectivity Matters: Neural Network Pruning Through the Lens of Effective Sparsity*, JMLR 2023).
    ///
    /// A weight that leaves a unit without inputs is dead in this sense, although the unit's bias still comes through
    /// it, as a constant.
    ///
    /// ```
    /// use tombola::Mask;
    /// // The second hidden unit has an input, and no way to the output.
    /// let masks = [
    ///     Mask::from_array(ndarray::array![[true, false], [true, true]].view()),
    ///     Mask::from_array(ndarray::array![[true, false]].view()),
    /// ];
    /// let alive: Vec<usize> = Mask::effective(&masks)?.iter().map(Mask::kept).collect();
    /// assert_eq!(alive, [1, 1]);
    /// # Ok::<(), tombola::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a layer takes another count of features than the one before it gives.
    pub fn effective(masks: &[Self]) -> Result<Vec<Self>> {
        for (index, pair) in masks.windows(2).enumerate() {
            if pair[0].shape.0 != pair[1].shape.1 {
                let expected = format!("{} inputs, the outputs of layer {index}", pair[0].shape.0);
                let subject = format!("mask of layer {}", index + 1);
                return Err(Error::shape("Mask::effective", subject, expected, pair[1].shape));
            }
        }
        // Forward, what an input reaches; then backward, what of that reaches an output.
        let mut alive = masks.to_vec();
        let mut reached = masks.first().map_or(Vec::new(), |first| vec![true; first.shape.1]);
        for mask in &mut alive {
            *mask = mask.filtered(|_, column| reached[column]);
            reached = (0..mask.shape.0).map(|row| mask.row(row).next().is_some()).collect();
        }
        let mut reaching = vec![true; reached.len()];
        for mask in alive.iter_mut().rev() {
            *mask = mask.filtered(|row, _| reaching[row]);
            reaching = vec![false; mask.shape.1];
            (0..mask.shape.0).for_each(|row| mask.row(row).for_each(|column| reaching[column] = true));
        }
        Ok(alive)
    }
}
