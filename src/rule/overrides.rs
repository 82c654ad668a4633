//! Override files: a pack of rules is tuned without being forked (RULES §1).
//!
//! A file below the rules root that holds nothing but `[[override]]` tables is no rule. Each table
//! names rules by globs over their ids, `set`s some of their keys, and may add exceptions to theirs.
//! Overrides are laid over the rule as written, file by file in order of their paths, from top to
//! bottom: later ones win. A rule must be right on its own, and right again with its overrides.
//!
//! What comes of it is a text again: the rule's, followed by the overrides that hold for it. It is
//! what `control` stores of a version, so that any instance reads the same rule out of it; and a
//! mistake in it still stands at a place of one of the files, which is where it is told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::diagnostic::SourceText;
use crate::base::document::{Document, Table, Text};
use crate::base::{Diagnostic, Diagnostics, suggest};
use crate::query::pattern::Pattern;

use super::syntax::parse_overridden;
use super::{Context, Rule, RuleFile, keys};

/// Override tables that are read together.
pub const OVERRIDES_MAX: usize = 1_000;

/// What no override may change: the name that alerts and memory go by, and the tests, which say what
/// the rule does as written.
const FIXED: [&str; 3] = ["id", "test", "override"];

/// A rule that was read, or not, and what there is to say of its file.
pub(super) type Parsed = (Option<Rule>, Diagnostics);

/// All overrides that are read together.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    blocks: Vec<Block>,
}

/// One `[[override]]`.
#[derive(Debug)]
struct Block {
    /// The number of its file.
    file: usize,
    /// Where it stands there, header included, up to the next one.
    range: Range<usize>,
    globs: Vec<Glob>,
}

#[derive(Debug)]
struct Glob {
    text: Text,
    pattern: Pattern,
    /// Whether some rule is named by it.
    met: bool,
}

/// A piece of an override file inside a rule's text.
struct Piece {
    /// Where it stands in the rule's text.
    at: Range<usize>,
    file: usize,
    /// Where it begins in its file.
    start: usize,
}

/// Whether a file holds overrides and no rule.
pub(super) fn is_override_file(text: &str) -> bool {
    if !text.contains("override") {
        return false;
    }
    let document = Document::parse(text);
    let root = document.root(&mut Diagnostics::new());
    let of_a_rule = ["title", "severity", "when"].iter().any(|key| root.has(key));
    // All of them may be commented out.
    (root.has("override") || root.keys().is_empty()) && !of_a_rule
}

impl Overrides {
    /// Reads one file; the first mistake in it keeps all of its overrides from being used.
    pub(super) fn read(&mut self, file: usize, source: &SourceText) -> Diagnostics {
        let document = Document::parse(&source.text);
        let mut found = Diagnostics::new();
        let mut root = document.root_as(keys::OVERRIDE_FILE, &mut found);
        let tables = root.tables("override", &mut found);
        root.finish_with(&mut found, |_| {
            Some("an override file holds `[[override]]` tables and nothing else".to_owned())
        });
        let starts: Vec<usize> = tables.iter().map(|table| table.span().start).collect();
        let ends = starts.iter().copied().skip(1).chain([source.text.len()]);
        let mut blocks = Vec::new();
        for (table, (start, end)) in tables.into_iter().zip(starts.iter().copied().zip(ends)) {
            let header = table.span();
            if !source.text.get(start..).is_some_and(|rest| rest.starts_with("[[")) {
                let message = "expected a table with the header `[[override]]`, found another form";
                found.push(Diagnostic::error("bad-override", header, message));
                continue;
            }
            if self.blocks.len() + blocks.len() >= OVERRIDES_MAX {
                let message = format!("expected at most {OVERRIDES_MAX} overrides");
                found.push(Diagnostic::error("bad-override", header, message));
                break;
            }
            let globs = globs(table, &mut found);
            blocks.push(Block { file, range: start..end, globs });
        }
        if !found.has_errors() {
            self.blocks.extend(blocks);
        }
        if !document.is_well_formed() {
            // What is missing may only stand behind the mistake of syntax.
            return found
                .into_iter()
                .filter(|diagnostic| diagnostic.code != "missing-key")
                .collect();
        }
        found
    }

