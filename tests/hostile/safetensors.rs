//! Safetensors files of every kind that is read.

use crate::Case;

/// A file of a header and data.
pub(crate) fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// A file of tensors: name, dtype, shape and bytes.
fn tensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for &(name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        let end = data.len();
        entries.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    file(&format!("{{{}}}", entries.join(",")), &data)
}

/// A model that is right: a layer `fc`, `[2, 3]`.
pub(crate) fn model() -> Vec<u8> {
    let weight = [1_f32, 0.0, -2.0, 0.0, 3.0, 0.5].map(f32::to_le_bytes).concat();
    tensors(&[("fc.weight", "F32", &[2, 3], &weight)])
}

fn wide(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A layer `fc` as CSR.
pub(crate) fn sparse(shape: [i64; 2], pointers: &[i64], columns: &[i64], values: &[u8]) -> Vec<u8> {
    tensors(&[
        ("fc.shape", "I64", &[2], &wide(&shape)),
        ("fc.crow_indices", "I64", &[pointers.len()], &wide(pointers)),
        ("fc.col_indices", "I64", &[columns.len()], &wide(columns)),
        ("fc.values", "F32", &[values.len() / 4], values),
    ])
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = headers();
    cases.extend(layers());
    cases
}

/// What is no safetensors file, or lies about what is in it.
fn headers() -> Vec<Case> {
    let case = |bytes: Vec<u8>, fault| Case::new("broken.safetensors", bytes, fault);
    let length = |len: u64| [&len.to_le_bytes()[..], b"{}"].concat();
    let header = |text: &str, fault| case(file(text, &[0; 24]), fault);
    let one = |info: &str, fault| header(&format!(r#"{{"fc.weight":{{{info}}}}}"#), fault);
    let deep = "[".repeat(100_000);
    // A million numbers where a few are due; and as many tensors as there is room for.
    let long = format!(r#""dtype":"F32","shape":[{}1],"data_offsets":[0,24]"#, "1,".repeat(1_000_000));
    let many: Vec<_> = (0..20_000)
        .map(|index| format!(r#""{index}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let mut cut = model();
    cut.pop();
    let mut longer = model();
    longer.push(0);
    vec![
        case(vec![], "file: expected a valid safetensors file, found 0 bytes"),
        case(vec![b'{'], "file: expected a valid safetensors file, found 1 bytes"),
        case(vec![0; 7], "file: expected a valid safetensors file, found 7 bytes"),
        case(
            length(u64::MAX),
            "file: expected a valid safetensors file, found a header of 18446744073709551615 bytes",
        ),
        case(
            length(1 << 63),
            "file: expected a valid safetensors file, found a header of 9223372036854775808 bytes",
        ),
        case(
            length(100_000_000),
            "file: expected a valid safetensors file, found a header of 100000000 bytes",
        ),
        case(length(3), "file: expected a valid safetensors file, found a header of 3 bytes and 2 for it"),
        case(
            length(2).repeat(2),
            "file: expected a valid safetensors file, found 10 bytes of which no tensor is made",
        ),
        case(file("", &[]), "file: expected a valid safetensors file, found EOF while parsing a value"),
        case(file("[]", &[]), "file: expected a valid safetensors file, found invalid type: sequence"),
        case(file("{}", &[]), "file: expected at least one layer, found no tensors"),
        case(
            [&4_u64.to_le_bytes()[..], b"{\"\xC3\x28", &[0; 2]].concat(),
            "file: expected a valid safetensors file, found ",
        ),
        header(&deep, "file: expected a valid safetensors file, found "),
        one(
            &format!(r#""deep":{deep}"#),
            "file: expected a valid safetensors file, found `fc.weight`: expected value at line 1 column 100022",
        ),
        one(&long, "`fc.weight`: expected 4 bytes, for F32"),
        header(
            &format!("{{{}}}", many.join(",")),
            "file: expected a valid safetensors file, found 24 bytes of which",
        ),
        case(cut, "`fc.weight`: expected data in the 23 bytes that there are, found 24"),
        case(longer, "file: expected a valid safetensors file, found 1 bytes of which no tensor is made"),
        one(
            r#""dtype":"F32","shape":[9223372036854775808,2],"data_offsets":[0,24]"#,
            "`fc.weight`: expected a shape of whole bytes, found F32 [9223372036854775808, 2]",
        ),
        one(
            r#""dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]"#,
            "`fc.weight`: expected a shape of whole bytes, found U8 [4294967296, 4294967296]",
        ),
        one(
            r#""dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]"#,
            "`fc.weight`: expected a shape of whole bytes",
        ),
        one(
            r#""dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,24]"#,
            "file: expected a valid safetensors file, found `fc.weight`: ",
        ),
        one(
            r#""dtype":"F32","shape":[-2,-3],"data_offsets":[0,24]"#,
            "file: expected a valid safetensors file, found `fc.weight`: invalid value: integer `-2`",
        ),
        one(
            r#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#,
            "`fc.weight`: expected a shape of whole bytes, found F4 [3]",
        ),
        one(
            r#""dtype":"F33","shape":[2,3],"data_offsets":[0,24]"#,
            "file: expected a valid safetensors file, found `fc.weight`: unknown variant `F33`",
        ),
        one(
            r#""dtype":"F32","shape":[2,3],"data_offsets":[24,0]"#,
            "`fc.weight`: expected data from 0 on, where other tensors' ends, found 24",
        ),
        one(
            r#""dtype":"F32","shape":[2,3],"data_offsets":[0,18446744073709551615]"#,
            "`fc.weight`: expected 24 bytes, for F32 [2, 3], found those from 0 to 18446744073709551615",
        ),
        one(
            r#""dtype":"F32","shape":[2,2],"data_offsets":[0,24]"#,
            "`fc.weight`: expected 16 bytes, for F32 [2, 2]",
        ),
        one(
            r#""dtype":"F32","shape":[2,3]"#,
            "file: expected a valid safetensors file, found `fc.weight`: missing field",
        ),
        header(
            r#"{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[16],"data_offsets":[8,24]}}"#,
            "`b`: expected data from 16 on, where other tensors' ends, found 8",
        ),
        header(
            r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[16,24]}}"#,
            "`b`: expected data from 8 on, where other tensors' ends, found 16",
        ),
        header(
            r#"{"fc.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
                "fc.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}"#,
            "file: expected a valid safetensors file, found `fc.weight` twice at line 2",
        ),
    ]
}

/// Tensors that are no layers.
fn layers() -> Vec<Case> {
    let case = |bytes: Vec<u8>, fault| Case::new("broken.safetensors", bytes, fault);
    let one = |dtype, shape: &[usize], bytes: &[u8], fault| {
        case(tensors(&[("fc.weight", dtype, shape, bytes)]), fault)
    };
    let values = [1_f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    let csr = |shape, pointers: &[i64], columns: &[i64], fault| {
        case(sparse(shape, pointers, columns, &values), fault)
    };
    let packed = |bits: &[u8], offsets: &[i64], fault| {
        let parts: [(&str, &str, &[usize], &[u8]); 4] = [
            ("fc.weight.compressed", "F32", &[3], &values),
            ("fc.weight.bitmask", "U8", &[2, bits.len() / 2], bits),
            ("fc.weight.shape", "I64", &[2], &wide(&[2, 3])),
            ("fc.weight.row_offsets", "I64", &[offsets.len()], &wide(offsets)),
        ];
        case(tensors(&parts), fault)
    };
    // Values as a matrix, for rows that keep as many.
    let matrix = |bits: &[u8], shape: &[usize], fault| {
        let values = [1.0_f32; 4].map(f32::to_le_bytes).concat();
        let parts: [(&str, &str, &[usize], &[u8]); 3] = [
            ("fc.weight.compressed", "F32", shape, &values),
            ("fc.weight.bitmask", "U8", &[2, 1], bits),
            ("fc.weight.shape", "I64", &[2, 1], &wide(&[2, 4])),
        ];
        case(tensors(&parts), fault)
    };
    // Bits for many more columns than there are values.
    let full = tensors(&[
        ("fc.weight.compressed", "F32", &[3], &values),
        ("fc.weight.bitmask", "U8", &[1, 100_000], &[255; 100_000]),
        ("fc.weight.shape", "I64", &[2], &wide(&[1, 800_000])),
    ]);
    let big_endian: Vec<u8> = [2_i64, 3].iter().flat_map(|size| size.to_be_bytes()).collect();
    let recorded = |metadata: &str, fault| {
        let header = format!(
            r#"{{"__metadata__":{{"format":"tombola",{metadata}}},"fc.weight":{{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}}}"#
        );
        case(file(&header, &[0; 4]), fault)
    };
    vec![
        one(
            "F32",
            &[0, 3],
            &[],
            "`fc.weight`: expected the weight of a linear layer, [out, in], found [0, 3]",
        ),
        one(
            "F32",
            &[3, 0],
            &[],
            "`fc.weight`: expected the weight of a linear layer, [out, in], found [3, 0]",
        ),
        one("F32", &[], &[0; 4], "`fc.weight`: expected the weight of a linear layer, [out, in], found []"),
        one("U8", &[1, 1], &[1], "`fc.weight`: expected F32, F16, BF16 or F64, found U8"),
        one(
            "F64",
            &[1, 1],
            &1e39_f64.to_le_bytes(),
            "`fc.weight`: expected numbers that fit f32, found 1000000",
        ),
        csr(
            [2, 3],
            &[1, 2, 4],
            &[0, 1, 2],
            "`fc.crow_indices`: expected numbers from 0 to 3, the count of columns, found those from 1 to 4",
        ),
        csr(
            [2, 3],
            &[0, 1, 2],
            &[0, 1, 2],
            "`fc.crow_indices`: expected numbers from 0 to 3, the count of columns, found those from 0 to 2",
        ),
        csr(
            [3, 3],
            &[0, 4, 1, 3],
            &[0, 1, 2],
            "`fc.crow_indices`: expected numbers that do not fall, found 4 then 1 at row 1",
        ),
        csr(
            [2, 3],
            &[0, -1, 3],
            &[0, 1, 2],
            "`fc.crow_indices`: expected numbers that fit 32 bits, none negative, found -1",
        ),
        csr([2, 3], &[0, 3], &[0, 1, 2], "`fc.crow_indices`: expected [3], found [2]"),
        csr([2, 3], &[0, 1, 3], &[0, 1, 3], "`fc.col_indices`: expected columns below 3 in row 1, found 3"),
        csr(
            [2, 3],
            &[0, 1, 3],
            &[-1, 1, 2],
            "`fc.col_indices`: expected numbers that fit 32 bits, none negative, found -1",
        ),
        csr(
            [2, 3],
            &[0, 1, 3],
            &[0, 2, 1],
            "`fc.col_indices`: expected columns that ascend in row 1, found 2 then 1",
        ),
        csr(
            [2, 3],
            &[0, 1, 3],
            &[0, 1, 1],
            "`fc.col_indices`: expected columns that ascend in row 1, found 1 then 1",
        ),
        csr([2, 3], &[0, 1, 2], &[0, 1], "`fc.values`: expected [2], found [3]"),
        csr(
            [-2, 3],
            &[0, 1, 3],
            &[0, 1, 2],
            "`fc.shape`: expected numbers that fit 32 bits, none negative, found -2",
        ),
        csr([0, 3], &[0], &[], "`fc.shape`: expected the shape of a linear layer, [out, in], found [0, 3]"),
        csr([4294967295, 3], &[0, 1, 3], &[0, 1, 2], "`fc.crow_indices`: expected [4294967296], found [3]"),
        csr(
            [2, 4294967295],
            &[0, 1, 3],
            &[0, 1, 2],
            "layer `fc`: expected at most 1048579 columns, for its 3 entries, found 4294967295",
        ),
        case(
            tensors(&[("fc.values", "F32", &[3], &values), ("fc.shape", "I64", &[2], &big_endian)]),
            "`fc.shape`: expected numbers that fit 32 bits, none negative, found 144115188075855872",
        ),
        case(tensors(&[("fc.values", "F32", &[3], &values)]), "layer `fc`: expected `fc.shape` with it"),
        packed(
            &[0b011, 0b100],
            &[0, 1],
            "`fc.weight.row_offsets`: expected 2 at row 1, as the bitmask has it, found 1",
        ),
        packed(
            &[0b011, 0b100],
            &[0, -2],
            "`fc.weight.row_offsets`: expected numbers that fit 32 bits, none negative, found -2",
        ),
        packed(&[0b011, 0b100], &[0], "`fc.weight.row_offsets`: expected [2], found [1]"),
        packed(
            &[0b011, 0b110],
            &[0, 2],
            "`fc.weight.compressed`: expected a value for each bit of the bitmask that is set, found 3",
        ),
        packed(
            &[0b001, 0b100],
            &[0, 1],
            "`fc.weight.compressed`: expected a value for each bit of the bitmask that is set, found 3",
        ),
        matrix(
            &[0b0111, 0b0001],
            &[2, 2],
            "`fc.weight.bitmask`: expected 2 bits that are set in row 0, found 3",
        ),
        matrix(
            &[0b0011, 0b0101],
            &[4, 1],
            "`fc.weight.compressed`: expected one dimension, or two of which the first is 2, found [4, 1]",
        ),
        packed(&[0b011, 0, 0b100, 0], &[0, 2], "`fc.weight.bitmask`: expected [2, 1], found [2, 2]"),
        case(
            full,
            "`fc.weight.compressed`: expected a value for each bit of the bitmask that is set, found 3",
        ),
        recorded(r#""version":"2""#, "metadata `version`: expected 1, found 2"),
        recorded(r#""version":"1""#, "metadata `activations`: expected names of activations"),
        recorded(
            r#""version":"1","activations":"relu","layers":"[1]""#,
            "metadata `layers`: expected a JSON array of names",
        ),
        recorded(
            r#""version":"1","activations":"relu","layers":"[\"fd\"]""#,
            "layer `fd`: expected one of the file's, found fc",
        ),
        recorded(
            r#""version":"1","activations":"relu,relu","layers":"[\"fc\"]""#,
            "metadata `activations`: expected 1, one for each layer, found relu,relu",
        ),
        recorded(
            r#""version":"1","activations":"leaky_relu(inf)","layers":"[\"fc\"]""#,
            "metadata `activations`: expected names of activations, separated by commas, found leaky_relu(inf)",
        ),
    ]
}
