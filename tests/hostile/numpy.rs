//! Arrays and archives of numpy and scipy.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = arrays();
    let archives = archives().into_iter().chain(matrices());
    cases.extend(archives.map(|case| Case { packed: true, ..case }));
    cases
}

/// A `.npy` file of a header and data.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A `.npy` file of an array.
pub(crate) fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), data)
}

fn arrays() -> Vec<Case> {
    let case = |bytes: Vec<u8>, fault| Case::new("broken.npy", bytes, fault);
    let shape = |shape: &str, fault| case(array("<f4", shape, &[0; 24]), fault);
    let dtype = |descr: &str, fault| case(array(descr, "(2, 3)", &[0; 24]), fault);
    let header = |text: &str, fault| case(npy(text, &[0; 24]), fault);
    let no_header = "`broken`: expected a numpy array, found no header of one, or only the beginning";
    let whole = array("<f4", "(2, 3)", &[0; 24]);
    let mut long = whole.clone();
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut not_text = whole.clone();
    not_text[13] = 0xFF;
    // In column-major order, of which each element's place would be worked out from a hundred thousand indices.
    let ones = format!("({}24,)", "1,".repeat(100_000));
    let deep = npy(&format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {ones}}}"), &[0; 24]);
    vec![
        case(b"\x93NUMPY".to_vec(), no_header),
        case(b"\x93NUMPY\x01\x00\x76".to_vec(), no_header),
        case(long, no_header),
        case(not_text, no_header),
        case(whole[..20].to_vec(), no_header),
        case(
            whole[..whole.len() - 1].to_vec(),
            "`broken`: expected the 23 bytes that are there, found shape [2, 3] of <f4",
        ),
        case(
            [&whole[..], &[0]].concat(),
            "`broken`: expected the 25 bytes that are there, found shape [2, 3] of <f4",
        ),
        case(deep, "`broken`: expected at most 64 dimensions, found 100001"),
        shape(
            "(9223372036854775808, 2)",
            "`broken`: expected the 24 bytes that are there, found shape [9223372036854775808, 2]",
        ),
        shape(
            "(4294967296, 4294967296)",
            "`broken`: expected the 24 bytes that are there, found shape [4294967296, 4294967296]",
        ),
        shape("(18446744073709551616,)", "`broken`: expected a header of descr, fortran_order and shape"),
        shape("(-2, -3)", "`broken`: expected a header of descr, fortran_order and shape"),
        shape("(2, 3", "`broken`: expected a header of descr, fortran_order and shape"),
        shape("(6,)", "`broken`: expected the weight, mask or bias of a linear layer, found F32 [6]"),
        shape("()", "`broken`: expected the 24 bytes that are there, found shape [] of <f4"),
        case(
            array("<f4", "(0, 3)", &[]),
            "`broken.weight`: expected the weight of a linear layer, [out, in], found [0, 3]",
        ),
        dtype("<i4", "`broken.weight`: expected F32, F16, BF16 or F64, found I32"),
        dtype("<c8", "`broken`: expected an array of numbers, found dtype <c8"),
        dtype("|O", "`broken`: expected an array of numbers, found dtype |O"),
        dtype("f4", "`broken`: expected an array of numbers, found dtype f4"),
        dtype("", "`broken`: expected an array of numbers, found dtype "),
        dtype("xf4", "`broken`: expected an array of numbers, found dtype xf4"),
        dtype("€f4", "`broken`: expected an array of numbers, found dtype €f4"),
        header("", "`broken`: expected a header of descr, fortran_order and shape, found \"\""),
        header("{", "`broken`: expected a header of descr, fortran_order and shape, found \"{\""),
        header("{'descr': '<f4'}", "`broken`: expected a header of descr, fortran_order and shape"),
        header(
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}",
            "`broken`: expected a header",
        ),
        header(
            "__import__('os').system('true')",
            "`broken`: expected a header of descr, fortran_order and shape",
        ),
    ]
}

/// A member of an archive: what is stored, how, and what the archive says of it.
#[derive(Clone)]
pub(crate) struct Member {
    name: String,
    stored: Vec<u8>,
    method: u16,
    size: u32,
    crc: u32,
}

impl Member {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(data);
        Self { name: name.into(), stored: data.into(), method: 0, size: data.len() as u32, crc: crc.sum() }
    }
}

/// A zip archive that says of its members what they say of themselves.
pub(crate) fn zip(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let start = bytes.len() as u32;
        bytes.extend(b"PK\x03\x04\x14\x00");
        bytes.extend(common(member));
        bytes.extend(member.name.as_bytes());
        bytes.extend(&member.stored);
        entry(&mut directory, member, start);
    }
    finish(bytes, &directory, members.len())
}

