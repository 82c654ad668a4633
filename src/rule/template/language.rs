//! The words of templates: every filter, test and function that there is, each with an example. The
//! sandbox is built from these tables, `hark check` knows mistakes by them, and `hark docs` prints them.

use minijinja::value::Value;
use minijinja::{Environment, State, filters, functions, tests};

use super::variables::shown;

/// One filter, test or function.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// Its name.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// One line.
    pub means: &'static str,
    /// A template that uses it.
    pub example: &'static str,
    /// What the example shows of [`super::sample::alert`].
    pub shows: &'static str,
    add: fn(&mut Environment<'static>, &'static str),
}

/// A kind of word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// `value | name`.
    Filter,
    /// `value is name`.
    Test,
    /// `name(…)`.
    Function,
}

macro_rules! word {
    ($add:ident, $name:literal, $aliases:expr, $what:expr, $means:literal, $example:literal, $shows:literal) => {
        Word {
            name: $name,
            aliases: &$aliases,
            means: $means,
            example: $example,
            shows: $shows,
            add: |environment, name| environment.$add(name, $what),
        }
    };
}

/// The filters.
#[rustfmt::skip]
pub const FILTERS: &[Word] = &[
    word!(add_filter, "join", [], join, "Several values as one text, with this between them; one value is itself.", "{{ values('source.ip') | join(' and ') }}", "203.0.113.7 and 203.0.113.8"),
    word!(add_filter, "default", ["d"], filters::default, "What to show instead of a missing field.", "{{ user.email | default('nobody') }}", "nobody"),
    word!(add_filter, "upper", [], filters::upper, "In capitals.", "{{ user.name | upper }}", "MALLORY"),
    word!(add_filter, "lower", [], filters::lower, "In small letters.", "{{ 'HIGH' | lower }}", "high"),
    word!(add_filter, "title", [], filters::title, "Every word with a capital.", "{{ 'log in' | title }}", "Log In"),
    word!(add_filter, "capitalize", [], filters::capitalize, "The first letter as a capital, the others small.", "{{ user.name | capitalize }}", "Mallory"),
    word!(add_filter, "trim", [], filters::trim, "Without white space, or these characters, at both ends.", "{{ '  x ' | trim }}", "x"),
    word!(add_filter, "replace", [], filters::replace, "With another text in place of each such text.", "{{ user.name | replace('mal', 'val') }}", "vallory"),
    word!(add_filter, "split", [], filters::split, "The parts between white space, or this text.", "{{ source.ip | split('.') | last }}", "7"),
    word!(add_filter, "lines", [], filters::lines, "The lines of a text.", "{{ message | lines | first }}", "invalid password"),
    word!(add_filter, "indent", [], filters::indent, "Every line but the first so many blanks further in.", "{{ 'x' | indent(2) }}", "x"),
    word!(add_filter, "format", [], filters::format, "Values put into a pattern, as printf does.", "{{ '%s: %d' | format(user.name, alert.count) }}", "mallory: 5"),
    word!(add_filter, "length", ["count"], filters::length, "How many values, or characters of a text.", "{{ user.roles | length }}", "2"),
    word!(add_filter, "first", [], filters::first, "The first of several values, or letter of a text.", "{{ user.roles | first }}", "admin"),
    word!(add_filter, "last", [], filters::last, "The last of several values, or letter of a text.", "{{ user.roles | last }}", "ops"),
    word!(add_filter, "min", [], filters::min, "The least of several values.", "{{ [3, 1, 2] | min }}", "1"),
    word!(add_filter, "max", [], filters::max, "The greatest of several values.", "{{ [3, 1, 2] | max }}", "3"),
    word!(add_filter, "sum", [], filters::sum, "Several numbers added.", "{{ [3, 1, 2] | sum }}", "6"),
    word!(add_filter, "sort", [], filters::sort, "Several values in order; `reverse=true` the other way.", "{{ user.roles | sort(reverse=true) }}", "ops, admin"),
    word!(add_filter, "reverse", [], filters::reverse, "Several values, or a text, backwards.", "{{ user.roles | reverse }}", "ops, admin"),
    word!(add_filter, "unique", [], filters::unique, "Several values, each once.", "{{ ['a', 'b', 'a'] | unique }}", "a, b"),
    word!(add_filter, "round", [], filters::round, "A number with so many decimals, none unless said.", "{{ alert.value | round(1) }}", "0.3"),
    word!(add_filter, "abs", [], filters::abs, "A number without its sign.", "{{ -5 | abs }}", "5"),
    word!(add_filter, "int", [], filters::int, "A text as a whole number.", "{{ '41' | int + 1 }}", "42"),
    word!(add_filter, "float", [], filters::float, "A text as a number with decimals.", "{{ '0.5' | float * 2 }}", "1.0"),
    word!(add_filter, "string", [], filters::string, "A value as a text.", "{{ alert.count | string | length }}", "1"),
    word!(add_filter, "bool", [], filters::bool, "Whether a value is there and neither empty, zero nor false.", "{{ alert.count | bool }}", "True"),
    word!(add_filter, "list", [], filters::list, "A list of the values, or of a text's letters.", "{{ 'abc' | list }}", "a, b, c"),
    word!(add_filter, "select", [], filters::select, "Those values that meet a test.", "{{ user.roles | select('startingwith', 'a') }}", "admin"),
    word!(add_filter, "reject", [], filters::reject, "Those values that do not meet a test.", "{{ user.roles | reject('startingwith', 'a') }}", "ops"),
    word!(add_filter, "map", [], filters::map, "Each value through a filter.", "{{ user.roles | map('upper') }}", "ADMIN, OPS"),
    word!(add_filter, "batch", [], filters::batch, "Several values in lists of so many.", "{{ [1, 2, 3] | batch(2) | length }}", "2"),
    word!(add_filter, "slice", [], filters::slice, "Several values in so many lists.", "{{ [1, 2, 3] | slice(3) | length }}", "3"),
    word!(add_filter, "chain", [], filters::chain, "Several lists as one.", "{{ user.roles | chain(['dba']) }}", "admin, ops, dba"),
    word!(add_filter, "zip", [], filters::zip, "The values of two lists in pairs.", "{{ user.roles | zip([1, 2]) | first | join(' ') }}", "admin 1"),
    word!(add_filter, "items", [], filters::items, "The entries of a table as pairs.", "{% for name, n in {'a': 1} | items %}{{ name }}={{ n }}{% endfor %}", "a=1"),
    word!(add_filter, "dictsort", [], filters::dictsort, "The entries of a table as pairs, in order.", "{% for name, n in {'b': 2, 'a': 1} | dictsort %}{{ name }}{% endfor %}", "ab"),
    word!(add_filter, "attr", [], filters::attr, "A table's entry by its name.", "{{ {'a': 1} | attr('a') }}", "1"),
    word!(add_filter, "selectattr", [], filters::selectattr, "Those tables of which an entry meets a test.", "{{ [{'a': 1}, {'a': 2}] | selectattr('a', 'odd') | length }}", "1"),
    word!(add_filter, "rejectattr", [], filters::rejectattr, "Those tables of which an entry does not meet a test.", "{{ [{'a': 1}, {'a': 2}] | rejectattr('a', 'odd') | length }}", "1"),
    word!(add_filter, "groupby", [], filters::groupby, "Tables by one of their entries.", "{{ [{'a': 1}, {'a': 1}] | groupby('a') | length }}", "1"),
    word!(add_filter, "tojson", [], filters::tojson, "A value as JSON.", "{{ user.roles | tojson }}", "[\"admin\", \"ops\"]"),
    word!(add_filter, "pprint", [], filters::pprint, "A value as it is inside, to find a mistake.", "{{ user.name | pprint }}", "'mallory'"),
    word!(add_filter, "escape", ["e"], filters::escape, "With what means something in HTML written so that it does not. Notifiers do that themselves.", "{{ 'a<b' | escape }}", "a&lt;b"),
    word!(add_filter, "safe", [], filters::safe, "Without escaping, which is so anyway.", "{{ 'a<b' | safe }}", "a<b"),
];

