//! Titles and summaries: minijinja over the latest firing event and `alert.*`.
//!
//! A template can neither loop for ever (fuel), nor flood (length), nor lose an alert: when it fails,
//! the built-in text goes out with the template's error. A missing field renders as `–`; a field
//! with several values as `a, b`. `values('source.ip')` is a list of distinct values of the key's
//! events. Escaping for HTML or Markdown is the business of whoever shows the text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};

use crate::base::Diagnostic;
use crate::base::document::Text;
use crate::event::{FieldName, Scalar};

mod faults;
pub mod language;
pub mod sample;
mod scan;
mod variables;

use scan::{calls_of_values, find_name, marking_lower_bounds};
use variables::shown;

/// Steps that one rendering may take.
pub const FUEL: u64 = 20_000;
/// Characters of a template.
pub const TEMPLATE_CHARS_MAX: usize = 8_192;
/// Characters of a rendered title.
pub const LINE_CHARS_MAX: usize = 300;
/// Characters of a rendered summary.
pub const TEXT_CHARS_MAX: usize = 8_192;
/// Distinct values that `values(f)` keeps of one field.
pub const VALUES_MAX: usize = 16;

const NAME: &str = "template";
/// The filter that marks a number as a lower bound.
const AT_LEAST: &str = "_at_least";

/// A template that parses.
#[derive(Clone)]
pub struct Template {
    text: String,
    shape: Shape,
    /// Holds the one compiled template; a minijinja template borrows from its environment.
    environment: Arc<Environment<'static>>,
    used: Vec<Used>,
    values: Vec<Used>,
}

/// A field that a template names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The field.
    pub field: FieldName,
    /// Where the name stands in the template's text.
    pub span: Range<usize>,
}

/// Whether line breaks stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Line,
    Text,
}

/// What a template can show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateContext {
    /// The latest firing event's fields, the key's fields and `alert.*` ([`super::ALERT_FIELDS`]).
    pub fields: BTreeMap<FieldName, Vec<Scalar>>,
    /// Those of `alert.count`, `alert.value`, `alert.peak` that a bound made lower bounds: shown as `≥5`.
    pub lower_bounds: Vec<&'static str>,
    /// For `values(f)`: distinct values over the key's events, at most [`VALUES_MAX`] of each.
    pub values: BTreeMap<FieldName, Vec<Scalar>>,
}

/// What a template made of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text for people, within its bounds.
    pub text: String,
    /// Why the template failed, if it did: the text says so, too.
    pub failure: Option<String>,
}

impl Template {
    /// A template for one line: line breaks of the rendered text become spaces.
    pub fn line(text: &Text) -> Result<Self, Vec<Diagnostic>> {
        Self::new(text, Shape::Line)
    }

    /// A template for text of any number of lines.
    pub fn parse(text: &Text) -> Result<Self, Vec<Diagnostic>> {
        Self::new(text, Shape::Text)
    }

