//! The demo's configuration: an ordinary one, written into a folder of its own, with the mappings
//! and rules that Hark ships. It works as it lies there, for `hark check`, `test`, `replay` and `run`:
//! its alerts go to the log. The demo loads the same file and sets on top what holds only while it
//! runs ([`on_top`]): its receivers, whose ports are gone afterwards, and an office wherever it is
//! morning now, so that people log in during business hours whenever the demo is started.
//!
//! One file more is there only for so long: an override lets alerts of rules that count nothing
//! resolve after [`KEEP_OPEN`], so that a spectator sees it happen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::receiver::Receiver;
use super::traffic::Product;
use crate::base::Timestamp;
use crate::cli::{CONFIG, shipped};
use crate::config::Layers;
use crate::detectors::DETECTORS;

/// How long an alert of a rule without detector stays open without a new event; by default 5 min.
const KEEP_OPEN: &str = "20s";

/// The traffic of a demo that is kept, below the folder: a file for each topic.
pub(super) const TRAFFIC: &str = "traffic";

/// What makes rules impatient, below the folder, as long as the demo runs.
const IMPATIENCE: &str = "rules/demo.toml";

/// Of no worth to anybody, but read the way real ones are.
const SECRETS: [(&str, &str); 3] = [
    ("HARK_DEMO_SPLUNK_TOKEN", "00000000-0000-0000-0000-000000000000"),
    ("HARK_DEMO_DATADOG_KEY", "00000000000000000000000000000000"),
    ("HARK_DEMO_WEBHOOK", "whsec_aGFyayBkZW1vIHdlYmhvb2sgc2VjcmV0ISEh"),
];

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

    /// Writes the configuration, the mappings and the rules; into a folder that stays also the
    /// samples that the rules' tests call by name.
    pub(super) fn fill(&self) -> io::Result<()> {
        self.write(CONFIG, &configuration())?;
        for (name, text) in shipped::mappings() {
            self.write(&format!("config/mappings/{name}"), text)?;
        }
        for (name, text) in shipped::rules() {
            self.write(&format!("rules/{name}"), text)?;
        }
        self.write(IMPATIENCE, &impatience(&shipped::rules()))?;
        if self.keep {
            for (name, text) in shipped::samples() {
                self.write(&format!("samples/{name}"), text)?;
            }
        }
        Ok(())
    }

    /// The configuration as the demo runs it: the file, and what holds only while it runs.
    pub(super) fn layers(&self, office: &Office, receiver: &Receiver) -> io::Result<Layers> {
        let path = self.config();
        let text = fs::read_to_string(&path)?;
        // Not from this process's environment: HARK__ variables are meant for another daemon.
        let environment = SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Layers {
            path,
            text,
            environment: BTreeMap::from(environment),
            sets: on_top(office, receiver),
        })
    }

    /// Where to write the traffic, for `hark replay`; nowhere if the folder goes with the demo.
    pub(super) fn traffic(&self) -> Option<PathBuf> {
        self.keep.then(|| self.path.join(TRAFFIC))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    }

    /// The configuration file in it, where the commands look for one that start beside `config`.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it outlives the demo.
    pub(super) const fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = if self.keep {
            fs::remove_file(self.path.join(IMPATIENCE))
        } else {
            fs::remove_dir_all(&self.path)
        };
        if let Err(error) = removed {
            tracing::warn!(%error, path = %self.path.display(), "cannot tidy up the demo's folder");
        }
    }
}

fn configuration() -> String {
    let sources = Product::ALL
        .map(|product| format!("\"{}\" = {{ start = \"earliest\" }}\n", product.topic()))
        .concat();
    format!(
        r#"# Written by `hark demo`, and yours now. Start the commands in the folder above this one, and they
# find it: hark check, hark test, hark replay, hark run.
rules    = "../rules"
mappings = "mappings"
samples  = "../samples"         # records that [[test]] in a rule calls by name

[kafka]
bootstrap = "embedded"          # reached by this process alone; yours: "broker-1:9092,broker-2:9092"

[sources]                       # from its beginning, the first time that a topic is read
{sources}
[schedules.business-hours]
timezone = "UTC"
days     = ["mon-fri"]
hours    = ["07:00-19:00"]

[notifiers.console.log]         # alerts, in the log of `hark run`
min_severity = "info"
resolved     = true

# Beside it the demo told these, and played the other end itself:
# [notifiers.soc.email]
# server   = "smtp.example.com"
# from     = "Hark <hark@example.com>"
# to       = ["soc@example.com"]
# resolved = true
#
# [notifiers.soar.webhook]
# url      = "https://soar.example.com/webhook"
# secret   = {{ env = "WEBHOOK_SECRET" }}
# resolved = true
#
# [sinks.siem.splunk_hec]
# url   = "https://splunk.example.com:8088"
# token = {{ env = "SPLUNK_TOKEN" }}
#
# [sinks.datadog.datadog_logs]
# url     = "https://http-intake.logs.datadoghq.com/api/v2/logs"
# api_key = {{ env = "DATADOG_API_KEY" }}

[admin]
listen = "127.0.0.1:9464"       # /healthz, /readyz, /metrics
"#
    )
}

