//! Many ranges of addresses, to be asked which addresses lie in them: the networks of a list.
//!
//! Ranges are kept as their bounds, in order: where one begins, where it has ended, where the next
//! begins. An address lies in a range when an odd number of bounds is not above it.
//!
//! Halving the bounds of a hundred thousand networks would look at seventeen places all over the memory,
//! one after the other. Here the leading bits of an address say which few bounds are left to look at;
//! where many stand closely together, the bits after those say it, in a table of their own. One or two
//! tables are what lists need; of networks that lie ever closer together it may be one for every two bits.

/// Bounds that are looked at together: eight of IPv4 are half a line of the cache.
const FEW: usize = 8;

/// Ranges of addresses.
#[derive(Debug, Clone)]
pub(super) struct Ranges<T> {
    /// In order, and no two alike: a beginning, an end, a beginning…
    bounds: Vec<T>,
    /// That of all bounds is the last. None without bounds.
    tables: Vec<Table<T>>,
}

/// The places of consecutive bounds by the leading bits of what lies between the first and each.
#[derive(Debug, Clone)]
struct Table<T> {
    first: T,
    /// How many bits are not looked at.
    shift: u32,
    /// Up to that of the last bound: at least one, and at most half as many as bounds, or two.
    buckets: Vec<Bucket>,
}

/// The addresses that have their leading bits in common.
#[derive(Debug, Clone, Copy)]
enum Bucket {
    /// Has at most [`FEW`] bounds: so many of all bounds stand before it.
    Few(u32),
    /// Has more: the table of these.
    Many(u32),
}

/// An address as a number.
pub(super) trait Bits: Ord + Copy {
    /// How many bits it takes to write what lies between.
    fn bits_above(self, first: Self) -> u32;

    /// The leading bits of what lies between; none when it is not above.
    fn leading(self, first: Self, shift: u32) -> usize;
}

macro_rules! bits {
    ($number:ty) => {
        impl Bits for $number {
            fn bits_above(self, first: Self) -> u32 {
                Self::BITS - self.saturating_sub(first).leading_zeros()
            }

            #[inline]
            fn leading(self, first: Self, shift: u32) -> usize {
                usize::try_from(self.saturating_sub(first) >> shift).unwrap_or(usize::MAX)
            }
        }
    };
}

bits!(u32);
bits!(u128);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { bounds: Vec::new(), tables: Vec::new() }
    }
}

impl<T: Bits> Ranges<T> {
    /// From beginnings and ends, the ends left out; `None` is behind the last address. They may overlap.
    pub(super) fn new(ranges: Vec<(T, Option<T>)>) -> Self {
        let mut ranges = Self { bounds: bounds(ranges), tables: Vec::new() };
        ranges.tabulate(0, ranges.bounds.len());
        ranges
    }

    /// Whether nothing lies in them.
    pub(super) fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Makes the table of the bounds from `start` to before `end`, behind those that it needs, and gives
    /// its number. A table of more than [`FEW`] bounds looks at two bits or more, so that tables below
    /// tables come to an end.
    fn tabulate(&mut self, start: usize, end: usize) -> u32 {
        let part = self.bounds.get(start..end).unwrap_or_default();
        if let (Some(first), Some(last)) = (part.first().copied(), part.last().copied()) {
            let looked_at = (part.len() / 2).max(2).ilog2();
            let shift = last.bits_above(first).saturating_sub(looked_at);
            let mut buckets = Vec::new();
            let mut at = start;
            for bucket in 0..=last.leading(first, shift) {
                let (before, rest) = (at, self.bounds.get(at..end).unwrap_or_default());
                at += rest.partition_point(|bound| bound.leading(first, shift) == bucket);
                buckets.push(if at - before > FEW {
                    Bucket::Many(self.tabulate(before, at))
                } else {
                    Bucket::Few(number(before))
                });
            }
            self.tables.push(Table { first, shift, buckets });
        }
        number(self.tables.len().saturating_sub(1))
    }

    /// Whether an address lies in one of them.
    pub(super) fn contain(&self, address: T) -> bool {
        let mut next = self.tables.last();
        while let Some(table) = next {
            let at = address.leading(table.first, table.shift).min(table.buckets.len() - 1);
            next = match table.buckets.get(at) {
                Some(Bucket::Few(before)) => {
                    let before = *before as usize;
                    let block = self.bounds.get(before..).unwrap_or_default();
                    // Those behind the bucket's own are above the address: no need to leave them out.
                    let passed = match block.first_chunk::<FEW>() {
                        Some(block) => passed(block, address),
                        None => passed(block, address),
                    };
                    return (before + passed) % 2 == 1;
                }
                Some(Bucket::Many(table)) => self.tables.get(*table as usize),
                None => None,
            };
        }
        false
    }
}

/// A place among bounds or tables, of which a list has at most two for each entry.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// How many bounds are not above the address. Counted without a branch, for no processor guesses
/// where an address stands.
#[inline]
fn passed<T: Ord + Copy>(bounds: &[T], address: T) -> usize {
    bounds.iter().map(|bound| usize::from(*bound <= address)).sum()
}

