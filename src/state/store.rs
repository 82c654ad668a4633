//! One entry per rule and key, with one timer each, within a bound of keys per rule.
//!
//! Nothing here depends on the order of a hash map: timers run by (time, rule, key), the key that was
//! touched longest ago is evicted first, and whatever is listed is sorted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::base::Timestamp;

/// A rule and one of its keys.
pub type RuleKey = (Arc<str>, Arc<[u8]>);

/// How many keys a rule remembers in one signals partition, unless configured otherwise.
pub const KEYS_PER_RULE: usize = 1_000_000;

/// What is remembered of one key.
pub trait Entry {
    /// When it must be woken next, on the stream's clock; later than the last time it was woken.
    fn due(&self) -> Timestamp;

    /// The time of the oldest event by which it may not be evicted; `None` if it may.
    fn pinned(&self) -> Option<Timestamp>;

    /// The time of the newest event that it took and still knows.
    fn newest(&self) -> Timestamp;

    /// The time of the oldest event that it still depends on.
    fn oldest(&self) -> Timestamp;

    /// On the stream's clock, when whatever events can come to that meet what it knows now is over.
    fn matters_until(&self) -> Timestamp;
}

/// The event that touches a key.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    /// Its time; of what is not about an event the last of all times.
    pub time: Timestamp,
    /// Whether an entry that took fewer of the events before makes no more of it.
    pub monotone: bool,
}

/// What it took to make room for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// It was there.
    Known,
    /// There was room.
    New,
    /// Another key of the rule was forgotten for it.
    Evicted,
    /// All keys of the rule are pinned: this one is not remembered.
    Refused,
}

/// All entries of one signals partition.
#[derive(Debug)]
pub struct Store<E> {
    rules: BTreeMap<Arc<str>, Keys<E>>,
    /// Times are lower bounds: an entry whose due time moved on is put back when its turn comes,
    /// so that a busy key does not move its timer with every event.
    timers: BTreeSet<(Timestamp, Arc<str>, Arc<[u8]>)>,
    /// Rises with every touch; written with the entries, so that eviction survives a restore.
    touches: u64,
    keys_per_rule: usize,
    /// Where in the log the living entries were made, how many there, and the clock then.
    births: BTreeMap<i64, Birth>,
    /// Where in the log the store stands now.
    at: (i64, Option<Timestamp>),
    /// Keys whose entry changed or went since they were last asked for, while anybody wants to know.
    changed: Option<BTreeSet<RuleKey>>,
}

#[derive(Debug)]
struct Keys<E> {
    slots: HashMap<Arc<[u8]>, Slot<E>, RandomState>,
    /// What may be evicted, by last touch.
    idle: BTreeMap<u64, Arc<[u8]>>,
}

#[derive(Debug)]
struct Slot<E> {
    entry: E,
    touched: u64,
    timer: Timestamp,
    born: i64,
    renewal: Option<Renewal>,
}

#[derive(Debug)]
struct Birth {
    living: usize,
    clock: Option<Timestamp>,
}

/// A place in the log that an entry's birth moves to, as soon as nothing that it took before matters
/// any more: a key that is always busy would else be read again from its very first event.
///
/// Events that come after it and are older than what was taken before would meet an entry that has not
/// taken that; so would what is pinned by those. The place is given up then, unless nothing comes of it.
#[derive(Debug)]
struct Renewal {
    offset: i64,
    clock: Option<Timestamp>,
    /// The newest event taken before that place.
    newest: Timestamp,
    /// On the stream's clock: what came of events because the entry had taken those before, or would
    /// have come had it not, is over then.
    until: Timestamp,
}

impl<E: Entry> Store<E> {
    /// An empty store.
    pub fn new(keys_per_rule: usize) -> Self {
        Self {
            rules: BTreeMap::new(),
            timers: BTreeSet::new(),
            touches: 0,
            keys_per_rule,
            births: BTreeMap::new(),
            at: (0, None),
            changed: None,
        }
    }

    /// What happens from now on comes of the log's record at `offset`; `clock` is the stream's.
    pub fn stand_at(&mut self, offset: i64, clock: Option<Timestamp>) {
        self.at = (offset, clock);
    }

    /// Where the oldest living entry was made, and the clock then. Whoever reads the log again from
    /// there makes the same entries.
    pub fn oldest_birth(&self) -> Option<(i64, Option<Timestamp>)> {
        self.births.first_key_value().map(|(offset, birth)| (*offset, birth.clock))
    }

