//! Networks without their dead neurons compute the same.

mod common;

use common::{Layer, layer, noise_matrix, reference, sparse};
use ndarray::Array2;
use tombola::{Activation, Isa, Mask, csr};

const HIDDEN: [Activation; 4] = [Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu];

/// Outputs within the rounding of sums, and what is left is what is effective.
fn check(layers: &[Layer], what: &str) {
    let mlp = sparse(layers, Isa::detect().unwrap());
    let small = mlp.shrink().unwrap();
    assert_eq!((small.inputs(), small.outputs()), (mlp.inputs(), mlp.outputs()), "{what}");
    let masks: Vec<Mask> = mlp.layers().iter().map(|layer| csr::mask(layer.csr())).collect();
    let effective: usize = Mask::effective(&masks).unwrap().iter().map(Mask::kept).sum();
    assert_eq!(small.kept(), effective, "{what}");
    let x = noise_matrix(19, mlp.inputs(), 3);
    let (expected, _) = reference(layers, x.view());
    let found = small.forward(x.view()).unwrap();
    for (place, &expected) in expected.indexed_iter() {
        let found = f64::from(found[place]);
        assert!(
            (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
            "{what} at {place:?}: {found} for {expected}"
        );
    }
    // Nothing is dead any more, but for what stands in for a layer without neurons.
    let again = small.shrink().unwrap();
    let shapes =
        |mlp: &tombola::SparseMlp| mlp.layers().iter().map(tombola::SparseLinear::shape).collect::<Vec<_>>();
    assert_eq!(shapes(&again), shapes(&small), "{what}");
}

#[test]
fn random_masks() {
    for (seed, activation) in (0..).zip(HIDDEN) {
        for density in [0.0, 0.01, 0.03, 0.1, 1.0] {
            let layers = [
                layer(40, 17, density, activation, seed),
                layer(31, 40, density, activation, seed + 10),
                layer(23, 31, density, activation, seed + 20),
                layer(5, 23, density, Activation::Identity, seed + 30),
            ];
            check(&layers, &format!("{activation}, density {density}"));
        }
    }
}

#[test]
fn chosen_masks() {
    let with = |masks: [Mask; 3]| {
        let [a, b, c] = masks;
        let of = |mask: Mask, activation, seed| {
            let (out, inputs) = mask.shape();
            Layer { mask, ..layer(out, inputs, 1.0, activation, seed) }
        };
        [of(a, Activation::Sigmoid, 1), of(b, Activation::Tanh, 2), of(c, Activation::Softmax, 3)]
    };
    let all = || [Mask::all((6, 4)), Mask::all((5, 6)), Mask::all((3, 5))];
    // The second neuron reads nothing; with it everything that reads it alone is constant.
    let [_, second, third] = all();
    let first = Mask::from_fn((6, 4), |row, _| row != 1);
    let reads_it = Mask::from_fn((5, 6), |row, column| if row == 2 { column == 1 } else { column != 1 });
    check(&with([first.clone(), second, third.clone()]), "a neuron without inputs");
    let layers = with([first, reads_it, third]);
    check(&layers, "and one that reads it alone");
    let small = sparse(&layers, Isa::detect().unwrap()).shrink().unwrap();
    assert_eq!(small.layers()[0].shape(), (5, 4));
    assert_eq!(small.layers()[1].shape(), (4, 5));
    // Nobody reads the last neuron of the second layer, nor, then, the first of the first.
    let [first, _, _] = all();
    let second = Mask::from_fn((5, 6), |row, column| column > 0 || row == 4);
    let third = Mask::from_fn((3, 5), |_, column| column < 4);
    let layers = with([first, second, third]);
    check(&layers, "neurons that nobody reads");
    let small = sparse(&layers, Isa::detect().unwrap()).shrink().unwrap();
    assert_eq!(
        small.layers().iter().map(tombola::SparseLinear::shape).collect::<Vec<_>>(),
        [(5, 4), (4, 5), (3, 4)]
    );
    // Nothing gets through.
    let [first, _, third] = all();
    let layers = with([first, Mask::none((5, 6)), third]);
    check(&layers, "a layer of nothing");
    let small = sparse(&layers, Isa::detect().unwrap()).shrink().unwrap();
    assert_eq!(small.kept(), 0);
    assert!(small.forward(Array2::from_elem((2, 4), 9.0).view()).is_ok());
    check(&with(all()), "nothing is dead");
}
