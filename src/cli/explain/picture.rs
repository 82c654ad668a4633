//! An explanation as a tree that people read: a line for each part of the query, the values beside it.

use std::fmt::Write as _;

use crate::engine::RuleExplanation;
use crate::engine::explain::{ExceptionExplanation, Outcome, PartExplanation};
use crate::query::Explanation;
use crate::query::explain::Kind;

/// Values stand below each other up to this column; behind a longer query they follow it.
const COLUMN_MAX: usize = 56;

/// A line: what stands in the tree, whether it holds if that is a question, and what was seen.
struct Row {
    depth: usize,
    holds: Option<bool>,
    text: String,
    seen: String,
}

/// The tree of one event, without a line end.
pub(super) fn draw(told: &RuleExplanation, index: u64, timeless: bool, colour: bool) -> String {
    let mut rows = Vec::new();
    let one = told.parts.len() == 1;
    for part in &told.parts {
        part_rows(part, one, &mut rows);
    }
    for exception in &told.exceptions {
        exception_rows(exception, &mut rows);
    }
    let paint = Paint { colour };
    let mut text = heading(told, index, timeless, &paint);
    let width = |row: &Row| 2 * row.depth + 2 + row.text.chars().count();
    let column = rows.iter().filter(|row| !row.seen.is_empty()).map(width);
    let column = column.filter(|width| *width <= COLUMN_MAX).max().unwrap_or_default();
    for row in &rows {
        let mark = row.holds.map_or_else(|| "•".to_owned(), |holds| paint.mark(holds));
        let room = " ".repeat(2 * row.depth);
        let _infallible = write!(text, "\n  {room}{mark} {}", row.text);
        if !row.seen.is_empty() {
            let gap = " ".repeat(column.saturating_sub(width(row)) + 2);
            let _infallible = write!(text, "{gap}{}", paint.dim(&row.seen));
        }
    }
    if let Some(next) = next(told) {
        let _infallible = write!(text, "\n  → {next}");
    }
    text.push('\n');
    text
}

fn heading(told: &RuleExplanation, index: u64, timeless: bool, paint: &Paint) -> String {
    let takes_part = told.outcome == Outcome::TakesPart;
    let outcome = match told.outcome {
        Outcome::TakesPart => "takes part in",
        Outcome::Unmet => "does not match",
        Outcome::Excepted => "matches, but is excepted from",
        Outcome::Unkeyed => "matches, but has no key for",
    };
    let mapping = match &*told.mapping {
        "" => "no mapping".to_owned(),
        mapping => format!("mapping {mapping}"),
    };
    let time = if timeless {
        "no time of its own, judged as of now".to_owned()
    } else {
        told.time.to_string()
    };
    let off = if told.enabled { "" } else { ", which is switched off" };
    let (mark, rule, title) = (paint.mark(takes_part), &told.rule, &told.title);
    format!("{mark} event {index} {outcome} {rule} ({title}){off}\n  {time}, {mapping}")
}

fn part_rows(part: &PartExplanation, one: bool, rows: &mut Vec<Row>) {
    let mut depth = 0;
    if !one {
        let name = part.name.as_deref().unwrap_or("a part");
        let (holds, seen) = (Some(part.when.holds), String::new());
        rows.push(Row { depth, holds, text: format!("part `{name}`"), seen });
        depth = 1;
    }
    query_rows(&part.when, depth, rows);
    if !one && !part.when.holds {
        // Whose signal it would be does not matter.
        return;
    }
    for field in &part.missing {
        let text = format!("group_by {field}");
        rows.push(Row { depth, holds: Some(false), text, seen: "missing".to_owned() });
    }
    for key in part.keys.iter().filter(|key| !key.is_empty()) {
        let fields: Vec<String> = key.iter().map(|(field, v)| format!("{field} = {v}")).collect();
        rows.push(Row { depth, holds: None, text: "key".to_owned(), seen: fields.join(", ") });
    }
    if part.more_keys > 0 {
        let seen = format!("{} more", part.more_keys);
        rows.push(Row { depth, holds: None, text: "keys".to_owned(), seen });
    }
}

fn exception_rows(exception: &ExceptionExplanation, rows: &mut Vec<Row>) {
    let until = match (exception.until, exception.ended) {
        (Some(until), true) => format!(", ended {until}"),
        (Some(until), false) => format!(", until {until}"),
        (None, _) => String::new(),
    };
    let holds = exception.when.holds && !exception.ended;
    let verdict = if holds { "holds" } else { "does not hold" };
    let text = format!("exception {verdict}: {}{until}", exception.reason);
    rows.push(Row { depth: 0, holds: Some(holds), text, seen: String::new() });
    query_rows(&exception.when, 1, rows);
}

fn query_rows(told: &Explanation, depth: usize, rows: &mut Vec<Row>) {
    let row =
        |text: &str, seen| Row { depth, holds: Some(told.holds), text: text.to_owned(), seen };
    match (told.kind, told.parts.as_slice()) {
        // A denied term is one line: what was seen is the term's.
        (Kind::Not, [denied]) if denied.parts.is_empty() => {
            rows.push(row(&told.query, denied.seen_in_words()));
            return;
        }
        (Kind::All, _) => rows.push(row("all of", String::new())),
        (Kind::Any, _) => rows.push(row("any of", String::new())),
        (Kind::Not, _) => rows.push(row("not", String::new())),
        (Kind::Element, _) => rows.push(row("element", told.query.clone())),
        (Kind::Term | Kind::FreeText | Kind::Elements, _) => {
            rows.push(row(&told.query, told.seen_in_words()));
        }
    }
    for part in &told.parts {
        query_rows(part, depth + 1, rows);
    }
}

/// Where the event goes, if it goes anywhere.
fn next(told: &RuleExplanation) -> Option<String> {
    if told.outcome != Outcome::TakesPart {
        return None;
    }
    Some(match &told.detector {
        None => "the rule fires on every such event".to_owned(),
        Some(detector) => {
            let (table, settings) = (detector.table, &detector.settings);
            let when =
                if detector.on_the_clock { ", judged when the clock has passed it" } else { "" };
            // A rule with one condition has no name for it.
            let counts = told.parts.iter().filter(|part| part.when.holds && !part.keys.is_empty());
            let names: Vec<String> = counts
                .filter_map(|part| part.name.as_ref())
                .map(|name| format!("`{name}`"))
                .collect();
            let role = if names.is_empty() {
                String::new()
            } else {
                format!(" as {}", names.join(" and "))
            };
            format!("counts{role} towards [{table}] {settings}{when}")
        }
    })
}

/// Colours, where they make sense.
struct Paint {
    colour: bool,
}

impl Paint {
    fn mark(&self, holds: bool) -> String {
        let (code, mark) = if holds { ("32", "✓") } else { ("31", "✗") };
        self.with(code, mark)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
