//! Masks for the model of [`safetensors::model`], whose layer `fc` is `[2, 3]`.

use crate::Case;
use crate::safetensors::file;

pub(crate) fn cases() -> Vec<Case> {
    let typed = |name: &str, dtype: &str, shape: &str, bytes: &[u8], fault| {
        let len = bytes.len();
        let header =
            format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{len}]}}}}"#);
        Case::new("masks", file(&header, bytes), fault)
    };
    let floats = |value: f32, fault| {
        let values = [1.0, 0.0, 1.0, 1.0, 0.0, value];
        typed("fc", "F32", "[2,3]", &values.map(f32::to_le_bytes).concat(), fault)
    };
    let two = r#"{"fc":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]},
        "fc.weight_mask":{"dtype":"U8","shape":[2,3],"data_offsets":[6,12]}}"#;
    vec![
        floats(f32::NAN, "masks: `fc`: expected a mask of 0 and 1, found NaN"),
        floats(f32::INFINITY, "masks: `fc`: expected a mask of 0 and 1, found inf"),
        floats(0.5, "masks: `fc`: expected a mask of 0 and 1, found 0.5"),
        floats(-1.0, "masks: `fc`: expected a mask of 0 and 1, found -1"),
        floats(
            f32::from_bits(1_f32.to_bits().swap_bytes()),
            "masks: `fc`: expected a mask of 0 and 1, found 0.00000000000000000000000000000000000000004600",
        ),
        typed("fc", "U8", "[2,3]", &[0, 1, 2, 0, 1, 0], "masks: `fc`: expected a mask of 0 and 1, found 2"),
        typed(
            "fc",
            "BOOL",
            "[2,3]",
            &[0, 1, 255, 0, 1, 0],
            "masks: `fc`: expected a mask of 0 and 1, found 255",
        ),
        typed(
            "fc",
            "I8",
            "[2,3]",
            &[0, 1, 255, 0, 1, 0],
            "masks: `fc`: expected a mask of 0 and 1, found -1",
        ),
        typed(
            "fc",
            "F8_E4M3",
            "[2,3]",
            &[0; 6],
            "masks: `fc`: expected BOOL, an integer or a float dtype, found F8_E4M3",
        ),
        typed(
            "fc",
            "U8",
            "[6]",
            &[0; 6],
            "masks: `fc`: expected the mask of a linear layer, [out, in], found [6]",
        ),
        typed(
            "fc",
            "U8",
            "[0,3]",
            &[],
            "masks: `fc`: expected the mask of a linear layer, [out, in], found [0, 3]",
        ),
        typed(
            "fc",
            "U8",
            "[3,2]",
            &[0; 6],
            "model.safetensors: layer `fc`: weight: expected the shape (3, 2) of the mask, found (2, 3)",
        ),
        typed("fd", "U8", "[2,3]", &[0; 6], "masks: mask: expected the name of a layer: fc, found `fd`"),
        Case::new(
            "masks",
            file(two, &[0; 12]),
            "masks: `fc.weight_mask`: expected one mask for a layer, found another",
        ),
        Case::new("masks", "", "masks: file: expected a valid safetensors file, found 0 bytes"),
    ]
}
