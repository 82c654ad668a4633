//! The stage of every test: topics on a real broker, the receivers of everything that Hark sends, a
//! configuration in a folder, and the daemon started from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hark::app::{Daemon, Role};
use hark::base::diagnostic::render;
use hark::base::{Clock as _, Timestamp, clock};
use hark::config::{self, Layers};
use hark::kafka::topics::Partitions;
use hark::kafka::{Cleanup, Cluster, Settings, TopicSpec};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::recount::{self, Told};
use crate::support::datadog::{self, Datadog};
use crate::support::hec::{self, Hec};
use crate::support::smtp::{Aiosmtpd, Mail, Options};
use crate::support::webhook::{Received, Receiver};
use crate::support::{eventually, kcat, unique};
use crate::traffic::{Line, PRODUCTS};

/// Partitions of each audit topic.
pub(crate) const PARTITIONS: u16 = 4;
/// How long anything may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(90);
/// Rules that [`recount`] does not know.
const NOT_RECOUNTED: [&str; 3] = [
    "common/nearly-all-logins-fail",
    "common/several-alerts-about-one-user",
    "common/product-silent",
];
const WEBHOOK_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What a test wants otherwise than usual.
pub(crate) struct Wishes {
    /// Audit topics, without the stage's prefix; `audit.PRODUCT` goes to the mapping of that name.
    pub(crate) topics: Vec<&'static str>,
    /// Rule files by path, in place of those that ship.
    pub(crate) rules: Option<Vec<(&'static str, String)>>,
    /// `hours` of the schedule `business-hours`, every day, UTC.
    pub(crate) business_hours: String,
    /// Whether mail tells a resolve, too; the webhook always does.
    pub(crate) mail_resolved: bool,
    /// Where Splunk is, if the stage is not to have one of its own.
    pub(crate) splunk_url: Option<String>,
    /// More of the configuration.
    pub(crate) more: String,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            topics: PRODUCTS.iter().map(|product| product.topic()).collect(),
            rules: None,
            business_hours: "00:00-24:00".to_owned(),
            mail_resolved: false,
            splunk_url: None,
            more: String::new(),
        }
    }
}

/// Everything around the daemon.
pub(crate) struct Stage {
    pub(crate) bootstrap: String,
    /// Begins the name of every topic and group.
    pub(crate) name: String,
    pub(crate) mail: Aiosmtpd,
    pub(crate) webhook: Receiver,
    pub(crate) splunk: Hec,
    pub(crate) datadog: Datadog,
    topics: Vec<&'static str>,
    folder: TempDir,
    runtime: Runtime,
}

/// A daemon on a stage; dropping it is no way to stop it.
pub(crate) struct Running<'s> {
    stage: &'s Stage,
    pub(crate) daemon: Daemon,
}

impl Stage {
    /// Makes the topics, starts the receivers and writes the configuration.
    pub(crate) fn new(bootstrap: &str, wishes: &Wishes) -> Self {
        let stage = Self {
            bootstrap: bootstrap.to_owned(),
            name: unique("e2e"),
            mail: Aiosmtpd::start(&Options::default()),
            webhook: Receiver::start(WEBHOOK_SECRET),
            splunk: Hec::start(),
            datadog: Datadog::start(),
            topics: wishes.topics.clone(),
            folder: TempDir::new().unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
        };
        let settings = Settings { bootstrap: bootstrap.to_owned(), ..Settings::default() };
        let topic = |topic: &&str| TopicSpec {
            name: stage.topic(topic),
            partitions: Partitions::Exactly(PARTITIONS),
            cleanup: Cleanup::Delete { retention: Duration::from_hours(24) },
            purpose: "audit records of a test",
        };
        let specs: Vec<TopicSpec> = wishes.topics.iter().map(topic).collect();
        Cluster::open(&settings).unwrap().ensure(&specs).unwrap();
        stage.write_mappings();
        match &wishes.rules {
            Some(rules) => stage.write_rules(rules),
            None => stage.write_shipped_rules(),
        }
        stage.write_configuration(wishes);
        stage
    }