    /// Lays the overrides over the rules; what is wrong is told at its place, in `parsed`, which has
    /// an entry for each file. Gives the overridden rules as their files have them, by id.
    pub(super) fn apply(
        mut self,
        files: &[RuleFile],
        parsed: &mut [Parsed],
        context: &Context<'_>,
    ) -> BTreeMap<Arc<str>, Arc<Rule>> {
        let ids: Vec<Arc<str>> = parsed
            .iter()
            .zip(files)
            .filter(|(_, file)| !is_override_file(&file.source.text))
            .map(|((rule, _), file)| {
                rule.as_ref().map_or_else(|| file.id().into(), |r| r.id.clone())
            })
            .collect();
        let mut written = BTreeMap::new();
        let mut told: BTreeMap<usize, Vec<Told>> = BTreeMap::new();
        for (n, file) in files.iter().enumerate() {
            let Some((rule, found)) = parsed.get_mut(n) else { continue };
            let Some(own) = rule.as_ref() else { continue };
            let (source, pieces) = self.laid_over(own, files);
            if pieces.is_empty() {
                continue;
            }
            let (overridden, more) = parse_overridden(&source, &file.id(), context);
            let id = own.id.clone();
            for diagnostic in more {
                if found.iter().any(|known| *known == diagnostic) {
                    continue;
                }
                match placed(diagnostic, &pieces) {
                    (Some(file), diagnostic) => {
                        tell(told.entry(file).or_default(), diagnostic, &id);
                    }
                    (None, diagnostic) => found.push(explained(diagnostic, &pieces, files)),
                }
            }
            if let Some(own) = std::mem::replace(rule, overridden) {
                written.insert(id, Arc::new(own));
            }
        }
        for (file, told) in told {
            if let Some((_, found)) = parsed.get_mut(file) {
                found.extend(told.into_iter().map(Told::into_diagnostic));
            }
        }
        self.tell_unmet(&ids, parsed);
        written
    }

    /// The rule's text followed by every override that names it, and where these stand.
    fn laid_over(&mut self, rule: &Rule, files: &[RuleFile]) -> (SourceText, Vec<Piece>) {
        let mut text = rule.source.text.to_string();
        let mut pieces = Vec::new();
        for block in &mut self.blocks {
            let mut named = false;
            for glob in &mut block.globs {
                let meets = glob.pattern.is_like(&rule.id);
                glob.met |= meets;
                named |= meets;
            }
            let Some(source) = files.get(block.file).map(|file| &file.source) else { continue };
            let Some(own) = source.text.get(block.range.clone()).filter(|_| named) else {
                continue;
            };
            text.push_str("\n\n# From ");
            // A path may hold any character, a comment may not.
            text.extend(source.path.display().to_string().chars().filter(|c| !c.is_control()));
            text.push_str(":\n");
            let at = text.len()..text.len() + own.len();
            text.push_str(own);
            pieces.push(Piece { at, file: block.file, start: block.range.start });
        }
        (SourceText::new(&rule.source.path, text), pieces)
    }

    /// A glob that names no rule is most likely mistyped, or its rule is gone.
    fn tell_unmet(&self, ids: &[Arc<str>], parsed: &mut [Parsed]) {
        for block in &self.blocks {
            let Some((_, found)) = parsed.get_mut(block.file) else { continue };
            for glob in block.globs.iter().filter(|glob| !glob.met) {
                let text = &glob.text;
                if ids.iter().any(|id| glob.pattern.is_like(id)) {
                    // A rule that is there, with mistakes of its own.
                    continue;
                }
                let message = format!("no rule that was read has an id like `{}`", text.value);
                let span = text.locate(0..text.value.len());
                let warning = Diagnostic::warning("override-meets-no-rule", span, message);
                let near = suggest::nearest(&text.value, ids.iter().map(AsRef::as_ref));
                found.push(match near {
                    Some(near) => warning.help(format!("did you mean `{near}`?")),
                    None => warning.help("an id is a rule's path below the rules folder, without `.toml`; `*` stands for any characters"),
                });
            }
        }
    }
}