    fn new(text: &Text, shape: Shape) -> Result<Self, Vec<Diagnostic>> {
        let source = text.value.as_str();
        let report = |span: Range<usize>, message: String| {
            Err(vec![Diagnostic::error("bad-template", text.locate(span), message)])
        };
        if source.chars().count() > TEMPLATE_CHARS_MAX {
            return report(
                0..source.len(),
                format!("expected a template of at most {TEMPLATE_CHARS_MAX} characters"),
            );
        }
        let mut environment = environment();
        if let Err(error) = environment.add_template_owned(NAME, source.to_owned()) {
            let span = error.range().unwrap_or(0..source.len());
            return report(span, explain(&error));
        }
        let faults = faults::find(source, &environment);
        if !faults.is_empty() {
            let diagnostic = |fault: faults::Fault| Diagnostic {
                help: fault.help,
                ..Diagnostic::error("bad-template", text.locate(fault.span), fault.message)
            };
            return Err(faults.into_iter().map(diagnostic).collect());
        }
        let undeclared: BTreeSet<String> = environment
            .get_template(NAME)
            .map(|template| template.undeclared_variables(true).into_iter().collect())
            .unwrap_or_default();
        // The author's own text was compiled for its mistakes; this one is rendered.
        if let Err(error) =
            environment.add_template_owned(NAME, marking_lower_bounds(source, AT_LEAST))
        {
            return report(0..source.len(), explain(&error));
        }
        let globals: BTreeSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut used = Vec::new();
        for name in &undeclared {
            if name == "values" || globals.contains(name.as_str()) {
                continue;
            }
            let span = find_name(source, name).unwrap_or(0..source.len());
            used.push(Used { field: FieldName::from_keys([name.as_str()]), span });
        }
        used.sort_by_key(|u| u.span.start);
        let mut values = Vec::new();
        if undeclared.contains("values") {
            for (span, argument) in calls_of_values(source) {
                let Some(argument) = argument else {
                    return report(
                        span,
                        "expected a field in quotes: `values('source.ip')`".into(),
                    );
                };
                let name = source.get(argument.clone()).unwrap_or_default();
                match FieldName::parse(name) {
                    Ok(field) => values.push(Used { field, span: argument }),
                    Err(message) => return report(argument, message),
                }
            }
        }
        Ok(Self {
            text: source.to_owned(),
            shape,
            environment: Arc::new(environment),
            used,
            values,
        })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields it shows, `alert.*` included, with their places in the template.
    pub fn used(&self) -> &[Used] {
        &self.used
    }

    /// The arguments of `values(…)`, with their places in the template.
    pub fn used_values(&self) -> &[Used] {
        &self.values
    }

    /// The event fields that the alert must keep to render it: those of the latest firing event.
    pub fn fields(&self) -> Vec<FieldName> {
        let fields: BTreeSet<_> =
            self.used.iter().map(|u| &u.field).filter(|f| !super::is_alert_field(f)).collect();
        fields.into_iter().cloned().collect()
    }

    /// The event fields of which the alert must keep distinct values.
    pub fn values_fields(&self) -> Vec<FieldName> {
        let fields: BTreeSet<_> = self.values.iter().map(|u| &u.field).collect();
        fields.into_iter().cloned().collect()
    }

    /// The text for people. A template that fails gives `built_in` and the template's error.
    pub fn render(&self, context: &TemplateContext, built_in: &str) -> Rendered {
        let rendered = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(variables::of(context)));
        let (text, failure) = match rendered {
            Ok(text) => (text, None),
            Err(error) => {
                let why = explain(&error);
                (format!("{built_in} (template failed: {why})"), Some(why))
            }
        };
        let text = match self.shape {
            Shape::Line => tidy_line(&text),
            Shape::Text => tidy_text(&text),
        };
        Rendered { text, failure }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.shape == other.shape
    }
}

impl Eq for Template {}

/// The sandbox: no files, no other templates, bounded steps.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    language::add_to(&mut environment);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(32);
    environment.add_filter(
        AT_LEAST,
        |state: &minijinja::State<'_, '_>, value: &Value, name: &str| {
            let bounds = state.lookup(variables::LOWER_BOUNDS).unwrap_or_default();
            let bound =
                bounds.try_iter().is_ok_and(|mut names| names.any(|n| n.as_str() == Some(name)));
            let sign = if bound && !value.is_undefined() { "≥" } else { "" };
            format!("{sign}{}", shown(value, ", "))
        },
    );
    environment.set_formatter(|out, _state, value| {
        out.write_str(&shown(value, ", ")).map_err(minijinja::Error::from)
    });
    environment
}

fn explain(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("more than {FUEL} steps"),
        (ErrorKind::SyntaxError, Some(detail)) => format!("template: {detail}"),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}

/// One line, without control and direction characters, cut to its bound.
fn tidy_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().filter(|c| !is_direction(*c)) {
        if !(c.is_whitespace() || c.is_control()) {
            line.push(c);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    cut(line, LINE_CHARS_MAX)
}

fn tidy_text(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| (!c.is_control() || matches!(c, '\n' | '\t')) && !is_direction(*c))
        .collect();
    cut(kept.trim().to_owned(), TEXT_CHARS_MAX)
}

