//! The files of lists and tables, watched while the daemon runs.
//!
//! A file that has changed is read whole, checked, and put in the place of what it held before,
//! between two records. One that cannot be read or has a mistake changes nothing: what it held before
//! stays in use, and that is told in the log and by a metric until the file is right again.
//!
//! Files are asked about themselves every second, which follows links: a `ConfigMap` of Kubernetes is
//! swapped by a link. Watching by notification would miss just that, and network file systems. A file
//! is read when it has kept still for one look, so that it is not read half written; one that never
//! keeps still is read all the same, after a while.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use super::load::read_text;
use crate::base::metrics::Metrics;
use crate::base::{Gate, Live};
use crate::mapping::Table;
use crate::query::Sets;

/// How often files are asked whether they have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks after which a file is read although it keeps changing.
const RESTLESS_MAX: u32 = 5;
/// Mistakes of one file that the log names.
const MISTAKES_SHOWN: usize = 3;

/// The files to watch, and the gate that keeps their changes and the work on a record apart.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    gate: Gate,
    files: Vec<File>,
}

/// One file and what is known of it.
#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    contents: Contents,
    /// The text that is in use, or that was found to be wrong last.
    known: u64,
    /// What the file was when it was read last; `None`: not since the start.
    read: Option<Stamp>,
    /// What it was at the last look.
    seen: Option<Stamp>,
    /// Looks in a row at which it had changed.
    restless: u32,
}