    /// From now on [`Self::take_changed`] knows what changed.
    pub fn track_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// The rules and keys whose entries changed or went since the last call, in order.
    pub fn take_changed(&mut self) -> BTreeSet<RuleKey> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Changes the entry of a key that an event touched, made by `fresh` if there is none.
    pub fn touch<R>(
        &mut self,
        rule: &Arc<str>,
        key: &Arc<[u8]>,
        touch: Touch,
        fresh: impl FnOnce() -> E,
        change: impl FnOnce(&mut E) -> R,
    ) -> (Option<R>, Insert) {
        self.touches += 1;
        let touched = self.touches;
        let keys = self.rules.entry(rule.clone()).or_default();
        let mut insert = Insert::Known;
        if !keys.slots.contains_key(&**key) {
            insert = Insert::New;
            if keys.slots.len() >= self.keys_per_rule {
                let Some((_, oldest)) = keys.idle.pop_first() else {
                    return (None, Insert::Refused);
                };
                if let Some(slot) = keys.slots.remove(&*oldest) {
                    buried(&mut self.births, slot.born);
                    self.timers.remove(&(slot.timer, rule.clone(), oldest.clone()));
                }
                note(&mut self.changed, rule, &oldest);
                insert = Insert::Evicted;
            }
        }
        let (born, clock) = self.at;
        let make = || Slot { entry: fresh(), touched, timer: Timestamp::MAX, born, renewal: None };
        if insert != Insert::Known {
            bear(&mut self.births, born, clock);
        }
        let slot = keys.slots.entry(key.clone()).or_insert_with(make);
        keys.idle.remove(&slot.touched);
        slot.touched = touched;
        let (newest, idle) = (slot.entry.newest(), slot.entry.pinned().is_none());
        let until = slot.entry.matters_until();
        let result = change(&mut slot.entry);
        let pinned = slot.entry.pinned();
        if insert == Insert::Known {
            let tells_no_more = touch.monotone && idle && pinned.is_none();
            let spoils = |newest: Timestamp| {
                let came_of_what_was = pinned.is_some_and(|oldest| oldest <= newest);
                came_of_what_was || (touch.time <= newest && !tells_no_more)
            };
            let oldest = slot.entry.oldest();
            slot.renewal.take_if(|renewal| spoils(renewal.newest));
            // What is pinned may have come of more than it knows: a change, of what was before.
            let is_over = |renewal: &mut Renewal| {
                let settled = touch.monotone || clock.is_some_and(|clock| clock >= renewal.until);
                pinned.is_none() && settled && oldest > renewal.newest
            };
            if let Some(renewal) = slot.renewal.take_if(is_over) {
                buried(&mut self.births, slot.born);
                slot.born = renewal.offset;
                bear(&mut self.births, renewal.offset, renewal.clock);
            }
            // What is pinned decides what becomes of later events, however old it is.
            if idle && !spoils(newest) {
                slot.renewal.get_or_insert(Renewal { offset: born, clock, newest, until });
            }
        }
        if pinned.is_none() {
            keys.idle.insert(touched, key.clone());
        }
        let due = slot.entry.due();
        if insert != Insert::Known || due < slot.timer {
            self.timers.remove(&(slot.timer, rule.clone(), key.clone()));
            slot.timer = due;
            self.timers.insert((due, rule.clone(), key.clone()));
        }
        note(&mut self.changed, rule, key);
        (Some(result), insert)
    }

