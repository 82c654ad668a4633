//! `hark docs`: the reference as Markdown, from the tables that the program itself works with, and from
//! the mappings that there are. Nothing in it depends on clock or machine, and nothing but the pages
//! about products on the configuration.

mod pages;
mod products;
mod tables;
mod templates;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{ConfigArguments, print, say_error};

pub use pages::{Page, pages};
pub use products::Product;

/// What `hark docs` is told.
#[derive(Debug, Args)]
#[command(
    about = "Write the reference: rules, detectors, queries, templates, fields, mappings, configuration, metrics, diagnostics, products.",
    after_help = "Examples:\n  hark docs                                         all of it on standard output\n  hark docs --out reference                         a page for each part, and an index"
)]
pub struct Arguments {
    /// A folder for one file a page; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Writes the reference.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(products) = products::read(&arguments.config) else { return ExitCode::FAILURE };
    let pages = pages(&products);
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
        let _infallible = writeln!(text, "- [{}]({})", page.title, link(&page.file()));
    }
    text
}

/// A file as Markdown links to it: a mapping's name may hold what ends a link.
fn link(file: &str) -> String {
    let plain = !file.contains([' ', '(', ')']);
    if plain { file.to_owned() } else { format!("<{file}>") }
}
