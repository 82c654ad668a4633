//! `hark match`: the records that a query matches, printed as they stand. `grep` for audit events.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::envelope;
use super::input::{Input, named};
use super::table::counted;
use super::way::{Way, WayArguments};
use super::workshop::{self, Materials};
use super::{ConfigArguments, print_error, say, say_error};
use crate::base::Diagnostics;
use crate::base::diagnostic::SourceText;
use crate::event::Layout;
use crate::mapping::Mappings;
use crate::query::{Aliases, Query};
use crate::replay::Search;
use crate::rule;

/// Lines that cannot be used are told one by one up to this many, then only counted.
const UNUSABLE_TOLD: u64 = 10;
/// `grep`'s code for what could not be understood or read.
const TROUBLE: u8 = 2;

/// What `hark match` is told.
#[derive(Debug, Args)]
#[command(
    about = "Print the records that a query matches, like grep.",
    after_help = "The query is that of rules, and shorter to type: two terms side by side are `and`, bare words are\nfree text, and the mappings' [search] tables name short words for fields. @name is a list or a\nschedule of the configuration.\n\nRecords are JSON, one a line, in files (also .gz and .zst) or on standard input. What matches is\nprinted as it stands there, byte by byte. A record that no mapping takes is looked at as it\nstands, too: raw.… fields and free text are there, common fields are missing.\n\n--mapping none takes lines that are in common fields already, dotted or nested; an object under\n\"raw\" is the original record. Without a mapping any field name will do.\n\n--indexes prints the number of each record instead: from 0, over all inputs, lines that cannot be\nused counted and blank ones not, as in hark replay --firings.\n\nExit code 0: some record matched. 1: none did. 2: the query is broken, or an input cannot be read.\nLines that are no records are told on standard error, and the others go on.\n\nExamples:\n  hark match user:bert-jan tests/data/invictus_cloudtrail.jsonl.gz\n  hark match --count event.outcome:failure tests/data/invictus_cloudtrail.jsonl.gz\n  hark match --mapping none --indexes user.name:eve events.jsonl\n  hark match raw.errorCode:* trail.jsonl | jq .eventName"
)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Which records.
    #[arg(value_name = "QUERY")]
    query: String,
    /// Files of records; `-` or none is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    way: WayArguments,
    /// Print only how many records match.
    #[arg(long, conflicts_with = "indexes")]
    count: bool,
    /// Print the numbers of the records that match, from 0.
    #[arg(long)]
    indexes: bool,
}

