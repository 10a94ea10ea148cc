//! What every target does with the bytes that it is given: reads them, and uses what was read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ndarray::Array2;
use tempfile::TempDir;
use tombola::io::{Import, Model};
use tombola::mask::Criterion;

/// Counts the bytes that are allocated, and the most that ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator; counting does not allocate. (`realloc` is the trait's own: a new
// place, and a copy, so that both count.)
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that reading a file may take: some for each of its own, and some whatever it is.
#[derive(Clone, Copy)]
pub struct Limit {
    pub each: usize,
    pub any: usize,
}

/// Of a file that is as large in memory as on disk. A header of JSON takes the most.
pub const PLAIN: Limit = Limit { each: 32, any: 1 << 20 };

/// Of a text, in which a million empty rows take no room.
pub const TEXT: Limit = Limit { each: 64, any: 64 << 20 };

/// Of an archive, which may unpack to 1032 times its size and 16 MB, and have empty rows, too. Numbers of 16 bits that
/// are not zero become 32 and 32 of their place.
pub const PACKED: Limit = Limit { each: 8 * 1032, any: 192 << 20 };

/// What pruning takes beyond: it spreads a sparse matrix out to 16 million weights.
const PRUNED: usize = 96 << 20;

/// Runs a reader, and fails when it takes more memory than it may.
pub fn within<T>(limit: Limit, len: usize, read: impl FnOnce() -> T) -> T {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read();
    let peak = PEAK.load(Relaxed) - before;
    assert!(peak <= limit.any + limit.each * len, "{peak} bytes for a file of {len}");
    result
}

/// Reads a file and uses the model, pruned, too.
pub fn read(limit: Limit, name: &str, bytes: &[u8]) {
    let pruned = Limit { any: limit.any + PRUNED, each: 4 * limit.each };
    let imports = [(limit, Import::new()), (pruned, Import::new().prune(Criterion::Magnitude(0.5)))];
    for (limit, import) in imports {
        match within(limit, bytes.len(), || import.parse(name, bytes)) {
            Ok(model) => use_model(&model),
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
    }
}

/// Layers, rows and columns up to which a model is run: beyond, the fuzzer would do little else.
const SMALL: usize = 300;

/// What holds of every model.
pub fn use_model(model: &Model) {
    let layers = model.mlp.layers();
    assert_eq!(model.names.len(), layers.len());
    assert!(model.names.iter().all(|name| !name.is_empty()));
    let widest = layers.iter().map(|layer| layer.shape().0.max(layer.shape().1)).max().unwrap();
    if layers.len() > SMALL || widest > SMALL {
        return;
    }
    for batch in [1, 5] {
        let x = Array2::from_shape_fn((batch, model.mlp.inputs()), |(row, column)| {
            (row + column) as f32 / 8.0 - 1.0
        });
        let y = model.mlp.forward(x.view()).unwrap();
        assert_eq!(y.dim(), (batch, model.mlp.outputs()));
    }
    round_trip(model);
}

/// What is saved is read again, bit for bit.
fn round_trip(model: &Model) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let path = FOLDER.path().join("model.safetensors");
    model.save(&path).unwrap();
    let again = Import::new().read(&path).unwrap();
    assert_eq!(again.names, model.names);
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for (read, saved) in again.mlp.layers().iter().zip(model.mlp.layers()) {
        assert_eq!(read.csr().shape(), saved.csr().shape());
        assert_eq!(read.csr().proper_indptr(), saved.csr().proper_indptr());
        assert_eq!(read.csr().indices(), saved.csr().indices());
        assert_eq!(bits(read.csr().data()), bits(saved.csr().data()));
        assert_eq!(bits(&read.bias().to_vec()), bits(&saved.bias().to_vec()));
        assert_eq!(read.activation(), saved.activation());
    }
}

/// A safetensors file of what may be one, or the header of one, a line feed and the data. Of the latter, the length of
/// the header and of the data are put right, which a fuzzer seldom hits.
pub fn safetensors(bytes: &[u8]) -> Vec<u8> {
    if bytes.first() != Some(&b'{') {
        return bytes.to_vec();
    }
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let header = &bytes[..end];
    let text = String::from_utf8_lossy(header);
    let lens = text
        .split(']')
        .filter_map(|part| part.rsplit_once("data_offsets\":[")?.1.split_once(',')?.1.parse().ok());
    let len = lens.filter(|&len| len <= 1 << 16).max().unwrap_or(0);
    let mut data = bytes.get(end + 1..).unwrap_or_default().to_vec();
    data.resize(len, 0);
    [&(header.len() as u64).to_le_bytes()[..], header, &data].concat()
}

/// An archive of what may be one, or its members, one after the other: the length of the name and of the bytes (two,
/// little-endian), and these. Of the latter the checksums are right, which a fuzzer never hits.
pub fn archive(bytes: &[u8]) -> Vec<u8> {
    use std::io::{Cursor, Write};
    if bytes.starts_with(b"PK") {
        return bytes.to_vec();
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut rest = bytes;
    while let Some((&[name_len, low, high], after)) = rest.split_first_chunk() {
        let (name, after) = after.split_at(after.len().min(name_len.into()));
        let (data, after) = after.split_at(after.len().min(u16::from_le_bytes([low, high]).into()));
        let name = String::from_utf8_lossy(name);
        if archive.start_file(name, options).is_err() || archive.write_all(data).is_err() {
            break;
        }
        rest = after;
    }
    archive.finish().map_or_else(|_| bytes.to_vec(), Cursor::into_inner)
}
