//! Configuration → running daemon → drained daemon, in this process, so that tests start the whole.
//!
//! What each role does is `role`'s, how a worker works `kafka`'s; here they are put together.

mod starting;
mod zeros;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::watch;

use self::starting::Starting;
use crate::admin::{Admin, Part, Status};
use crate::base::diagnostic::{SourceText, allow};
use crate::base::metrics::Metrics;
use crate::base::{Clock, Diagnostic, Diagnostics, Timestamp};
use crate::config::{Config, read_file, read_tree, sample_names};
use crate::detectors::EXPECTED_MAX;
use crate::engine::Program;
use crate::event::Layout;
use crate::kafka::{Cluster, Health, State, Topics, Worker};
use crate::mapping::Mappings;
use crate::role::deliver::{Deliverer, Identify};
use crate::rule::{Advice, CheckInput, CheckReport, Context, RuleFile, RuleSet};

/// How long everything together may take to drain and stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often the parts are asked whether one has failed for good.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// Partitions of an audit topic that is made on the embedded broker.
const EMBEDDED_PARTITIONS: u16 = 4;
/// Completions that may wait for a destination's thread: far more than can be under way.
const FINISHED_MAX: usize = 4096;

/// One of the four parts of the work; each is a consumer group of its own, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Audit records → signals.
    Match,
    /// Signals → alerts.
    Correlate,
    /// Alerts → notifications.
    Notify,
    /// Everything → the outside world.
    Deliver,
}

impl Role {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 4] = [Self::Match, Self::Correlate, Self::Notify, Self::Deliver];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Correlate => "correlate",
            Self::Notify => "notify",
            Self::Deliver => "deliver",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("expected match, correlate, notify or deliver, found `{text}`"))
    }
}

