//! Values that a common field never has: words that ECS does not know, texts where an address is
//! asked for, names of fields that are read as texts. Such a term is false of every event, and its
//! `not` true of every one, so a rule with it would be silent, or loud, without a word.

use std::net::IpAddr;
use std::ops::Range;

use super::ast::{Case, Expr, Literal, Term, Test};
use super::fold;
use super::pattern::Part;
use super::print::bare_or_quoted;
use crate::base::{Diagnostic, suggest};
use crate::event::FieldName;
use crate::event::schema::{self, Kind};

/// The words of ECS for the fields that have a fixed set of them.
const WORDS: [(&str, &[&str]); 4] = [
    ("event.outcome", &["success", "failure", "unknown"]),
    (
        "event.kind",
        &["alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"],
    ),
    (
        "event.category",
        &[
            "api",
            "authentication",
            "configuration",
            "database",
            "driver",
            "email",
            "file",
            "host",
            "iam",
            "intrusion_detection",
            "library",
            "malware",
            "network",
            "package",
            "process",
            "registry",
            "session",
            "threat",
            "vulnerability",
            "web",
        ],
    ),
    (
        "event.type",
        &[
            "access",
            "admin",
            "allowed",
            "change",
            "connection",
            "creation",
            "deletion",
            "denied",
            "device",
            "end",
            "error",
            "group",
            "indicator",
            "info",
            "installation",
            "protocol",
            "start",
            "user",
        ],
    ),
];

/// Whether a field of the outer event has a few words of ECS as its values.
pub fn has_words(field: &FieldName) -> bool {
    WORDS.iter().any(|(name, _)| field.dotted() == *name)
}

/// What is doubtful about the value that a term of the outer event asks for.
pub(super) fn value(term: &Term) -> Option<Diagnostic> {
    let Test::Equals(literal, case) = &term.test else { return None };
    if term.field.is_pattern() {
        return None;
    }
    let span = term.test_span.0.clone();
    let name = term.field.dotted();
    let text = match literal {
        Literal::Text(text) => text.to_string(),
        Literal::Number(number) => number.to_string(),
    };
    if is_bare(&span, &text)
        && let Some(meant) = field_in(&text)
    {
        let message = format!("`{text}` is read as a text here, not as a field");
        let help =
            format!("to compare two fields write `{meant}`; for the text use quotes: `\"{text}\"`");
        return Some(Diagnostic::warning("field-as-text", span, message).help(help));
    }
    if schema::find(&name).is_some_and(|field| field.kind == Kind::Ip) {
        if text.parse::<IpAddr>().is_ok() {
            return None;
        }
        let message = format!("`{name}` is an address, and `{text}` is none");
        let help = "write a whole address, a network such as `10.0.0.0/8`, or wildcards: `10.1.*`";
        return Some(Diagnostic::warning("not-an-address", span, message).help(help));
    }
    let words = WORDS.iter().find(|(field, _)| *field == name)?.1;
    let known = words.iter().any(|word| match case {
        Case::Ignored => fold::equal(word, &text),
        Case::Exact => **word == *text,
    });
    if known {
        return None;
    }
    let help = match suggest::nearest(&text, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its words are those of ECS: {}", words.join(", ")),
    };
    let message = format!("`{text}` is no word of `{name}`");
    Some(Diagnostic::warning("unknown-word", span, message).help(help))
}

/// Fields of the outer event that have one value at most, whatever the mapping: what else may be a
/// list in some product's record.
const ONE_VALUE: [&str; 8] = [
    "event.outcome",
    "event.kind",
    "event.dataset",
    "event.id",
    "rule.id",
    "rule.status",
    "alert.status",
    "alert.severity",
];

