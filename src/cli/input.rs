//! Records from files and standard input: a line each, as they are or compressed by gzip or zstd,
//! which their first bytes tell.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use serde::de::IgnoredAny;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The name that stands for standard input.
pub(super) const STDIN: &str = "-";

/// All inputs, one after the other.
pub(super) struct Input {
    paths: std::vec::IntoIter<PathBuf>,
    now: Option<(PathBuf, Box<dyn BufRead>)>,
    /// How many lines of it have been read.
    lines: u64,
    /// Bytes read from files, as they lie there.
    read: Rc<Cell<u64>>,
    /// Bytes of all files together; `None` when one of them is no file.
    pub(super) total: Option<u64>,
    line: Vec<u8>,
    /// More bytes of one line than this are read but not kept.
    line_max: usize,
}

/// A line that is not blank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'i> {
    /// The input that it stands in.
    pub(super) path: &'i Path,
    /// Its number there, from 1, as editors count.
    pub(super) number: u64,
    /// All of it but its end.
    pub(super) whole: &'i [u8],
}

/// An input that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read {}: {}", named(&self.path), self.error)
    }
}

impl Input {
    /// No paths: standard input. A line longer than `line_max` bytes is cut just behind that.
    pub(super) fn new(paths: &[PathBuf], line_max: usize) -> Self {
        let paths = if paths.is_empty() { vec![PathBuf::from(STDIN)] } else { paths.to_vec() };
        let size = |path: &PathBuf| {
            std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
        };
        let total = paths.iter().map(size).sum();
        let (paths, read) = (paths.into_iter(), Rc::default());
        Self { paths, now: None, lines: 0, read, total, line: Vec::new(), line_max }
    }

    /// Bytes of files read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }

    /// The next line that is not blank. After an input that cannot be read comes the next one.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, Unreadable> {
        loop {
            if self.now.is_none() {
                let Some(path) = self.paths.next() else { return Ok(None) };
                let opened = open(&path, self.read.clone());
                let opened = opened.map_err(|error| Unreadable { path: path.clone(), error })?;
                self.now = Some((path, opened));
                self.lines = 0;
            }
            let Some((path, reader)) = &mut self.now else { return Ok(None) };
            match read_line(reader.as_mut(), &mut self.line, self.line_max) {
                Err(error) => {
                    let path = std::mem::take(path);
                    self.now = None;
                    return Err(Unreadable { path, error });
                }
                Ok(false) => self.now = None,
                Ok(true) => {
                    self.lines += 1;
                    if !self.line.trim_ascii().is_empty() {
                        break;
                    }
                }
            }
        }
        let (number, whole) = (self.lines, self.line.as_slice());
        Ok(self.now.as_ref().map(|(path, _)| Line { path, number, whole }))
    }
}

impl<'i> Line<'i> {
    /// The record: without white space at its end, such as the `\r` of another system.
    pub(super) fn record(&self) -> &'i [u8] {
        self.whole.trim_ascii_end()
    }
}

/// The JSON documents of one input, at most `max` bytes of them, wherever their lines end. What is no
/// JSON goes on to the end of its line, to be told by whoever reads it.
pub(super) fn documents(path: &Path, max: usize) -> Result<Vec<Vec<u8>>, Unreadable> {
    let unreadable = |error| Unreadable { path: path.to_owned(), error };
    let input = open(path, Rc::default()).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = input.take(max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(unreadable)?;
    if bytes.len() > max {
        let why = format!("expected at most {} MiB of events", max >> 20);
        return Err(unreadable(io::Error::other(why)));
    }
    let mut all = Vec::new();
    let mut rest = bytes.trim_ascii();
    while !rest.is_empty() {
        let mut documents = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        let end = match documents.next() {
            Some(Ok(_)) => documents.byte_offset(),
            _ => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
        };
        let (document, more) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        all.push(document.trim_ascii().to_vec());
        rest = more.trim_ascii_start();
    }
    Ok(all)
}

/// What people call an input.
pub(super) fn named(path: &Path) -> String {
    if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() }
}

fn open(path: &Path, count: Rc<Cell<u64>>) -> io::Result<Box<dyn BufRead>> {
    let source: Box<dyn Read> =
        if path.as_os_str() == STDIN { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut source = BufReader::with_capacity(1 << 16, Counted { source, count });
    let start = source.fill_buf()?;
    if start.starts_with(GZIP) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(source))));
    }
    if start.starts_with(ZSTD) {
        let frames = Frames(Some(frame(source)?));
        return Ok(Box::new(BufReader::with_capacity(1 << 16, frames)));
    }
    Ok(Box::new(source))
}