/// What holds only while the demo runs, as `--set` would say it: where it is morning, also at the
/// weekend; everybody who is told plays along; the admin interface takes whichever port is free.
fn on_top(office: &Office, receiver: &Receiver) -> Vec<String> {
    let Receiver { http, smtp, .. } = receiver;
    let port = smtp.port();
    vec![
        format!(
            r#"schedules.business-hours={{ timezone = "{}", days = ["mon-sun"], hours = ["06:00-22:00"] }}"#,
            office.zone
        ),
        format!(
            r#"notifiers.soc.email={{ server = "127.0.0.1", port = {port}, tls = "none", from = "Hark <hark@example.com>", to = ["soc@example.com"], resolved = true }}"#
        ),
        format!(
            r#"notifiers.soar.webhook={{ url = "http://{http}/webhook", secret = {{ env = "HARK_DEMO_WEBHOOK" }}, resolved = true }}"#
        ),
        format!(
            r#"sinks.siem.splunk_hec={{ url = "http://{http}", token = {{ env = "HARK_DEMO_SPLUNK_TOKEN" }} }}"#
        ),
        format!(
            r#"sinks.datadog.datadog_logs={{ url = "http://{http}/api/v2/logs", api_key = {{ env = "HARK_DEMO_DATADOG_KEY" }}, batch = {{ age = "1s" }} }}"#
        ),
        "admin.listen=127.0.0.1:0".to_owned(),
    ]
}

/// An override for the rules that group by a key and count nothing: what counts keeps an alert open
/// for as long as it counts, and what has no key resolves at once.
fn impatience(rules: &[(String, &str)]) -> String {
    let ids = rules.iter().filter_map(|(path, text)| {
        path.strip_suffix(".toml").filter(|_| is_keyed_and_counts_nothing(text))
    });
    let mut text = format!(
        "# Lets the alerts of rules that count nothing resolve after {KEEP_OPEN}, so that whoever watches the\n# demo sees it happen. When it ends, this file goes.\n[[override]]\nrules = [\n"
    );
    for id in ids {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  \"{id}\",");
    }
    let _infallible = writeln!(text, "]\nset = {{ \"alert.keep_open\" = \"{KEEP_OPEN}\" }}");
    text
}

fn is_keyed_and_counts_nothing(rule: &str) -> bool {
    let has = |wanted: &str| rule.lines().any(|line| line.starts_with(wanted));
    // A table, an inline one, or the steps of one that has no header of its own.
    let forms = |table: &str| [format!("[{table}]"), format!("{table} "), format!("[[{table}.")];
    let counts = DETECTORS.iter().any(|spec| forms(spec.table).iter().any(|form| has(form)));
    has("group_by") && !counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;

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
        let rules = [
            ("counts.toml", "group_by = ['x']\n[threshold]\ncount = 5\n"),
            ("steps.toml", "group_by = ['x']\n[[sequence.step]]\ncount = 5\n"),
            ("keyless.toml", "title = 'no key'\n"),
            ("README.md", "group_by = [...]\n"),
            ("a/b.toml", "group_by = ['x']\n[alert]\nkeep_open = \"8h\"\n"),
        ];
        let text = impatience(&rules.map(|(path, text)| (path.to_owned(), text)));
        let table: toml::Table = toml::from_str(&text).unwrap();
        let expected: toml::Table =
            toml::from_str("override = [{ rules = ['a/b'], set = { 'alert.keep_open' = '20s' } }]")
                .unwrap();
        assert_eq!(table, expected);
    }

    #[tokio::test]
    async fn the_configuration_has_no_mistakes_during_the_demo_or_after_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("kept");
        let folder = Folder::create(Some(&path)).unwrap();
        let receiver = Receiver::start().await.unwrap();
        let office = Office::at(Timestamp::from_millis(0));
        folder.fill().unwrap();
        let during = folder.layers(&office, &receiver).unwrap();
        let after = Layers { sets: Vec::new(), environment: BTreeMap::new(), ..during.clone() };
        for (layers, notifiers, sinks) in [(during, 3, 2), (after, 1, 0)] {
            let loaded = config::load(&layers);
            let said: Vec<_> = loaded.found.iter().flat_map(|(_, found)| found.iter()).collect();
            assert!(said.is_empty(), "{said:?}");
            let config = loaded.config.unwrap();
            let found = (config.sources.len(), config.notifiers.len(), config.sinks.len());
            assert_eq!(found, (5, notifiers, sinks));
        }
        drop(folder);
        assert!(path.join("config/hark.toml").exists(), "it was to be kept");
        assert!(!path.join(IMPATIENCE).exists(), "this holds only for the demo");
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