/// Two values that one field is asked for at once, told at the second.
pub(super) fn two_values(parts: &[Expr]) -> Vec<Diagnostic> {
    let mut asked: Vec<(&Term, &str)> = Vec::new();
    let mut found = Vec::new();
    for part in parts {
        let Expr::Term(term) = part else { continue };
        let Test::Equals(Literal::Text(text), _) = &term.test else { continue };
        let name = term.field.dotted();
        if term.field.is_pattern() || !ONE_VALUE.contains(&name.as_str()) {
            continue;
        }
        let other =
            asked.iter().find(|(own, other)| own.field == term.field && !fold::equal(other, text));
        match other {
            Some((_, other)) => {
                let (other, own) = (bare_or_quoted(other), bare_or_quoted(text));
                let message = format!(
                    "this is never true: `{name}` has one value, and `{other}` is asked for as well"
                );
                let span = term.test_span.0.clone();
                found.push(
                    Diagnostic::warning("never-true", span, message)
                        .help(format!("for either write `{name}: ({other} or {own})`")),
                );
            }
            None => asked.push((term, text)),
        }
    }
    found
}

/// What is doubtful about signs that elsewhere are no part of a value: single quotes around it, commas
/// between several.
pub(super) fn signs(term: &Term) -> Option<Diagnostic> {
    let (text, case) = match &term.test {
        Test::Equals(Literal::Text(text), case) => (text.to_string(), *case),
        Test::Like(pattern, case) => (pattern.parts().iter().copied().map(sign).collect(), *case),
        _ => return None,
    };
    let span = term.test_span.0.clone();
    // In quotes or with a backslash, it is the text that is meant.
    if span.len() != text.len() {
        return None;
    }
    if text.len() > 1 && text.starts_with('\'') && text.ends_with('\'') {
        let inner = text.trim_matches('\'');
        let plain = bare_or_quoted(inner);
        let message = if plain == inner {
            format!("the single quotes are part of the value; without them: `{plain}`")
        } else {
            format!("the single quotes are part of the value; quotes are double: `\"{inner}\"`")
        };
        return Some(Diagnostic::warning("single-quotes", span, message));
    }
    let is_word = |word: &str| {
        let part = |c: char| c.is_alphanumeric() || "_-.:@*?".contains(c);
        !word.is_empty() && word.chars().all(part)
    };
    let words: Vec<&str> = text.split(',').collect();
    if words.len() < 2 || !words.iter().all(|word| is_word(word)) {
        return None;
    }
    let sign = if case == Case::Exact { " ==" } else { ":" };
    let any = words.join(" or ");
    let message = format!("`{text}` is one value here, with its commas");
    let help = format!(
        "for any of them write `{}{sign} ({any})`; for the one value use quotes: `\"{text}\"`",
        term.field
    );
    Some(Diagnostic::warning("list-as-text", span, message).help(help))
}

fn sign(part: Part) -> char {
    match part {
        Part::Char(c) => c,
        Part::One => '?',
        Part::Any => '*',
    }
}

/// Whether the text stands there without quotes: these would take two bytes more.
fn is_bare(span: &Range<usize>, text: &str) -> bool {
    span.len() < text.len() + 2
}

/// How the field is written that a text spells: `$user.id`, and `$steps.login.user.id` for what reads
/// like a step's.
fn field_in(text: &str) -> Option<String> {
    let is_field = |name: &str| name.contains('.') && schema::find(name).is_some();
    let text = text.strip_prefix("steps.").unwrap_or(text);
    if is_field(text) {
        return Some(format!("${text}"));
    }
    let (_, own) = text.split_once('.')?;
    is_field(own).then(|| format!("$steps.{text}"))
}

#[cfg(test)]
mod tests {
    use crate::query::Query;

