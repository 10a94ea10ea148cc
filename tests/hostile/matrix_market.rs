//! Matrices as text.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    let head = "%%MatrixMarket matrix coordinate real general\n";
    let case = |rest: &str, fault| Case::new("broken.mtx", format!("{head}{rest}"), fault);
    let exact = |text: &str, fault| Case::new("broken.mtx", text, fault);
    let mut cases = vec![
        exact("%%MatrixMarket", "line 1: expected a coordinate matrix"),
        exact("%%MatrixMarket matrix array real general\n1 1\n1\n", "line 1: expected a coordinate matrix"),
        case("", "line 2: expected rows, columns and entries"),
        case("% nothing but\n% comments\n", "line 2: expected rows, columns and entries"),
        case("1 1 -1\n", "line 2: expected rows, columns and entries, found \"1 1 -1\""),
        case("0 0 0\n", "line 2: expected a size that the file could fill"),
        case("1000000000000000000 1 1\n1 1 1\n", "line 2: expected a size that the file could fill"),
        case("1 18446744073709551616 1\n1 1 1\n", "line 2: expected rows, columns and entries"),
        case("1 1 1000000000000000000\n1 1 1\n", "line 2: expected the 1 entries that there are"),
        case("1 1 1\n", "line 2: expected the 0 entries that there are, found \"1 1 1\""),
        case("1 1 1\n1 1 1\n1 1 1\n", "line 2: expected the 2 entries that there are"),
        case("2 2 1\n3 1 1\n", "line 3: expected row, column and value of a 2×2 matrix, found \"3 1 1\""),
        case("2 2 1\n1 0 1\n", "line 3: expected row, column and value of a 2×2 matrix"),
        case("2 2 1\n-1 1 1\n", "line 3: expected row, column and value of a 2×2 matrix"),
        case("2 2 1\n1 4294967297 1\n", "line 3: expected row, column and value of a 2×2 matrix"),
        case("2 2 1\n1 1 one\n", "line 3: expected row, column and value of a 2×2 matrix"),
        case(
            "2 2 1\n1 1 1e39\n",
            "line 3: expected row, column and value of a 2×2 matrix, found \"1 1 1e39\"",
        ),
    ];
    let mut bytes = case("1 1 1\n1 1 1\n", "").bytes;
    bytes.extend([0xC3, 0x28]);
    cases.push(Case::new("broken.mtx", bytes, "file: expected text in UTF-8, found invalid utf-8"));
    // A line that an error does not repeat whole.
    let long = "9".repeat(1 << 20);
    let fault = "line 3: expected row, column and value of a 2×2 matrix, found \"99999";
    cases.push(Case::new("broken.mtx", format!("{head}2 2 1\n{long}"), fault));
    cases
}