/// The bounds of the ranges in order; ranges that overlap or touch are one.
fn bounds<T: Ord + Copy>(mut ranges: Vec<(T, Option<T>)>) -> Vec<T> {
    ranges.sort_unstable();
    let mut bounds = Vec::new();
    let mut open: Option<(T, Option<T>)> = None;
    for (first, end) in ranges {
        match &mut open {
            Some((_, until)) if until.is_none_or(|until| first <= until) => {
                // Nothing is later than the end that is behind the last address.
                *until = until.zip(end).map(|(until, end)| until.max(end));
            }
            _ => bounds.extend(open.replace((first, end)).into_iter().flat_map(both)),
        }
    }
    bounds.extend(open.into_iter().flat_map(both));
    bounds
}

fn both<T>((first, end): (T, Option<T>)) -> impl Iterator<Item = T> {
    [Some(first), end].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_overlaps_or_touches_is_one_range() {
        let ranges = [
            (10, Some(20)),
            (30, None),
            (5, Some(8)),
            (20, Some(25)),
            (12, Some(13)),
            (40, Some(41)),
        ];
        let ranges: Ranges<u32> = Ranges::new(ranges.to_vec());
        assert_eq!(ranges.bounds, [5, 8, 10, 25, 30]);
    }

    /// All addresses of one kind; what is too large is cut off in front.
    trait Space: Bits + std::fmt::Debug {
        fn of(number: u128) -> Self;
        fn number(self) -> u128;
    }

    macro_rules! space {
        ($number:ty) => {
            impl Space for $number {
                fn of(number: u128) -> Self {
                    Self::try_from(number & u128::from(Self::MAX)).unwrap()
                }
                fn number(self) -> u128 {
                    self.into()
                }
            }
        };
    }
    space!(u32);
    space!(u128);

    /// Somewhere; close to few places, so that they crowd; twice as far as another; at both ends.
    fn places() -> impl Strategy<Value = u128> {
        prop_oneof![
            any::<u128>(),
            (0_u128..3, 0_u128..2_000).prop_map(|(n, at)| ((n * 0x5555_5555) << 96) | at),
            (0_u128..3, 0_u128..2_000).prop_map(|(n, at)| n * 0x5555_5555 + at),
            (0_u32..128).prop_map(|bit| 1 << bit),
            0_u128..8,
            (0_u128..8).prop_map(|n| u128::MAX - n),
        ]
    }

    fn check_ranges<T: Space>(places: &[(u128, u128)], beside: &[u128]) {
        let last = T::of(u128::MAX).number();
        let range = |(first, length): &(u128, u128)| {
            let first = T::of(*first).number();
            (first, first.saturating_add(*length).min(last))
        };
        let all: Vec<(u128, u128)> = places.iter().map(range).collect();
        let end = |end: u128| (end < last).then(|| T::of(end + 1));
        let ranges =
            Ranges::new(all.iter().map(|(first, last)| (T::of(*first), end(*last))).collect());

        let ends = all.iter().flat_map(|(first, last)| [*first, *last]);
        let around = ends.flat_map(|at| [at.wrapping_sub(1), at, at.wrapping_add(1)]);
        for at in around.chain(beside.iter().copied()).chain([0, last]).map(T::of) {
            let held = all.iter().any(|(first, last)| (*first..=*last).contains(&at.number()));
            assert_eq!(ranges.contain(at), held, "{at:?} of {all:?}");
        }
        let bounds = ranges.bounds.len();
        for table in &ranges.tables {
            assert!((1..=(bounds / 2).max(2)).contains(&table.buckets.len()), "{all:?}");
        }
        assert!(ranges.tables.len() <= bounds, "{all:?}");
    }

    proptest! {
        #[test]
        fn ranges_hold_what_one_of_them_holds_however_they_crowd(
            all in proptest::collection::vec((places(), prop_oneof![0_u128..4, any::<u128>().prop_map(|n| n >> 100)]), 0..100),
            beside in proptest::collection::vec(places(), 20),
        ) {
            check_ranges::<u32>(&all, &beside);
            check_ranges::<u128>(&all, &beside);
        }
    }

    #[test]
    fn where_many_stand_closely_together_they_have_a_table_of_their_own() {
        // A thousand in a /20 and one far off at either end: their leading bits are the same.
        let crowd = (0..1_000_u32).map(|n| (0x6440_0000 + n * 4, Some(0x6440_0001 + n * 4)));
        let ranges = Ranges::new(crowd.chain([(0, Some(1)), (u32::MAX, None)]).collect());
        assert_eq!(ranges.tables.len(), 2);
        let held = |at: u32| ranges.contain(at);
        assert!(held(0) && !held(1) && held(u32::MAX) && !held(u32::MAX - 1));
        for n in 0..4_000 {
            assert_eq!(ranges.contain(0x6440_0000 + n), n % 4 == 0, "{n}");
        }
        // Each twice as far as the one before: no table tells all of them apart.
        let far: Vec<u128> = (0..128).map(|bit| 1 << bit).collect();
        let ranges = Ranges::new(far.iter().map(|at| (*at, Some(at + 1))).collect());
        assert!(ranges.tables.len() > 2, "{}", ranges.tables.len());
        for at in far {
            assert!(ranges.contain(at));
            assert_eq!(ranges.contain(at + 1), at == 1, "{at}");
        }
    }
}
