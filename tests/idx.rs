//! IDX files: every type of number, the folders that MNIST and Fashion-MNIST come in, and files that lie.
#![cfg(all(feature = "search", feature = "io"))] // with io comes tempfile

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tombola::data::{Dataset, Split};
use tombola::io::Source;
use tombola::{Error, ErrorKind};

fn header(code: u8, shape: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
    bytes
}

fn idx(code: u8, shape: &[u32], numbers: &[u8]) -> Vec<u8> {
    [&header(code, shape), numbers].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with two files in it, `x` and `y`.
struct Pair(TempDir);

impl Pair {
    fn new(x: &[u8], y: &[u8]) -> Self {
        let pair = Self(tempfile::tempdir().unwrap());
        fs::write(pair.path("x"), x).unwrap();
        fs::write(pair.path("y"), y).unwrap();
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> Result<Dataset, Error> {
        Dataset::from_idx(self.path("x"), self.path("y"))
    }
}

#[test]
fn every_type_of_number_is_read() {
    let numbers = [-100.0, 0.0, 1.0, 100.0, 3.0, 2.0];
    let bytes = |encode: &dyn Fn(f64) -> Vec<u8>| numbers.iter().flat_map(|&number| encode(number)).collect();
    let files: [(u8, Vec<u8>); 5] = [
        (0x09, bytes(&|number| (number as i8).to_be_bytes().into())),
        (0x0B, bytes(&|number| (number as i16).to_be_bytes().into())),
        (0x0C, bytes(&|number| (number as i32).to_be_bytes().into())),
        (0x0D, bytes(&|number| (number as f32).to_be_bytes().into())),
        (0x0E, bytes(&|number| number.to_be_bytes().into())),
    ];
    let expected: Vec<f32> = numbers.map(|number| number as f32).into();
    for (code, bytes) in files {
        // Labels of the same type: the last two numbers.
        let labels = &bytes[bytes.len() / 6 * 4..];
        for shape in [&[2, 3][..], &[2, 3, 1], &[2, 1, 1, 3]] {
            let (x, y) = (idx(code, shape, &bytes), idx(code, &[2], labels));
            for (x, y) in [(x.clone(), y.clone()), (gzip(&x), y.clone()), (gzip(&x), gzip(&y))] {
                let set = Pair::new(&x, &y).read().unwrap();
                assert_eq!((set.len(), set.features(), set.classes()), (2, 3, 4), "type {code}, {shape:?}");
                assert_eq!(set.samples().x.iter().copied().collect::<Vec<_>>(), expected);
                assert_eq!(set.samples().labels, [3, 2]);
            }
        }
    }
    // More than 8 bits, the sign, and more than one buffer.
    let long: Vec<u8> =
        (0..100_000_i32).flat_map(|number| (number * 20_000 - 1_000_000_000).to_be_bytes()).collect();
    let set = Pair::new(&idx(0x0C, &[2, 50_000], &long), &idx(8, &[2], &[0, 255])).read().unwrap();
    assert_eq!(set.classes(), 256);
    let expected = (0..100_000_i32).map(|number| (number * 20_000 - 1_000_000_000) as f32);
    assert!(set.samples().x.iter().copied().eq(expected));
}

#[test]
fn bytes_become_0_to_1() {
    let all: Vec<u8> = (0..=255).collect();
    let set = Pair::new(&idx(8, &[256], &all), &idx(8, &[256], &all)).read().unwrap();
    assert_eq!((set.len(), set.features(), set.classes()), (256, 1, 256));
    assert!(set.samples().x.iter().copied().eq(all.iter().map(|&byte| f32::from(byte) / 255.0)));
}

#[test]
fn a_gzip_file_may_have_several_members() {
    let x = idx(8, &[2, 3], &[0, 51, 102, 153, 204, 255]);
    let two = [gzip(&x[..9]), gzip(&x[9..])].concat();
    let y = idx(8, &[2], &[1, 0]);
    assert_eq!(Pair::new(&two, &y).read().unwrap(), Pair::new(&x, &y).read().unwrap());
}

#[test]
fn what_lies_is_refused_by_name() {
    let x = idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]);
    let y = idx(8, &[2], &[0, 1]);
    let f32s = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let f64s = |numbers: &[f64]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let bomb = gzip(&[&header(8, &[2, 3])[..], &vec![0; 50 << 20]].concat());
    assert!(bomb.len() < 100 << 10);
    let flipped = |mut bytes: Vec<u8>, index: usize| {
        let index = index % bytes.len();
        bytes[index] ^= 0x40;
        bytes
    };
    let checksum = gzip(&x).len() - 6;
    let big = u32::MAX;
    let broken_x: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "a whole IDX file"),
        ("three bytes", vec![0, 0, 8], "a whole IDX file"),
        ("no dimensions", idx(8, &[], &[1]), "an IDX file"),
        ("an unknown type", idx(0x0A, &[2, 3], &[1; 6]), "an IDX file: 0, 0, a type"),
        ("text", b"label,pixel\n".to_vec(), "an IDX file"),
        ("a header that ends", header(8, &[2, 3])[..10].to_vec(), "a whole IDX file"),
        ("255 dimensions, none there", vec![0, 0, 8, 255], "a whole IDX file"),
        ("a dimension of 0", idx(8, &[2, 0], &[]), "none of them 0"),
        ("no samples", idx(8, &[0, big, big, big], &[]), "none of them 0"),
        ("more than usize", idx(8, &[big, big, big], &[1; 6]), "dimensions that the 22 bytes"),
        ("2³² images", idx(8, &[big, 28, 28], &[1; 6]), "dimensions that the 22 bytes"),
        ("2³² images with gzip", gzip(&idx(8, &[big, 28, 28], &[1; 6])), "dimensions that the"),
        ("truncated", x[..17].to_vec(), "a whole IDX file"),
        ("far truncated", idx(14, &[2, 3], &[1; 6]), "dimensions that the 18 bytes"),
        ("truncated, then gzip", gzip(&x[..17]), "a whole IDX file"),
        ("gzip, then truncated", gzip(&x)[..20].to_vec(), "a whole IDX file"),
        ("gzip without its checksum", gzip(&x)[..gzip(&x).len() - 8].to_vec(), "a whole IDX file"),
        ("gzip with another checksum", flipped(gzip(&x), checksum), "an undamaged gzip file"),
        (
            "gzip and garbage",
            [gzip(&x), b"garbage, longer than a header".to_vec()].concat(),
            "an undamaged gzip file",
        ),
        ("gzip of another method", flipped(gzip(&x), 2), "an undamaged gzip file"),
        ("one byte too many", [&x[..], &[0]].concat(), "the end after the 6 numbers of [2, 3], found more"),
        ("a bomb", bomb, "the end after the 6 numbers of [2, 3], found more"),
        ("NaN", idx(13, &[2, 1], &f32s(&[1.0, f32::NAN])), "finite numbers that fit f32, found NaN at 1"),
        ("∞", idx(13, &[2, 1], &f32s(&[f32::INFINITY, 1.0])), "found inf at 0"),
        ("too large for f32", idx(14, &[2, 1], &f64s(&[1.0, -1e39])), "at 1"),
    ];
    for (name, bytes, expected) in broken_x {
        let pair = Pair::new(&bytes, &y);
        check(name, &pair.read().unwrap_err(), &pair.path("x"), expected);
    }
    let broken_y: Vec<(&str, Vec<u8>, &str)> = vec![
        ("fewer labels", idx(8, &[1], &[0]), "[2], as many as"),
        ("more labels", idx(8, &[3], &[0, 1, 2]), "[2], as many as"),
        ("labels of two dimensions", idx(8, &[2, 1], &[0, 1]), "[2], as many as"),
        ("images for labels", x.clone(), "[2], as many as"),
        ("negative", idx(9, &[2], &[0, 255]), "classes, whole numbers from 0, found -1 at 1"),
        ("a half", idx(13, &[2], &f32s(&[0.5, 1.0])), "found 0.5 at 0"),
        ("nearly 1", idx(14, &[2], &f64s(&[0.0, 1.0 - 1e-12])), "at 1"),
        ("NaN", idx(14, &[2], &f64s(&[0.0, f64::NAN])), "found NaN at 1"),
        ("∞", idx(14, &[2], &f64s(&[0.0, f64::INFINITY])), "at 1"),
        ("too many classes", idx(12, &[2], &[0, 0, 0, 0, 0, 1, 0, 0]), "found 65536 at 1"),
        ("far too many classes", idx(14, &[2], &f64s(&[0.0, 1e300])), "at 1"),
    ];
    for (name, bytes, expected) in broken_y {
        let pair = Pair::new(&x, &bytes);
        check(name, &pair.read().unwrap_err(), &pair.path("y"), expected);
    }
    let pair = Pair::new(&x, &y);
    let missing = pair.path("none");
    let error = Dataset::from_idx(&missing, pair.path("y")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains(&*missing.to_string_lossy()), "{error}");
    assert_eq!(Dataset::from_idx(pair.0.path(), pair.path("y")).unwrap_err().kind(), ErrorKind::Io);
}

