//! Rows cut into parts, for threads.

/// Where each of `count` parts of some rows begins, and where the last one ends: at multiples of `unit`, and so that
/// all take about as long, by what each row takes. Parts without a row are left out, of which a row that takes as long
/// as several makes some.
///
/// Formats ask for a power of two, so that as many threads, or a half or a quarter, have the same to do. One that waits
/// for another costs more than the time of its waiting (of 2048×2048 at 90%, on two threads, halves take 31 µs, 5:3
/// takes 80, and one thread 53): presumably it goes to sleep, and wakes up late.
pub(super) fn parts(costs: &[f64], count: usize, unit: usize) -> Vec<usize> {
    let (mut starts, mut before) = (vec![0], 0.0);
    let part = costs.iter().sum::<f64>() / count as f64;
    for (row, cost) in costs.iter().enumerate() {
        before += cost;
        // The multiple of the unit that is nearest to the place.
        while before > part * starts.len() as f64 && starts.len() < count {
            starts.push((row + unit / 2) / unit * unit);
        }
    }
    starts.push(costs.len());
    starts.iter_mut().for_each(|start| *start = (*start).min(costs.len()));
    starts.dedup();
    starts
}
