//! The sparse forward pass allocates nothing.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{isas, noise_matrix};
use ndarray::{Array2, s};
use tombola::plan::{Batch, Format, Plan};
use tombola::{Activation, Mask, SparseLinear, SparseMlp};

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has one of its own, and allocates when it likes. (A constant without a
    /// destructor needs no allocation itself.)
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator; counting does not allocate.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_forward_pass_allocates_nothing() {
    for isa in isas() {
        let layer = |out, inputs, activation| {
            let mask = Mask::random((out, inputs), 0.8, 1).unwrap();
            let csr = mask.apply(noise_matrix(out, inputs, 2).view()).unwrap();
            SparseLinear::with_isa(csr, None, activation, isa).unwrap()
        };
        let layers = vec![
            layer(90, 130, Activation::Relu),
            layer(90, 90, Activation::Gelu),
            layer(10, 90, Activation::Softmax),
        ];
        let mlp = SparseMlp::new(layers).unwrap();
        let formats = Format::ALL.into_iter().filter(|&format| format != Format::Dense);
        let plans = formats.filter_map(|format| Plan::uniform(&mlp, 1, format).ok());
        let forced = plans.map(|plan| mlp.clone().with_plan(plan).unwrap());
        let x = noise_matrix(130, 130, 3);
        let mut y = Array2::zeros((130, 10));
        for mlp in forced.chain([mlp.clone()]) {
            // A clone is as large.
            let mut workspace = mlp.workspace(130).clone();
            for batch in [1, 2, 3, 7, 8, 9, 16, 17, 64, 100, 130] {
                // What faer allocates is not ours.
                let dense =
                    |batch: Batch| mlp.plan(batch).choices().any(|choice| choice.format == Format::Dense);
                let by_features = noise_matrix(130, batch, 3);
                let mut y_by_features = Array2::zeros((10, batch));
                let dense = [Batch::row_major(batch), Batch::feature_major(batch)].map(dense);

                let before = ALLOCATIONS.get();
                let y = y.slice_mut(s![..batch, ..]);
                mlp.forward_into(x.slice(s![..batch, ..]), y, &mut workspace).unwrap();
                let after = ALLOCATIONS.get();
                assert!(after == before || dense[0], "{isa}, batch {batch}");
                let y = y_by_features.view_mut().reversed_axes();
                mlp.forward_into(by_features.t(), y, &mut workspace).unwrap();
                assert!(ALLOCATIONS.get() == after || dense[1], "{isa}, batch {batch}, feature-major");
            }
        }
    }
}
