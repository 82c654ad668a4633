//! The words that other languages have for what is a sign here, and what each of them asks.

use super::super::ast::Case;
use super::super::cursor::Cursor;

/// What a word of another language asks of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// One of the values.
    Equals,
    /// A text that begins so.
    Begins,
    /// A text that ends so.
    Ends,
    /// A text with this in it.
    Contains,
    /// The wildcards of SQL, or of here.
    Like,
    /// A regex.
    Regex {
        /// Whether it ignores case.
        ignores_case: bool,
    },
    /// An address in a network.
    Network,
    /// A number or time on this side.
    Over(&'static str),
    /// From one number or time to another.
    Between,
    /// Another field's value.
    Field,
    /// That there is a value.
    Exists,
    /// That there is none.
    Missing,
}

/// What a word, or a few of them, asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) asks: Asks,
    /// `not in`, `!contains`.
    pub(super) denied: bool,
}

const REGEX: Asks = Asks::Regex { ignores_case: false };

/// What stands between a field and its values, in small letters.
const BETWEEN: [(&str, Asks); 33] = [
    ("in", Asks::Equals),
    ("in~", Asks::Equals),
    ("equals", Asks::Equals),
    ("eq", Asks::Equals),
    ("like", Asks::Like),
    ("like~", Asks::Like),
    ("ilike", Asks::Like),
    ("contains", Asks::Contains),
    ("contain", Asks::Contains),
    ("includes", Asks::Contains),
    ("startswith", Asks::Begins),
    ("starts_with", Asks::Begins),
    ("starts-with", Asks::Begins),
    ("beginswith", Asks::Begins),
    ("begins_with", Asks::Begins),
    ("hasprefix", Asks::Begins),
    ("endswith", Asks::Ends),
    ("ends_with", Asks::Ends),
    ("ends-with", Asks::Ends),
    ("hassuffix", Asks::Ends),
    ("matches", REGEX),
    ("match", REGEX),
    ("regex", REGEX),
    ("regexp", REGEX),
    ("rlike", REGEX),
    ("~", REGEX),
    ("~*", Asks::Regex { ignores_case: true }),
    ("cidrmatch", Asks::Network),
    ("cidr", Asks::Network),
    ("between", Asks::Between),
    ("gt", Asks::Over(">")),
    ("lt", Asks::Over("<")),
    ("exists", Asks::Exists),
];

/// The same of functions: `startswith(field, "x")`.
const FUNCTIONS: [(&str, Asks); 19] = [
    ("exists", Asks::Exists),
    ("has", Asks::Exists),
    ("isnotnull", Asks::Exists),
    ("isnull", Asks::Missing),
    ("startswith", Asks::Begins),
    ("starts_with", Asks::Begins),
    ("endswith", Asks::Ends),
    ("ends_with", Asks::Ends),
    ("contains", Asks::Contains),
    ("stringcontains", Asks::Contains),
    ("match", REGEX),
    ("matches", REGEX),
    ("regex", REGEX),
    ("regexp_like", REGEX),
    ("wildcard", Asks::Like),
    ("like", Asks::Like),
    ("in", Asks::Equals),
    ("cidrmatch", Asks::Network),
    ("cidr_match", Asks::Network),
];

/// What stands before a field: `exists user.name`.
const BEFORE: [(&str, Asks); 3] =
    [("exists", Asks::Exists), ("has", Asks::Exists), ("missing", Asks::Missing)];

/// What a word before a field asks.
pub(super) fn before(word: &str) -> Option<Asks> {
    find(&BEFORE, word)
}

/// Whether a function only makes letters small or large.
pub(super) fn is_of_case(word: &str) -> bool {
    let names = ["lower", "upper", "tolower", "toupper", "lcase", "ucase", "lowercase"];
    names.iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// What a function asks.
pub(super) fn function(word: &str) -> Option<Asks> {
    find(&FUNCTIONS, word)
}

fn find(table: &[(&str, Asks)], word: &str) -> Option<Asks> {
    table.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, asks)| *asks)
}

