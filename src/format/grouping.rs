//! Which rows of a panel are walked together.
//!
//! A kernel that walks some rows at once loads the activations of a column once for all of them that have it. So rows
//! are matched that share columns: first into pairs, then pairs into groups of four. Blocks of rows that were pruned
//! together come out whole, and rows of an unstructured mask share more than chance would have it. They must be of
//! about one length, too, since what one row has beyond the others is walked alone.

use std::cmp::Reverse;
use std::hint::select_unpredictable;
use std::ops::Range;

/// Of so many rows, in the order of lengths, the first looks for its partner among the others: the cost of packing
/// grows with it, what is shared hardly.
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

/// Which of the panel's columns segments have, or pairs of segments share: a bit for each.
pub(super) struct Columns {
    /// Words of a segment, or of a pair.
    words: usize,
    bits: Vec<u64>,
}

impl Columns {
    /// Those of the segments of a panel that begins at column `first`.
    pub(super) fn new(segments: &[Segment<'_>], first: usize, width: usize) -> Self {
        let words = width.div_ceil(64);
        let mut bits = vec![0; words * segments.len()];
        for (bits, segment) in bits.chunks_exact_mut(words).zip(segments) {
            // What a word has so far stays at hand: to take it up for each bit would wait for the last one to be
            // stored.
            let (mut at, mut word) = (0, 0);
            for &column in segment.columns {
                let bit = column as usize - first;
                word = select_unpredictable(bit / 64 == at, word, 0) | 1 << (bit % 64);
                at = bit / 64;
                bits[at] = word;
            }
        }
        Self { words, bits }
    }

    fn of(&self, index: usize) -> &[u64] {
        &self.bits[index * self.words..][..self.words]
    }
}

/// Two segments that are walked together.
#[derive(Clone, Copy)]
struct Pair {
    segments: [usize; 2],
    /// Columns that they share.
    shared: usize,
    /// Entries of the shorter one, and of the longer one.
    lens: [usize; 2],
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
    /// Two pairs, all of which share so many columns.
    fn new([first, second]: [&Pair; 2], shared: usize) -> Self {
        let [[a, b], [c, d]] = [first, second].map(|pair| pair.segments);
        let fours = if shared < FEW { 0 } else { shared };
        let pairs = first.shared.min(second.shared) - fours;
        let singles = first.lens[0].min(second.lens[0]) - fours - pairs;
        Self { segments: [a, b, c, d], fours, pairs, singles }
    }

    /// Finds out which columns are walked how: those that all share, and then of each two the first so many that they
    /// share besides.
    pub(super) fn kinds(&self, columns: &Columns, kinds: &mut Kinds) {
        let [a, b, c, d] = self.segments.map(|segment| columns.of(segment));
        for ((first, second), kinds) in [(a, b), (c, d)].into_iter().zip(&mut kinds.0) {
            let mut left = self.pairs;
            kinds.clear();
            kinds.resize(64 * columns.words, 0);
            for (word, kinds) in kinds.as_chunks_mut().0.iter_mut().enumerate() {
                let four = if self.fours > 0 { a[word] & b[word] & c[word] & d[word] } else { 0 };
                let pair = lowest(first[word] & second[word] & !four, left);
                left -= pair.count_ones() as usize;
                mark(kinds, pair, 1);
                mark(kinds, four, 2);
            }
        }
    }
}

/// How the columns of a group are walked, for the first two of its rows and for the last two: 0 for each row alone, 1
/// for both, 2 for all four.
#[derive(Default)]
pub(super) struct Kinds([Vec<u8>; 2]);

impl Kinds {
    /// Those of the row of that index, a column each.
    pub(super) fn of(&self, row: usize) -> &[u8] {
        &self.0[row / 2]
    }
}

/// Makes a kind of columns of those that have a bit.
fn mark(kinds: &mut [u8; 64], bits: u64, kind: u8) {
    let mut rest = bits;
    while rest != 0 {
        kinds[rest.trailing_zeros() as usize] = kind;
        rest &= rest - 1;
    }
}

/// The lowest `count` of a word's bits, or all that it has.
fn lowest(word: u64, count: usize) -> u64 {
    if word.count_ones() as usize <= count {
        return word;
    }
    let others = (0..count).fold(word, |rest, _| rest & (rest - 1));
    word & !others
}

/// Matches segments, given from long to short, into groups; those with the same counts follow each other. What is left
/// over at the end, fewer than four, comes second.
pub(super) fn groups(segments: &[Segment<'_>], columns: &Columns) -> (Vec<Group>, Range<usize>) {
    let len = |segment: usize| segments[segment].columns.len();
    let whole = segments.len() / 4 * 4;
    let all: Vec<_> = (0..whole).collect();
    // Loads that are saved, less those that unequal rows cost.
    let (pairs, columns) = matched(
        &all,
        columns,
        |&a, &b, shared| shared as isize - len(a).abs_diff(len(b)) as isize,
        |&a, &b, shared| Pair { segments: [a, b], shared, lens: [len(a).min(len(b)), len(a).max(len(b))] },
    );
    let (mut groups, _) = matched(
        &pairs,
        &columns,
        |first, second, shared| {
            let Group { fours, pairs, singles, .. } = Group::new([first, second], shared);
            let all: usize = first.lens.into_iter().chain(second.lens).sum();
            (3 * fours + 2 * pairs) as isize - (all - 4 * (fours + pairs + singles)) as isize
        },
        |first, second, shared| Group::new([first, second], shared),
    );
    groups.sort_by_key(|group| Reverse([group.fours, group.pairs, group.singles]));
    (groups, whole..segments.len())
}

/// Joins an even number of items in pairs: each, in their order, with that of the next ones which has the highest
/// score, the first of equals. `score` and `join` are told how many columns both have. The columns that joined ones
/// share come second.
fn matched<T, U>(
    items: &[T],
    columns: &Columns,
    score: impl Fn(&T, &T, usize) -> isize,
    join: impl Fn(&T, &T, usize) -> U,
) -> (Vec<U>, Columns) {
    let words = columns.words;
    let (mut joined, mut both) = (Vec::with_capacity(items.len() / 2), Vec::new());
    let mut rest = items.iter().zip(columns.bits.chunks_exact(words));
    // Those at hand, and of each word of their columns all side by side, so that they are compared as vectors.
    let (mut near, mut planes) = (Vec::with_capacity(WINDOW), vec![[0; WINDOW]; words]);
    loop {
        for (item, bits) in rest.by_ref().take(WINDOW - near.len()) {
            planes.iter_mut().zip(bits).for_each(|(plane, &word)| plane[near.len()] = word);
            near.push(item);
        }
        let mut shared = [0_u64; WINDOW];
        for plane in &planes {
            let own = plane[0];
            let counts = plane.iter().map(|word| u64::from((own & word).count_ones()));
            shared.iter_mut().zip(counts).for_each(|(shared, count)| *shared += count);
        }
        // `max_by_key` takes the last of equals: from back to front that is the one next to the first row.
        let score = |&other: &usize| score(near[0], near[other], shared[other] as usize);
        let Some(best) = (1..near.len()).rev().max_by_key(score) else { break };
        joined.push(join(near[0], near[best], shared[best] as usize));
        both.extend(planes.iter().map(|plane| plane[0] & plane[best]));
        for place in [best, 0] {
            near.remove(place);
            planes.iter_mut().for_each(|plane| plane.copy_within(place + 1.., place));
        }
    }
    (joined, Columns { words, bits: both })
}