/// The tests.
#[rustfmt::skip]
pub const TESTS: &[Word] = &[
    word!(add_test, "defined", [], tests::is_defined, "The field is there.", "{% if user.email is defined %}known{% else %}unknown{% endif %}", "unknown"),
    word!(add_test, "undefined", [], tests::is_undefined, "The field is missing.", "{{ user.email is undefined }}", "True"),
    word!(add_test, "none", [], tests::is_none, "It is `none`; a missing field is `undefined`.", "{{ none is none }}", "True"),
    word!(add_test, "startingwith", [], tests::is_startingwith, "The text starts so.", "{{ user.name is startingwith('mal') }}", "True"),
    word!(add_test, "endingwith", [], tests::is_endingwith, "The text ends so.", "{{ user.name is endingwith('ory') }}", "True"),
    word!(add_test, "in", [], tests::is_in, "It is one of these, or a part of this text; `x in y` is the same.", "{{ 'admin' is in(user.roles) }}", "True"),
    word!(add_test, "eq", ["equalto", "=="], tests::is_eq, "Equal.", "{{ alert.count is eq(5) }}", "True"),
    word!(add_test, "ne", ["!="], tests::is_ne, "Not equal.", "{{ alert.count is ne(5) }}", "False"),
    word!(add_test, "lt", ["lessthan", "<"], tests::is_lt, "Less.", "{{ alert.count is lt(5) }}", "False"),
    word!(add_test, "le", ["<="], tests::is_le, "Less or equal.", "{{ alert.count is le(5) }}", "True"),
    word!(add_test, "gt", ["greaterthan", ">"], tests::is_gt, "Greater.", "{{ alert.count is gt(5) }}", "False"),
    word!(add_test, "ge", [">="], tests::is_ge, "Greater or equal.", "{{ alert.count is ge(5) }}", "True"),
    word!(add_test, "number", [], tests::is_number, "A number.", "{{ alert.count is number }}", "True"),
    word!(add_test, "integer", ["int"], tests::is_integer, "A whole number.", "{{ alert.count is integer }}", "True"),
    word!(add_test, "float", [], tests::is_float, "A number with decimals.", "{{ alert.value is float }}", "True"),
    word!(add_test, "odd", [], tests::is_odd, "An odd number.", "{{ alert.count is odd }}", "True"),
    word!(add_test, "even", [], tests::is_even, "An even number.", "{{ alert.count is even }}", "False"),
    word!(add_test, "divisibleby", [], tests::is_divisibleby, "A multiple of this.", "{{ alert.count is divisibleby(5) }}", "True"),
    word!(add_test, "string", [], tests::is_string, "A text.", "{{ user.name is string }}", "True"),
    word!(add_test, "lower", [], tests::is_lower, "All small letters.", "{{ user.name is lower }}", "True"),
    word!(add_test, "upper", [], tests::is_upper, "All capitals.", "{{ user.name is upper }}", "False"),
    word!(add_test, "sequence", [], tests::is_sequence, "Several values.", "{{ user.roles is sequence }}", "True"),
    word!(add_test, "iterable", [], tests::is_iterable, "Something to loop over.", "{{ user.roles is iterable }}", "True"),
    word!(add_test, "mapping", [], tests::is_mapping, "A table.", "{{ {'a': 1} is mapping }}", "True"),
    word!(add_test, "boolean", [], tests::is_boolean, "`true` or `false`.", "{{ alert.approximate is boolean }}", "True"),
    word!(add_test, "true", [], tests::is_true, "Just `true`.", "{{ alert.approximate is true }}", "False"),
    word!(add_test, "false", [], tests::is_false, "Just `false`.", "{{ alert.approximate is false }}", "True"),
    word!(add_test, "sameas", [], tests::is_sameas, "The very same value.", "{{ alert.count is sameas(5) }}", "True"),
    word!(add_test, "filter", [], tests::is_filter, "The name of a filter.", "{{ 'upper' is filter }}", "True"),
    word!(add_test, "test", [], tests::is_test, "The name of a test.", "{{ 'odd' is test }}", "True"),
    word!(add_test, "safe", ["escaped"], tests::is_safe, "Marked by `safe`.", "{{ user.name is safe }}", "False"),
];

