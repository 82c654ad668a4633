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

impl Template {
    /// A template for one line: line breaks of the rendered text become spaces.
    pub fn line(text: &Text) -> Result<Self, Diagnostic> {
        Self::new(text, Shape::Line)
    }

    /// A template for text of any number of lines.
    pub fn parse(text: &Text) -> Result<Self, Diagnostic> {
        Self::new(text, Shape::Text)
    }

    fn new(text: &Text, shape: Shape) -> Result<Self, Diagnostic> {
        let source = text.value.as_str();
        let report = |span: Range<usize>, message: String| {
            Err(Diagnostic::error("bad-template", text.locate(span), message))
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
    pub fn render(&self, context: &TemplateContext, built_in: &str) -> String {
        let rendered = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(variables::of(context)));
        let text = match rendered {
            Ok(text) => text,
            Err(error) => format!("{built_in} (template failed: {})", explain(&error)),
        };
        match self.shape {
            Shape::Line => tidy_line(&text),
            Shape::Text => tidy_text(&text),
        }
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
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(32);
    // `debug()` would print every field; `namespace()` is the one way to grow a text in a loop.
    environment.remove_global("debug");
    environment.remove_global("namespace");
    // One value is a text, not a list of letters: `{{ user.roles | join(', ') }}` works for both.
    environment.add_filter("join", |value: &Value, separator: Option<&str>| {
        shown(value, separator.unwrap_or_default())
    });
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
        expected.assert_eq(&template.render(&context(), "Failed logins"));
    }

    fn refused(template: &str) -> (String, String) {
        let diagnostic = Template::line(&Text::bare(template)).unwrap_err();
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
        assert_eq!(template.render(&context, ""), "5 and–, many 6");
        context.lower_bounds = vec!["alert.count", "alert.value"];
        assert_eq!(template.render(&context, ""), "≥5 and–, many 6");
        context.lower_bounds = vec!["alert.value"];
        assert_eq!(template.render(&context, ""), "5 and–, many 6");
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
        let title = template.render(&context(), "t");
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
            "{{ user.name + 1 }}",
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
}