#[track_caller]
fn check(name: &str, error: &Error, path: &Path, expected: &str) {
    let text = error.to_string();
    assert!(text.contains(expected), "{name}: {text}");
    assert!(text.contains(&*path.to_string_lossy()), "{name}: {text}");
    assert!(matches!(error.kind(), ErrorKind::Format | ErrorKind::Value), "{name}: {:?}", error.kind());
}

/// A folder of a set in which the first pixel of an image is its index, and its label that, modulo 10.
fn folder(training: u8, test: u8, name: impl Fn(&str, &str) -> String, packed: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", training), ("t10k", test)] {
        let pixels: Vec<u8> = (0..count).flat_map(|index| [index, 0, 0, 255]).collect();
        let labels: Vec<u8> = (0..count).map(|index| index % 10).collect();
        for (kind, ending, bytes) in [
            ("images", "idx3-ubyte", idx(8, &[count.into(), 2, 2], &pixels)),
            ("labels", "idx1-ubyte", idx(8, &[count.into()], &labels)),
        ] {
            let bytes = if packed { gzip(&bytes) } else { bytes };
            fs::write(folder.path().join(name(&format!("{part}-{kind}"), ending)), bytes).unwrap();
        }
    }
    folder
}

fn dashed(name: &str, ending: &str) -> String {
    format!("{name}-{ending}")
}