/// Characters that turn the direction of text: with them an event could forge what a title says.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text,
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Number;
    use expect_test::{Expect, expect};

    fn context() -> TemplateContext {
        let field = |name: &str| FieldName::parse(name).unwrap();
        let texts = |all: &[&str]| all.iter().map(|t| Scalar::from(*t)).collect::<Vec<_>>();
        TemplateContext {
            fields: BTreeMap::from([
                (field("user.name"), texts(&["mallory"])),
                (field("user.roles"), texts(&["admin", "ops"])),
                (field("labels.team"), texts(&["core"])),
                (field("labels.team.lead"), texts(&["ann"])),
                (field("message"), texts(&["two\nlines \u{202e}\u{7}<b>"])),
                (field("alert.count"), vec![Scalar::Number(Number::Int(5))]),
            ]),
            lower_bounds: Vec::new(),
            values: BTreeMap::from([(field("source.ip"), texts(&["203.0.113.7", "203.0.113.8"]))]),
        }
    }

    fn check(template: &str, expected: &Expect) {
        let template = Template::line(&Text::bare(template)).unwrap();
        expected.assert_eq(&template.render(&context(), "Failed logins").text);
    }

    fn refused(template: &str) -> (String, String) {
        let diagnostic = Template::line(&Text::bare(template)).unwrap_err().remove(0);
        (template.get(diagnostic.span.unwrap()).unwrap().to_owned(), diagnostic.message)
    }

    #[test]
    fn shows_fields_of_the_event_and_of_the_alert() {
        check(
            "{{ alert.count }} failed logins for {{ user.name }} from {{ values('source.ip') | join(', ') }}",
            &expect!["5 failed logins for mallory from 203.0.113.7, 203.0.113.8"],
        );
        check("{{ user.roles }} {{ user.roles | join('+') }}", &expect!["admin, ops admin+ops"]);
        check("{{ user.name | join(', ') }}", &expect!["mallory"]);
        check("{{ labels.team }} {{ labels.team.lead }}", &expect!["core ann"]);
        check("{% if alert.count > 4 %}many{% else %}few{% endif %}", &expect!["many"]);
    }

    #[test]
    fn a_number_that_is_only_a_lower_bound_says_so() {
        let text = "{{ alert.count }} and {{- alert.value -}} , {% if alert.count > 4 %}many{% endif %} {{ alert.count + 1 }}";
        let template = Template::line(&Text::bare(text)).unwrap();
        let mut context = context();
        assert_eq!(template.render(&context, "").text, "5 and–, many 6");
        context.lower_bounds = vec!["alert.count", "alert.value"];
        assert_eq!(template.render(&context, "").text, "≥5 and–, many 6");
        context.lower_bounds = vec!["alert.value"];
        assert_eq!(template.render(&context, "").text, "5 and–, many 6");
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        check(
            "{{ user.email }} {{ a.b.c }} {{ values('user.id') | join(', ') }}",
            &expect!["– – –"],
        );
        check("{{ user.email | default('nobody') }}", &expect!["nobody"]);
        check("{{ user.email or user.name }}", &expect!["mallory"]);
    }

    #[test]
    fn a_title_is_one_line_that_no_event_can_forge() {
        check("a\n {{ message }}", &expect!["a two lines <b>"]);
        let template = Template::line(&Text::bare("{{ 'x' * 5000 }}")).unwrap();
        let title = template.render(&context(), "t").text;
        assert_eq!(title.chars().count(), LINE_CHARS_MAX);
        assert!(title.ends_with('…'));
    }

    #[test]
    fn a_failing_template_gives_the_built_in_text_and_its_error() {
        check(
            "{% for i in range(90000) %}{{ i }}{% endfor %}",
            &expect!["Failed logins (template failed: more than 20000 steps)"],
        );
        check(
            "{{ labels.team.lead + 1 }}",
            &expect![
                "Failed logins (template failed: invalid operation: tried to use + operator on unsupported types string and number)"
            ],
        );
    }

    #[test]
    fn names_the_fields_that_the_alert_must_keep() {
        let text = "{{ alert.count }} {{ user.name }} {% set x = event.action %}{{ x }} {{ values(\"source.ip\")|length }} {{ range(3) }}";
        let template = Template::parse(&Text::bare(text)).unwrap();
        let names =
            |fields: Vec<FieldName>| fields.iter().map(FieldName::dotted).collect::<Vec<_>>();
        assert_eq!(names(template.fields()), ["event.action", "user.name"]);
        assert_eq!(names(template.values_fields()), ["source.ip"]);
        for used in template.used().iter().chain(template.used_values()) {
            assert_eq!(text.get(used.span.clone()), Some(used.field.dotted().as_str()));
        }
    }

    #[test]
    fn mistakes_are_shown_at_their_place() {
        let (at, message) = refused("count {{ alert.count } here");
        assert_eq!(
            (at.as_str(), message.as_str()),
            ("}", "template: unexpected `}`, expected end of variable block")
        );
        let (at, _) = refused("{{ values(user.name) }}");
        assert_eq!(at, "values(");
        let (at, _) = refused("{{ values('user..name') }}");
        assert_eq!(at, "user..name");
    }

    /// What would fail of a template: `place: message (help)`, one a line.
    fn faults(template: &str, expected: &Expect) {
        let line = |found: Diagnostic| {
            let at = template.get(found.span.unwrap()).unwrap();
            let help = found.help.map_or_else(String::new, |help| format!(" ({help})"));
            format!("{at}: {}{help}", found.message)
        };
        let found = Template::parse(&Text::bare(template)).err().unwrap_or_default();
        expected.assert_eq(&found.into_iter().map(line).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn words_that_there_are_not_are_found_with_the_nearest_one() {
        faults(
            "{{ alert.count }} {{ user.name | uper }}",
            &expect!["uper: unknown filter `uper` (did you mean `upper`?)"],
        );
        faults(
            "{{ user.name | uppercase | trim | jion(', ') }}",
            &expect![[r"
            uppercase: unknown filter `uppercase` (did you mean `upper`?)
            jion: unknown filter `jion` (did you mean `join`?)"]],
        );
        faults(
            "{{ user.name is defned }}{{ value('source.ip') }}",
            &expect![[r"
            defned: unknown test `defned` (did you mean `defined`?)
            value: unknown function `value` (did you mean `values`?)"]],
        );
        faults(
            "{{ user.roles | map('uper') }} {{ user.roles | select('od') }}",
            &expect![[r"
            'uper': unknown filter `uper` (did you mean `upper`?)
            'od': unknown test `od` (did you mean `odd`?)"]],
        );
        faults(
            "{{ user.name.upper() }} {{ user.name.frob() }}",
            &expect![[r"
            upper: expected a filter, found `.upper(…)`: values have no methods (write `user.name | upper`)
            frob: expected a filter, found `.frob(…)`: values have no methods"]],
        );
        faults(
            "{% include 'x' %}",
            &expect![
                "include 'x': `include` reads another template, and there is none (write its text here)"
            ],
        );
    }

    #[test]
    fn they_are_found_in_branches_that_nothing_reaches() {
        faults(
            "{% if false %}{% for x in user.roles %}{{ x | uper }}{% endfor %}{% endif %}{{ 'a' if true else b | lwer }}",
            &expect![[r"
                uper: unknown filter `uper` (did you mean `upper`?)
                lwer: unknown filter `lwer` (did you mean `lower`?)"]],
        );
        faults(
            "{% set x %}{% filter tile %}{{ 1/0 }}{% endfilter %}{% endset %}{{ x }}",
            &expect![[r"
                tile: unknown filter `tile` (did you mean `title`?)
                1/0: invalid operation: unable to calculate 1 / 0"]],
        );
    }

    #[test]
    fn expressions_that_fail_on_every_value_are_found() {
        faults(
            "{{ user.name + 1 }}",
            &expect![
                "user.name + 1: invalid operation: tried to use + operator on unsupported types string and number (`(x | int)` makes a number of a text, `~` puts texts together)"
            ],
        );
        faults(
            "{{ 1/0 }} {{ 7 % 0 }}",
            &expect![[r"
            1/0: invalid operation: unable to calculate 1 / 0
            7 % 0: invalid operation: unable to calculate 7 % 0"]],
        );
        faults(
            "{{ user.name | round }} {{ user.name | replace('a') }}",
            &expect![[r"
            round: invalid operation: cannot round value (string)
            replace: missing argument"]],
        );
        faults(
            "{{ -source.ip }} {{ (alert.count | string) - 1 }}",
            &expect![[r"
            -source.ip: invalid operation
            (alert.count | string) - 1: invalid operation: tried to use - operator on unsupported types string and number (`(x | int)` makes a number of a text, `~` puts texts together)"]],
        );
        faults(
            "{% for x in alert.count %}{{ x }}{% endfor %} {{ range('a') }}",
            &expect![[r"
            alert.count: invalid operation: number is not iterable
            range: invalid operation: cannot convert string to isize"]],
        );
    }

    #[test]
    fn what_can_be_shown_is_not_refused() {
        for template in [
            "{{ alert.count + 1 }} {{ alert.value * 100 | round }} {{ alert.peak / 2 }} {{ raw.n + 1 }}",
            "{{ labels.n + 1 }} {{ x }} {{ (user.id | int) + 1 }} {{ 'x' * 3 }} {{ user.name ~ 1 }}",
            "{% set n = user.name %}{{ n + 1 }}{% for r in user.roles %}{{ loop.index + 1 }}{{ r.x }}{% endfor %}",
            "{% macro who(name) %}{{ name | upper }}{% endmacro %}{{ who(user.name) }} {{ loop.cycle(1, 2) }}",
            "{{ user.roles[0] }} {{ user.name[:3] }} {{ user.roles | sort(reverse=true) | first | d('x', true) }}",
            "{% for ip in values('source.ip') | sort %}{{ ip }}{% endfor %}{{ event.duration + 1 }}",
            "{% with a = 1, b = user.name %}{{ a + 1 }}{{ b }}{% endwith %}{{ [1, 2] | sum }}",
        ] {
            faults(template, &expect![""]);
        }
    }

    #[test]
    fn every_word_has_an_example_that_shows_what_it_says() {
        let mut wrong = Vec::new();
        for word in [language::FILTERS, language::TESTS, language::FUNCTIONS].into_iter().flatten()
        {
            assert!(word.names().any(|name| word.example.contains(name)), "{}", word.example);
            let template = Template::parse(&Text::bare(word.example));
            let template = template.unwrap_or_else(|e| panic!("{}: {e:?}", word.example));
            let shown = template.render(&sample::alert(), "-").text;
            if shown != word.shows {
                wrong.push(format!("{} shows {shown}, not {}", word.example, word.shows));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
