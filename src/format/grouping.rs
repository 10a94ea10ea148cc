//! Which rows of a panel are walked together.
//!
//! A kernel that walks some rows at once loads the activations of a column once for all of them that have it. So rows are
//! matched that share columns: first into pairs, then pairs into groups of four. Blocks of rows that were pruned together come
//! out whole, and rows of an unstructured mask share more than chance would have it. They must be of about one length, too,
//! since what one row has beyond the others is walked alone.

use std::cmp::Reverse;
use std::ops::Range;

/// How far ahead a partner is looked for, in the order of lengths: the cost of packing grows with it, what is shared hardly.
const WINDOW: usize = 32;

/// Fewer columns than these that all four rows share go as pairs: a loop more would cost a branch that nobody foresees.
const FEW: usize = 4;

/// The entries of a row in a panel.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) row: u16,
    /// Relative to the panel's first, rising.
    pub(super) columns: &'a [u32],
    pub(super) values: &'a [f32],
}

/// Segments whose columns can be compared quickly.
pub(super) struct Columns {
    /// Words of a segment.
    words: usize,
    /// Which of the panel's columns it has, a bit for each.
    bits: Vec<u64>,
}

impl Columns {
    /// Those of the segments of a panel that begins at column `first`.
    pub(super) fn new(segments: &[Segment<'_>], first: usize, width: usize) -> Self {
        let words = width.div_ceil(64);
        let mut bits = vec![0; words * segments.len()];
        for (bits, segment) in bits.chunks_exact_mut(words).zip(segments) {
            for &column in segment.columns {
                let bit = column as usize - first;
                bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        Self { words, bits }
    }

    fn of(&self, segment: usize) -> &[u64] {
        &self.bits[segment * self.words..][..self.words]
    }

    /// How many columns two segments share.
    fn shared(&self, [a, b]: [usize; 2]) -> usize {
        let both = self.of(a).iter().zip(self.of(b)).map(|(a, b)| a & b);
        both.map(|word| word.count_ones() as usize).sum()
    }

    /// How many columns all of four segments share.
    fn shared_by_all(&self, [[a, b], [c, d]]: [[usize; 2]; 2]) -> usize {
        let first = self.of(a).iter().zip(self.of(b)).map(|(a, b)| a & b);
        let second = self.of(c).iter().zip(self.of(d)).map(|(c, d)| c & d);
        first.zip(second).map(|(first, second)| (first & second).count_ones() as usize).sum()
    }
}

/// Four segments that are walked together, and how many of their entries go four at a time.
pub(super) struct Group {
    /// The first two share columns, and so do the last two.
    pub(super) segments: [usize; 4],
    /// Columns that all of them share.
    pub(super) fours: usize,
    /// Columns that the first two share and no more, and as many that the last two share.
    pub(super) pairs: usize,
    /// What each of them has beyond these, at least.
    pub(super) singles: usize,
}

impl Group {
    fn new(segments: [usize; 4], all: &[Segment<'_>], columns: &Columns) -> Self {
        let [a, b, c, d] = segments;
        let fours = columns.shared_by_all([[a, b], [c, d]]);
        let fours = if fours < FEW { 0 } else { fours };
        let pairs = columns.shared([a, b]).min(columns.shared([c, d])) - fours;
        let len = segments.map(|segment| all[segment].columns.len()).into_iter().fold(usize::MAX, usize::min);
        Self { segments, fours, pairs, singles: len - fours - pairs }
    }

    /// For each segment the places of its entries, in their order but for those first that all share, and then those that are
    /// walked in pairs.
    pub(super) fn order(&self, all: &[Segment<'_>], columns: &Columns, first: usize) -> [Vec<usize>; 4] {
        let [a, b, c, d] = self.segments;
        [(a, b, [c, d]), (b, a, [c, d]), (c, d, [a, b]), (d, c, [a, b])].map(|(segment, partner, others)| {
            let [partner, c, d] = [partner, others[0], others[1]].map(|segment| columns.of(segment));
            let mut order = vec![0; all[segment].columns.len()];
            // Where the next of each kind goes. Which kind it is, nobody foresees: so no branch depends on it.
            let [mut four, mut pair, mut single] = [0, self.fours, self.fours + self.pairs];
            let pairs = single;
            for (place, &column) in all[segment].columns.iter().enumerate() {
                let column = column as usize - first;
                let has = |bits: &[u64]| bits[column / 64] >> (column % 64) & 1 == 1;
                let shared = has(partner);
                let is_four = shared & has(c) & has(d) & (self.fours > 0);
                let is_pair = shared & !is_four & (pair < pairs);
                let other = if is_pair { pair } else { single };
                order[if is_four { four } else { other }] = place;
                four += usize::from(is_four);
                pair += usize::from(is_pair);
                single += usize::from(!is_four & !is_pair);
            }
            order
        })
    }
}

/// Matches segments, given from long to short, into groups; those with the same counts follow each other. What is left over
/// at the end, fewer than four, comes second.
pub(super) fn groups(segments: &[Segment<'_>], columns: &Columns) -> (Vec<Group>, Range<usize>) {
    let len = |segment: usize| segments[segment].columns.len();
    let whole = segments.len() / 4 * 4;
    // Loads that are saved, less those that unequal rows cost.
    let pairs = matched((0..whole).collect(), |&a, &b| {
        columns.shared([a, b]) as isize - len(a).abs_diff(len(b)) as isize
    });
    let fours = matched(pairs, |&[a, b], &[c, d]| {
        let group = Group::new([a, b, c, d], segments, columns);
        let alone = [a, b, c, d].map(len).into_iter().sum::<usize>()
            - 4 * (group.fours + group.pairs + group.singles);
        (3 * group.fours + 2 * group.pairs) as isize - alone as isize
    });
    let mut groups: Vec<_> =
        fours.into_iter().map(|[[a, b], [c, d]]| Group::new([a, b, c, d], segments, columns)).collect();
    groups.sort_by_key(|group| Reverse([group.fours, group.pairs, group.singles]));
    (groups, whole..segments.len())
}

/// Matches an even number of items: each, in their order, with that of the next [`WINDOW`] which has the highest score, the
/// first of equals.
fn matched<T>(mut items: Vec<T>, score: impl Fn(&T, &T) -> isize) -> Vec<[T; 2]> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    // From the end, so that taking one out moves few.
    items.reverse();
    while let Some(item) = items.pop() {
        let window = items.len().saturating_sub(WINDOW)..items.len();
        // The last of equals, which was the first.
        if let Some(best) = window.max_by_key(|&other| score(&item, &items[other])) {
            let best = items.remove(best);
            pairs.push([item, best]);
        }
    }
    pairs
}