#[test]
fn a_folder_is_split_by_seed() {
    let plain = folder(240, 30, dashed, false);
    let split = Split::from_idx(plain.path(), 3).unwrap();
    assert_eq!((split.training.len(), split.validation.len(), split.test.len()), (220, 20, 30));
    assert_eq!((split.features(), split.classes()), (4, 10));
    for other in [
        folder(240, 30, |name, ending| format!("{name}.{ending}"), false),
        folder(240, 30, |name, ending| format!("{name}-{ending}.gz"), true),
        folder(240, 30, |name, ending| format!("{name}.{ending}.gz"), true),
        folder(240, 30, |name, ending| format!("{name}-{ending}.gz"), false), // the bytes tell, not the name
    ] {
        assert_eq!(Split::from_idx(other.path(), 3).unwrap(), split);
    }
    assert_ne!(Split::from_idx(plain.path(), 4).unwrap(), split);

    // Every image is in one part, and keeps its label.
    let mut seen = [0; 240];
    for part in [&split.training, &split.validation] {
        let samples = part.samples();
        for (x, &label) in samples.x.rows().into_iter().zip(samples.labels) {
            let index = (x[0] * 255.0).round() as usize;
            assert_eq!((index % 10, x[3]), (label, 1.0));
            seen[index] += 1;
        }
    }
    assert_eq!(seen, [1; 240]);
    let test = split.test.samples();
    assert!(test.x.column(0).iter().enumerate().all(|(index, &x)| x == index as f32 / 255.0));
}

#[test]
fn a_folder_is_a_source() {
    let folder = folder(240, 30, dashed, true);
    let source: Source = folder.path().to_str().unwrap().parse().unwrap();
    assert_eq!(source, Source::Idx(folder.path().into()));
    let data = source.load(3).unwrap();
    let (mean, deviation) = data.training.moments();
    assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6, "{mean} ± {deviation}");
    let plain = Split::from_idx(folder.path(), 3).unwrap();
    let (mean, deviation) = plain.training.moments();
    assert_eq!(data, plain.normalise(mean, deviation).unwrap());

    // Nothing to scale by: images of one colour.
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        let count = if name.starts_with("train") { 240 } else { 30 };
        let white = idx(8, &[count, 2, 2], &vec![255; 4 * count as usize]);
        fs::write(folder.path().join(name), white).unwrap();
    }
    let error = source.load(3).unwrap_err();
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
}

/// Of many seeds, each image is for validation about as often as any other.
#[test]
fn validation_is_drawn_evenly() {
    let set = Dataset::new(ndarray::Array2::from_shape_fn((12, 1), |(i, _)| i as f32), vec![0; 12]).unwrap();
    let mut counts = [0.0_f64; 12];
    for seed in 0..2000 {
        let split = Split::with_test(set.clone(), set.clone(), 4, seed).unwrap();
        split.validation.samples().x.iter().for_each(|&x| counts[x as usize] += 1.0);
    }
    // 2000/3 each; a binomial's deviation is 21.
    assert!(counts.iter().all(|count| (count - 2000.0 / 3.0).abs() < 5.0 * 21.1), "{counts:?}");
}