fn globs(mut table: Table<'_>, found: &mut Diagnostics) -> Vec<Glob> {
    table.require("rules", found);
    let rules = table.texts("rules", found);
    if rules.as_ref().is_some_and(Vec::is_empty) {
        let span = table.key_span("rules").unwrap_or_else(|| table.span());
        let message =
            "`rules`: expected at least one glob over ids such as `opsknight/*`, found none";
        found.push(Diagnostic::error("bad-override", span, message));
    }
    if !table.has("set") && !table.has("exception") {
        let message = "expected `set` or `[[override.exception]]`, found neither";
        found.push(Diagnostic::error("missing-key", table.span(), message));
    }
    for key in table.table("set", found).map(|set| set.keys()).unwrap_or_default() {
        let first = key.value.split('.').next().unwrap_or_default();
        if FIXED.contains(&first) {
            let message = format!("`{first}` cannot be overridden");
            found.push(Diagnostic::error("bad-override", key.span, message).help(match first {
                "id" => "a rule's alerts and its memory go by its id",
                "test" => {
                    "a rule's tests say what it does as written; they are run without overrides"
                }
                _ => "each override is a table of its own",
            }));
        }
    }
    // What an exception holds is checked where it is added to a rule.
    drop(table.tables("exception", found));
    table.finish(found);
    let rules = rules.unwrap_or_default().into_iter();
    rules.map(|text| Glob { pattern: Pattern::glob(&text.value), text, met: false }).collect()
}

/// A mistake in an override, and the rules for which it is one.
struct Told {
    diagnostic: Diagnostic,
    first: Arc<str>,
    more: usize,
}

impl Told {
    fn into_diagnostic(self) -> Diagnostic {
        let others = match self.more {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            more => format!(" and {more} others"),
        };
        let own = match self.diagnostic.label.as_str() {
            "" => String::new(),
            own => format!("{own}, "),
        };
        let label = format!("{own}in the rule `{}`{others}", self.first);
        self.diagnostic.label(label)
    }
}

/// The same mistake is told once, however many rules the override names.
fn tell(told: &mut Vec<Told>, diagnostic: Diagnostic, rule: &Arc<str>) {
    match told.iter_mut().find(|told| told.diagnostic == diagnostic) {
        Some(told) => told.more += 1,
        None => told.push(Told { diagnostic, first: rule.clone(), more: 0 }),
    }
}

/// The diagnostic in the override file that it stands in, if it stands in one.
fn placed(diagnostic: Diagnostic, pieces: &[Piece]) -> (Option<usize>, Diagnostic) {
    let start = diagnostic.span.as_ref().map(|span| span.start);
    let piece = pieces.iter().find(|piece| start.is_some_and(|start| piece.at.contains(&start)));
    match piece {
        None => (None, diagnostic),
        Some(piece) => {
            let place = |at: usize| at.min(piece.at.end) - piece.at.start + piece.start;
            let moved = diagnostic.moved(|span| place(span.start)..place(span.end));
            (Some(piece.file), moved)
        }
    }
}

/// A mistake in the rule's own text that is none without the overrides.
fn explained(diagnostic: Diagnostic, pieces: &[Piece], files: &[RuleFile]) -> Diagnostic {
    let mut paths: Vec<String> = pieces
        .iter()
        .filter_map(|piece| files.get(piece.file))
        .map(|file| file.source.path.display().to_string())
        .collect();
    paths.dedup();
    let why = format!("the rule as written is right; this comes with {}", paths.join(" and "));
    let help = match &diagnostic.help {
        Some(help) => format!("{help}; {why}"),
        None => why,
    };
    diagnostic.help(help)
}
