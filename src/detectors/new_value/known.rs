//! The tuples that one key has shown: which are known, and which are not yet.
//!
//! At most [`TUPLES_MAX`] of a key; beyond that the one that was unseen longest makes room. Of a tuple
//! only a hash, two times and a mark are kept. Sightings come in the order of event time.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::base::Timestamp;
use crate::state::codec::{self, Broken, Reader};

/// The most tuples that are remembered of a key.
pub(super) const TUPLES_MAX: usize = 10_000;

/// So many of those that were unseen longest are found at once when there is no room.
const CANDIDATES: usize = 1_000;

/// Sightings between two sweeps, at least: what is forgotten need not go at once.
const SWEEP_MIN: u64 = 16;

/// What makes a tuple known, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) settle: Duration,
    pub(super) forget: Option<Duration>,
}

/// How an event met a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) time: Timestamp,
    /// Whether the event is judged; else it only teaches.
    pub(super) judged: bool,
    /// Whether rule or key are still learning, so that everything is known from now on.
    pub(super) learning: bool,
}

/// The tuples of one key.
#[derive(Debug)]
pub(super) struct Known {
    tuples: HashMap<u128, Seen, RandomState>,
    /// No later than the first sighting of any of them.
    oldest: Timestamp,
    /// How many sightings there were; the number of its last one tells how long a tuple is unseen.
    turns: u64,
    /// At which of them what is forgotten is let go.
    sweep_at: u64,
    /// The last sighting of the newest tuple that had to make room.
    cut: Option<Timestamp>,
    /// Those unseen longest, some time ago: (number of the last sighting, hash), the longest last. An
    /// aid that is made anew when it is used up.
    candidates: Vec<(u64, u128)>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
    turn: u64,
    /// It fired, or was seen while learning.
    known: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            tuples: HashMap::default(),
            oldest: Timestamp::MAX,
            turns: 0,
            sweep_at: SWEEP_MIN,
            cut: None,
            candidates: Vec::new(),
        }
    }
}

impl Memory {
    fn has_forgotten(self, seen: &Seen, time: Timestamp) -> bool {
        self.forget.is_some_and(|forget| time.since(seen.last) > forget)
    }
}

impl Known {
    /// Notes that an event has the tuple with this hash; says whether it is new: the event is
    /// judged, nothing is learnt any more, and the tuple was not known before it.
    pub(super) fn sight(&mut self, hash: u128, sighting: Sighting, memory: Memory) -> bool {
        let Sighting { time, judged, learning } = sighting;
        self.turns += 1;
        if self.turns >= self.sweep_at {
            self.sweep(time, memory);
        }
        let turn = self.turns;
        let before = self.tuples.get_mut(&hash).filter(|seen| !memory.has_forgotten(seen, time));
        if let Some(seen) = before {
            let known = seen.known || time.since(seen.first) > memory.settle;
            (seen.last, seen.turn) = (time, turn);
            // What is judged is known from now on, for it fires if nothing else.
            seen.known |= judged || learning;
            return judged && !learning && !known;
        }
        let seen = Seen { first: time, last: time, turn, known: judged || learning };
        if self.tuples.insert(hash, seen).is_none() && self.tuples.len() > TUPLES_MAX {
            self.make_room();
        }
        self.oldest = self.oldest.min(time);
        judged && !learning
    }

    /// Whether a tuple may have been known at `time` that had to make room.
    pub(super) fn is_cut(&self, time: Timestamp, memory: Memory) -> bool {
        self.cut.is_some_and(|cut| memory.forget.is_none_or(|forget| time.since(cut) <= forget))
    }

