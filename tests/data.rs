//! Data sets.
#![cfg(feature = "search")]

use ndarray::array;
use tombola::ErrorKind;
use tombola::data::{Dataset, Split};

#[test]
fn the_digits_are_all_there() {
    let digits = Dataset::digits().unwrap();
    assert_eq!((digits.len(), digits.features(), digits.classes()), (1797, 64, 10));
    let samples = digits.samples();
    assert!(samples.x.iter().all(|&pixel| (0.0..=16.0).contains(&pixel) && pixel.fract() == 0.0));
    // sklearn 1.9.1: np.bincount(load_digits().target), load_digits().data.sum()
    let mut counts = [0; 10];
    samples.labels.iter().for_each(|&label| counts[label] += 1);
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(samples.x.iter().map(|&pixel| f64::from(pixel)).sum::<f64>(), 561_718.0);
}

#[test]
fn a_split_parts_and_the_training_samples_set_the_scale() {
    let digits = Dataset::digits().unwrap();
    let split = digits.split(300, 400, 7).unwrap();
    assert_eq!((split.training.len(), split.validation.len(), split.test.len()), (1097, 300, 400));
    assert_eq!(split, digits.split(300, 400, 7).unwrap());
    assert_ne!(split, digits.split(300, 400, 8).unwrap());
    let parts = [&split.training, &split.validation, &split.test];
    let sum: f64 = parts.iter().flat_map(|part| part.samples().x).map(|&pixel| f64::from(pixel)).sum();
    assert_eq!(sum, 561_718.0); // each image in one part

    // Even where the mean is far larger than what is left.
    let seconds = array![[1.7e9], [1.7e9 + 128.0], [1.7e9 + 256.0], [1.7e9 + 384.0], [1.7e9], [1.7e9]];
    let split = Dataset::new(seconds, vec![0; 6]).unwrap().split(1, 1, 1).unwrap().standardise();
    assert!(split.training.samples().x.sum().abs() < 1e-5);

    let split = Split::digits().unwrap();
    for column in split.training.samples().x.columns() {
        let count = column.len() as f64;
        let mean = column.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let variance = column.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 1e-5);
        assert!(variance == 0.0 || (variance - 1.0).abs() < 1e-5, "{variance}");
    }
}

#[test]
fn what_is_refused_is_named() {
    let fault = |text: &str| Dataset::from_csv(text.as_bytes(), "x.csv").unwrap_err();
    for (text, expected) in [
        ("1,2,0\n1,oops,1\n", "x.csv, line 2, column 2: expected a finite number, found \"oops\""),
        ("1,2,0\n1,NaN,1\n", "line 2, column 2"),
        ("1,2,0\n1,2,-1\n", "x.csv, line 2, column 3: expected a class"),
        ("1,2,0\n1,2,0.5\n", "line 2, column 3"),
        ("1,2,0\r\n1,2,0\r\n1,oops,1\r\n", "x.csv, line 3, column 2"),
        ("1,2,0\r\n\r\n\n1,oops,1", "x.csv, line 4, column 2"),
        ("\"1\",2,0\n\"oops\",2,1", "x.csv, line 2, column 1"),
        ("1,2,0\n1,2\n", "x.csv: expected lines of the same count of numbers"),
        ("7\n", "at least one feature"),
        ("", "x.csv: x: expected at least one sample"),
    ] {
        let error = fault(text);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let set = Dataset::new(array![[1.0], [2.0], [3.0]], vec![0, 1, 0]).unwrap();
    for (validation, test) in [(0, 1), (1, 0), (2, 1), (usize::MAX, 2)] {
        assert_eq!(set.split(validation, test, 0).unwrap_err().kind(), ErrorKind::Value);
    }
    assert!(set.split(1, 1, 0).is_ok());
    assert!(Dataset::new(array![[1.0]], vec![]).is_err());
}