    /// No entry is due before this; `None`: none is waiting for a time.
    pub fn due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _, _)| *time)
    }

    /// The time, rule and key of the entry that is due next, if that is no later than `until`. It must
    /// be woken before this is asked again.
    pub fn next_due(&mut self, until: Timestamp) -> Option<(Timestamp, Arc<str>, Arc<[u8]>)> {
        while let Some((time, _, _)) = self.timers.first() {
            if *time > until {
                return None;
            }
            let (time, rule, key) = self.timers.pop_first()?;
            let slot = self.rules.get_mut(&rule).and_then(|keys| keys.slots.get_mut(&*key));
            let Some(slot) = slot else { continue };
            let due = slot.entry.due();
            if due <= time {
                return Some((time, rule, key));
            }
            slot.timer = due;
            self.timers.insert((due, rule, key));
        }
        None
    }

    /// Changes the entry that [`Self::next_due`] named; `change` says whether it is still needed.
    pub fn wake(
        &mut self,
        time: Timestamp,
        rule: &Arc<str>,
        key: &Arc<[u8]>,
        change: impl FnOnce(&mut E) -> bool,
    ) {
        let Some(keys) = self.rules.get_mut(rule) else { return };
        let Some(slot) = keys.slots.get_mut(&**key) else { return };
        keys.idle.remove(&slot.touched);
        if change(&mut slot.entry) {
            if slot.entry.pinned().is_none() {
                keys.idle.insert(slot.touched, key.clone());
            }
            let after = Timestamp::from_millis(time.as_millis().saturating_add(1));
            debug_assert!(slot.entry.due() >= after, "a timer that does not move on runs for ever");
            slot.timer = slot.entry.due().max(after);
            self.timers.insert((slot.timer, rule.clone(), key.clone()));
        } else {
            buried(&mut self.births, slot.born);
            keys.slots.remove(&**key);
            if keys.slots.is_empty() {
                self.rules.remove(rule);
            }
        }
        note(&mut self.changed, rule, key);
    }

    /// The same for an entry whose turn has not come; nothing if there is none.
    pub fn interrupt(
        &mut self,
        time: Timestamp,
        rule: &Arc<str>,
        key: &Arc<[u8]>,
        change: impl FnOnce(&mut E) -> bool,
    ) {
        let slot = self.rules.get(rule).and_then(|keys| keys.slots.get(&**key));
        let Some(timer) = slot.map(|slot| slot.timer) else { return };
        self.timers.remove(&(timer, rule.clone(), key.clone()));
        self.wake(time, rule, key, change);
    }

    /// Puts back an entry with the touch it was written with.
    pub fn restore(&mut self, rule: Arc<str>, key: Arc<[u8]>, touched: u64, entry: E) {
        self.touches = self.touches.max(touched);
        let timer = entry.due();
        let (born, clock) = self.at;
        bear(&mut self.births, born, clock);
        let keys = self.rules.entry(rule.clone()).or_default();
        if entry.pinned().is_none() {
            keys.idle.insert(touched, key.clone());
        }
        self.timers.insert((timer, rule, key.clone()));
        keys.slots.insert(key, Slot { entry, touched, timer, born, renewal: None });
    }

    /// An entry with its last touch.
    pub fn get(&self, rule: &str, key: &[u8]) -> Option<(&E, u64)> {
        let slot = self.rules.get(rule)?.slots.get(key)?;
        Some((&slot.entry, slot.touched))
    }

    /// All rules and keys, in order.
    pub fn keys(&self) -> Vec<RuleKey> {
        let mut all = Vec::with_capacity(self.len());
        for (rule, keys) in &self.rules {
            let mut sorted: Vec<_> = keys.slots.keys().cloned().collect();
            sorted.sort_unstable();
            all.extend(sorted.into_iter().map(|key| (rule.clone(), key)));
        }
        all
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.rules.values().map(|keys| keys.slots.len()).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl<E> Default for Keys<E> {
    fn default() -> Self {
        Self { slots: HashMap::default(), idle: BTreeMap::new() }
    }
}

fn note(changed: &mut Option<BTreeSet<RuleKey>>, rule: &Arc<str>, key: &Arc<[u8]>) {
    if let Some(changed) = changed {
        changed.insert((rule.clone(), key.clone()));
    }
}

/// One entry was made at `born`.
fn bear(births: &mut BTreeMap<i64, Birth>, born: i64, clock: Option<Timestamp>) {
    births.entry(born).or_insert(Birth { living: 0, clock }).living += 1;
}

/// One entry that was made at `born` is gone.
fn buried(births: &mut BTreeMap<i64, Birth>, born: i64) {
    if let Some(birth) = births.get_mut(&born) {
        birth.living -= 1;
        if birth.living == 0 {
            births.remove(&born);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Item {
        due: Timestamp,
        pinned: bool,
        /// Times of the oldest and the newest event.
        events: (i64, i64),
        matters_until: i64,
    }

    impl Entry for Item {
        fn due(&self) -> Timestamp {
            self.due
        }

        fn pinned(&self) -> Option<Timestamp> {
            self.pinned.then(|| at(self.events.0))
        }

        fn newest(&self) -> Timestamp {
            at(self.events.1)
        }

        fn oldest(&self) -> Timestamp {
            at(self.events.0)
        }

        fn matters_until(&self) -> Timestamp {
            at(self.matters_until)
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn touch(store: &mut Store<Item>, rule: &str, key: &str, due: i64, pinned: bool) -> Insert {
        let fresh = || Item { due: at(0), pinned: false, events: (0, 0), matters_until: 0 };
        let event = Touch { time: Timestamp::MAX, monotone: false };
        let (_, insert) = store.touch(&rule.into(), &key.as_bytes().into(), event, fresh, |item| {
            (item.due, item.pinned) = (at(due), pinned);
        });
        insert
    }

    /// Runs all timers up to `until`; entries named in `keep` stay, due at `then`.
    fn run(store: &mut Store<Item>, until: i64, keep: &str, then: i64) -> String {
        let mut ran = Vec::new();
        while let Some((time, rule, key)) = store.next_due(at(until)) {
            let name = String::from_utf8(key.to_vec()).unwrap();
            ran.push(format!("{}:{rule}/{name}", time.as_millis()));
            store.wake(time, &rule, &key, |item| {
                item.due = at(then);
                name == keep
            });
        }
        ran.join(" ")
    }

    #[test]
    fn timers_run_in_order_of_time_then_rule_then_key() {
        let mut store = Store::new(10);
        for (rule, key, due) in [("b", "x", 5), ("a", "z", 5), ("a", "y", 5), ("c", "w", 3)] {
            assert_eq!(touch(&mut store, rule, key, due, false), Insert::New);
        }
        assert_eq!(run(&mut store, 2, "", 0), "");
        assert_eq!(run(&mut store, 5, "y", 9), "3:c/w 5:a/y 5:a/z 5:b/x");
        assert_eq!(store.len(), 1);
        assert_eq!(run(&mut store, 20, "", 0), "9:a/y");
        assert!(store.is_empty());
    }

    #[test]
    fn a_timer_that_moved_on_runs_once_at_its_last_time_and_one_that_moved_back_earlier() {
        let mut store = Store::new(10);
        touch(&mut store, "a", "x", 5, false);
        touch(&mut store, "a", "x", 8, false);
        assert_eq!(run(&mut store, 7, "", 0), "");
        touch(&mut store, "a", "x", 7, false);
        assert_eq!(run(&mut store, 9, "", 0), "7:a/x");
    }

    #[test]
    fn the_key_touched_longest_ago_makes_room() {
        let mut store = Store::new(2);
        touch(&mut store, "a", "1", 50, false);
        touch(&mut store, "a", "2", 50, false);
        touch(&mut store, "a", "1", 50, false);
        touch(&mut store, "b", "of another rule", 50, false);
        assert_eq!(touch(&mut store, "a", "3", 50, false), Insert::Evicted);
        assert!(store.get("a", b"2").is_none());
        assert!(store.get("a", b"1").is_some());
        assert_eq!(run(&mut store, 60, "", 0), "50:a/1 50:a/3 50:b/of another rule");
    }

    #[test]
    fn what_is_pinned_stays_and_what_finds_no_room_is_refused() {
        let mut store = Store::new(2);
        touch(&mut store, "a", "1", 50, true);
        touch(&mut store, "a", "2", 50, false);
        assert_eq!(touch(&mut store, "a", "3", 50, true), Insert::Evicted);
        assert_eq!(touch(&mut store, "a", "4", 50, false), Insert::Refused);
        assert!(store.get("a", b"1").is_some() && store.get("a", b"4").is_none());
        // Once it is no longer pinned it goes first, for its last touch is the oldest.
        touch(&mut store, "a", "3", 50, false);
        assert_eq!(touch(&mut store, "a", "4", 50, false), Insert::Evicted);
        assert!(store.get("a", b"3").is_none());
    }

    #[test]
    fn changes_are_known_while_anybody_wants_to_know() {
        let mut store = Store::new(1);
        touch(&mut store, "a", "1", 50, false);
        assert!(store.take_changed().is_empty());
        store.track_changes();
        touch(&mut store, "a", "2", 60, false);
        let names = |store: &mut Store<Item>| {
            let changed = store.take_changed();
            changed.iter().map(|(_, k)| String::from_utf8(k.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(&mut store), ["1", "2"], "the evicted one too");
        run(&mut store, 60, "", 0);
        assert_eq!(names(&mut store), ["2"]);
        assert!(names(&mut store).is_empty());
    }

    #[test]
    fn a_restored_store_evicts_and_wakes_as_the_one_it_was_written_from() {
        let mut store = Store::new(2);
        touch(&mut store, "a", "1", 50, false);
        touch(&mut store, "a", "2", 40, false);
        touch(&mut store, "a", "1", 50, false);
        let mut restored = Store::new(2);
        for (rule, key) in store.keys() {
            let (item, touched) = store.get(&rule, &key).unwrap();
            let copy = Item { due: item.due, matters_until: 0, ..*item };
            restored.restore(rule.clone(), key.clone(), touched, copy);
        }
        assert_eq!(touch(&mut restored, "a", "3", 45, false), Insert::Evicted);
        assert!(restored.get("a", b"2").is_none());
        assert_eq!(run(&mut restored, 60, "", 0), "45:a/3 50:a/1");
    }

    /// A store that takes events of (key, time) and tells from where the log would be read again.
    struct Renewing(Store<Item>, i64);

    impl Renewing {
        fn new() -> Self {
            Self(Store::new(9), 9)
        }

        /// The next record's event leaves the key with `events`; `pinned` by the oldest of them.
        fn take(&mut self, key: &str, touch: Touch, events: (i64, i64), pinned: bool) -> i64 {
            self.1 += 1;
            self.0.stand_at(self.1, Some(at(self.1)));
            let fresh = || Item { due: at(99), pinned: false, events: (0, 0), matters_until: 0 };
            self.0.touch(&"a".into(), &key.as_bytes().into(), touch, fresh, |item| {
                (item.events, item.pinned) = (events, pinned);
            });
            self.0.oldest_birth().unwrap().0
        }

        /// An event in order.
        fn next(&mut self, key: &str, events: (i64, i64)) -> i64 {
            self.take(key, Touch { time: at(events.1), monotone: false }, events, false)
        }
    }

    #[test]
    fn the_log_is_read_again_from_where_the_oldest_key_still_depends_on_it() {
        let mut store = Renewing::new();
        assert_eq!(store.next("x", (1, 1)), 10);
        assert_eq!(store.next("y", (2, 2)), 10);
        // What "x" took before record 12 still matters to it, until its oldest event is newer.
        assert_eq!(store.next("x", (1, 3)), 10);
        assert_eq!(store.next("x", (1, 5)), 10);
        assert_eq!(store.next("x", (2, 7)), 11);
        assert_eq!(store.next("y", (7, 7)), 11);
        assert_eq!(store.next("y", (7, 8)), 12);
        assert_eq!(store.0.oldest_birth(), Some((12, Some(at(12)))));
    }

    #[test]
    fn an_event_older_than_what_was_taken_before_gives_the_place_up_if_it_could_tell_more() {
        let stale = |monotone| Touch { time: at(3), monotone };
        let mut store = Renewing::new();
        store.next("x", (1, 4));
        store.next("x", (1, 5));
        store.take("x", stale(false), (1, 5), false);
        assert_eq!(store.next("x", (5, 6)), 10, "record 11 would be followed by the event of 3");
        assert_eq!(store.next("x", (6, 7)), 13);

        let mut store = Renewing::new();
        store.next("x", (1, 4));
        store.next("x", (1, 5));
        store.take("x", stale(true), (1, 5), false);
        assert_eq!(store.next("x", (5, 6)), 11, "without those before it tells no more");
    }

    #[test]
    fn what_is_pinned_by_older_events_gives_the_place_up() {
        let mut store = Renewing::new();
        store.next("x", (1, 1));
        store.next("x", (1, 3));
        store.take("x", Touch { time: at(4), monotone: true }, (1, 4), true);
        store.take("x", Touch { time: at(6), monotone: true }, (5, 6), true);
        assert_eq!(store.next("x", (5, 7)), 10, "read from record 11 on nothing would be pinned");
        store.next("x", (5, 8));
        assert_eq!(store.next("x", (8, 9)), 15);
    }

    #[test]
    fn the_place_stays_until_what_would_have_come_of_less_is_over() {
        let until_14 = |monotone| {
            let mut store = Renewing::new();
            store.next("x", (1, 1));
            store.0.rules.values_mut().flat_map(|keys| keys.slots.values_mut()).for_each(|slot| {
                slot.entry.matters_until = 14;
            });
            store.next("x", (1, 2));
            let mut next = |n| store.take("x", Touch { time: at(n), monotone }, (n, n), false);
            [next(3), next(4), next(5)]
        };
        assert_eq!(until_14(false), [10, 10, 11], "the clock is 12, 13, 14");
        assert_eq!(until_14(true), [11, 12, 13]);
    }

    #[test]
    fn while_anything_is_pinned_the_place_stays() {
        let mut store = Renewing::new();
        store.next("x", (1, 1));
        store.next("x", (1, 3));
        let pinned = store.take("x", Touch { time: at(4), monotone: false }, (3, 4), true);
        assert_eq!((pinned, store.next("x", (3, 5))), (10, 11));
    }
}
