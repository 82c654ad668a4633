//! A document laid over by tables that it carries itself: what `[[override]]` does to a rule.
//!
//! Everything stays in one text, so that whatever is read later keeps its place: a wrong value points
//! to where it was set, not to where it was laid over. Which tables may do so is the caller's
//! business; here nothing is a mistake, for a value in the wrong place is found by whoever reads it.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::document::Document;

impl Document<'_> {
    /// Takes the tables `[[list]]` out of the document. What the table `set` of each holds is laid over
    /// the rest, later ones over earlier ones: a table over a table key by key, anything else whole;
    /// a key such as `"threshold.count"` is a path. Its list `add` is added to the document's own.
    ///
    /// ```
    /// use hark::base::{Diagnostics, document::Document};
    /// let text = "[threshold]\ncount = 5\n[[override]]\nset = { 'threshold.count' = 10 }\n";
    /// let mut document = Document::parse(text);
    /// document.lay_over("override", "set", "exception");
    /// let mut found = Diagnostics::new();
    /// let mut threshold = document.root(&mut found).table("threshold", &mut found).unwrap();
    /// let count = threshold.count("count", &mut found).unwrap();
    /// assert_eq!((count.value, &text[count.span]), (10, "10"));
    /// ```
    pub fn lay_over(&mut self, list: &str, set: &str, add: &str) {
        let source = self.source;
        let root = self.root.get_mut();
        let Some(DeValue::Array(patches)) = root.remove(list).map(Spanned::into_inner) else {
            return;
        };
        for patch in patches {
            let DeValue::Table(mut patch) = patch.into_inner() else { continue };
            if let Some(DeValue::Table(values)) = patch.remove(set).map(Spanned::into_inner) {
                merge(root, values, source);
            }
            if let Some((key, value)) = patch.remove_entry(add) {
                append(root, &key, value);
            }
        }
    }
}

fn merge<'a>(into: &mut DeTable<'a>, from: DeTable<'a>, source: &str) {
    for (key, value) in from {
        put(into, &steps(&key, source), value, source);
    }
}

/// A key's parts, each with its place: `"threshold.count"` is two.
fn steps<'a>(key: &Spanned<DeString<'a>>, source: &str) -> Vec<Spanned<DeString<'a>>> {
    let text: &str = key.get_ref();
    let span = key.span();
    let written = source.get(span.clone()).unwrap_or_default();
    // Letter by letter in the file, unless an escape was decoded.
    let start = written.find(text).map(|at| span.start + at);
    let place = |range: Range<usize>| {
        start.map_or_else(|| span.clone(), |start| start + range.start..start + range.end)
    };
    let mut at = 0;
    let parts = text.split('.').map(|part| {
        let range = at..at + part.len();
        at = range.end + 1;
        Spanned::new(place(range), Cow::Owned(part.to_owned()))
    });
    parts.collect()
}

fn put<'a>(
    into: &mut DeTable<'a>,
    path: &[Spanned<DeString<'a>>],
    value: Spanned<DeValue<'a>>,
    source: &str,
) {
    let Some((key, rest)) = path.split_first() else { return };
    let name: &str = key.get_ref();
    let below = into.get_mut(name).map(Spanned::get_mut);
    match (rest, below, value.get_ref()) {
        ([], Some(DeValue::Table(table)), DeValue::Table(_)) => {
            if let DeValue::Table(values) = value.into_inner() {
                merge(table, values, source);
            }
        }
        ([], ..) => replace(into, key, value),
        (_, Some(DeValue::Table(table)), _) => put(table, rest, value, source),
        _ => {
            let mut table = DeTable::new();
            put(&mut table, rest, value, source);
            replace(into, key, Spanned::new(key.span(), DeValue::Table(table)));
        }
    }
}

/// The key goes with its value, so that both are found where they were set.
fn replace<'a>(into: &mut DeTable<'a>, key: &Spanned<DeString<'a>>, value: Spanned<DeValue<'a>>) {
    let name: &str = key.get_ref();
    into.remove(name);
    into.insert(key.clone(), value);
}

fn append<'a>(into: &mut DeTable<'a>, key: &Spanned<DeString<'a>>, value: Spanned<DeValue<'a>>) {
    let (name, place): (&str, _) = (key.get_ref(), value.span());
    match (into.get_mut(name).map(Spanned::get_mut), value.into_inner()) {
        (Some(DeValue::Array(own)), DeValue::Array(more)) => {
            more.into_iter().for_each(|value| own.push(value));
        }
        (_, value) => replace(into, key, Spanned::new(place, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Diagnostics;

    /// The whole document as JSON after the overlay.
    fn laid_over(text: &str) -> String {
        let mut document = Document::parse(text);
        assert!(document.is_well_formed(), "{text}");
        document.lay_over("override", "set", "exception");
        let root = document.root(&mut Diagnostics::new());
        let keys = root.keys();
        let mut keys: Vec<&str> = keys.iter().map(|key| key.value.as_str()).collect();
        keys.sort_unstable();
        let entry = |key: &str| format!("{key}={}", root.any(key).unwrap().json());
        keys.into_iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_way_of_writing_a_path_means_the_same() {
        for set in [
            "set = { 'threshold.count' = 10 }",
            "set = { threshold.count = 10 }",
            "set.threshold.count = 10",
            "set = { threshold = { count = 10 } }",
            "[override.set]\n\"threshold.count\" = 10",
            "[override.set.threshold]\ncount = 10",
        ] {
            let text = format!("[threshold]\ncount = 5\nwithin = '1m'\n[[override]]\n{set}\n");
            assert_eq!(laid_over(&text), r#"threshold={"count":10,"within":"1m"}"#, "{set}");
        }
    }

    #[test]
    fn later_ones_win_and_what_is_no_table_is_replaced_whole() {
        let text = "tags = ['a', 'b']\nx = 1\n[[override]]\nset = { tags = ['c'], x = 2 }\n[[override]]\nset = { x = 3, y.z = 4 }\n";
        assert_eq!(laid_over(text), r#"tags=["c"] x=3 y={"z":4}"#);
        assert_eq!(laid_over("x = 1\n[[override]]\nset = { x.y = 2 }\n"), r#"x={"y":2}"#);
        assert_eq!(laid_over("x.y = 1\n[[override]]\nset = { x = 2 }\n"), "x=2");
    }

    #[test]
    fn a_list_is_added_to_the_documents_own() {
        let more =
            "[[override]]\n[[override.exception]]\nn = 2\n[[override]]\nexception = [{ n = 3 }]\n";
        let own = format!("[[exception]]\nn = 1\n{more}");
        assert_eq!(laid_over(&own), r#"exception=[{"n":1},{"n":2},{"n":3}]"#);
        assert_eq!(laid_over(more), r#"exception=[{"n":2},{"n":3}]"#);
    }

    #[test]
    fn keys_and_values_are_found_where_they_were_set() {
        let text = "[alert]\nkeep_open = '5m'\n[[override]]\nset = { 'alert.keep_opn' = 7, \"alert.max\\u005fopen\" = 8 }\n";
        let mut document = Document::parse(text);
        document.lay_over("override", "set", "exception");
        let found = &mut Diagnostics::new();
        let alert = document.root(found).table("alert", found).unwrap();
        let places: Vec<&str> =
            alert.keys().iter().filter_map(|key| text.get(key.span.clone())).collect();
        assert_eq!(places, ["keep_open", "keep_opn", "\"alert.max\\u005fopen\""]);
    }
}