/// What both headers of a member say.
fn common(member: &Member) -> Vec<u8> {
    let sizes = [member.crc, member.stored.len() as u32, member.size].map(u32::to_le_bytes).concat();
    let lens = [member.name.len() as u16, 0].map(u16::to_le_bytes).concat();
    [&[0; 2][..], &member.method.to_le_bytes(), &[0; 4], &sizes, &lens].concat()
}

/// The entry of a member that begins at a byte.
fn entry(directory: &mut Vec<u8>, member: &Member, start: u32) {
    directory.extend(b"PK\x01\x02\x14\x00\x14\x00");
    directory.extend(common(member));
    directory.extend([0; 10]);
    directory.extend(start.to_le_bytes());
    directory.extend(member.name.as_bytes());
}

fn finish(mut bytes: Vec<u8>, directory: &[u8], count: usize) -> Vec<u8> {
    let start = bytes.len() as u32;
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count as u16; 2].map(u16::to_le_bytes).concat());
    bytes.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
    bytes.extend([0; 2]);
    bytes
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// What unpacks to bytes and then so many MB of zeros, nearly as small as deflate can pack them: a MB, over and over.
pub(crate) fn bomb(start: &[u8], megabytes: usize) -> Member {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(start).unwrap();
    encoder.flush().unwrap();
    let len = encoder.get_ref().len();
    let (zeros, mut crc) = (vec![0; 1 << 20], Crc::new());
    crc.update(start);
    (0..megabytes).for_each(|_| crc.update(&zeros));
    encoder.write_all(&zeros).unwrap();
    encoder.flush().unwrap();
    let (start_packed, packed) = encoder.get_ref().split_at(len);
    // The last block has nothing in it.
    let stored = [start_packed, &packed.repeat(megabytes), b"\x03\x00"].concat();
    let size = (start.len() + (megabytes << 20)) as u32;
    Member { name: "fc.weight.npy".into(), stored, method: 8, size, crc: crc.sum() }
}

fn archives() -> Vec<Case> {
    let case = |bytes: Vec<u8>, fault| Case::new("broken.npz", bytes, fault);
    let weight = Member::new("fc.weight.npy", &array("<f4", "(2, 3)", &[0; 24]));
    let one = |member: Member, fault| case(zip(&[member]), fault);
    let whole = zip(std::slice::from_ref(&weight));
    let deflated = |stored: Vec<u8>, size| Member { stored, method: 8, size, ..weight.clone() };
    let named = |name: &str, data: &[u8]| Member::new(name, data);
    let matrix = array("<f4", "(2, 3)", &[0; 24]);
    let vector = array("<f4", "(2,)", &[0; 8]);

    let bombed = bomb(&[], 60);
    // Many entries for one member.
    let zeros = Member::new("00000.npy", &array("|u1", "(1024, 1024)", &vec![0; 1 << 20]));
    let zeros = Member { stored: deflate(&zeros.stored), method: 8, ..zeros };
    let (mut shared, mut directory) = (zip(std::slice::from_ref(&zeros)), Vec::new());
    shared.truncate(30 + zeros.name.len() + zeros.stored.len());
    for index in 0..100 {
        entry(&mut directory, &Member { name: format!("{index:0>5}.npy"), ..zeros.clone() }, 0);
    }
    let shared = finish(shared, &directory, 100);
    // More entries than there are members, and a directory beyond the end.
    let mut counted = whole.clone();
    let end = counted.len() - 22;
    counted[end + 8..end + 12].fill(0xFE);
    let mut beyond = whole.clone();
    beyond[end + 16..end + 20].fill(0xFE);

    vec![
        case(b"PK\x03\x04".to_vec(), "file: expected a valid zip archive"),
        case(whole[..end].to_vec(), "file: expected a valid zip archive"),
        case(whole[..whole.len() - 1].to_vec(), "file: expected a valid zip archive"),
        case(counted, "file: expected a valid zip archive"),
        case(beyond, "file: expected a valid zip archive"),
        one(named("fc.weight.npy", b""), "`fc.weight`: expected a numpy array, found no header of one"),
        one(named("inner.npz", &whole), "`inner.npz`: expected a numpy array, found no header of one"),
        one(bombed.clone(), "`fc.weight`: expected a numpy array, found no header of one"),
        one(
            Member { stored: bombed.stored[..bombed.stored.len() - 2].into(), ..bombed.clone() },
            "`fc.weight`: expected an array that can be unpacked, found incomplete deflate stream",
        ),
        one(
            Member { size: 152, ..bombed.clone() },
            "`fc.weight`: expected an array that can be unpacked, found File is larger than its declared",
        ),
        one(
            Member { size: u32::MAX - 1, ..bombed.clone() },
            "`fc.weight`: expected at most 1032 bytes for each of the archive's, found more",
        ),
        one(
            named("bomb.npz", &zip(std::slice::from_ref(&bombed))),
            "`bomb.npz`: expected a numpy array, found no header of one",
        ),
        case(shared, "`00022`: expected at most 1032 bytes for each of the archive's, found more"),
        one(
            deflated(weight.stored.clone(), weight.size),
            "`fc.weight`: expected an array that can be unpacked, found ",
        ),
        one(
            Member { crc: 1, ..weight.clone() },
            "`fc.weight`: expected an array that can be unpacked, found ",
        ),
        one(
            Member { size: 1, ..weight.clone() },
            "`fc.weight`: expected an array that can be unpacked, found File is larger",
        ),
        one(
            Member { size: 1 << 24, ..weight.clone() },
            "`fc.weight`: expected 16777216 bytes, as the archive has it, found 96",
        ),
        one(
            Member { size: 1 << 30, ..weight.clone() },
            "`fc.weight`: expected at most 1032 bytes for each of the archive's, found more",
        ),
        one(
            Member { method: 99, ..weight.clone() },
            "`fc.weight`: expected an array that can be unpacked, found compression method not supported",
        ),
        case(
            zip(&[weight.clone(), weight.clone()]),
            "file: expected an archive of files with different names, found two of one name",
        ),
        case(
            zip(&[weight.clone(), named("fc.weight", &matrix)]),
            "`fc.weight`: expected one of this name, found another",
        ),
        case(
            zip(&[weight.clone(), named("fc.npy", &matrix)]),
            "`fc`: expected the only `fc.weight`, found another",
        ),
        case(
            zip(&[named("arr_0.npy", &matrix), named("arr_1.npy", &vector), named("arr_2.npy", &vector)]),
            "`arr_2`: expected the only `arr_0.bias`, found another",
        ),
    ]
}