#[test]
fn a_folder_that_lacks_something_is_refused() {
    let incomplete = folder(24, 6, dashed, false);
    fs::remove_file(incomplete.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let error = Split::from_idx(incomplete.path(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = error.to_string();
    assert!(
        text.contains("t10k-labels.idx1-ubyte.gz") && text.contains(&*incomplete.path().to_string_lossy()),
        "{text}"
    );
    assert!(Split::from_idx(incomplete.path().join("none"), 0).is_err());

    let one = folder(1, 1, dashed, false);
    assert_eq!(Split::from_idx(one.path(), 0).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(Split::from_idx(folder(2, 1, dashed, false).path(), 0).unwrap().validation.len(), 1);

    let other = folder(24, 6, dashed, false);
    fs::write(other.path().join("t10k-images-idx3-ubyte"), idx(8, &[6, 3, 2], &[0; 36])).unwrap();
    let error = Split::from_idx(other.path(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("expected 4 features"), "{error}");
}

/// The real sets, where `TOMBOLA_MNIST` says that they are: folders, with `:` between them.
#[test]
fn the_real_sets_are_whole() {
    let Some(folders) = std::env::var_os("TOMBOLA_MNIST") else {
        let skipped = "\n    skipped: no TOMBOLA_MNIST that names a folder of MNIST or Fashion-MNIST\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap(); // past the capture of the test's output
        return;
    };
    for folder in std::env::split_paths(&folders) {
        let split = Split::from_idx(&folder, 0).unwrap();
        assert_eq!((split.training.len(), split.validation.len(), split.test.len()), (55_000, 5_000, 10_000));
        assert_eq!((split.features(), split.classes()), (784, 10));
        let whole = ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"].map(|name| folder.join(name));
        let labels = ["train-labels-idx1-ubyte", "train-labels-idx1-ubyte.gz"].map(|name| folder.join(name));
        let named = usize::from(!whole[0].exists());
        let whole = Dataset::from_idx(&whole[named], &labels[named]).unwrap();
        let (mean, deviation) = whole.moments();
        let count = |sets: &[&Dataset]| {
            let mut counts = [0; 10];
            sets.iter().for_each(|set| set.samples().labels.iter().for_each(|&label| counts[label] += 1));
            counts
        };
        let training = count(&[&split.training, &split.validation]);
        let test = count(&[&split.test]);
        assert_eq!(count(&[&whole]), training);
        if training == [6000; 10] {
            // Fashion-MNIST: balanced; the usual constants are 0.2860 and 0.3530.
            assert_eq!(test, [1000; 10]);
            assert!(
                (mean - 0.2860).abs() < 5e-5 && (deviation - 0.3530).abs() < 5e-5,
                "{mean} ± {deviation}"
            );
        } else {
            // LeCun's page, and the usual constants.
            assert_eq!(training, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
            assert_eq!(test, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
            assert!(
                (mean - 0.1307).abs() < 5e-5 && (deviation - 0.3081).abs() < 5e-5,
                "{mean} ± {deviation}"
            );
        }
        let (mean, deviation) = split.training.moments();
        let (mean, deviation) = split.normalise(mean, deviation).unwrap().training.moments();
        assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6, "{mean} ± {deviation}");
    }
}

#[test]
fn one_mean_and_deviation_scale_all() {
    let set = |values: [f32; 4]| {
        Dataset::new(ndarray::Array2::from_shape_vec((2, 2), values.into()).unwrap(), vec![0, 1]).unwrap()
    };
    let split = Split { training: set([1.0, 2.0, 3.0, 4.0]), validation: set([0.0; 4]), test: set([5.0; 4]) };
    assert_eq!(split.training.moments(), (2.5, 1.25_f64.sqrt()));
    let scaled = split.clone().normalise(2.0, 0.5).unwrap();
    assert_eq!(scaled.training, set([-2.0, 0.0, 2.0, 4.0]));
    assert_eq!((scaled.validation, scaled.test), (set([-4.0; 4]), set([6.0; 4])));
    for (mean, deviation) in [(f64::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f64::INFINITY), (0.0, f64::NAN)]
    {
        assert_eq!(split.clone().normalise(mean, deviation).unwrap_err().kind(), ErrorKind::Value);
    }
}
