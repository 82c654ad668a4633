//! Where a replay's records come from: files and standard input, or a range of time of topics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::envelope;
use super::super::input::{Input, named};
use super::Arguments;
use super::sorted::{SORT_BYTES_MAX, Sorted};
use crate::base::{Clock as _, Position, Timestamp, clock, duration};
use crate::config::Config;
use crate::event::Event;
use crate::kafka::{Cluster, RangeReader, Record};
use crate::mapping::Unusable;
use crate::replay::Replay;
use crate::role::raw;

/// Records of the past.
pub(super) enum Past {
    /// A line is a record.
    Lines(Input),
    /// The same, in order of time.
    Sorted(Sorted),
    /// Records of topics, as MATCH would have read them.
    Topics {
        reader: RangeReader<(Position, Result<Event, Unusable>)>,
        /// No event can have happened after this.
        now: Timestamp,
        /// The longest delay of the topics' sources.
        delay: Duration,
    },
}

impl Past {
    /// Opens what the command line names. Topics are looked up, files are opened one by one.
    pub(super) fn open(arguments: &Arguments, config: &Config) -> Result<Self, String> {
        let Some(topics) = &arguments.kafka else {
            let paths: &[PathBuf] = &arguments.files;
            let input = Input::new(paths, config.limits.bytes);
            return Ok(if arguments.sort {
                Self::Sorted(Sorted::new(input, SORT_BYTES_MAX))
            } else {
                Self::Lines(input)
            });
        };
        let mut topics = topics.clone();
        if topics.is_empty() {
            topics.extend(config.sources.iter().map(|source| source.topic.clone()));
        }
        if topics.is_empty() {
            return Err("the configuration names no [sources]; name topics: --kafka TOPIC".into());
        }
        if config.kafka.is_embedded() {
            return Err("kafka.bootstrap is `embedded`, a broker that lives in `hark run` only; \
                        name yours: --set kafka.bootstrap=HOST:PORT"
                .into());
        }
        let now = clock::System.now();
        let (from, to) = (arguments.from.map(|m| m.at(now)), arguments.to.map(|m| m.at(now)));
        if let (Some(from), to) = (from, to.unwrap_or(now))
            && from >= to
        {
            return Err(format!("--from ({from}) is not before --to ({to}): nothing lies between"));
        }
        let of_topics = config.sources.iter().filter(|source| topics.contains(&source.topic));
        let delay = of_topics.map(|source| source.delay).max().unwrap_or_default();
        let cluster = Cluster::open(&config.kafka).map_err(|error| error.to_string())?;
        let reader = RangeReader::open(&cluster, &topics, from, to);
        let reader = reader.map_err(|error| error.to_string())?;
        Ok(Self::Topics { reader, now, delay })
    }

    /// Prepares a replay for what will come.
    pub(super) fn prepare(&self, replay: Replay, firings: bool) -> Replay {
        match self {
            Self::Lines(_) | Self::Sorted(_) => replay,
            Self::Topics { delay, .. } if firings => replay.delayed(*delay).numbered(),
            Self::Topics { delay, .. } => replay.delayed(*delay),
        }
    }

    /// Hands the next record to the replay, and says what became of it.
    pub(super) fn next(&mut self, replay: &mut Replay) -> Result<Fate, String> {
        let index = replay.summary().records;
        let unused = replay.summary().unused();
        let is_new = |replay: &Replay| replay.summary().unused() > unused;
        match self {
            Self::Lines(input) => match input.next().map_err(|why| why.to_string())? {
                None => Ok(Fate::NoMore),
                Some(line) => {
                    replay.record(line.record());
                    Ok(if is_new(replay) {
                        Fate::unused(index, named(line.path), line.record())
                    } else {
                        Fate::Used
                    })
                }
            },
            Self::Sorted(sorted) => sorted.next(replay),
            Self::Topics { reader, now, .. } => {
                let next = reader.next(|record: &Record<'_>, topic: &Arc<str>| {
                    let raw = raw(record, topic);
                    let event = replay.read(&raw, *now);
                    (event.as_ref().ok().map(|event| event.time), (raw.position, event))
                });
                let Some((position, event)) = next.map_err(|error| error.to_string())? else {
                    return Ok(Fate::NoMore);
                };
                replay.event(event);
                Ok(if is_new(replay) {
                    Fate::Unused(Unused { index, place: position.to_string(), advice: None })
                } else {
                    Fate::Used
                })
            }
        }
    }

    /// How much of how much has been read, in bytes or records; `None` when nobody knows.
    pub(super) fn done(&self) -> Option<(u64, u64)> {
        match self {
            Self::Lines(input) => input.total.map(|total| (input.read(), total)),
            Self::Sorted(sorted) => sorted.done(),
            Self::Topics { reader, .. } => Some((reader.passed(), reader.records())),
        }
    }
}

/// What became of a record.
pub(super) enum Fate {
    Used,
    /// It was none that could be used.
    Unused(Unused),
    /// It was read, and its turn comes later.
    Waits,
    /// There was no record any more.
    NoMore,
}

/// A record that could not be used.
pub(super) struct Unused {
    /// Its number.
    pub(super) index: u64,
    /// Where it stands.
    pub(super) place: String,
    /// What its author should know.
    pub(super) advice: Option<String>,
}

impl Fate {
    /// Of a record of a file.
    pub(super) fn unused(index: u64, place: String, record: &[u8]) -> Self {
        Self::Unused(Unused { index, place, advice: envelope::advice(record) })
    }
}

/// A moment as people name one on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A time.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now - ago,
        }
    }

    /// `2026-01-31`, `2026-01-31T09:00Z`, RFC 3339, `-7d` or `now`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        if let Some(ago) = text.strip_prefix('-') {
            return duration::parse(ago).map(Self::Ago);
        }
        // People leave out the seconds.
        let whole = match text.strip_suffix('Z') {
            Some(minutes) if minutes.len() == "2026-01-31T09:00".len() => format!("{minutes}:00Z"),
            _ => text.to_owned(),
        };
        let time = Timestamp::parse(&whole).map(Self::At);
        time.ok_or_else(|| {
            format!(
                "expected a time such as `2026-01-31T09:00Z`, a date (midnight UTC) or `-7d` \
                 (that long ago), found `{text}`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = Timestamp::parse("2026-02-08T00:00:00Z").unwrap();
        let read = |text: &str| Moment::parse(text).map(|moment| moment.at(now).to_string());
        for (text, time) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T09:00Z", "2026-01-31T09:00:00Z"),
            ("2026-01-31T09:00:30.5+02:00", "2026-01-31T07:00:30.500Z"),
            ("2026-01-31 09:00Z", "2026-01-31T09:00:00Z"),
            ("-7d", "2026-02-01T00:00:00Z"),
            ("-1h30m", "2026-02-07T22:30:00Z"),
            ("now", "2026-02-08T00:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(time), "{text}");
        }
        for wrong in ["", "-", "7d", "yesterday", "2026-01-31T09:00", "09:00Z", "1769850000000"] {
            assert!(read(wrong).unwrap_err().contains("expected a "), "{wrong}");
        }
        assert!(read("-7").unwrap_err().contains("`7m` for minutes"));
    }
}