    /// The full name of a topic.
    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file that an operator would write.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.path().join("hark.toml")
    }

    /// The shipped mappings, for topics with this stage's names.
    fn write_mappings(&self) {
        let folder = self.path().join("mappings");
        fs::create_dir(&folder).unwrap();
        for file in fs::read_dir(root().join("config/mappings")).unwrap() {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            let text = text.replace("\"audit.", &format!("\"{}.audit.", self.name));
            fs::write(folder.join(file.file_name()), text).unwrap();
        }
    }

    /// The shipped rules, but for those that nobody recounts here: they look at whole days or at other
    /// rules' alerts. An override switches them off, as an operator would.
    fn write_shipped_rules(&self) {
        let shipped = root().join("rules");
        let mut folders = vec![shipped.clone()];
        while let Some(folder) = folders.pop() {
            let to = self.path().join("rules").join(folder.strip_prefix(&shipped).unwrap());
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                }
            }
        }
        let off: Vec<String> = NOT_RECOUNTED.iter().map(|rule| format!("{rule:?}")).collect();
        let off =
            format!("[[override]]\nrules = [{}]\nset = {{ enabled = false }}\n", off.join(", "));
        fs::write(self.path().join("rules/stage.toml"), off).unwrap();
    }

    /// Replaces all rules; they are read at the next start.
    pub(crate) fn write_rules(&self, rules: &[(&str, String)]) {
        let folder = self.path().join("rules");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        for (path, text) in rules {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn write_configuration(&self, wishes: &Wishes) {
        let rules = self.path().join("rules");
        let sources: Vec<String> =
            self.topics.iter().map(|topic| format!("{:?} = {{}}", self.topic(topic))).collect();
        let splunk = wishes.splunk_url.clone().unwrap_or_else(|| self.splunk.url());
        let text = format!(
            r#"
rules = "{rules}"
mappings = "mappings"
instance = "{name}"

[kafka]
bootstrap = "{bootstrap}"
prefix = "{name}."
partitions = 4

[sources]
{sources}

[schedules.business-hours]
timezone = "UTC"
hours = {hours}

[notifiers.people.email]
server = "127.0.0.1"
port = {mail}
tls = "none"
from = "Hark <hark@example.com>"
to = ["soc@example.com"]
min_severity = "info"
resolved = {mail_resolved}
retry = {{ initial = "50ms", max = "500ms", probe = "200ms" }}

[notifiers.bot.webhook]
url = "{webhook}"
secret = [{{ env = "WEBHOOK_SECRET" }}]
min_severity = "info"
resolved = true
retry = {{ initial = "50ms", max = "500ms", probe = "200ms" }}

[sinks.siem.splunk_hec]
url = "{splunk}"
token = {{ env = "SPLUNK_TOKEN" }}
index = "audit"
alerts = true
batch = {{ age = "200ms" }}
retry = {{ initial = "50ms", max = "500ms", probe = "200ms" }}

[sinks.dd.datadog_logs]
url = "{datadog}"
api_key = {{ env = "DATADOG_KEY" }}
alerts = true
batch = {{ age = "200ms" }}
retry = {{ initial = "50ms", max = "500ms", probe = "200ms" }}

[admin]
listen = "127.0.0.1:0"
{more}
"#,
            rules = rules.display(),
            name = self.name,
            sources = sources.join("\n"),
            bootstrap = self.bootstrap,
            hours = wishes.business_hours_list(),
            mail = self.mail.port,
            mail_resolved = wishes.mail_resolved,
            webhook = self.webhook.url(),
            datadog = self.datadog.url(),
            more = wishes.more,
        );
        fs::write(self.configuration(), text).unwrap();
    }

    /// The secrets that the configuration takes from the environment.
    pub(crate) fn environment() -> BTreeMap<String, String> {
        [
            ("WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("SPLUNK_TOKEN", hec::TOKEN),
            ("DATADOG_KEY", datadog::KEY),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Status and body of a page of an admin interface.
    pub(crate) fn get(&self, admin: SocketAddr, path: &str) -> reqwest::Result<(u16, String)> {
        self.runtime.block_on(async {
            let answer = reqwest::get(format!("http://{admin}{path}")).await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        })
    }

    /// Waits until a counter or gauge stands at a value.
    #[track_caller]
    pub(crate) fn metric_is(&self, admin: SocketAddr, name: &str, value: i64) {
        let line = format!("{name} {value}");
        eventually(SOON, || match self.get(admin, "/metrics") {
            Ok((_, metrics)) if metrics.lines().any(|found| found == line) => Ok(()),
            Ok((_, metrics)) => {
                let found: Vec<_> = metrics.lines().filter(|l| l.starts_with(name)).collect();
                Err(format!("expected `{line}`, found {found:?}"))
            }
            Err(error) => Err(error.to_string()),
        });
    }

    /// Starts the daemon with all roles.
    pub(crate) fn start(&self) -> Running<'_> {
        self.start_as(&self.name)
    }

    /// Starts one more instance, under a name of its own.
    pub(crate) fn start_as(&self, instance: &str) -> Running<'_> {
        self.start_roles(instance, &Role::ALL)
    }

    /// Starts an instance that has some of the roles.
    pub(crate) fn start_roles(&self, instance: &str, roles: &[Role]) -> Running<'_> {
        let path = self.configuration();
        let text = fs::read_to_string(&path).unwrap();
        let sets = vec![format!("instance={instance}")];
        let layers = Layers { path, text, environment: Self::environment(), sets };
        let loaded = config::load(&layers);
        let said: String =
            loaded.found.iter().map(|(source, found)| render(source, found, false)).collect();
        let config = loaded.config.unwrap_or_else(|| panic!("{said}"));
        let daemon = Daemon::start(config, roles, Arc::new(clock::System));
        let daemon = self.runtime.block_on(daemon).unwrap_or_else(|failure| {
            let found = &failure.found;
            let said: String = found.iter().map(|(s, found)| render(s, found, false)).collect();
            panic!("{failure}\n{said}")
        });
        Running { stage: self, daemon }
    }

    /// Writes lines with kcat, those of one key in order.
    pub(crate) fn produce(&self, lines: &[Line]) {
        for topic in &self.topics {
            let of_topic: Vec<String> = lines
                .iter()
                .filter(|line| line.topic == *topic)
                .map(|line| format!("{}\t{}", line.key, line.payload))
                .collect();
            if !of_topic.is_empty() {
                kcat::produce(&self.bootstrap, &self.topic(topic), &["-K", "\t"], of_topic);
            }
        }
    }

    /// The last state of every alert on the topic, and how many records tell of it.
    pub(crate) fn alerts(&self) -> BTreeMap<String, Value> {
        let mut alerts: BTreeMap<String, Value> = BTreeMap::new();
        for line in kcat::consume(&self.bootstrap, &self.topic("alerts")) {
            let alert: Value = serde_json::from_str(&line.payload).unwrap();
            let id = alert["id"].as_str().unwrap().to_owned();
            assert_eq!(line.key, id, "an alert's record is keyed by its id");
            // Repeats after a failure come later and tell no more than was told.
            let newer = |known: &Value| alert["revision"].as_u64() > known["revision"].as_u64();
            if alerts.get(&id).is_none_or(newer) {
                alerts.insert(id, alert);
            }
        }
        alerts
    }

    /// Waits until the alerts on the topic are those that the recount expects; returns them by id.
    #[track_caller]
    pub(crate) fn alerts_are(&self, expected: &[Told]) -> BTreeMap<String, Value> {
        eventually(SOON, || {
            let alerts = self.alerts();
            let told: Vec<Told> = alerts.values().map(Told::of).collect();
            recount::compare(&told, expected).map(|()| alerts)
        })
    }

    /// Waits until mail server and webhook were told of each alert's opening and, where asked, of
    /// its end.
    #[track_caller]
    pub(crate) fn all_told(&self, alerts: &BTreeMap<String, Value>, mail_resolved: bool) {
        let by_mail = notifications(alerts, mail_resolved);
        let by_webhook = notifications(alerts, true);
        eventually(SOON, || {
            contains("mail", &set(&self.mails()), &by_mail)?;
            contains("webhook", &set(&self.webhooks()), &by_webhook)
        });
    }

    /// `opened ID` or `resolved ID` of every mail, in order.
    pub(crate) fn mails(&self) -> Vec<String> {
        let name = |mail: &Mail| {
            assert_eq!(mail.defects, [] as [&str; 0], "{mail:?}");
            let over = mail.header("subject")[0].starts_with("[RESOLVED]");
            let word = if over { "resolved" } else { "opened" };
            format!("{word} {}", mail.header("x-alert-id")[0])
        };
        self.mail.mails().iter().map(name).collect()
    }

    /// `opened ID` or `resolved ID` of every delivery whose signature was right, in order.
    pub(crate) fn webhooks(&self) -> Vec<String> {
        let name = |received: &Received| {
            let id = received.body["data"]["id"].as_str().unwrap();
            match received.body["type"].as_str().unwrap() {
                "alert.opened" => format!("opened {id}"),
                "alert.resolved" => format!("resolved {id}"),
                other => panic!("a webhook of type {other}"),
            }
        };
        self.webhook.received().iter().map(name).collect()
    }

    /// The ids that both sinks must have: of every record in the audit topics, usable or not, and of
    /// every state of every alert.
    pub(crate) fn forwarded(&self) -> BTreeSet<String> {
        let unusable: BTreeSet<String> = self.dead_letters().iter().map(position).collect();
        let mut ids = BTreeSet::new();
        for topic in &self.topics {
            let topic = self.topic(topic);
            for line in kcat::consume(&self.bootstrap, &topic) {
                let position = format!("{topic}:{}:{}", line.partition, line.offset);
                let record = serde_json::from_str(&line.payload).unwrap_or_default();
                let id = recount::event_id(&record).filter(|_| !unusable.contains(&position));
                let id = id.unwrap_or(position);
                assert!(ids.insert(id), "two records of the test have one id: {}", line.payload);
            }
        }
        for line in kcat::consume(&self.bootstrap, &self.topic("alerts")) {
            let alert: Value = serde_json::from_str(&line.payload).unwrap();
            ids.insert(format!("{}:{}", alert["id"].as_str().unwrap(), alert["revision"]));
        }
        ids
    }

    /// Waits until both sinks have everything.
    #[track_caller]
    pub(crate) fn all_forwarded(&self) -> BTreeSet<String> {
        let expected = self.forwarded();
        has_all("Splunk", || self.splunk.ids(), &expected);
        self.all_in_datadog(&expected);
        expected
    }

    #[track_caller]
    pub(crate) fn all_in_datadog(&self, expected: &BTreeSet<String>) {
        has_all("Datadog", || self.datadog.ids(), expected);
        assert_eq!(self.datadog.spoilt(), [] as [&str; 0], "Datadog would have dropped these");
    }

    /// The dead letters so far, in order.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let lines = kcat::consume(&self.bootstrap, &self.topic("dead-letters"));
        lines.iter().map(|line| serde_json::from_str(&line.payload).unwrap()).collect()
    }

    /// After a run without faults: nothing was sent twice.
    #[track_caller]
    pub(crate) fn nothing_twice(&self) {
        once("mail", &self.mails());
        once("webhook", &self.webhooks());
        once("Splunk", &self.splunk.ids());
        once("Datadog", &self.datadog.ids());
    }

    #[track_caller]
    pub(crate) fn no_dead_letters(&self) {
        assert_eq!(self.dead_letters(), [] as [Value; 0]);
    }
}

