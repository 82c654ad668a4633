//! What the tests make: destinations from TOML, records, alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use hark::alert::{Alert, AlertStatus, RuleInfo, Sample};
use hark::base::clock::{Manual, System};
use hark::base::document::{Document, Table};
use hark::base::metrics::Metrics;
use hark::base::{
    Clock, Diagnostics, SecretSource, Secrets, Severity, Timestamp, diagnostic::SourceText,
    diagnostic::render,
};
use hark::delivery::{
    Batch, Destination, Family, Forwarded, ForwardedKind, Notification, NotificationKind, Pushed,
    Stop, Stopper, Verdict, stop,
};
use hark::{notifiers, sinks};

use super::support::{datadog, hec};

/// A Standard Webhooks secret, and another.
pub const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub const WHSEC_OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The environment of these tests; files are read for real.
pub struct Known;

impl Secrets for Known {
    fn resolve(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read `{}`: {error}", path.display())),
            SecretSource::Env(name) => match name.as_str() {
                "HEC_TOKEN" => Ok(hec::TOKEN.to_owned()),
                "DD_KEY" => Ok(datadog::KEY.to_owned()),
                "WHSEC" => Ok(WHSEC.to_owned()),
                "WHSEC_OLD" => Ok(WHSEC_OLD.to_owned()),
                "PASSWORD" => Ok("corrèct horse".to_owned()),
                "WRONG" => Ok("wrong".to_owned()),
                _ => Err(format!("environment variable `{name}` is not set")),
            },
        }
    }
}

