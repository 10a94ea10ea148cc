//! The places of kept weights, for training.
//!
//! In training the values change with every step, so they are kept apart: a plain array with a value for each place, in
//! the order of the places, which products read and an optimizer writes. Nothing is packed again.
//!
//! As in [panels](super::PanelMatrix) the columns are cut so that the activations of a panel fit the first-level cache.
//! A panel has all its rows in order; one panel is plain CSR.

use ndarray::{Array2, ArrayView2};

use super::CsrMatrix;

/// Where the weights of a layer `[out, in]` are kept: panel by panel of columns, in each row by row.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    shape: (usize, usize),
    /// Where each row of each panel begins, and where the last one ends: ascends, from 0 to the count of places.
    pointers: Vec<u32>,
    /// The column of each place.
    columns: Vec<u32>,
    /// Which of the values belongs to each place, where that is not the order of the places.
    order: Option<Vec<u32>>,
}

impl Pattern {
    /// The places of a matrix's entries, in panels of `width` columns.
    pub(crate) fn new(matrix: &CsrMatrix, width: usize) -> Self {
        let places = matrix.pointers().windows(2).zip(0..).flat_map(|(row, index)| {
            let columns = &matrix.columns()[row[0] as usize..row[1] as usize];
            columns.iter().map(move |&column| (index, column))
        });
        Self::of(matrix.shape(), width, places).0
    }

    /// The places of the transposed matrix, in panels of `width` columns, for the values of this one.
    pub(crate) fn transposed(&self, width: usize) -> Self {
        let places = self.places().map(|(row, column)| (column as u32, row as u32));
        let (transposed, order) = Self::of((self.shape.1, self.shape.0), width, places);
        Self { order: Some(order), ..transposed }
    }

    /// The pattern of some places (row and column), and where each of its places was among them.
    fn of(
        shape: (usize, usize),
        width: usize,
        places: impl Iterator<Item = (u32, u32)> + Clone,
    ) -> (Self, Vec<u32>) {
        let rows = shape.0;
        let width = width.max(1);
        let segment = |(row, column): (u32, u32)| column as usize / width * rows + row as usize;
        let mut pointers = vec![0; shape.1.div_ceil(width) * rows + 1];
        for place in places.clone() {
            pointers[segment(place) + 1] += 1;
        }
        let mut end = 0;
        for pointer in &mut pointers {
            end += *pointer;
            *pointer = end;
        }
        let mut next = pointers.clone();
        let (mut columns, mut order) = (vec![0; end as usize], vec![0; end as usize]);
        for (place, index) in places.zip(0..) {
            let at = &mut next[segment(place)];
            columns[*at as usize] = place.1;
            order[*at as usize] = index;
            *at += 1;
        }
        (Self { shape, pointers, columns, order: None }, order)
    }

    /// `(out, in)`.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Count of kept weights.
    pub(crate) fn kept(&self) -> usize {
        self.columns.len()
    }

    /// Row and column of each place.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        self.pointers.windows(2).enumerate().flat_map(move |(segment, bounds)| {
            let columns = &self.columns[bounds[0] as usize..bounds[1] as usize];
            columns.iter().map(move |&column| (segment % self.shape.0, column as usize))
        })
    }

    /// The values at the places of a dense matrix.
    pub(crate) fn gather(&self, dense: ArrayView2<'_, f32>) -> Vec<f32> {
        self.places().map(|place| dense[place]).collect()
    }

    /// The dense matrix of values at the places, with 0.0 elsewhere.
    pub(crate) fn scatter(&self, values: &[f32]) -> Array2<f32> {
        let mut dense = Array2::zeros(self.shape);
        for (place, &value) in self.places().zip(values) {
            dense[place] = value;
        }
        dense
    }

    /// Of each row of each panel; ascends, from 0 to [`kept`](Self::kept).
    pub(crate) fn pointers(&self) -> &[u32] {
        &self.pointers
    }

    /// Each below `in`.
    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Which of the values belongs to each place, each below [`kept`](Self::kept); none where that is their order.
    pub(crate) fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }
}