/// The functions, beside [`VALUES`].
#[rustfmt::skip]
pub const FUNCTIONS: &[Word] = &[
    word!(add_function, "range", [], functions::range, "Whole numbers from 0, or the first, up to the last, which is not among them.", "{{ range(1, 4) | join(' ') }}", "1 2 3"),
    word!(add_function, "dict", [], functions::dict, "A table of these entries.", "{{ dict(a=1) | attr('a') }}", "1"),
];

/// The function that the alert itself brings.
pub const VALUES: &str = "values";

/// Adds every word to a sandbox.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    for word in [FILTERS, TESTS, FUNCTIONS].into_iter().flatten() {
        for name in word.names() {
            (word.add)(environment, name);
        }
    }
}

impl Word {
    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

impl WordKind {
    /// Every name of this kind.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let words = match self {
            Self::Filter => FILTERS,
            Self::Test => TESTS,
            Self::Function => FUNCTIONS,
        };
        let own = (self == Self::Function).then_some(VALUES);
        words.iter().flat_map(Word::names).chain(own)
    }

    /// Its name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
            Self::Function => "function",
        }
    }
}

/// One value is a text, not a list of letters: `{{ user.roles | join(', ') }}` works for both.
fn join(_: &State<'_, '_>, value: &Value, separator: Option<&str>) -> String {
    shown(value, separator.unwrap_or_default())
}