/// Reads `text` with `read` and demands that nothing is wrong with it.
fn load<T>(text: &str, family: &str, read: impl Fn(&Table<'_>, &mut Diagnostics) -> T) -> T {
    let (loaded, found) = try_load(text, family, read);
    assert!(!found.has_errors(), "{}", render(&SourceText::new("test.toml", text), &found, false));
    loaded
}

fn try_load<T>(
    text: &str,
    family: &str,
    read: impl Fn(&Table<'_>, &mut Diagnostics) -> T,
) -> (T, Diagnostics) {
    let document = Document::parse(text);
    let mut found = Diagnostics::new();
    let root = document.root(&mut found);
    let table = root.any(family).and_then(|item| item.table(&mut found)).unwrap();
    (read(&table, &mut found), found)
}

/// What is said about a text with mistakes.
pub fn mistakes(text: &str) -> String {
    let family = if text.contains("[sinks") { "sinks" } else { "notifiers" };
    let (_, found) = try_load(text, family, |table, found| match family {
        "sinks" => sinks::read(table, found, &Known).len(),
        _ => notifiers::read(table, found, &Known).len(),
    });
    render(&SourceText::new("hark.toml", text), &found, false)
}

/// The sink in a text.
pub fn sink(text: &str) -> SinkUnderTest {
    let configured = load(text, "sinks", |table, found| sinks::read(table, found, &Known));
    SinkUnderTest::new(configured.into_iter().next().unwrap(), Arc::new(System))
}

/// The notifier in a text.
pub fn notifier(text: &str) -> NotifierUnderTest {
    let configured = load(text, "notifiers", |table, found| notifiers::read(table, found, &Known));
    NotifierUnderTest::new(configured.into_iter().next().unwrap(), Arc::new(System))
}

/// All sinks and notifiers of a text, for what they print of themselves.
pub fn debug_of(text: &str, family: &str) -> String {
    load(text, family, |table, found| match family {
        "sinks" => format!("{:#?}", sinks::read(table, found, &Known)),
        _ => format!("{:#?}", notifiers::read(table, found, &Known)),
    })
}

/// A sink with its destination.
pub struct SinkUnderTest {
    pub configured: sinks::Configured,
    pub destination: Destination,
    pub metrics: Metrics,
    pub stop: (Stopper, Stop),
}

impl SinkUnderTest {
    pub fn new(configured: sinks::Configured, clock: Arc<dyn Clock>) -> Self {
        let metrics = Metrics::new();
        let destination = Destination::new(
            Family::Sinks,
            &configured.name,
            configured.retry,
            metrics.clone(),
            clock,
            7,
        );
        Self { configured, destination, metrics, stop: stop() }
    }

    /// A batch with all of `records`, which must fit.
    pub fn batch(&self, records: &[Forwarded<'_>]) -> Arc<Batch> {
        let sink = self.configured.sink.as_ref();
        let mut batch = Batch::new(sink.framing(), self.configured.batch);
        for record in records {
            assert_eq!(batch.push(sink, record, System.now()), Pushed::Added);
        }
        Arc::new(batch)
    }

    /// Sends `records` in one batch.
    pub async fn deliver(&self, records: &[Forwarded<'_>]) -> Vec<Verdict> {
        let batch = self.batch(records);
        self.destination.deliver(self.configured.sink.as_ref(), &batch, &self.stop.1).await
    }

    /// A counter or gauge, as it is exposed.
    pub fn metric(&self, line: &str) -> u64 {
        metric(&self.metrics, line)
    }
}

/// A notifier with its destination.
pub struct NotifierUnderTest {
    pub configured: notifiers::Configured,
    pub destination: Destination,
    pub metrics: Metrics,
    pub stop: (Stopper, Stop),
}

impl NotifierUnderTest {
    pub fn new(configured: notifiers::Configured, clock: Arc<dyn Clock>) -> Self {
        let metrics = Metrics::new();
        let destination = Destination::new(
            Family::Notifiers,
            &configured.name,
            configured.retry,
            metrics.clone(),
            clock,
            7,
        );
        Self { configured, destination, metrics, stop: stop() }
    }

    pub async fn notify(&self, notification: &Notification) -> Verdict {
        let notifier = self.configured.notifier.as_ref();
        self.destination.notify(notifier, notification, &self.stop.1).await
    }

    /// A counter or gauge, as it is exposed.
    pub fn metric(&self, line: &str) -> u64 {
        metric(&self.metrics, line)
    }
}

fn metric(metrics: &Metrics, line: &str) -> u64 {
    let text = metrics.render();
    let value = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// A record of an audit topic.
pub fn record<'a>(id: &'a str, payload: &'a [u8]) -> Forwarded<'a> {
    Forwarded {
        id,
        kind: ForwardedKind::Event,
        time: Timestamp::from_millis(System.now().as_millis() / 1000 * 1000 + 120),
        topic: "audit",
        partition: 3,
        offset: 42,
        dataset: "opsknight",
        title: "",
        severity: None,
        payload,
    }
}

/// Settings by which a test does not wait between attempts.
pub const QUICK: &str = "retry = { initial = '2ms', max = '8ms', probe = '4ms' }\n";
/// For where the other side says nothing: short for a test, long for a busy machine.
pub const IMPATIENT: &str = "timeout = '1s'\n";

/// A clock that a test moves.
pub fn manual(time: &str) -> Manual {
    Manual::new(Timestamp::parse(time).unwrap())
}

/// An opened notification about an alert with one sample.
pub fn notification(title: &str) -> Notification {
    let at = |text: &str| Timestamp::parse(text).unwrap();
    let key = BTreeMap::from([("user.email".to_owned(), "mallory@example.com".into())]);
    let alert = Alert {
        id: "5f2b7c1de0a94e3388a1b2c3d4e5f607".to_owned(),
        revision: 1,
        status: AlertStatus::Open,
        severity: Severity::High,
        title: title.to_owned(),
        summary: "Somebody guesses passwords".to_owned(),
        rule: RuleInfo {
            id: "opsknight/failed-logins".to_owned(),
            version: "00112233445566ff".to_owned(),
            title: "Many failed logins".to_owned(),
            status: "production".to_owned(),
            threat: vec!["T1110".to_owned()],
            runbook: Some("https://wiki.example.com/failed-logins?a=1&b=2".to_owned()),
            ..RuleInfo::default()
        },
        key: key.clone(),
        count: 7,
        firings: 3,
        value: 7.into(),
        previous: None,
        peak: 7.into(),
        approximate: false,
        opened_at: at("2026-01-05T12:00:00Z"),
        first_seen: at("2026-01-05T11:55:00Z"),
        last_seen: at("2026-01-05T12:00:30Z"),
        resolved_at: None,
        resolution: None,
        samples: vec![Sample {
            position: "audit:3:42".to_owned(),
            time: at("2026-01-05T12:00:00Z"),
            fields: key,
        }],
        template_failures: Vec::new(),
    };
    Notification::new("soc", NotificationKind::Opened, at("2026-01-05T12:00:01Z"), alert)
}