/// Goes past the words between a field and its values, and says what they ask; without any, the
/// cursor stays.
pub(super) fn between(cursor: &mut Cursor<'_>) -> Option<Asked> {
    let mut after = *cursor;
    let mut denied = false;
    // `is not null` and `does not start with` are the longest.
    for _ in 0..3 {
        if after.eat("!") {
            denied = !denied;
        }
        let found = word(&mut after);
        match found.to_ascii_lowercase().as_str() {
            "not" => denied = !denied,
            "does" | "do" | "did" => {}
            "is" => {
                let asked = behind_is(&mut after, denied)?;
                *cursor = after;
                return Some(asked);
            }
            start @ ("starts" | "start" | "begins" | "begin" | "ends" | "end") => {
                let asks = if start.starts_with("end") { Asks::Ends } else { Asks::Begins };
                if word(&mut after).eq_ignore_ascii_case("with") {
                    *cursor = after;
                    return Some(Asked { asks, denied });
                }
                return None;
            }
            word => {
                let asks = find(&BETWEEN, word)?;
                if asks == REGEX {
                    // Kusto's `matches regex`.
                    let mut more = after;
                    if self::word(&mut more).eq_ignore_ascii_case("regex") {
                        after = more;
                    }
                }
                *cursor = after;
                return Some(Asked { asks, denied });
            }
        }
    }
    None
}

/// What `is` asks: `is null`, `is not null`, `is in (…)`, or the value that follows.
fn behind_is(after: &mut Cursor<'_>, mut denied: bool) -> Option<Asked> {
    let mut next = *after;
    if word(&mut next).eq_ignore_ascii_case("not") {
        denied = !denied;
        *after = next;
    }
    let mut next = *after;
    let asks = match word(&mut next).to_ascii_lowercase().as_str() {
        "null" | "none" | "nil" | "missing" => Asks::Missing,
        "present" | "set" => Asks::Exists,
        "in" => Asks::Equals,
        "like" => Asks::Like,
        // Without a value or without a character: both could be meant.
        "empty" | "blank" => return None,
        _ => return Some(Asked { asks: Asks::Equals, denied }),
    };
    *after = next;
    Some(Asked { asks, denied })
}

/// Goes past space and a word.
fn word<'t>(cursor: &mut Cursor<'t>) -> &'t str {
    cursor.skip_space();
    let start = cursor.at();
    let part = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '~' | '*');
    while cursor.peek().is_some_and(part) {
        cursor.next();
    }
    cursor.slice(start..cursor.at())
}

/// Sigma's modifiers of one field, without the bars: `contains`, `all`.
pub(super) struct Modifiers {
    pub(super) asks: Asks,
    pub(super) denied: bool,
    /// All of the values, not any.
    pub(super) all: bool,
    /// Whether values are compared exactly.
    pub(super) case: Case,
}

/// What Sigma's modifiers ask; `Err` names the one that has no form here.
pub(super) fn modifiers<'w>(words: impl Iterator<Item = &'w str>) -> Result<Modifiers, &'w str> {
    let mut read = Modifiers { asks: Asks::Equals, denied: false, all: false, case: Case::Ignored };
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "contains" => read.asks = Asks::Contains,
            "startswith" => read.asks = Asks::Begins,
            "endswith" => read.asks = Asks::Ends,
            "re" => read.asks = REGEX,
            "i" if read.asks == REGEX => read.asks = Asks::Regex { ignores_case: true },
            "cidr" => read.asks = Asks::Network,
            "gt" => read.asks = Asks::Over(">"),
            "gte" => read.asks = Asks::Over(">="),
            "lt" => read.asks = Asks::Over("<"),
            "lte" => read.asks = Asks::Over("<="),
            "exists" => read.asks = Asks::Exists,
            "fieldref" => read.asks = Asks::Field,
            "neq" => read.denied = true,
            "all" => read.all = true,
            "cased" => read.case = Case::Exact,
            _ => return Err(word),
        }
    }
    Ok(read)
}