/// Reads a line into `line`, which is cleared first; `false` at the end.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let some = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            some => some?,
        };
        if some.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = memchr::memchr(b'\n', some);
        let part = some.get(..end.unwrap_or(some.len())).unwrap_or_default();
        // One byte too many says that the line is too long.
        let room = max.saturating_add(1).saturating_sub(line.len());
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        let used = end.map_or(some.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Counts what is read.
struct Counted {
    source: Box<dyn Read>,
    count: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// A zstd file is one frame or several.
struct Frames<R: BufRead>(Option<StreamingDecoder<R, FrameDecoder>>);

fn frame<R: BufRead>(source: R) -> io::Result<StreamingDecoder<R, FrameDecoder>> {
    StreamingDecoder::new(source).map_err(io::Error::other)
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(now) = &mut self.0 {
            let read = now.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(ended) = self.0.take() else { break };
            let mut source = ended.into_inner();
            if !source.fill_buf()?.is_empty() {
                self.0 = Some(frame(source)?);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const LINES: &str = "{\"a\": 1}\n\n  \r\n{\"a\": 2}\r\nlast";
    /// [`LINES`] through `zstd`, twice: two frames.
    const ZSTD_LINES: &[u8] = b"(\xb5/\xfd$\x1c\xe1\x00\x00{\x22a\x22: 1}\x0a\x0a  \x0d\x0a{\x22a\x22: 2}\x0d\x0alast\xc5\xa2\x09\xa5(\xb5/\xfd$\x1c\xe1\x00\x00{\x22a\x22: 1}\x0a\x0a  \x0d\x0a{\x22a\x22: 2}\x0d\x0alast\xc5\xa2\x09\xa5";

    fn lines(content: &[u8], max: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, content).unwrap();
        let mut input = Input::new(&[path.clone(), path], max);
        let mut all = Vec::new();
        while let Some(line) = input.next().unwrap() {
            all.push(String::from_utf8(line.record().to_vec()).unwrap());
        }
        assert_eq!((Some(input.read()), input.read()), (input.total, 2 * content.len() as u64));
        all
    }

    #[test]
    fn blank_lines_are_no_records_and_the_last_needs_no_end() {
        let once = ["{\"a\": 1}", "{\"a\": 2}", "last"];
        assert_eq!(lines(LINES.as_bytes(), 100), [once, once].concat());
        assert_eq!(lines(b"", 100), Vec::<String>::new());
    }

    #[test]
    fn a_line_too_long_is_cut_one_byte_behind_the_bound() {
        assert_eq!(
            lines(b"12345\n123456\n12345678\n1", 5)[..4],
            ["12345", "123456", "123456", "1"]
        );
    }

    #[test]
    fn a_line_is_known_by_its_number_in_its_own_input_and_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, LINES).unwrap();
        let mut input = Input::new(&[path.clone(), "nowhere".into(), path.clone()], 100);
        let mut seen = Vec::new();
        loop {
            match input.next() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    assert_eq!(line.path, path);
                    seen.push((line.number, String::from_utf8(line.whole.to_vec()).unwrap()));
                }
                Err(why) => seen.push((0, why.path.display().to_string())),
            }
        }
        let once = [(1, "{\"a\": 1}"), (4, "{\"a\": 2}\r"), (5, "last")];
        let expected = [&once[..], &[(0, "nowhere")], &once].concat();
        assert_eq!(
            seen,
            expected.iter().map(|(n, text)| (*n, (*text).to_owned())).collect::<Vec<_>>()
        );
    }

    #[test]
    fn documents_end_where_their_json_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "{\n \"a\": 1\n}\n{\"b\": 2} {\"c\": 3}\noops {}\n[4]\n{\"d\":")
            .unwrap();
        let all = documents(&path, 100).unwrap();
        let all: Vec<_> = all.iter().map(|d| std::str::from_utf8(d).unwrap()).collect();
        assert_eq!(
            all,
            ["{\n \"a\": 1\n}", "{\"b\": 2}", "{\"c\": 3}", "oops {}", "[4]", "{\"d\":"]
        );
        let told = documents(&path, 1 << 5).unwrap_err().to_string();
        assert!(told.ends_with("x: expected at most 0 MiB of events"), "{told}");
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(LINES.as_bytes()).unwrap();
        let member = gzip.finish().unwrap();
        // Two members run together, as `cat a.gz b.gz` makes them: the last line goes on.
        let twice = lines(&[member.clone(), member].concat(), 100);
        assert_eq!(twice[..4], ["{\"a\": 1}", "{\"a\": 2}", "last{\"a\": 1}", "{\"a\": 2}"]);
        assert_eq!(lines(ZSTD_LINES, 100), twice);
    }

    #[test]
    fn what_is_damaged_or_missing_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gz");
        std::fs::write(&path, [0x1f, 0x8b, 0, 0]).unwrap();
        let mut input = Input::new(&[path], 9);
        let told = input.next().unwrap_err().to_string();
        assert!(told.starts_with("cannot read ") && told.contains("x.gz: "), "{told}");
        assert!(input.next().unwrap().is_none(), "it is told once");
        let told = Input::new(&["nowhere".into()], 9).next().unwrap_err().to_string();
        assert!(told.starts_with("cannot read nowhere: No such file"), "{told}");
    }
}
