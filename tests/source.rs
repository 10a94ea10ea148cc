//! Data sets by name, and as numpy's arrays.
#![cfg(all(feature = "search", feature = "io"))]

use tombola::ErrorKind;
use tombola::data::Split;
use tombola::io::Source;

#[test]
fn a_source_has_a_name() {
    let pair = Source::Numpy { x: "a b/x.npy".into(), y: "y.npy".into() };
    for (text, expected) in [
        ("digits", Source::Digits),
        ("mnist1d", Source::Mnist1d),
        ("./digits", Source::Idx("./digits".into())),
        ("/data/mnist, old", Source::Idx("/data/mnist, old".into())),
        ("a b/x.npy,y.npy", pair),
    ] {
        let source: Source = text.parse().unwrap();
        assert_eq!((&source, source.to_string()), (&expected, text.to_owned()));
    }
    for text in ["", "x.npy", "x,y.npy"] {
        let error = text.parse::<Source>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("mnist1d"), "{error}");
    }
}

#[test]
fn what_needs_no_files_is_there() {
    let digits = Source::Digits.load(0).unwrap();
    assert_eq!(digits, Split::digits().unwrap());
    assert_ne!(digits, Source::Digits.load(1).unwrap());
    assert_eq!((digits.features(), digits.classes()), (64, 10));

    let signals = Source::Mnist1d.load(5).unwrap();
    assert_eq!((signals.training.len(), signals.validation.len(), signals.test.len()), (3500, 500, 1000));
    assert_eq!(signals, Source::Mnist1d.load(5).unwrap());
    let error = "/no/such/folder".parse::<Source>().unwrap().load(0).unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[cfg(not(feature = "numpy"))]
#[test]
fn numpy_needs_its_feature() {
    let error = "x.npy,y.npy".parse::<Source>().unwrap().load(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[cfg(feature = "numpy")]
mod numpy {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;
    use tombola::data::Dataset;
    use tombola::io::{Source, read_samples};
    use tombola::{Error, ErrorKind};

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    struct Pair(TempDir);

    impl Pair {
        fn new(x: &[u8], y: &[u8]) -> Self {
            let pair = Self(tempfile::tempdir().unwrap());
            fs::write(pair.path("x.npy"), x).unwrap();
            fs::write(pair.path("y.npy"), y).unwrap();
            pair
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self) -> Result<Dataset, Error> {
            read_samples(self.path("x.npy"), self.path("y.npy"))
        }
    }

    #[test]
    fn floats_of_every_size_and_order_are_read() {
        // tests/fixtures/make.py
        let expected = ndarray::Array2::from_shape_fn((5, 7), |(row, column)| {
            let kept = (3 * row + 5 * column) % 4 == 0;
            if kept { (((7 * row + 3 * column) % 11) as f32 - 5.5) / 4.0 } else { 0.0 }
        });
        let labels = Pair::new(&[], &npy("<i8", "(5,)", &[4, 0, 3, 0, 1].map(i64::to_le_bytes).concat()));
        for name in ["weight", "weight_fortran", "weight_big_endian", "weight_f64", "weight_f16"] {
            let set = read_samples(fixture(&format!("{name}.npy")), labels.path("y.npy")).unwrap();
            assert_eq!(set.samples().x, expected, "{name}");
            assert_eq!(set.samples().labels, [4, 0, 3, 0, 1]);
        }
    }

    #[test]
    fn integers_of_every_size_are_read() {
        macro_rules! check {
            ($($descr:literal, $integer:ty;)*) => {$(
                let bytes = |numbers: &[u8]| -> Vec<u8> {
                    numbers.iter().flat_map(|&number| (number as $integer).to_le_bytes()).collect()
                };
                let all = [bytes(&[0, 1, 2, 100, 7, 127]), bytes(&[2, 0])];
                let set = Pair::new(&npy($descr, "(2, 3, 1)", &all[0]), &npy($descr, "(2,)", &all[1])).read().unwrap();
                assert_eq!(set.samples().x, ndarray::array![[0.0, 1.0, 2.0], [100.0, 7.0, 127.0]], $descr);
                assert_eq!(set.samples().labels, [2, 0], $descr);
            )*};
        }
        check! { "|u1", u8; "|i1", i8; "<u2", u16; "<i2", i16; "<u4", u32; "<i4", i32; "<u8", u64; "<i8", i64; }
        // One dimension is one feature; and a big-endian integer has a sign, too.
        let set =
            Pair::new(&npy(">i2", "(2,)", &[0xFF, 0xFE, 1, 0]), &npy("|b1", "(2,)", &[1, 0])).read().unwrap();
        assert_eq!(
            (set.samples().x, set.samples().labels),
            (ndarray::array![[-2.0], [256.0]].view(), &[1, 0][..])
        );
    }

    #[test]
    fn a_pair_is_a_source() {
        let numbers: Vec<u8> = (0..100_u8).collect();
        let labels: Vec<u8> = numbers.iter().map(|number| number % 4).collect();
        let pair = Pair::new(&npy("|u1", "(50, 2)", &numbers), &npy("|u1", "(50,)", &labels[..50]));
        let (x, y) = (pair.path("x.npy"), pair.path("y.npy"));
        let source: Source = format!("{},{}", x.display(), y.display()).parse().unwrap();
        assert_eq!(source, Source::Numpy { x, y });
        let data = source.load(1).unwrap();
        assert_eq!((data.training.len(), data.validation.len(), data.test.len()), (30, 10, 10));
        assert_eq!((data.features(), data.classes()), (2, 4));
        let (mean, deviation) = data.training.moments();
        assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6, "{mean} ± {deviation}");
        let small = Pair::new(&npy("|u1", "(4, 1)", &[0, 1, 2, 3]), &npy("|u1", "(4,)", &[0, 1, 0, 1]));
        let source = Source::Numpy { x: small.path("x.npy"), y: small.path("y.npy") };
        let error = source.load(0).unwrap_err();
        assert!(error.to_string().contains(&source.to_string()), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let x = npy("|u1", "(2, 2)", &[1, 2, 3, 4]);
        let y = npy("|u1", "(2,)", &[0, 1]);
        assert!(Pair::new(&x, &y).read().is_ok());
        let f4 = |numbers: [f32; 2]| numbers.map(f32::to_le_bytes).concat();
        let f8 = |numbers: [f64; 2]| numbers.map(f64::to_le_bytes).concat();
        let cases: Vec<(Vec<u8>, Vec<u8>, &str, &str)> = vec![
            (npy("|u1", "(3, 1)", &[1, 2, 3]), y.clone(), "x.npy", "as many as"),
            (npy("|u1", "()", &[1]), y.clone(), "x.npy", "[n, features…], found a single number"),
            (npy("|u1", "(2, 3)", &[1, 2, 3, 4]), y.clone(), "x.npy", "2 samples of 3 features"),
            (npy("<c8", "(2, 1)", &[0; 16]), y.clone(), "x.npy", "an array of numbers"),
            (
                npy("<f4", "(2, 1)", &f4([1.0, f32::NAN])),
                y.clone(),
                "x.npy",
                "finite numbers, found NaN at [1, 0]",
            ),
            (npy("<f8", "(2, 1)", &f8([1.0, 1e39])), y.clone(), "x.npy", "numbers that fit f32"),
            (npy("|u1", "(2, 0)", &[]), y.clone(), "x.npy", "[n, features…]"),
            (
                npy("|u1", "(0, 9223372036854775807, 2)", &[]),
                npy("|u1", "(0,)", &[]),
                "x.npy",
                "0 samples of",
            ),
            (b"PK\x03\x04".to_vec(), y.clone(), "x.npy", "a .npy file"),
            (x.clone(), npy("|u1", "(2, 2)", &[0, 1, 1, 0]), "y.npy", "[samples], a class of each"),
            (x.clone(), npy("|i1", "(2,)", &[0, 255]), "y.npy", "whole numbers from 0, found -1"),
            (x.clone(), npy("<f8", "(2,)", &f8([0.0, 0.999])), "y.npy", "whole numbers from 0"),
            (
                x.clone(),
                npy("<f4", "(2,)", &f4([0.0, f32::INFINITY])),
                "y.npy",
                "whole numbers from 0, found inf",
            ),
            (
                x.clone(),
                npy("<u4", "(2,)", &[0, 0, 0, 0, 0, 0, 1, 0]),
                "y.npy",
                "classes below 65536, found 65536 at 1",
            ),
        ];
        for (x, y, file, expected) in cases {
            let pair = Pair::new(&x, &y);
            let error = pair.read().unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(expected) && text.contains(&*pair.path(file).to_string_lossy()),
                "{expected}: {text}"
            );
        }
        let pair = Pair::new(&x, &y);
        assert_eq!(read_samples(pair.path("none"), pair.path("y.npy")).unwrap_err().kind(), ErrorKind::Io);
    }
}