/// What a file's text becomes.
#[derive(Debug, Clone)]
enum Contents {
    /// At most so many entries; a list that is too long for a query was refused before.
    List {
        name: String,
        sets: Sets,
        most: usize,
    },
    Table {
        name: String,
        key: String,
        table: Live<Table>,
    },
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Missing,
    There { file: (u64, u64), bytes: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Stamp {
    fn of(path: &Path) -> Self {
        std::fs::metadata(path).map_or(Self::Missing, |found: Metadata| Self::There {
            file: (found.dev(), found.ino()),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// What a look at a file came to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nothing that was not known.
    Nothing,
    /// Its contents are in use now: so many entries.
    Taken(usize),
    /// They are not, for these reasons; those before are.
    Refused(Vec<String>),
}

impl Watch {
    /// Adds a list of `sets`, read from `path`; `text` is what it held.
    pub(super) fn list(&mut self, name: &str, path: PathBuf, text: &str, sets: &Sets) {
        let contents =
            Contents::List { name: name.to_owned(), sets: sets.clone(), most: usize::MAX };
        self.files.push(File::new(path, contents, text));
    }

    /// Adds a table, read from `path` and looked up by the column `key`; `text` is what it held.
    pub(super) fn table(
        &mut self,
        name: &str,
        path: PathBuf,
        text: &str,
        key: &str,
        table: &Live<Table>,
    ) {
        let (name, key) = (name.to_owned(), key.to_owned());
        let contents = Contents::Table { name, key, table: table.clone() };
        self.files.push(File::new(path, contents, text));
    }

    /// Refuses contents of a list with more than `most` entries from now on: a rule expects to hear from
    /// each of them.
    pub fn limit(&mut self, list: &str, most: usize) {
        for file in &mut self.files {
            if let Contents::List { name, most: own, .. } = &mut file.contents
                && name == list
            {
                *own = most.min(*own);
            }
        }
    }

    /// To be held by whoever judges a record.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Watches until `stopped` is true or its sender is gone.
    pub fn start(&self, metrics: &Metrics, mut stopped: watch::Receiver<bool>) {
        let (mut own, metrics) = (self.clone(), metrics.clone());
        own.tell_entries(&metrics);
        if own.files.is_empty() {
            return;
        }
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let metrics = metrics.clone();
                let looking = tokio::task::spawn_blocking(move || {
                    own.look(&metrics);
                    own
                });
                match looking.await {
                    Ok(looked) => own = looked,
                    Err(error) => {
                        tracing::error!(%error, "files of lists and tables are watched no more");
                        return;
                    }
                }
            }
        });
    }

    fn tell_entries(&self, metrics: &Metrics) {
        for file in &self.files {
            let name = file.contents.name();
            metrics.reference_entries.with_label_values(&[&name]).set(gauge(file.contents.len()));
            metrics.reference_stale.with_label_values(&[&name]).set(0);
        }
    }

    /// Looks at every file once, takes over what is new, and tells it.
    fn look(&mut self, metrics: &Metrics) {
        for file in &mut self.files {
            let (name, path) = (file.contents.name(), file.path.display().to_string());
            let read = |outcome: &str| {
                metrics.reference_reads.with_label_values(&[name.as_str(), outcome]).inc();
            };
            let stale = metrics.reference_stale.with_label_values(&[&name]);
            match file.look(&self.gate) {
                Found::Nothing => {}
                Found::Taken(entries) => {
                    read("taken");
                    stale.set(0);
                    metrics.reference_entries.with_label_values(&[&name]).set(gauge(entries));
                    tracing::info!(name, path, entries, "file has changed and is in use");
                }
                Found::Refused(why) => {
                    read("refused");
                    stale.set(1);
                    let shown = why.iter().take(MISTAKES_SHOWN).cloned().collect::<Vec<_>>();
                    tracing::error!(
                        name,
                        path,
                        mistakes = why.len(),
                        why = shown.join("; "),
                        "file has changed and cannot be used, what it held before stays in use"
                    );
                }
            }
        }
    }
}

fn gauge(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

impl File {
    fn new(path: PathBuf, contents: Contents, text: &str) -> Self {
        let known = xxh3_64(text.as_bytes());
        Self { path, contents, known, read: None, seen: None, restless: 0 }
    }

    fn look(&mut self, gate: &Gate) -> Found {
        let stamp = Stamp::of(&self.path);
        let still = self.seen.replace(stamp) == Some(stamp);
        if self.read == Some(stamp) {
            self.restless = 0;
            return Found::Nothing;
        }
        if !still && self.restless < RESTLESS_MAX {
            self.restless += 1;
            return Found::Nothing;
        }
        let text = read_text(&self.path);
        if Stamp::of(&self.path) != stamp && self.restless < RESTLESS_MAX {
            self.restless += 1;
            return Found::Nothing;
        }
        self.restless = 0;
        self.read = Some(stamp);
        self.take(text, gate)
    }

    fn take(&mut self, text: Result<String, String>, gate: &Gate) -> Found {
        // What cannot be read differs from every text, and from what cannot be read otherwise.
        let hash = match &text {
            Ok(text) => xxh3_64(text.as_bytes()),
            Err(why) => !xxh3_64(why.as_bytes()),
        };
        if std::mem::replace(&mut self.known, hash) == hash {
            return Found::Nothing;
        }
        let taken = text.map_err(|why| vec![why]);
        match taken.and_then(|text| self.contents.take(&self.path, &text, gate)) {
            Ok(entries) => Found::Taken(entries),
            Err(why) => Found::Refused(why),
        }
    }
}

impl Contents {
    /// The label of metrics, and how the configuration calls it.
    fn name(&self) -> String {
        match self {
            Self::List { name, .. } => format!("lists.{name}"),
            Self::Table { name, .. } => format!("tables.{name}"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::List { name, sets, .. } => sets.list(name).map_or(0, |list| list.len()),
            Self::Table { table, .. } => table.with(Table::len),
        }
    }

    /// Puts the text in place of what was there. Both are made and dropped outside of the gate.
    fn take(&self, file: &Path, text: &str, gate: &Gate) -> Result<usize, Vec<String>> {
        match self {
            Self::List { name, sets, most } => {
                let list = sets.reread(name, text)?;
                if list.len() > *most {
                    let found = list.len();
                    return Err(vec![format!(
                        "expected at most {most} entries, for a rule expects to hear from each, found {found}"
                    )]);
                }
                drop(gate.change(|| sets.swap_list(name, list)));
            }
            Self::Table { key, table, .. } => {
                let made = Table::from_file(&file.to_string_lossy(), text, key);
                let made = made.map_err(|why| vec![why])?;
                drop(gate.change(|| table.replace(made)));
            }
        }
        Ok(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Diagnostics;
    use crate::base::document::Document;

    struct Bench {
        folder: tempfile::TempDir,
        watch: Watch,
        sets: Sets,
    }

    impl Bench {
        /// A list that holds `eve`, from a file that has been looked at and is known.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("list.txt");
            std::fs::write(&path, "eve\n").unwrap();
            let document = Document::parse("[lists.l]\nfile = 'list.txt'\n");
            let mut found = Diagnostics::new();
            let mut root = document.root(&mut found);
            let sets = Sets::parse_tables(&mut root, &mut |_| Ok("eve\n".to_owned()), &mut found);
            let mut watch = Watch::default();
            watch.list("l", path, "eve\n", &sets);
            let mut bench = Self { folder, watch, sets };
            assert_eq!([bench.look(), bench.look()], [Found::Nothing, Found::Nothing]);
            assert!(bench.watch.files[0].read.is_some());
            bench
        }

        fn write(&self, text: &str) {
            std::fs::write(self.folder.path().join("list.txt"), text).unwrap();
        }

        fn look(&mut self) -> Found {
            let gate = self.watch.gate.clone();
            self.watch.files[0].look(&gate)
        }

        fn holds(&self, text: &str) -> bool {
            self.sets.list("l").unwrap().contains_text(text)
        }
    }

    #[test]
    fn a_change_is_taken_when_the_file_has_kept_still_for_one_look() {
        let mut bench = Bench::new();
        bench.write("eve\nbob\n");
        assert_eq!(bench.look(), Found::Nothing);
        bench.write("eve\nbob\nann\n");
        assert_eq!(bench.look(), Found::Nothing, "it may be half written");
        assert!(!bench.holds("bob"));
        assert_eq!(bench.look(), Found::Taken(3));
        assert!(bench.holds("bob") && bench.holds("ann"));
        assert_eq!(bench.look(), Found::Nothing);
    }

    #[test]
    fn a_file_that_never_keeps_still_is_read_all_the_same() {
        let mut bench = Bench::new();
        let mut text = "eve\n".to_owned();
        for n in 0..RESTLESS_MAX {
            text.extend(["user", &n.to_string(), "\n"]);
            bench.write(&text);
            assert_eq!(bench.look(), Found::Nothing, "look {n}");
        }
        bench.write(&(text + "bob\n"));
        assert_eq!(bench.look(), Found::Taken(2 + RESTLESS_MAX as usize));
        assert!(bench.holds("bob"));
    }

    #[test]
    fn a_file_that_is_only_touched_is_not_taken_again() {
        let mut bench = Bench::new();
        bench.write("eve\n");
        assert_eq!(
            [bench.look(), bench.look(), bench.look()].map(|f| f == Found::Nothing),
            [true; 3]
        );
    }

    #[test]
    fn every_mistake_is_told_once_with_its_line_and_the_way_back_is_a_change() {
        let mut bench = Bench::new();
        bench.write("bob\n10.0.0.0/8\n10.1.2.3/8\n10.0.0.0/99\n");
        assert_eq!(bench.look(), Found::Nothing);
        let why = [
            "line 3: `10.1.2.3/8`: bits are set beyond the prefix; the network is `10.0.0.0/8`",
            "line 4: `10.0.0.0/99`: expected a prefix of at most 32 bits",
        ];
        assert_eq!(bench.look(), Found::Refused(why.map(str::to_owned).into()));
        assert_eq!(bench.look(), Found::Nothing);
        assert!(bench.holds("eve") && !bench.holds("bob") && !bench.holds("10.2.3.4"));
        bench.write("eve\n");
        assert_eq!([bench.look(), bench.look()], [Found::Nothing, Found::Taken(1)]);
    }

    #[test]
    fn a_list_of_those_that_must_report_is_refused_beyond_its_limit() {
        let mut bench = Bench::new();
        bench.watch.limit("l", 2);
        bench.watch.limit("other", 1);
        bench.write("bob\nann\nBob\n");
        assert_eq!([bench.look(), bench.look()], [Found::Nothing, Found::Taken(2)]);
        bench.write("bob\nann\neve\n");
        let why = "expected at most 2 entries, for a rule expects to hear from each, found 3";
        let refused = Found::Refused(vec![why.to_owned()]);
        assert_eq!([bench.look(), bench.look()], [Found::Nothing, refused]);
        assert!(bench.holds("ann") && !bench.holds("eve"));
    }

    #[test]
    fn a_table_with_a_mistake_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.csv");
        std::fs::write(&path, "id,role\n7,admin\n7,dev\n").unwrap();
        let table = Live::new(Table::from_csv("id,role\n7,dev\n", "id").unwrap());
        let mut watch = Watch::default();
        watch.table("people", path.clone(), "id,role\n7,dev\n", "id", &table);
        let gate = watch.gate.clone();
        let mut look = || watch.files[0].look(&gate);
        let why = vec!["the key `7` of row 3 stands in an earlier row too".to_owned()];
        assert_eq!([look(), look()], [Found::Nothing, Found::Refused(why)]);
        std::fs::write(&path, "id,role\n7,admin\n").unwrap();
        assert_eq!([look(), look()], [Found::Nothing, Found::Taken(1)]);
        assert!(table.with(|t| t.look_up("7", "role") == Some(&["admin".into()][..])));
    }
}
