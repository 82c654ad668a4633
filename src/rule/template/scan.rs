//! What minijinja does not tell about a template's text: where names and calls stand in it.

use std::ops::Range;

/// The numbers of an alert that a bound can make lower bounds.
const LOWER_BOUNDS: [&str; 3] = ["alert.count", "alert.value", "alert.peak"];

/// `{{ alert.count }}` with the filter that marks a lower bound as one. Where such a number is
/// computed with or compared, it stays a number.
pub(super) fn marking_lower_bounds(source: &str, filter: &str) -> String {
    let mut marked = String::new();
    let mut rest = source;
    while let Some((before, inside)) = rest.split_once("{{") {
        marked.push_str(before);
        marked.push_str("{{");
        rest = inside;
        let Some((expression, _)) = inside.split_once("}}") else { break };
        let name = expression.trim_matches(['-', '+']).trim();
        if LOWER_BOUNDS.contains(&name)
            && let Some((head, _)) = expression.split_once(name)
        {
            marked.extend([head, name, " | ", filter, "('", name, "')"]);
            rest = inside.get(head.len() + name.len()..).unwrap_or_default();
        }
    }
    marked.push_str(rest);
    marked
}

/// Where `name` stands as a whole name.
pub(super) fn find_name(source: &str, name: &str) -> Option<Range<usize>> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\'' | '"');
    source.match_indices(name).find_map(|(at, _)| {
        let end = at + name.len();
        let before = source.get(..at)?.chars().next_back();
        let after = source.get(end..)?.chars().next();
        let whole = !before.is_some_and(part)
            && !after.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '\'' | '"'));
        whole.then_some(at..end)
    })
}

/// The calls of `values(`: where, and where the quoted argument's inside is, if there is just one.
pub(super) fn calls_of_values(source: &str) -> Vec<(Range<usize>, Option<Range<usize>>)> {
    let mut calls = Vec::new();
    for (at, _) in source.match_indices("values") {
        let before = source.get(..at).and_then(|s| s.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) {
            continue;
        }
        let after = source.get(at + "values".len()..).unwrap_or_default();
        let Some(inside) = after.trim_start().strip_prefix('(') else { continue };
        let inside_at = source.len() - inside.len();
        let literal = inside.trim_start();
        let literal_at = source.len() - literal.len();
        let argument = literal.chars().next().filter(|c| matches!(c, '\'' | '"')).and_then(|q| {
            let body = literal.get(1..)?;
            let end = body.find(q)?;
            let closed = body.get(end + 1..)?.trim_start().starts_with(')');
            closed.then_some(literal_at + 1..literal_at + 1 + end)
        });
        calls.push((at..inside_at, argument));
    }
    calls
}
