//! What one mapping says of itself, for the reference: which records it takes, where each common field
//! comes from, and which values it gives of its own. What values records bring is theirs to say.

use std::collections::BTreeSet;
use std::fmt;

use super::syntax::{self, Condition, Letters, Source};
use crate::base::Diagnostics;
use crate::base::diagnostic::SourceText;
use crate::event::{FieldName, Scalar};

/// One mapping, described.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name, which is the events' `event.dataset`.
    pub name: String,
    /// Topics whose records are all its own.
    pub topics: Vec<String>,
    /// The query that says of a record of any other topic that it is its own.
    pub detect: Option<String>,
    /// The record is in the common fields already, so that any of them may be there.
    pub common: bool,
    /// Texts of the record that are as good as missing.
    pub null: Vec<String>,
    /// Where each field comes from: in order of the fields' names, those of one field in the order
    /// in which they are applied, so that a later one wins.
    pub fields: Vec<Filled>,
    /// People's own words for fields, in order.
    pub search: Vec<(String, FieldName)>,
}

/// One way in which a field is filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The field.
    pub field: FieldName,
    /// What it gets.
    pub from: Origin,
    /// The query of the records that it is about; `None` = all.
    pub when: Option<String>,
}

/// What a field gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Nothing: what it had is taken away.
    Nothing,
    /// These values, whatever the record.
    Values(Vec<Scalar>),
    /// What the record has; in words, names in backticks.
    Record(String),
    /// What a table has; in words as well.
    Table(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Values(values) => f.write_str(&names(values, ", ")),
            Self::Record(words) | Self::Table(words) => f.write_str(words),
        }
    }
}

impl Description {
    /// Describes a mapping file; `None` when it has errors, which [`super::Mappings::load`] tells.
    pub fn of(source: &SourceText) -> Option<Self> {
        let mapping = syntax::read(source, &mut Diagnostics::new())?;
        let is_lookup = |source: &Source| matches!(source, Source::Lookup { .. });
        let plain = |lookups: bool| {
            let own = mapping.fields.iter().filter(move |own| is_lookup(&own.1) == lookups);
            own.map(|(field, source)| filled(field, source, None))
        };
        let of_cases = mapping.cases.iter().flat_map(|case| {
            case.fields.iter().map(|(field, source)| filled(field, source, Some(&case.when)))
        });
        let of_classes = mapping.classes.iter().flat_map(|class| {
            class.set.iter().map(|(field, values)| Filled {
                field: field.clone(),
                from: Origin::Values(values.clone()),
                when: Some(told(&class.when)),
            })
        });
        // Tables are looked up after every case.
        let mut fields: Vec<Filled> =
            plain(false).chain(of_cases).chain(plain(true)).chain(of_classes).collect();
        fields.sort_by(|left, right| left.field.cmp(&right.field));
        let search = mapping.search.iter().map(|(word, field)| (word.value.clone(), field.clone()));
        let mut search: Vec<_> = search.collect();
        search.sort();
        Some(Self {
            detect: mapping.detect.as_ref().map(told),
            name: mapping.name,
            topics: mapping.topics,
            common: mapping.common,
            null: mapping.null,
            fields,
            search,
        })
    }

    /// The fields that it fills, in order.
    pub fn filled(&self) -> BTreeSet<&FieldName> {
        let filled = self.fields.iter().filter(|filled| filled.from != Origin::Nothing);
        filled.map(|filled| &filled.field).collect()
    }

    /// All values that it gives a field of its own, in order, and from where else the field may have
    /// others.
    pub fn values(&self, field: &FieldName) -> (BTreeSet<String>, Vec<&Filled>) {
        let (mut own, mut others) = (BTreeSet::new(), Vec::new());
        for filled in self.fields.iter().filter(|filled| filled.field == *field) {
            match &filled.from {
                Origin::Nothing => {}
                Origin::Values(values) => own.extend(values.iter().map(Scalar::to_string)),
                Origin::Record(_) | Origin::Table(_) => others.push(filled),
            }
        }
        (own, others)
    }
}

fn filled(field: &FieldName, source: &Source, when: Option<&Condition>) -> Filled {
    let from = match source {
        Source::Nothing => Origin::Nothing,
        Source::Value(values) => Origin::Values(values.clone()),
        Source::Path { paths, regex, letters } => {
            let found = regex.as_ref().map(|regex| format!(", what `{regex}` finds in it"));
            let found = found.unwrap_or_default();
            Origin::Record(format!("{}{found}{}", names(paths, ", else "), cased(*letters)))
        }
        Source::Join { paths, with, letters } => {
            let with = if with.is_empty() { "nothing".to_owned() } else { format!("`{with}`") };
            let paths = names(paths, " and ");
            Origin::Record(format!("{paths} with {with} between{}", cased(*letters)))
        }
        Source::Lookup { table, by, column } => {
            let table = &table.value;
            Origin::Table(format!("column `{column}` of table `{table}`, in the row of `{by}`"))
        }
    };
    Filled { field: field.clone(), from, when: when.map(told) }
}

/// A query as it is written, on one line; of several lines (which may have comments) what it means.
fn told(condition: &Condition) -> String {
    let written = condition.text.value.trim();
    if written.contains('\n') { condition.query.to_string() } else { written.to_owned() }
}

fn names<T: fmt::Display>(all: &[T], between: &str) -> String {
    all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(between)
}

const fn cased(letters: Letters) -> &'static str {
    match letters {
        Letters::AsTheyAre => "",
        Letters::Lower => ", in lower case",
        Letters::Upper => ", in upper case",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let told = Description::of(&SourceText::new("mappings/own.toml", text)).unwrap();
        let line = |filled: &Filled| {
            let when = filled.when.as_ref().map(|when| format!("  when {when}"));
            format!("{} = {}{}\n", filled.field, filled.from, when.unwrap_or_default())
        };
        expected.assert_eq(&told.fields.iter().map(line).collect::<String>());
    }

    #[test]
    fn every_kind_of_source_is_told_in_the_order_in_which_they_are_applied() {
        check(
            r#"
            topics = ["own"]
            [fields]
            "user.timezone"  = { table = "people", by = "user.email", column = "zone" }
            "source.ip"      = ["details.ip", "ip"]
            "event.provider" = { value = "own" }
            "event.action"   = { join = ["what", "how"], with = ".", lower = true }
            "user.email"     = { path = "who", regex = '^\S+@\S+$', upper = true }
            [[case]]
            when   = 'event.action: login.*'
            fields = { "event.action" = "raw_name", "source.ip" = "", "user.timezone" = "tz" }
            [[classify]]
            when = '''event.action: a  # one
              or event.action: b'''
            set  = { "event.category" = ["iam", "session"], "event.provider" = "other" }
            "#,
            &expect![[r"
                event.action = `raw.what` and `raw.how` with `.` between, in lower case
                event.action = `raw.raw_name`  when event.action: login.*
                event.category = `iam`, `session`  when event.action: a or event.action: b
                event.provider = `own`
                event.provider = `other`  when event.action: a or event.action: b
                source.ip = `raw.details.ip`, else `raw.ip`
                source.ip = nothing  when event.action: login.*
                user.email = `raw.who`, what `^\S+@\S+$` finds in it, in upper case
                user.timezone = `raw.tz`  when event.action: login.*
                user.timezone = column `zone` of table `people`, in the row of `user.email`
            "]],
        );
    }

    #[test]
    fn a_file_with_errors_is_not_described() {
        assert_eq!(Description::of(&SourceText::new("own.toml", "[fields]\nwho = 'x'")), None);
    }
}