/// Searches, prints, and says how it went.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some((search, line_max, mapped)) = prepare(arguments) else {
        return ExitCode::from(TROUBLE);
    };
    let mut told = Told { mapped, ..Told::default() };
    let matched = match look(arguments, &search, line_max, &mut told) {
        Ok(matched) => matched,
        // Whoever reads our output has read enough, and that was a match.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("cannot write: {error}"));
            return ExitCode::from(TROUBLE);
        }
    };
    told.end();
    match matched {
        _ if told.unreadable => ExitCode::from(TROUBLE),
        0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Reads configuration and mappings, then the query; what is wrong is told. With it how long a line
/// may be, and whether there is any mapping.
fn prepare(arguments: &Arguments) -> Option<(Search, usize, bool)> {
    let Materials { config, mappings } = Materials::read(&arguments.config)?;
    let way = match arguments.way.choose(&mappings, &config) {
        Ok(way) => way,
        Err(why) => {
            say_error(&why);
            return None;
        }
    };
    // Once for the words that they lend the query; and again below for the fields that it reads.
    let known = workshop::load(&way.sources, &config, &Layout::new())?;
    let source = SourceText::new("query", arguments.query.as_str());
    let mut found = Diagnostics::new();
    let query = read(arguments, &way, &known, &mut found);
    let search = query.and_then(|query| {
        let through = |layout: &Layout| way.through(layout, &config);
        let search = Search::new(&query, &config.sets, config.limits, through);
        search.map_err(|mistakes| found.extend(mistakes)).ok()
    });
    let usable = !found.has_errors();
    say(&[(source, found)]);
    search.filter(|_| usable).map(|search| (search, config.limits.bytes, !way.sources.is_empty()))
}

/// The query as it was typed, its fields checked where it is known which there are.
fn read(
    arguments: &Arguments,
    way: &Way<'_>,
    mappings: &Mappings,
    found: &mut Diagnostics,
) -> Option<Query> {
    let mut aliases = Aliases::new();
    for (word, field) in mappings.aliases() {
        aliases.add(word, field.clone());
    }
    let query = match Query::parse_interactive(&arguments.query, &aliases) {
        Ok(query) => query,
        Err(mistakes) => {
            found.extend(mistakes);
            return None;
        }
    };
    let fills = (!way.sources.is_empty()).then_some(mappings);
    let any = arguments.way.is_none();
    let advise = |field: &_| if any { None } else { rule::advise_search(field, fills) };
    // Who asks for all records means it.
    found.extend(query.check(&advise).into_iter().filter(|d| d.code != "always-true"));
    Some(query)
}

/// Goes through all records; how many matched.
fn look(
    arguments: &Arguments,
    search: &Search,
    line_max: usize,
    told: &mut Told,
) -> io::Result<u64> {
    let stdout = io::stdout().lock();
    // A person sees each match at once; a program gets them as fast as it can.
    let at_once = stdout.is_terminal();
    let mut out = io::BufWriter::with_capacity(1 << 16, stdout);
    let mut input = Input::new(&arguments.files, line_max);
    let (mut index, mut matched) = (0, 0);
    loop {
        let line = match input.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(why) => {
                told.input(&why.to_string());
                continue;
            }
        };
        let place = || format!("{}:{}", named(line.path), line.number);
        match search.record(line.record(), index) {
            Err(why) => {
                told.unusable(&place(), &format!("{}: {}", why.reason.code(), why.detail));
                told.advise(line.record());
            }
            Ok(seen) => {
                if seen.unmapped {
                    told.unmapped(place);
                    told.advise(line.record());
                }
                if seen.met {
                    matched += 1;
                    if arguments.indexes {
                        writeln!(out, "{index}")?;
                    } else if !arguments.count {
                        out.write_all(line.whole)?;
                        out.write_all(b"\n")?;
                    }
                    if at_once {
                        out.flush()?;
                    }
                }
            }
        }
        index += 1;
    }
    if arguments.count {
        writeln!(out, "{matched}")?;
    }
    out.flush()?;
    Ok(matched)
}

/// What there is to say beside the matches, on standard error.
#[derive(Default)]
struct Told {
    /// An input could not be read, in part or at all.
    unreadable: bool,
    /// There are mappings; else it has been told that there are none.
    mapped: bool,
    unusable: u64,
    unmapped: u64,
    first_unmapped: Option<String>,
    /// What to do about the first of all these, if there is something.
    advice: Option<String>,
}

impl Told {
    fn input(&mut self, why: &str) {
        self.unreadable = true;
        say_error(why);
    }

    fn unusable(&mut self, place: &str, why: &str) {
        self.unusable += 1;
        if self.unusable <= UNUSABLE_TOLD {
            print_error(&format!("{place}: {why}\n"));
        }
    }

    fn unmapped(&mut self, place: impl Fn() -> String) {
        self.unmapped += 1;
        self.first_unmapped.get_or_insert_with(place);
    }

    fn advise(&mut self, record: &[u8]) {
        if self.unusable + self.unmapped == 1 {
            self.advice = envelope::advice(record);
        }
    }

    fn end(&self) {
        if self.unusable > 0 {
            let lines = counted(self.unusable, "line");
            print_error(&format!("{lines} could not be used\n"));
        }
        if let Some(first) = &self.first_unmapped {
            let records = counted(self.unmapped, "record");
            let why = if self.mapped { ", for no one mapping takes them" } else { "" };
            print_error(&format!("{records} without common fields{why}; the first is {first}\n"));
        }
        if let Some(advice) = &self.advice {
            print_error(&format!("of the first of these: {advice}\n"));
        }
    }
}