    fn told(text: &str) -> Vec<String> {
        let found = Query::parse(text).unwrap().check(&|_| None);
        found
            .into_iter()
            .map(|d| {
                format!(
                    "{} {}: {}; {}",
                    text.get(d.span.unwrap()).unwrap(),
                    d.code,
                    d.message,
                    d.help.unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn a_word_that_a_field_never_has_is_told_with_the_one_that_is_meant() {
        assert_eq!(
            told("event.outcome: (failed or Failure) and not event.outcome == Success"),
            [
                "failed unknown-word: `failed` is no word of `event.outcome`; did you mean `failure`?",
                "Success unknown-word: `Success` is no word of `event.outcome`; did you mean `success`?",
            ]
        );
        assert_eq!(
            told("event.outcome: 0"),
            [
                "0 unknown-word: `0` is no word of `event.outcome`; its words are those of ECS: success, failure, unknown"
            ]
        );
        for fine in [
            "event.outcome: fail*",
            "event.kind: ALERT",
            "event.type: (user and change)",
            "event.action: failed",
            "raw.event.outcome: failed",
            "raw.list: { event.outcome: failed }",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }

    #[test]
    fn two_values_of_a_field_that_has_one_are_never_met() {
        let either = |other: &str, own: &str| {
            format!(
                "{own} never-true: this is never true: `event.outcome` has one value, and `{other}` is asked for as well; for either write `event.outcome: ({other} or {own})`"
            )
        };
        assert_eq!(
            told("event.outcome: success and user.name: x and event.outcome: failure"),
            [either("success", "failure")]
        );
        assert_eq!(told("event.outcome: (failure and success)"), [either("failure", "success")]);
        for fine in [
            "event.outcome: (success or failure)",
            "event.outcome: success and event.outcome == success",
            "event.outcome: success and not event.outcome: failure",
            "event.type: user and event.type: change",
            "event.action: a and event.action: b",
            "raw.list: { event.outcome: success and event.outcome: failure }",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }

    #[test]
    fn commas_and_single_quotes_in_a_value_are_told_unless_they_are_meant() {
        assert_eq!(
            told("event.action: login,log*t and raw.list: { n == A,B }"),
            [
                "login,log*t list-as-text: `login,log*t` is one value here, with its commas; for any of them write `event.action: (login or log*t)`; for the one value use quotes: `\"login,log*t\"`",
                "A,B list-as-text: `A,B` is one value here, with its commas; for any of them write `n == (A or B)`; for the one value use quotes: `\"A,B\"`",
            ]
        );
        assert_eq!(
            told("raw.a: ('x' or 'y*')"),
            [
                "'x' single-quotes: the single quotes are part of the value; without them: `x`; ",
                "'y*' single-quotes: the single quotes are part of the value; quotes are double: `\"y*\"`; ",
            ]
        );
        for fine in [
            "raw.a: \"x,y\"",
            "raw.a: x\\,y",
            "raw.a: CN=x,OU=y",
            "raw.a: ,x",
            "raw.a: x,",
            "raw.a: \"'x'\"",
            "raw.a: /x,y/",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }

    #[test]
    fn a_text_where_an_address_is_asked_for_is_told() {
        let help = "write a whole address, a network such as `10.0.0.0/8`, or wildcards: `10.1.*`";
        for (query, value, text) in [
            ("source.ip: 10.1.2", "10.1.2", "10.1.2"),
            ("source.ip: \"bob\"", "\"bob\"", "bob"),
            ("source.ip: 10", "10", "10"),
        ] {
            assert_eq!(
                told(query),
                [format!(
                    "{value} not-an-address: `source.ip` is an address, and `{text}` is none; {help}"
                )]
            );
        }
        for fine in [
            "source.ip: 10.1.*",
            "source.ip: 10.0.0.0/8",
            "source.ip == \"10.1.2.3\"",
            "source.ip: \"2001:db8::1\"",
            "source.ip: *",
            "raw.ip: x",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }

    #[test]
    fn a_field_that_is_read_as_a_text_is_told_with_how_fields_are_compared() {
        assert_eq!(
            told(
                "user.name == target.name or source.ip: login.source.ip or user.id: steps.login.user.id"
            ),
            [
                "target.name field-as-text: `target.name` is read as a text here, not as a field; to compare two fields write `$target.name`; for the text use quotes: `\"target.name\"`",
                "login.source.ip field-as-text: `login.source.ip` is read as a text here, not as a field; to compare two fields write `$steps.login.source.ip`; for the text use quotes: `\"login.source.ip\"`",
                "steps.login.user.id field-as-text: `steps.login.user.id` is read as a text here, not as a field; to compare two fields write `$steps.login.user.id`; for the text use quotes: `\"steps.login.user.id\"`",
            ]
        );
        for fine in [
            "target.name: \"user.name\"",
            "event.action: user.session.start",
            "user.name: $target.name",
            "event.action: message",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }
}
