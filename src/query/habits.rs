//! What hands that are used to other languages write into a value: wildcards in quotes, where they are
//! plain here, and a word that says what kind of value follows (`re:List.*`). Both read as texts that
//! hardly any event has.

use super::ast::{Literal, Term, Test};
use super::pattern::{Part, Pattern};
use super::print::{pattern_text, slashes_escaped};
use crate::base::Diagnostic;
use crate::event::schema::{self, Kind};

/// A quoted text with `*` or `?` in it, where without the quotes they would be wildcards.
pub(super) fn quoted_wildcard(term: &Term, in_element: bool) -> Option<Diagnostic> {
    let Test::Equals(Literal::Text(text), _) = &term.test else { return None };
    let span = &term.test_span.0;
    // Without quotes it is a wildcard unless a backslash says that it is none.
    let is_quoted = span.len() >= text.len() + 2 && !text.contains(['\\', '"']);
    let of_event = !in_element && term.field.is_common() && !term.field.is_pattern();
    if !is_quoted || is_regex(text) || !means_wildcards(text, of_event, &term.field.dotted()) {
        return None;
    }
    let plain = pattern_text(&Pattern::glob(text));
    let message = format!("in quotes `*` and `?` are plain: this asks for the very text `{text}`");
    let help = format!("without the quotes they are wildcards: `{plain}`");
    Some(Diagnostic::warning("quoted-wildcard", span.clone(), message).help(help))
}

/// Whether a text looks like a pattern, and not like one of those that really have such signs: a
/// policy's `*`, `s3:*` and `/admin/*` in a record, a question, an address with parameters.
fn means_wildcards(text: &str, of_event: bool, field: &str) -> bool {
    let is_prose = schema::find(field).is_some_and(|field| field.kind == Kind::Text)
        || ["url.", "http.", "process."].iter().any(|above| field.starts_with(above));
    let chars: Vec<char> = text.chars().collect();
    let beside_a_letter = |at: usize| {
        let is_word = |at: Option<usize>| {
            at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric() || *c == '_')
        };
        is_word(at.checked_sub(1)) || is_word(Some(at + 1))
    };
    let stars: Vec<usize> = (0..chars.len()).filter(|at| chars.get(*at) == Some(&'*')).collect();
    if of_event && !is_prose {
        let is_word = text.chars().all(|c| c.is_alphanumeric() || "_-.:@?".contains(c));
        return !stars.is_empty() || (text.contains('?') && is_word);
    }
    let is_word = text.chars().all(|c| c.is_alphanumeric() || "_-.*?".contains(c));
    is_word && stars.into_iter().any(beside_a_letter)
}

/// Whether it is a regex that stands in quotes: `"/admin.*/"` is a path with wildcards at best.
fn is_regex(text: &str) -> bool {
    text.len() > 1 && text.starts_with('/') && text.ends_with('/')
}

/// Words that other languages set before a regex.
const BEFORE_A_REGEX: [&str; 4] = ["re:", "regex:", "regexp:", "rx:"];

/// `re:List.*`: the word is a part of the value, and what follows it no regex.
pub(super) fn regex_as_text(term: &Term) -> Option<Diagnostic> {
    let text: String = match &term.test {
        Test::Equals(Literal::Text(text), _) => text.to_string(),
        Test::Like(pattern, _) => {
            let sign = |part: &Part| match *part {
                Part::Char(c) => c,
                Part::One => '?',
                Part::Any => '*',
            };
            pattern.parts().iter().map(sign).collect()
        }
        _ => return None,
    };
    let is_before =
        |word: &&&str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let word = BEFORE_A_REGEX.iter().find(is_before)?;
    let regex = text.get(word.len()..)?.trim();
    // `re:Invent` is a name.
    let has_signs = [".*", ".+", "^", "$", "[", "(", "|", "\\"].iter().any(|s| regex.contains(s));
    if !has_signs || regex_syntax::parse(regex).is_err() {
        return None;
    }
    let message = format!("`{word}` is a part of the value here: a regex stands between slashes");
    let help = format!("write `{}: /{}/`", term.field, slashes_escaped(regex));
    Some(Diagnostic::warning("regex-as-text", term.test_span.0.clone(), message).help(help))
}

#[cfg(test)]
mod tests {
    use crate::query::Query;

    fn told(text: &str) -> Vec<String> {
        let found = Query::parse(text).unwrap().check(&|_| None);
        let line = |d: crate::base::Diagnostic| {
            let at = text.get(d.span.unwrap()).unwrap();
            format!("{at} {}: {}", d.code, d.help.unwrap_or_default())
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn wildcards_in_quotes_are_told_with_the_form_that_has_them() {
        for (query, value, plain) in [
            ("event.action: \"List*\"", "\"List*\"", "List*"),
            ("event.action: (a or \"*.deleted\")", "\"*.deleted\"", "*.deleted"),
            (
                "not user_agent.original == \"*python requests*\"",
                "\"*python requests*\"",
                "*python\\ requests*",
            ),
            ("user.name: \"adm?n\"", "\"adm?n\"", "adm?n"),
            ("user.name: \"*\"", "\"*\"", "*"),
            ("raw.eventName: \"List*\"", "\"List*\"", "List*"),
            ("message: \"*denied*\"", "\"*denied*\"", "*denied*"),
        ] {
            assert_eq!(
                told(query),
                [format!(
                    "{value} quoted-wildcard: without the quotes they are wildcards: `{plain}`"
                )]
            );
        }
    }

    #[test]
    fn stars_and_question_marks_that_are_meant_are_left_alone() {
        for fine in [
            "event.action: List*",
            "event.action: List\\*",
            "raw.verb: \"*\"",
            "raw.policy.action: \"s3:*\"",
            "raw.policy.action: \"s3:Get*\"",
            "raw.paths: \"/admin/*\"",
            "raw.rules: { verbs: \"*\" and resources: \"*\" }",
            "url.full: \"https://example.com/?q=x*\"",
            "message: \"*** done\"",
            "event.reason: \"who are you?\"",
            "\"free*text\"",
        ] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }

    #[test]
    fn a_word_before_a_regex_is_told_and_a_name_with_a_colon_is_none() {
        assert_eq!(
            told("event.action: re:List.* or url.path == \"Regex:^/a\""),
            [
                "re:List.* regex-as-text: write `event.action: /List.*/`",
                "\"Regex:^/a\" regex-as-text: write `url.path: /^\\/a/`",
            ]
        );
        for fine in ["raw.event: re:Invent*", "raw.subject: \"re: your mail\"", "raw.x: more:a.*"] {
            assert_eq!(told(fine), [] as [String; 0], "{fine}");
        }
    }
}