/// Archives of scipy, in which an array is not as it should be.
fn matrices() -> Vec<Case> {
    let ints = |values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        array("<i8", &format!("({},)", values.len()), &bytes)
    };
    let values = |count: usize| array("<f4", &format!("({count},)"), &vec![0; 4 * count]);
    let format = |name: &str| array(&format!("|S{}", name.len()), "()", name.as_bytes());
    let with = |name: &str, data: Vec<u8>, fault| {
        let mut parts = [
            ("indices", ints(&[1, 0, 2])),
            ("indptr", ints(&[0, 1, 3])),
            ("format", format("csr")),
            ("shape", ints(&[2, 3])),
            ("data", values(3)),
        ];
        parts.iter_mut().filter(|(part, _)| *part == name).for_each(|(_, part)| *part = data.clone());
        let members: Vec<_> =
            parts.iter().map(|(name, data)| Member::new(&format!("{name}.npy"), data)).collect();
        Case::new("broken.npz", zip(&members), fault)
    };
    let huge = i64::from(u32::MAX);
    vec![
        with("format", format("bsr"), "`format`: expected csr or csc, found bsr"),
        with("format", format("csc"), "`indptr`: expected [4], found [3]"),
        with("shape", ints(&[2]), "`shape`: expected two sizes, found [2]"),
        with("shape", ints(&[-2, 3]), "`shape`: expected numbers that fit 32 bits, none negative, found -2"),
        with("shape", ints(&[huge, 3]), "`shape`: expected a size that the entries could fill"),
        with("shape", ints(&[2, huge]), "`shape`: expected a size that the entries could fill"),
        with("shape", ints(&[2, 0]), "`indices`: expected numbers below 0, found 1"),
        with("indptr", ints(&[1, 1, 3]), "`indptr`: expected numbers that rise from 0 to 3, found others"),
        with("indptr", ints(&[0, 3, 1]), "`indptr`: expected numbers that rise from 0 to 3, found others"),
        with("indptr", ints(&[0, 1, 4]), "`indptr`: expected numbers that rise from 0 to 3, found others"),
        with(
            "indptr",
            ints(&[0, -1, 3]),
            "`indptr`: expected numbers that fit 32 bits, none negative, found -1",
        ),
        with("indptr", ints(&[0, 3]), "`indptr`: expected [3], found [2]"),
        with("indices", ints(&[1, 0, 3]), "`indices`: expected numbers below 3, found 3"),
        with(
            "indices",
            ints(&[1, 0, -1]),
            "`indices`: expected numbers that fit 32 bits, none negative, found -1",
        ),
        with("indices", values(3), "`indices`: expected I32 or I64, found F32"),
        with("data", values(2), "`indices`: expected [2], found [3]"),
        with("data", ints(&[1, 2, 3]), "`data`: expected F32, F16, BF16 or F64, found I64"),
    ]
}