impl Wishes {
    fn business_hours_list(&self) -> String {
        let hours: Vec<String> =
            self.business_hours.split(' ').map(|hours| format!("{hours:?}")).collect();
        format!("[{}]", hours.join(", "))
    }
}

impl Running<'_> {
    /// Drains and stops.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.stage.runtime.block_on(self.daemon.stop()).unwrap();
    }

    /// Waits until every part says that it is ready.
    #[track_caller]
    pub(crate) fn is_ready(&self) {
        eventually(SOON, || match self.get("/readyz") {
            (200, _) => Ok(()),
            (status, body) => Err(format!("/readyz answers {status}: {body}")),
        });
    }

    /// What `/readyz` says of a part: whether it is ready, and why (not).
    pub(crate) fn part(&self, name: &str) -> (bool, String) {
        let (_, body) = self.get("/readyz");
        let body: Value = serde_json::from_str(&body).unwrap();
        let parts = body["parts"].as_array().unwrap();
        let group = self.stage.topic(name);
        let part = parts.iter().find(|part| part["name"] == *group);
        let part = part.unwrap_or_else(|| panic!("no part `{group}` in {body:#}"));
        (part["ready"].as_bool().unwrap(), part["reason"].as_str().unwrap().to_owned())
    }

    /// Status and body of a page of the admin interface.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.stage.get(self.daemon.admin().unwrap(), path).unwrap()
    }

    /// Waits until a counter or gauge stands at a value.
    #[track_caller]
    pub(crate) fn metric_is(&self, name: &str, value: i64) {
        self.stage.metric_is(self.daemon.admin().unwrap(), name, value);
    }
}

