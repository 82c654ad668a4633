//! The demo's configuration: an ordinary one, written into a folder of its own, with the mappings
//! and rules that Hark ships. What the daemon loads is what lies there.
//!
//! Two things differ from `config/hark.toml`. The office is wherever it is morning now, so that
//! people log in during business hours whenever the demo is started. And a rule that counts nothing
//! lets its alerts resolve after [`KEEP_OPEN`], so that a spectator sees it happen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::receiver::Receiver;
use super::traffic::Product;
use crate::base::Timestamp;
use crate::cli::shipped;
use crate::detectors::DETECTORS;

/// How long an alert of a rule without detector stays open without a new event; by default 5 min.
const KEEP_OPEN: &str = "20s";

/// Where the office might be: one place for every hour of the day.
const PLACES: &[&str] = &[
    "Europe/London",
    "Europe/Berlin",
    "Africa/Nairobi",
    "Asia/Dubai",
    "Asia/Karachi",
    "Asia/Dhaka",
    "Asia/Bangkok",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Brisbane",
    "Pacific/Noumea",
    "Pacific/Auckland",
    "Pacific/Honolulu",
    "America/Anchorage",
    "America/Los_Angeles",
    "America/Phoenix",
    "America/Chicago",
    "America/New_York",
    "America/Puerto_Rico",
    "America/Sao_Paulo",
    "America/Noronha",
    "Atlantic/Cape_Verde",
];

/// Where the demo's company has its office: somewhere where it is morning.
#[derive(Debug, Clone)]
pub(super) struct Office {
    /// The zone's IANA name.
    pub(super) zone: &'static str,
    /// What the clock on its wall says: `Monday, 10:23`.
    pub(super) wall: String,
    /// Half past two in the morning of the same day.
    pub(super) night: Timestamp,
}

impl Office {
    /// The place where it is nearest to ten in the morning.
    pub(super) fn at(now: Timestamp) -> Self {
        let there =
            |zone: &str| now.to_jiff().to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
        let zone = PLACES.iter().min_by_key(|zone| there(zone).hour().abs_diff(10));
        let zone = zone.copied().unwrap_or("UTC");
        let there = there(zone);
        let night = there.date().at(2, 30, 0, 0).to_zoned(there.time_zone().clone());
        let night = night.map_or(now, |at| Timestamp::from_millis(at.timestamp().as_millisecond()));
        Self { zone, wall: there.strftime("%A, %H:%M").to_string(), night }
    }

    /// The city, for people.
    pub(super) fn city(&self) -> String {
        self.zone.rsplit('/').next().unwrap_or(self.zone).replace('_', " ")
    }
}

/// The folder with the demo's configuration; removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// `kept`, which must not exist yet or be empty, or else a new folder for temporary files.
    pub(super) fn create(kept: Option<&Path>) -> io::Result<Self> {
        let path = kept.map_or_else(
            || std::env::temp_dir().join(format!("hark-demo-{}", std::process::id())),
            Path::to_owned,
        );
        fs::create_dir_all(&path)?;
        if fs::read_dir(&path)?.next().is_some() {
            let message = format!("{} is not empty", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(Self { path, keep: kept.is_some() })
    }

    /// Writes the configuration, its secrets, the mappings and the rules.
    pub(super) fn fill(&self, office: &Office, receiver: &Receiver) -> io::Result<()> {
        self.write("hark.toml", &configuration(office, receiver))?;
        // Of no worth to anybody, but read the way real ones are.
        self.write("secrets/splunk-token", "00000000-0000-0000-0000-000000000000")?;
        self.write("secrets/datadog-key", "00000000000000000000000000000000")?;
        self.write("secrets/webhook", "whsec_aGFyayBkZW1vIHdlYmhvb2sgc2VjcmV0ISEh")?;
        for (name, text) in shipped::mappings() {
            self.write(&format!("mappings/{name}"), text)?;
        }
        for (name, text) in shipped::rules() {
            self.write(&format!("rules/{name}"), &impatient(text))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    }

    /// The configuration file in it.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join("hark.toml")
    }

    /// Whether it outlives the demo.
    pub(super) const fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the demo's folder");
        }
    }
}

fn configuration(office: &Office, receiver: &Receiver) -> String {
    let Receiver { http, smtp, .. } = receiver;
    let sources = Product::ALL
        .map(|product| format!("\"{}\" = {{ start = \"earliest\" }}\n", product.topic()))
        .concat();
    format!(
        r#"# Written by `hark demo`. Everything in it is real but the broker and the receivers.
rules    = "rules"
mappings = "mappings"

[kafka]
bootstrap = "embedded"

[sources]
{sources}
[schedules.business-hours]
timezone = "{zone}"
hours    = ["06:00-22:00"]

[notifiers.soc.email]
server   = "127.0.0.1"
port     = {mail_port}
tls      = "none"
from     = "Hark <hark@example.com>"
to       = ["soc@example.com"]
resolved = true

[notifiers.soar.webhook]
url      = "http://{http}/webhook"
secret   = {{ file = "secrets/webhook" }}
resolved = true

[sinks.siem.splunk_hec]
url   = "http://{http}"
token = {{ file = "secrets/splunk-token" }}

[sinks.datadog.datadog_logs]
url     = "http://{http}/api/v2/logs"
api_key = {{ file = "secrets/datadog-key" }}
batch   = {{ age = "1s" }}

[admin]
listen = "127.0.0.1:0"
"#,
        zone = office.zone,
        mail_port = smtp.port(),
    )
}

