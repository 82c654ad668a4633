//! What an author did wrong, where, and what to do about it.
//!
//! A `Diagnostic` is a value; [`render`] turns it into the text with carets, [`json`] and [`sarif`]
//! into what other programs read. Checking never stops at the first mistake: functions take
//! `&mut Diagnostics`, report into it and carry on with what is left.

pub mod allow;
pub mod json;
pub mod lints;
mod place;
pub mod sarif;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Whether a diagnostic forbids the use of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// The file is used all the same.
    Warning,
    /// The file cannot be used.
    Error,
}

impl Gravity {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable name in kebab case, by which it can be looked up and allowed: `unknown-key`.
    pub code: &'static str,
    /// Error or warning.
    pub gravity: Gravity,
    /// Lower case, no full stop, "expected X, found Y".
    pub message: String,
    /// Bytes of the source text that the caret points at; `None` for a mistake of the whole file.
    pub span: Option<Range<usize>>,
    /// What stands beside the caret; may be empty.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            gravity: Gravity::Error,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            help: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { gravity: Gravity::Warning, ..Self::error(code, span, message) }
    }

    /// An error of the whole file: it cannot be read, or something is missing altogether.
    pub fn of_file(code: &'static str, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(code, 0..0, message) }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { gravity: Gravity::Warning, ..self }
    }

    /// Adds the words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same diagnostic with its span moved: from a query's text to the file that holds it.
    #[must_use]
    pub fn moved(mut self, place: impl FnOnce(Range<usize>) -> Range<usize>) -> Self {
        self.span = self.span.map(place);
        self
    }
}

/// All mistakes found so far in one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds many.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(more);
    }

    /// Whether any of them forbids the use of the file.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.gravity == Gravity::Error)
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|d| d.gravity == Gravity::Error).count()
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order of their place in the text.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|d| d.span.as_ref().map_or(0, |s| s.start));
        self.0
    }

    /// All of them, in order of discovery.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A text that an author wrote, under the name that messages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the author knows it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
}

impl SourceText {
    /// A named text.
    pub fn new(path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.as_ref().to_owned(), text: text.into() }
    }
}

/// Renders diagnostics of one source for people, with carets under the words, in the order of the
/// text. `colour` adds terminal colours.
pub fn render(source: &SourceText, diagnostics: &Diagnostics, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let path = source.path.display().to_string();
    let mut out = String::new();
    for diagnostic in diagnostics.clone().sorted() {
        let level = match diagnostic.gravity {
            Gravity::Error => Level::ERROR,
            Gravity::Warning => Level::WARNING,
        };
        let title = match diagnostic.span {
            Some(_) => diagnostic.message.clone(),
            None => format!("{path}: {}", diagnostic.message),
        };
        let mut group = level
            .primary_title(title)
            .id(diagnostic.code)
            .elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new());
        if let Some(span) = &diagnostic.span {
            let span = place::whole_characters(&source.text, span);
            let mut annotation = AnnotationKind::Primary.span(span);
            if !diagnostic.label.is_empty() {
                annotation = annotation.label(diagnostic.label.clone());
            }
            group = group.element(
                Snippet::source(source.text.as_ref()).path(path.clone()).annotation(annotation),
            );
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.clone()));
        }
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "{}\n", renderer.render(&[group]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_caret_stands_under_the_word() {
        let source = SourceText::new("rules/x.toml", "title = \"x\"\nseverty = \"high\"\n");
        let mut all = Diagnostics::new();
        all.push(
            Diagnostic::error("unknown-key", 12..19, "unknown key `severty`")
                .help("did you mean `severity`?"),
        );
        expect![[r#"
            error[unknown-key]: unknown key `severty`
             --> rules/x.toml:2:1
              |
            2 | severty = "high"
              | ^^^^^^^
              |
              = help: did you mean `severity`?

        "#]]
        .assert_eq(&render(&source, &all, false));
    }
}