    /// A time no later than the first sighting of any tuple; `None` without tuples.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        (!self.tuples.is_empty()).then_some(self.oldest)
    }

    /// Lets go of what is forgotten.
    fn sweep(&mut self, time: Timestamp, memory: Memory) {
        self.tuples.retain(|_, seen| !memory.has_forgotten(seen, time));
        self.oldest = self.tuples.values().map(|seen| seen.first).min().unwrap_or(Timestamp::MAX);
        // Each sweep looks at every tuple once, and comes after as many sightings.
        self.sweep_at = self.turns + SWEEP_MIN.max(self.tuples.len() as u64);
    }

    /// Forgets the tuple that is unseen longest. Nothing that was seen since the candidates were found
    /// is unseen for longer than one of them that was not.
    fn make_room(&mut self) {
        loop {
            let Some((turn, hash)) = self.candidates.pop() else {
                let mut all: Vec<_> = self.tuples.iter().map(|(h, s)| (s.turn, *h)).collect();
                all.sort_unstable();
                all.truncate(CANDIDATES);
                all.reverse();
                if all.is_empty() {
                    return;
                }
                self.candidates = all;
                continue;
            };
            if self.tuples.get(&hash).is_some_and(|seen| seen.turn == turn) {
                let gone = self.tuples.remove(&hash).map(|seen| seen.last);
                self.cut = self.cut.max(gone);
                return;
            }
        }
    }

    /// Appends an encoding that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut all: Vec<_> = self.tuples.iter().collect();
        all.sort_unstable_by_key(|(_, seen)| seen.turn);
        codec::put_len(out, all.len());
        for (hash, seen) in all {
            out.extend_from_slice(&hash.to_le_bytes());
            codec::put_time(out, seen.first);
            codec::put_time(out, seen.last);
            out.push(u8::from(seen.known));
        }
        codec::put_time(out, self.oldest);
        codec::put_u64(out, self.sweep_at.saturating_sub(self.turns));
        out.push(u8::from(self.cut.is_some()));
        if let Some(cut) = self.cut {
            codec::put_time(out, cut);
        }
    }

    /// Reads what was written.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut known = Self::default();
        let count = bytes.count()?;
        if count > TUPLES_MAX {
            return Err(Broken("no more tuples than are remembered"));
        }
        // They were written in the order of their last sightings.
        for turn in 0..count as u64 {
            let hash = bytes.take(16)?.try_into().map_err(|_| Broken("sixteen bytes"))?;
            let (first, last) = (bytes.time()?, bytes.time()?);
            let seen = Seen { first, last, turn, known: bytes.byte()? != 0 };
            if known.tuples.insert(u128::from_le_bytes(hash), seen).is_some() {
                return Err(Broken("each tuple once"));
            }
        }
        known.turns = count as u64;
        known.oldest = bytes.time()?;
        known.sweep_at = known.turns.saturating_add(bytes.u64()?);
        known.cut = if bytes.byte()? == 0 { None } else { Some(bytes.time()?) };
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    const FOR_EVER: Memory = Memory { settle: Duration::ZERO, forget: None };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn judge(known: &mut Known, hash: u128, time: i64) -> bool {
        known.sight(hash, Sighting { time: at(time), judged: true, learning: false }, FOR_EVER)
    }

    fn again(known: &Known) -> Known {
        let mut bytes = Vec::new();
        known.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let back = Known::decode(&mut reader).unwrap();
        reader.end().unwrap();
        let mut twice = Vec::new();
        back.encode(&mut twice);
        assert_eq!(bytes, twice);
        back
    }

    #[test]
    fn the_tuple_unseen_longest_makes_room_and_that_is_told() {
        let mut known = Known::default();
        let full = TUPLES_MAX as u128;
        for hash in 0..full {
            assert!(judge(&mut known, hash, 5));
        }
        assert!(!judge(&mut known, 0, 6) && !known.is_cut(at(6), FOR_EVER));
        assert!(judge(&mut known, full, 7) && known.is_cut(at(7), FOR_EVER));
        assert!(!judge(&mut known, 0, 8), "it was seen again");
        assert!(judge(&mut known, 1, 9), "it made room");
        let forgets = Memory { forget: Some(Duration::from_millis(10)), ..FOR_EVER };
        assert!(known.is_cut(at(15), forgets) && !known.is_cut(at(16), forgets));
    }

    #[test]
    fn the_oldest_sighting_moves_on_when_what_is_forgotten_is_swept_out() {
        let memory = Memory { settle: Duration::ZERO, forget: Some(Duration::from_millis(10)) };
        let mut known = Known::default();
        assert_eq!(known.oldest(), None);
        for n in 0..20 {
            let sighting = Sighting { time: at(n * 5), judged: true, learning: false };
            known.sight(u128::from(n != 0), sighting, memory);
        }
        assert_eq!((known.tuples.len(), known.oldest()), (1, Some(at(5))));
    }

    #[test]
    fn broken_bytes_are_refused() {
        let mut known = Known::default();
        for hash in 0..3 {
            judge(&mut known, hash, 5);
        }
        let mut bytes = Vec::new();
        known.encode(&mut bytes);
        for len in 0..bytes.len() {
            assert!(Known::decode(&mut Reader::new(&bytes[..len])).is_err(), "{len}");
        }
        // The first tuple twice.
        let one = bytes[1..20].to_vec();
        bytes.splice(20..39, one);
        assert!(Known::decode(&mut Reader::new(&bytes)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        /// Held against a list in order of the last sighting, at its bound.
        #[test]
        fn what_makes_room_is_what_a_plain_list_lets_go(
            sightings in prop::collection::vec(0..(TUPLES_MAX as u128 + 40), 0..3_000),
            restore_at in 0..3_000usize,
        ) {
            let mut known = Known::default();
            let mut plain: VecDeque<u128> = VecDeque::new();
            for hash in 0..TUPLES_MAX as u128 {
                judge(&mut known, hash, 0);
                plain.push_back(hash);
            }
            for (n, hash) in sightings.iter().enumerate() {
                if n == restore_at {
                    known = again(&known);
                }
                let place = plain.iter().position(|have| have == hash);
                prop_assert_eq!(judge(&mut known, *hash, 1), place.is_none());
                if let Some(place) = place {
                    plain.remove(place);
                }
                plain.push_back(*hash);
                if plain.len() > TUPLES_MAX {
                    plain.pop_front();
                }
            }
        }
    }
}