/// Unix milliseconds.
pub(crate) fn now() -> i64 {
    clock::System.now().as_millis()
}

/// A time span of less than a day as a schedule writes it.
pub(crate) fn hours(span: &Range<i64>) -> String {
    let time = |millis: i64| Timestamp::from_millis(millis).to_string()[11..16].to_owned();
    format!("{}-{}", time(span.start), time(span.end))
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// Where the record of a dead letter stands.
pub(crate) fn position(letter: &Value) -> String {
    let topic = letter["topic"].as_str().unwrap();
    format!("{topic}:{}:{}", letter["partition"], letter["offset"])
}

/// Waits until exactly these ids have come, each at least once.
#[track_caller]
pub(crate) fn has_all(who: &str, ids: impl Fn() -> Vec<String>, expected: &BTreeSet<String>) {
    eventually(SOON, || contains(who, &set(&ids()), expected));
}

/// `opened ID` for every alert, `resolved ID` for those that are over and were not over at once.
fn notifications(alerts: &BTreeMap<String, Value>, resolved: bool) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    for (id, alert) in alerts {
        expected.insert(format!("opened {id}"));
        if resolved && alert["status"] == "resolved" && alert["resolution"] != "one_event" {
            expected.insert(format!("resolved {id}"));
        }
    }
    expected
}

/// Whether exactly these have come; repeats are another question.
fn contains(who: &str, came: &BTreeSet<String>, expected: &BTreeSet<String>) -> Result<(), String> {
    let show = |ids: Vec<&String>| format!("{}, first {:?}", ids.len(), ids.first());
    let missing: Vec<_> = expected.difference(came).collect();
    let strange: Vec<_> = came.difference(expected).collect();
    if missing.is_empty() && strange.is_empty() {
        return Ok(());
    }
    let (missing, strange) = (show(missing), show(strange));
    Err(format!(
        "{who} has {} of {}; missing {missing}; not expected {strange}",
        came.len(),
        expected.len()
    ))
}

/// Demands that nothing came twice.
#[track_caller]
pub(crate) fn once(who: &str, came: &[String]) {
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = came.iter().filter(|id| !seen.insert(*id)).collect();
    assert!(
        twice.is_empty(),
        "{who} got {} more than once, first {:?}",
        twice.len(),
        twice.first()
    );
}
