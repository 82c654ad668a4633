//! A named list of plain values, asked for by `field: @name`.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::net::{self, AddressRange, BadNetwork, Network, Networks};
use super::{fold, value};
use crate::event::Number;

/// Entries of one list.
pub const LIST_ENTRIES_MAX: usize = 1_000_000;

/// Values that are found as fast among a hundred thousand as among ten.
///
/// Every entry is a text, compared ignoring case; one that is an address or a network also holds
/// its addresses. The list's contents are no part of a rule: they may change while it runs.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// As they are spelt; two that differ in case only are one.
    texts: HashTable<Entry>,
    /// Sorted: a JSON number equals the entries that read as the same number.
    numbers: Vec<Number>,
    networks: Networks,
}

/// A folded text. Short ones stand in the table itself: following a pointer to each would cost more
/// than all the rest of a look-up among many.
type Entry = SmallVec<[u8; 23]>;

impl List {
    /// From its entries. An entry that looks like a network and is none is returned with the reason.
    pub fn new<'e>(
        entries: impl IntoIterator<Item = &'e str>,
    ) -> (Self, Vec<(&'e str, BadNetwork)>) {
        let mut list = Self::default();
        let mut ranges = Vec::new();
        let mut bad = Vec::new();
        for entry in entries {
            if let Some(address) = net::address(entry) {
                ranges.push(AddressRange::of(address));
            }
            match Network::parse(entry) {
                Some(Ok(network)) => ranges.push(network.range()),
                Some(Err(why)) => bad.push((entry, why)),
                None => {}
            }
            list.numbers.extend(Number::parse(entry).map(value::normal));
            list.insert(entry);
        }
        list.numbers.sort_by(|a, b| a.compare(*b));
        list.networks = Networks::new(ranges);
        (list, bad)
    }

    fn insert(&mut self, entry: &str) {
        let hash = hash(entry);
        if self.texts.find(hash, |own| is_same(own, entry)).is_none() {
            let entry = Entry::from_slice(entry.as_bytes());
            let rehash = |entry: &Entry| std::str::from_utf8(entry).map_or(0, self::hash);
            self.texts.insert_unique(hash, entry, rehash);
        }
    }

    /// All different entries as they are spelt, in order.
    pub fn entries(&self) -> Vec<&str> {
        let text = |entry| std::str::from_utf8(entry).unwrap_or_default();
        let mut entries: Vec<&str> = self.texts.iter().map(|entry| text(entry)).collect();
        entries.sort_unstable();
        entries
    }

    /// Whether a text is an entry, ignoring case, or an address in one of the networks.
    pub fn contains_text(&self, text: &str) -> bool {
        // An entry that is the same address has its range among the networks.
        if !self.networks.is_empty()
            && let Some(address) = net::address(text)
        {
            return self.networks.contains(address);
        }
        self.texts.find(hash(text), |own| is_same(own, text)).is_some()
    }

    /// Whether an entry reads as this number.
    pub fn contains_number(&self, number: Number) -> bool {
        self.numbers.binary_search_by(|own| own.compare(number)).is_ok()
    }

    /// How many different entries.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// Ignoring case.
fn is_same(own: &Entry, text: &str) -> bool {
    if own.is_ascii() && text.is_ascii() {
        return own.eq_ignore_ascii_case(text.as_bytes());
    }
    fold::equal(std::str::from_utf8(own).unwrap_or_default(), text)
}

/// Equal for texts that are equal ignoring case. The entries are the operator's own and lookups add
/// nothing, so nobody can crowd the table: a fixed seed will do.
fn hash(text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for c in text.chars() {
        hasher.write_u32(fold::char(c).into());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> List {
        let (list, bad) = List::new(entries.iter().copied());
        assert_eq!(bad, []);
        list
    }

    #[test]
    fn entries_are_found_ignoring_case_and_nothing_else_is() {
        let list = list(&["Eve@Example.com", "ÄRGER", "a*", "true"]);
        for text in ["eve@example.COM", "ärger", "A*", "TRUE"] {
            assert!(list.contains_text(text), "{text}");
        }
        for text in ["eve@example.co", "abc", "", "aerger"] {
            assert!(!list.contains_text(text), "{text}");
        }
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn an_address_is_found_in_its_networks_however_written() {
        let list = list(&["198.51.100.0/24", "10.0.0.7", "2001:db8::/32"]);
        for text in
            ["198.51.100.9", "::ffff:198.51.100.9", "10.0.0.7", "2001:DB8::5", "198.51.100.0/24"]
        {
            assert!(list.contains_text(text), "{text}");
        }
        for text in ["198.51.101.9", "10.0.0.8", "198.51.100.0/25", "2001:db9::"] {
            assert!(!list.contains_text(text), "{text}");
        }
    }

    #[test]
    fn an_address_among_networks_is_found_as_the_text_that_it_is_too() {
        let entries = ["10.0.0.7", "2001:DB8::A", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3", "eve"];
        let list = list(&entries);
        for text in entries {
            assert!(list.contains_text(text), "{text}");
            assert!(list.contains_text(&text.to_uppercase()), "{text}");
            assert!(list.contains_text(&text.to_lowercase()), "{text}");
        }
        assert!(list.contains_text("1.2.3.4") && list.contains_text("2001:db8:0::a"));
        assert!(!list.contains_text("1.2.3.5") && !list.contains_text("1.2"));
    }

    #[test]
    fn a_json_number_equals_the_entry_that_reads_as_it() {
        let list = list(&["403", "1.50", "007", "9223372036854775808"]);
        assert!(
            list.contains_number(Number::Int(403)) && list.contains_number(Number::Float(403.0))
        );
        assert!(list.contains_number(Number::Float(1.5)));
        assert!(list.contains_number(Number::Large(1 << 63)));
        assert!(!list.contains_number(Number::Int(7)));
        assert!(!list.contains_text("403.0"), "two texts are compared as texts");
    }

    #[test]
    fn entries_are_listed_once_as_they_are_spelt() {
        assert_eq!(
            list(&["DB2", "Db1", "db1", "10.0.0.0/8"]).entries(),
            ["10.0.0.0/8", "DB2", "Db1"]
        );
    }

    #[test]
    fn a_bad_network_is_told_and_stays_a_text() {
        let (list, bad) = List::new(["10.1.2.3/8"]);
        assert_eq!(bad.len(), 1);
        assert!(list.contains_text("10.1.2.3/8") && !list.contains_text("10.1.2.3"));
    }

    #[test]
    fn a_hundred_thousand_entries_are_all_found() {
        let entries: Vec<String> = (0..100_000).map(|n| format!("User{n}@Example.com")).collect();
        let (list, _) = List::new(entries.iter().map(String::as_str));
        assert_eq!(list.len(), 100_000);
        assert!(entries.iter().all(|entry| list.contains_text(&entry.to_uppercase())));
        assert!(!list.contains_text("user100000@example.com"));
    }
}