/// The rule with a short `keep_open`, if it groups by a key and counts nothing: what counts keeps an
/// alert open for as long as it counts, and what has no key resolves at once.
fn impatient(rule: &str) -> String {
    let has = |wanted: &str| rule.lines().any(|line| line.starts_with(wanted));
    // A table, an inline one, or the steps of one that has no header of its own.
    let forms = |table: &str| [format!("[{table}]"), format!("{table} "), format!("[[{table}.")];
    let counts = DETECTORS.iter().any(|spec| forms(spec.table).iter().any(|form| has(form)));
    if counts || !has("group_by") {
        return rule.to_owned();
    }
    let short = |instead_of: &str| {
        format!("keep_open = \"{KEEP_OPEN}\"   # in the demo; instead of {instead_of}\n")
    };
    let mut text = String::new();
    let mut done = false;
    for line in rule.lines() {
        match line.split_once('=') {
            Some((key, value)) if key.trim() == "keep_open" => {
                text.push_str(&short(value.trim()));
                done = true;
                continue;
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    match text.split_once("[alert]\n") {
        _ if done => text,
        Some((before, after)) => format!("{before}[alert]\n{}{after}", short("5m")),
        None => format!("{text}\n[alert]\n{}", short("5m")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Layers};

    #[test]
    fn somewhere_it_is_always_morning() {
        let day = Timestamp::parse("2026-07-15T00:00:00Z").unwrap();
        for minute in (0..24 * 60).step_by(10) {
            let now = day + Duration::from_mins(minute);
            let office = Office::at(now);
            let there = now.to_jiff().to_zoned(TimeZone::get(office.zone).unwrap());
            assert!((8..=12).contains(&there.hour()), "{now}: {office:?}");
            let night = office.night.to_jiff().to_zoned(TimeZone::get(office.zone).unwrap());
            assert_eq!((night.hour(), night.minute(), night.date()), (2, 30, there.date()));
        }
    }

    #[test]
    fn every_place_is_known() {
        for place in PLACES {
            TimeZone::get(place).unwrap();
        }
    }

    #[test]
    fn only_rules_that_count_nothing_become_impatient() {
        for as_it_is in [
            "group_by = ['x']\n[threshold]\ncount = 5\n",
            "group_by = ['x']\n[[sequence.step]]\ncount = 5\n",
            "title = 'no key'\n",
        ] {
            assert_eq!(impatient(as_it_is), as_it_is);
        }
        let short = |old| format!("keep_open = \"20s\"   # in the demo; instead of {old}\n");
        assert_eq!(
            impatient("group_by = ['x']\n[alert]\nkeep_open = \"8h\"\ntitle = 'y'\n"),
            format!("group_by = ['x']\n[alert]\n{}title = 'y'\n", short("\"8h\""))
        );
        assert_eq!(
            impatient("group_by = ['x']\n[alert]\ntitle = 'y'\n"),
            format!("group_by = ['x']\n[alert]\n{}title = 'y'\n", short("5m"))
        );
        assert!(impatient("group_by = ['x']\n").ends_with(&format!("\n[alert]\n{}", short("5m"))));
    }

    #[tokio::test]
    async fn the_configuration_has_no_mistakes_and_goes_with_the_demo() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("kept");
        let folder = Folder::create(Some(&path)).unwrap();
        let receiver = Receiver::start().await.unwrap();
        let office = Office::at(Timestamp::from_millis(0));
        folder.fill(&office, &receiver).unwrap();
        let text = fs::read_to_string(folder.config()).unwrap();
        let loaded = config::load(&Layers { path: folder.config(), text, ..Layers::default() });
        let said: Vec<_> = loaded.found.iter().flat_map(|(_, found)| found.iter()).collect();
        assert!(said.is_empty(), "{said:?}");
        let config = loaded.config.unwrap();
        assert_eq!((config.sources.len(), config.notifiers.len(), config.sinks.len()), (5, 2, 2));
        drop(folder);
        assert!(path.join("hark.toml").exists(), "it was to be kept");
        assert!(Folder::create(Some(&path)).is_err(), "what is there is not overwritten");
    }

    #[test]
    fn a_folder_that_is_not_kept_is_removed() {
        let folder = Folder::create(None).unwrap();
        let path = folder.path.clone();
        folder.write("a/b", "c").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
