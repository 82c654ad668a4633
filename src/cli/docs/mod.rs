//! `hark docs`: the reference as Markdown, from the tables that the program itself works with. Nothing
//! in it depends on clock, machine or configuration.

mod pages;
mod tables;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{print, say_error};

pub use pages::{Page, pages};

/// What `hark docs` is told.
#[derive(Debug, Args)]
#[command(
    about = "Write the reference: rules, detectors, queries, fields, mappings, configuration, metrics, diagnostics.",
    after_help = "Examples:\n  hark docs                                         all of it on standard output\n  hark docs --out reference                         a page for each part, and an index"
)]
pub struct Arguments {
    /// A folder for one file a page; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the reference.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let pages = pages();
    let Some(folder) = &arguments.out else {
        let texts: Vec<&str> = pages.iter().map(|page| page.text.as_str()).collect();
        print(texts.join("\n").trim_end());
        return ExitCode::SUCCESS;
    };
    match write(folder, &pages) {
        Ok(()) => {
            print(&format!("{} pages in {}", pages.len() + 1, folder.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&format!("cannot write the reference to {}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, pages: &[Page]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for page in pages {
        std::fs::write(folder.join(page.file()), &page.text)?;
    }
    std::fs::write(folder.join("index.md"), index(pages))
}

fn index(pages: &[Page]) -> String {
    let mut text = format!("# Hark {}: the reference\n\n", env!("CARGO_PKG_VERSION"));
    for page in pages {
        let _infallible = writeln!(text, "- [{}]({})", page.title, page.file());
    }
    text
}