/// Why the daemon did not start.
#[derive(Debug)]
pub struct Failure {
    /// Mistakes in files, with their places.
    pub found: Vec<(SourceText, Diagnostics)>,
    /// What it comes to.
    pub error: anyhow::Error,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { found: Vec::new(), error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Reads rule and mapping files and checks them together. `paths` names rule files and folders to
/// check instead of the configured ones; `now` says which exceptions have ended.
pub fn check(config: &Config, paths: &[PathBuf], now: Timestamp) -> CheckReport {
    let mut unreadable = Vec::new();
    let mut found = Diagnostics::new();
    let mappings = read_mappings(config, &mut found);
    if mappings.is_empty() && !found.has_errors() && config.has_mappings() {
        found.push(empty("no-mappings", "mapping", "no record becomes an event"));
    }
    unreadable.push((SourceText::new(&config.mappings, ""), found));
    let roots = if paths.is_empty() { std::slice::from_ref(&config.rules) } else { paths };
    let mut rules = Vec::new();
    for path in roots {
        let mut found = Diagnostics::new();
        let sources = if path.is_dir() {
            read_tree(path, &mut found)
        } else {
            read_file(path, &mut found).into_iter().collect()
        };
        unreadable.push((SourceText::new(path, ""), found));
        rules.extend(sources.into_iter().map(|source| rule_file(source, &config.rules, path)));
    }
    let sets = &config.sets;
    let samples = sample_names(&config.samples);
    let others = (!paths.is_empty()).then(|| configured_ids(config)).flatten();
    let advice = Advice {
        now: Some(now),
        all_rules: paths.is_empty(),
        other_rules: others.as_ref(),
        samples: samples.as_ref(),
        signals_retention: Some(config.kafka.signals_retention),
        allow: &config.allow,
    };
    let tables = &config.tables;
    let input = CheckInput { mappings: &mappings, tables, rules: &rules, sets, advice };
    let mut report = crate::rule::check(&input);
    // The roots of rules come behind that of mappings; what cannot be read has been told of.
    if report.rule_files == 0
        && let Some((_, found)) = unreadable.get_mut(1)
        && !found.has_errors()
    {
        found.push(empty("no-rules", "rule", "nothing is detected"));
    }
    for (_, found) in &mut unreadable {
        *found = allow::without(std::mem::take(found), &config.allow);
    }
    unreadable.retain(|(_, found)| !found.is_empty());
    report.files.splice(0..0, unreadable);
    report
}

/// The ids of the configured rules, for files that may build on them; `None` where they cannot be read.
fn configured_ids(config: &Config) -> Option<BTreeSet<String>> {
    let mut found = Diagnostics::new();
    let files = read_tree(&config.rules, &mut found).into_iter();
    let files: Vec<RuleFile> =
        files.map(|source| rule_file(source, &config.rules, &config.rules)).collect();
    if found.has_errors() || files.is_empty() {
        return None;
    }
    let (rules, _) = RuleSet::load(&files, &Context::new(&config.sets));
    let loaded = rules.rules().iter().map(|rule| rule.id.to_string());
    // A rule with mistakes is there all the same.
    Some(files.iter().map(RuleFile::id).chain(loaded).collect())
}

/// What is said of a folder without files: whoever starts with it would wait for nothing.
fn empty(code: &'static str, what: &str, so: &str) -> Diagnostic {
    let message = format!("no {what} file (*.toml) here, so {so}");
    let help = format!("set `{what}s` in the configuration to the folder with the {what} files");
    Diagnostic::of_file(code, message).as_warning().help(help)
}

/// The configured mapping files.
pub fn read_mappings(config: &Config, unreadable: &mut Diagnostics) -> Vec<SourceText> {
    if !config.has_mappings() {
        return Vec::new();
    }
    read_tree(&config.mappings, unreadable)
}

/// A rule file with its path below the configured root, which gives it its id; a file elsewhere
/// counts from the folder that was named.
fn rule_file(source: SourceText, root: &Path, named: &Path) -> RuleFile {
    let folder = if named.is_dir() { named } else { named.parent().unwrap_or(named) };
    let below = below(&source.path, root).or_else(|| below(&source.path, folder));
    let relative = below.unwrap_or_else(|| source.path.clone());
    RuleFile { relative: relative.to_string_lossy().into_owned(), source }
}

/// `path` below `root`, however both are written.
fn below(path: &Path, root: &Path) -> Option<PathBuf> {
    let (path, root) = (path.canonicalize().ok()?, root.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(Path::to_owned)
}

/// Rules and mappings, compiled.
struct Prepared {
    rules: RuleSet,
    program: Arc<Program>,
    /// What the rules read of alerts, if some build on alerts of others.
    alerts: Option<Arc<Layout>>,
    mappings: Arc<Mappings>,
    /// For forwarding: reads nothing but an event's id and time.
    identify: (Arc<Mappings>, crate::event::FieldId),
}

fn prepare(config: &Config, now: Timestamp) -> Result<Prepared, Failure> {
    let report = check(config, &[], now);
    if report.errors() > 0 {
        let error = anyhow!("{}; nothing was started", report.summary());
        return Err(Failure { found: report.files, error });
    }
    for (source, found) in &report.files {
        for warning in found.clone().sorted() {
            tracing::warn!(file = %source.path.display(), warning.message, "check");
        }
    }
    let mut layout = Layout::new();
    let program = Program::compile(report.rules.enabled().cloned(), &mut layout, &config.sets)
        .map_err(|faults| anyhow!("rules that were checked do not compile: {faults:?}"))?;
    let options = config.options();
    let load = |layout: &Layout| {
        let (mappings, found) =
            Mappings::load(&report.mappings, &config.tables, layout, &config.sets, options);
        if found.iter().any(|(_, found)| found.has_errors()) {
            let error = anyhow!("the mappings have errors; nothing was started");
            return Err(Failure { found, error });
        }
        Ok(Arc::new(mappings))
    };
    let (id_layout, event_id) = Identify::layout();
    Ok(Prepared {
        rules: report.rules,
        alerts: program.reads_alerts().then(|| Arc::new(layout.clone())),
        program: Arc::new(program),
        mappings: load(&layout)?,
        identify: (load(&id_layout)?, event_id),
    })
}

/// A running daemon.
pub struct Daemon {
    cluster: Arc<Cluster>,
    topics: Topics,
    metrics: Metrics,
    parts: Arc<Mutex<Parts>>,
    admin: Option<Admin>,
    stopped: watch::Sender<bool>,
}

#[derive(Default)]
struct Parts {
    /// Why there are none; `None` when all have been started.
    absent: Option<&'static str>,
    workers: Vec<(Role, Worker)>,
    deliverers: Vec<Deliverer>,
}

/// What the admin interface sees of the parts.
struct Readiness(Arc<Mutex<Parts>>);

impl Status for Readiness {
    fn parts(&self) -> Vec<Part> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = |role: Role, name: &str, ready, reason| Part {
            role: role.name().to_owned(),
            name: name.to_owned(),
            ready,
            reason,
        };
        let workers = parts.workers.iter().map(|(role, worker)| {
            let state = worker.health().state();
            part(*role, worker.name(), state.is_ready(), state.to_string())
        });
        let deliverers = parts.deliverers.iter().map(|deliverer| {
            let (ready, reason) = deliverer.status();
            part(Role::Deliver, deliverer.group(), ready, reason)
        });
        let absent = parts.absent.map(|why| Part {
            role: "hark".to_owned(),
            name: "hark".to_owned(),
            ready: false,
            reason: why.to_owned(),
        });
        absent.into_iter().chain(workers).chain(deliverers).collect()
    }
}

impl Parts {
    fn absent(why: &'static str) -> Self {
        Self { absent: Some(why), ..Self::default() }
    }

    /// Why the daemon has to end: a role has failed for good. A destination that has is not ready
    /// and says so, but holds up neither detection nor other destinations, as long as there are any.
    fn failed(&self) -> Option<anyhow::Error> {
        let failed = |name: &str, health: &Health| match health.state() {
            State::Failed(why) => Some(anyhow!("{name}: {why}")),
            _ => None,
        };
        let role = self.workers.iter().find_map(|(_, w)| failed(w.name(), w.health()));
        if role.is_some() || !self.workers.is_empty() {
            return role;
        }
        let destinations: Vec<_> =
            self.deliverers.iter().map(|d| failed(d.group(), d.health())).collect();
        destinations.into_iter().collect::<Option<Vec<_>>>()?.into_iter().next()
    }
}

impl Daemon {
    /// Starts `roles`. Nothing is consumed unless everything could be loaded and every topic of
    /// Hark's own is as it must be.
    ///
    /// # Errors
    /// Mistakes in rules and mappings with their places; a cluster that does not answer or is not
    /// set up right, with the fix; an admin address that is taken.
    pub async fn start(
        mut config: Config,
        roles: &[Role],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        crate::delivery::http::install_crypto();
        let prepared = prepare(&config, clock.now())?;
        for detector in prepared.rules.enabled().filter_map(|rule| rule.detector.as_deref()) {
            if let Some(list) = detector.expected_list() {
                config.watch.limit(list, EXPECTED_MAX);
            }
        }
        let metrics = Metrics::new();
        zeros::show(&metrics, roles, &prepared, &config);
        let shared = Arc::new(Mutex::new(Parts::absent("starting")));
        let (stopped, heard) = watch::channel(false);
        config.watch.start(&metrics, heard.clone());
        // First, so that nothing is begun when its address is taken. Should the rest fail, it ends
        // with the sender.
        let admin = match config.admin {
            None => None,
            Some(listen) => {
                let status = Arc::new(Readiness(Arc::clone(&shared)));
                let admin = Admin::start(listen, metrics.clone(), status, heard)
                    .await
                    .with_context(|| format!("admin.listen = \"{listen}\": cannot listen there"))?;
                tracing::info!(address = %admin.address, "admin interface listens");
                Some(admin)
            }
        };
        let topics = Topics::new(&config.kafka.prefix);
        let cluster = open(&config, &topics).await?;
        let start = Starting {
            config: &config,
            topics: &topics,
            cluster: &cluster,
            metrics: &metrics,
            clock: &clock,
        };
        let mut parts = Parts::default();
        for role in Role::ALL.into_iter().filter(|role| roles.contains(role)) {
            match role {
                Role::Match => {
                    // A version is in `control` before a signal can name it.
                    let (mut control, rules) = (start.control(), prepared.rules.clone());
                    let publishing = move || control.publish(rules.enabled());
                    let published = tokio::task::spawn_blocking(publishing).await;
                    published.context("publishing")?.context("cannot publish the rules")?;
                    start.worker(
                        role,
                        &mut parts,
                        start.reader(&prepared),
                        start.matching(&prepared),
                    )?;
                }
                Role::Correlate => {
                    let reads = start.on(role, &topics.signals);
                    start.worker(role, &mut parts, reads, start.correlating(&prepared)?)?;
                }
                Role::Notify => {
                    let reads = start.on(role, &topics.alerts);
                    start.worker(role, &mut parts, reads, start.notifying())?;
                }
                Role::Deliver => start.deliverers(&mut parts, &prepared)?,
            }
        }
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = parts;
        tracing::info!(
            instance = config.instance,
            rules = prepared.program.len(),
            roles = roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(","),
            "hark runs"
        );
        Ok(Self { cluster, topics, metrics, parts: shared, admin, stopped })
    }

    /// The cluster it works on; with the embedded broker the only way to reach it.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The names of Hark's own topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where the admin interface listens.
    pub fn admin(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Every part of every role, and whether it does its work.
    pub fn status(&self) -> Vec<Part> {
        Readiness(Arc::clone(&self.parts)).parts()
    }

    /// Ends when a part has failed for good, with the reason.
    pub async fn failure(&self) -> anyhow::Error {
        loop {
            let failed = self.parts.lock().unwrap_or_else(PoisonError::into_inner).failed();
            if let Some(error) = failed {
                return error;
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    /// Drains and stops: what was read is finished and committed.
    ///
    /// # Errors
    /// When a part did not stop in time, or had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let parts = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *parts, Parts::absent("stopping"))
        };
        let stopping = tokio::task::spawn_blocking(move || {
            let end = crate::base::clock::instant() + STOP_MAX;
            parts.workers.iter().for_each(|(_, worker)| worker.ask_to_stop());
            parts.deliverers.iter().for_each(Deliverer::ask_to_stop);
            let left = || end.saturating_duration_since(crate::base::clock::instant());
            let workers = parts.workers.into_iter().map(|(_, worker)| worker.stop(left()));
            let mut outcomes: Vec<_> = workers.collect();
            outcomes.extend(parts.deliverers.into_iter().map(|d| d.join(left())));
            outcomes.into_iter().find_map(Result::err)
        });
        let error = stopping.await.context("stopping")?;
        self.stopped.send_replace(true);
        if let Some(admin) = self.admin {
            admin.finished().await;
        }
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Opens the cluster and sees to Hark's topics; both may take seconds.
async fn open(config: &Config, topics: &Topics) -> anyhow::Result<Arc<Cluster>> {
    let settings = config.kafka.clone();
    let specs = topics.specs(&settings);
    let sources: Vec<String> = config.sources.iter().map(|source| source.topic.clone()).collect();
    let opened = tokio::task::spawn_blocking(move || {
        let cluster = Cluster::open(&settings)?;
        cluster.ensure(&specs).map_err(|problems| {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow!("topics are not set up as Hark needs them:\n{}", list.join("\n"))
        })?;
        cluster.create_if_embedded(&sources, EMBEDDED_PARTITIONS)?;
        anyhow::Ok(cluster)
    });
    opened.await.context("opening the cluster")?
}
