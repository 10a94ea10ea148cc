//! Matrix Market files: a matrix as text, a line for each entry (NIST, *The Matrix Market Exchange Formats*, 1996).

use std::io::Write;

use sprs::CsMatI;

use super::EMPTY;
use super::tensors::Tensors;
use crate::csr::Csr;
use crate::{Error, ErrorKind, Result};

/// How such a file begins, in letters of any case.
pub(super) const MAGIC: &[u8] = b"%%MatrixMarket";

/// The matrix of a file, as one layer under a name. Entries of one place are added, as scipy does.
pub(super) fn read(operation: &'static str, bytes: &[u8], layer: &str) -> Result<Tensors> {
    Ok(Tensors::of_csr(operation, layer, &parse(operation, bytes)?))
}

fn parse(operation: &'static str, bytes: &[u8]) -> Result<Csr> {
    let fault = |line: usize, expected: &str, found: &str| {
        let found: String = found.chars().take(80).collect();
        Error::new(ErrorKind::Format, operation, format!("line {}", line + 1), expected, format!("{found:?}"))
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::caused_by(ErrorKind::Format, operation, "file", "text in UTF-8", error))?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map(|(_, line)| line.to_ascii_lowercase()).unwrap_or_default();
    let words: Vec<&str> = header.split_whitespace().collect();
    let &[_, "matrix", "coordinate", field @ ("real" | "integer" | "pattern"), symmetry] = &words[..] else {
        return Err(fault(0, "a coordinate matrix that is real, integer or a pattern", &header));
    };
    let mirror = match symmetry {
        "general" => None,
        "symmetric" => Some(1.0),
        "skew-symmetric" => Some(-1.0),
        _ => return Err(fault(0, "general, symmetric or skew-symmetric", &header)),
    };
    let mut lines = lines.filter(|(_, line)| !line.trim_start().starts_with('%') && !line.trim().is_empty());
    let (at, line) = lines.next().unwrap_or((1, ""));
    let sizes: Option<Vec<usize>> = line.split_whitespace().map(|size| size.parse().ok()).collect();
    let Some(&[rows, columns, count]) = sizes.as_deref() else {
        return Err(fault(at, "rows, columns and entries", line));
    };
    let most = (bytes.len() + EMPTY).min(u32::MAX as usize);
    if [rows, columns].into_iter().any(|size| size == 0 || size > most) {
        return Err(fault(at, "a size that the file could fill", line));
    }
    let (mut entries, mut given) = (Vec::new(), 0_usize);
    for (at, line) in lines {
        given += 1;
        let mut words = line.split_whitespace();
        let mut place = |size: usize| {
            let number: usize = words.next()?.parse().ok()?;
            (1..=size).contains(&number).then(|| number as u32 - 1)
        };
        let (row, column) = (place(rows), place(columns));
        let value = if field == "pattern" { Some(1.0) } else { words.next().and_then(number) };
        let (Some(row), Some(column), Some(value), None) = (row, column, value, words.next()) else {
            return Err(fault(at, &format!("row, column and value of a {rows}×{columns} matrix"), line));
        };
        entries.push((row, column, value));
        if let (Some(sign), true) = (mirror, row != column) {
            if columns <= row as usize || rows <= column as usize {
                return Err(fault(at, "an entry whose mirror image is in the matrix", line));
            }
            entries.push((column, row, sign * value));
        }
    }
    if given != count {
        return Err(fault(at, &format!("the {given} entries that there are"), line));
    }
    csr_of((rows, columns), entries).ok_or_else(|| fault(at, "a matrix that fits 32-bit CSR", line))
}

/// A number that fits f32: one that is infinite says so in letters.
fn number(word: &str) -> Option<f32> {
    let number: f32 = word.parse().ok()?;
    (!number.is_infinite() || !word.contains(|letter: char| letter.is_ascii_digit())).then_some(number)
}

/// CSR of entries (row, column, value) in any order; those of one place are added in the order in which they come.
fn csr_of((rows, columns): (usize, usize), mut entries: Vec<(u32, u32, f32)>) -> Option<Csr> {
    entries.sort_by_key(|&(row, column, _)| (row, column));
    let mut pointers = vec![0_u32; rows + 1];
    let (mut indices, mut values) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for group in entries.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (row, column, first) = group[0];
        indices.push(column);
        values.push(group[1..].iter().fold(first, |sum, &(_, _, value)| sum + value));
        pointers[row as usize + 1] = u32::try_from(indices.len()).ok()?;
    }
    for row in 0..rows {
        pointers[row + 1] = pointers[row + 1].max(pointers[row]);
    }
    CsMatI::try_new((rows, columns), pointers, indices, values).ok()
}

/// Writes a matrix. The values are the shortest decimals that read back as the same bits.
pub(super) fn write(csr: &Csr, file: &mut impl Write) -> std::io::Result<()> {
    sprs::io::write_matrix_market_to_bufwrite(file, csr.view())
}
