//! Events in, alerts out, in one step and without Kafka: what rule tests and replay run.
//!
//! It is the very composition that runs live: [`Program`] → signals → [`Correlation`] for each
//! partition. The clock ticks after every event, at the highest event time so far. However far it
//! goes at once, alerts that open on its way are events to other rules at that moment, not when it
//! has arrived: live, time does not jump.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Timestamp;
use crate::engine::matching::Fault;
use crate::engine::{Key, Matched, Origin, Program, Record, Signals, Source, SourceTime, Tick};
use crate::event::{Event, Layout};
use crate::query::Sets;
use crate::rule::Rule;

use super::correlation::{Correlation, Findings, Limits, Progress};
use super::record::Alert;
use super::rules::Rules;

/// Rules over one stream of events.
#[derive(Debug)]
pub struct Pipeline {
    program: Arc<Program>,
    rules: Arc<Rules>,
    /// For alerts that are events to other rules; `None`: there are no such rules.
    layout: Option<Arc<Layout>>,
    partitions: Vec<Correlation>,
    matched: Matched,
    met: Vec<(Arc<str>, Key)>,
    judged: Vec<Arc<str>>,
    unkeyed: Vec<Arc<str>>,
    clock: Option<Timestamp>,
    /// How far the clock trails the events.
    delay: Duration,
}

impl Pipeline {
    /// Compiles the rules; asks the layout for what they read.
    pub fn compile(
        rules: &[Arc<Rule>],
        layout: &mut Layout,
        sets: &Sets,
        partitions: u32,
    ) -> Result<Self, Vec<Fault>> {
        let program = Program::compile(rules.iter().cloned(), layout, sets)?;
        let rules = Rules::compile(rules.iter().cloned(), sets)?;
        let alerts = program.reads_alerts().then(|| Arc::new(layout.clone()));
        Ok(Self::new(Arc::new(program), Arc::new(rules), alerts, partitions.max(1)))
    }

    /// The same rules, of which nothing has been seen yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let (program, rules) = (self.program.clone(), self.rules.clone());
        Self::new(program, rules, self.layout.clone(), self.count()).delayed(self.delay)
    }

    /// The same, judging leading absent steps and spikes as if the rules had been watching for ever.
    #[must_use]
    pub fn warm(mut self) -> Self {
        self.partitions = self.partitions.into_iter().map(Correlation::warm).collect();
        self
    }

    fn new(
        program: Arc<Program>,
        rules: Arc<Rules>,
        layout: Option<Arc<Layout>>,
        partitions: u32,
    ) -> Self {
        let limits = Limits { timers_per_step: 1, ..Limits::default() };
        let place = |index| Correlation::new(limits).placed(index, partitions);
        let partitions = (0..partitions).map(place).collect();
        Self {
            program,
            rules,
            layout,
            partitions,
            matched: Matched::default(),
            clock: None,
            met: Vec::new(),
            judged: Vec::new(),
            unkeyed: Vec::new(),
            delay: Duration::ZERO,
        }
    }

    /// The clock trails the highest event time by so much, as that of a source with a delay does.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Takes the next event. What it means to the rules is added to `out`, then the clock ticks.
    pub fn event(&mut self, event: &Event, out: &mut Findings) {
        self.event_in_laps(event, out, &mut |_| {});
    }

    /// The same, in small pieces; `lap` hears after each of them for which rule the work was, if
    /// for one: for whoever measures what rules cost.
    pub fn event_in_laps(
        &mut self,
        event: &Event,
        out: &mut Findings,
        lap: &mut dyn FnMut(Option<&Arc<str>>),
    ) {
        self.forget_matches();
        let from = out.alerts.len();
        self.matches(event, Origin::Audit, out, lap);
        self.feed_back(from, out, lap);
        self.advance_in_laps(event.time - self.delay, out, lap);
    }

    /// What an event means to the rules.
    fn matches(
        &mut self,
        event: &Event,
        origin: Origin,
        out: &mut Findings,
        lap: &mut dyn FnMut(Option<&Arc<str>>),
    ) {
        let mut matched = std::mem::take(&mut self.matched);
        lap(None);
        let judged = |rule: &Arc<str>| lap(Some(rule));
        self.program.signals_told(event, origin, self.count(), &mut matched, judged);
        let before = self.judged.len();
        for signal in matched.records.iter().flat_map(|(_, record)| &record.signals) {
            self.met.push((signal.rule.clone(), signal.key.clone()));
            // An event that gives a rule several keys meets it once.
            let mut of_event = self.judged.iter().skip(before);
            if !of_event.any(|rule| *rule == signal.rule) {
                self.judged.push(signal.rule.clone());
            }
        }
        self.unkeyed.append(&mut matched.unkeyed);
        for (partition, signals) in matched.records.drain(..) {
            let Signals { position, time, clamped, signals } = signals;
            for signal in signals {
                let (rule, position) = (signal.rule.clone(), position.clone());
                lap(None);
                let signals = vec![signal];
                self.signals(partition, Signals { position, time, clamped, signals }, out);
                lap(Some(&rule));
            }
        }
        self.matched = matched;
    }

    /// Alerts that opened, those in `out` from `from` on, are events to the rules that ask for them;
    /// and so are those that open by that. Rules that feed themselves were refused, so this ends.
    fn feed_back(
        &mut self,
        from: usize,
        out: &mut Findings,
        lap: &mut dyn FnMut(Option<&Arc<str>>),
    ) {
        let Some(layout) = self.layout.clone() else { return };
        let mut at = from;
        while let Some(alert) = out.alerts.get(at) {
            if let Some((event, origin)) = alert.as_event(&layout) {
                self.matches(&event, origin, out, lap);
            }
            at += 1;
        }
    }

    fn forget_matches(&mut self) {
        self.met.clear();
        self.judged.clear();
        self.unkeyed.clear();
    }

    /// The rules that the last event met, or the alerts that opened with it or in the time since the
    /// one before, and the keys that they gave them; on one partition in the rules' order for each.
    /// Those that were given no key are [`Self::unkeyed`].
    pub fn met(&self) -> &[(Arc<str>, Key)] {
        &self.met
    }

    /// The rules of [`Self::met`], once for each event or alert that met them, however many keys it
    /// gave them.
    pub fn judged(&self) -> &[Arc<str>] {
        &self.judged
    }

    /// What the last event, or such an alert, did not mean for want of a key: rules, in their order.
    pub fn unkeyed(&self) -> &[Arc<str>] {
        &self.unkeyed
    }

    /// Time goes on, without an event, to `time` if that is later than all so far.
    pub fn advance(&mut self, time: Timestamp, out: &mut Findings) {
        self.forget_matches();
        self.advance_in_laps(time, out, &mut |_| {});
    }

    fn advance_in_laps(
        &mut self,
        time: Timestamp,
        out: &mut Findings,
        lap: &mut dyn FnMut(Option<&Arc<str>>),
    ) {
        let time = self.clock.map_or(time, |clock| clock.max(time));
        if self.clock.is_some() {
            self.run_timers(time, out, lap);
        }
        self.clock = Some(time);
        let source = Source::new("", 0);
        let tick = Record::Tick(Tick {
            worker: "".into(),
            sources: vec![SourceTime { source: source.clone(), time, at_end: true }],
            subscription: vec![source],
        });
        let from = out.alerts.len();
        for partition in &mut self.partitions {
            let mut progress = partition.apply(&tick, &self.rules, out);
            while progress == Progress::More {
                // One timer a step: the rule that is told here is the one that it woke.
                lap(partition.judging().map(|judging| &judging.rule));
                progress = partition.resume(&self.rules, out);
            }
            lap(None);
        }
        self.feed_back(from, out, lap);
        self.run_timers(time, out, lap);
    }

    /// Where alerts are events to rules, timers run one by one, in order of their time whatever their
    /// partition, and what an alert leads to stands between them: else it would come after all of
    /// them, too late for the rule's windows. Each alert opens finitely many others, for no rule feeds
    /// itself, and what fires again needs an event first; so this ends.
    fn run_timers(
        &mut self,
        until: Timestamp,
        out: &mut Findings,
        lap: &mut dyn FnMut(Option<&Arc<str>>),
    ) {
        if self.layout.is_none() {
            return;
        }
        loop {
            let due = |partition: &Correlation| partition.due().filter(|due| *due <= until);
            let dues = self.partitions.iter_mut().filter_map(|p| Some((due(p)?, p)));
            let Some((_, partition)) = dues.min_by_key(|(due, _)| *due) else { return };
            let from = out.alerts.len();
            lap(None);
            if partition.run_next(until, &self.rules, out) {
                lap(partition.judging().map(|judging| &judging.rule));
                self.feed_back(from, out, lap);
            }
        }
    }

    /// How far time has come; `None` before the first event.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// Every alert that is open, as a record would tell it now; by rule and key in each partition.
    pub fn standing(&self) -> Vec<Alert> {
        self.partitions.iter().flat_map(|partition| partition.standing(&self.rules)).collect()
    }

    /// Time goes on until nothing can change any more: every alert is over. Without any event there was
    /// no time, and rules have not started.
    pub fn finish(&mut self, out: &mut Findings) {
        if self.clock.is_some() {
            self.advance(Timestamp::MAX, out);
        }
    }

    fn signals(&mut self, partition: u32, signals: Signals, out: &mut Findings) {
        let partition = usize::try_from(partition).ok().and_then(|p| self.partitions.get_mut(p));
        if let Some(partition) = partition {
            let progress = partition.apply(&Record::Signals(signals), &self.rules, out);
            debug_assert_eq!(progress, Progress::Done, "the last tick ran all its timers");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Position;
    use crate::base::diagnostic::SourceText;
    use crate::event::{FieldName, Scalar};
    use crate::rule;

    const RULE: &str = "title = 'T'
severity = 'low'
when = 'event.action: fail*'
group_by = ['user.name']
threshold = { count = 2, within = '1m' }";

    /// A pipeline over [`RULE`] that has taken events of (second, action, user), and what it found.
    fn ran(partitions: u32, events: &[(i64, &str, &str)]) -> (Pipeline, Findings) {
        let sets = Sets::default();
        let source = SourceText::new("r", RULE);
        let rule = rule::parse(&source, "r", &rule::Context::new(&sets)).0.unwrap();
        let mut layout = Layout::new();
        let rules = [Arc::new(rule)];
        let mut pipeline = Pipeline::compile(&rules, &mut layout, &sets, partitions).unwrap();
        let field = |name: &str| layout.find(&FieldName::parse(name).unwrap()).unwrap();
        let mut out = Findings::with_firings();
        for (offset, (second, action, user)) in (0..).zip(events) {
            let time = Timestamp::from_millis(second * 1000);
            let position = Position::new("audit", 0, offset);
            let mut event = Event::empty(&layout, position, time, "m".into());
            event.push(field("event.action"), Scalar::from(*action));
            if !user.is_empty() {
                event.push(field("user.name"), Scalar::from(*user));
            }
            pipeline.event(&event, &mut out);
            let (meets, keyed) = (action.starts_with("fail"), !user.is_empty());
            assert_eq!(pipeline.met().len(), usize::from(meets && keyed));
            assert_eq!(pipeline.unkeyed().len(), usize::from(meets && !keyed));
        }
        (pipeline, out)
    }

    /// The alerts of [`ran`] when all is over, as `opened user count firings`.
    fn alerts(partitions: u32, events: &[(i64, &str, &str)]) -> Vec<String> {
        let (mut pipeline, mut out) = ran(partitions, events);
        pipeline.finish(&mut out);
        let over = out.alerts.iter().filter(|alert| alert.resolved_at.is_some());
        let mut shown: Vec<String> = over
            .map(|a| {
                let opened = a.opened_at.as_millis() / 1000;
                format!("{opened} {} {} {}", a.key["user.name"], a.count, a.firings)
            })
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn events_become_alerts_on_any_number_of_partitions() {
        let events = [
            (0, "failed", "eve"),
            (10, "failed", "bob"),
            (20, "fail", "Eve"),
            (30, "ok", "bob"),
            (40, "failed", ""),
            (90, "failed", "bob"),
            (95, "failed", "bob"),
            (500, "failed", "eve"),
            (501, "failed", "eve"),
        ];
        let expected = ["20 \"Eve\" 2 1", "501 \"eve\" 2 1", "95 \"bob\" 2 1"];
        assert_eq!(alerts(1, &events), expected);
        assert_eq!(alerts(5, &events), expected);
    }

    #[test]
    fn the_clock_ticks_after_every_event() {
        // The rule's clock stands at 190 (lateness 10 s): 130 still counts, 129 does not.
        let late = |second| {
            alerts(1, &[(200, "failed", "bob"), (second, "fail", "eve"), (second, "fail", "eve")])
        };
        assert_eq!(late(130), ["130 \"eve\" 2 1"]);
        assert_eq!(late(129), Vec::<String>::new());
    }

    #[test]
    fn firings_are_kept_for_whoever_wants_to_know() {
        let events = [(0, "failed", "Eve"), (9, "failed", "bob"), (1, "fail", "eve")];
        let (pipeline, out) = ran(1, &events);
        let fired = out.firings.unwrap();
        let shown: Vec<_> = fired.iter().map(|f| (&*f.rule, &f.key, f.firing.count)).collect();
        let key = [("user.name".to_owned(), "eve".into())].into();
        assert_eq!(shown, [("r", &key, 2)]);
        assert_eq!(fired[0].firing.position.as_ref().unwrap().offset, 2);
        let mut again = pipeline.afresh();
        assert_eq!((again.clock(), again.standing()), (None, Vec::new()));
        let mut out = Findings::default();
        again.finish(&mut out);
        assert_eq!(out, Findings::default());
    }

    #[test]
    fn what_stands_open_is_told_as_it_is_and_goes_on_as_if_nobody_had_asked() {
        let events = [(0, "failed", "eve"), (1, "fail", "eve"), (2, "fail", "eve")];
        let (mut pipeline, mut out) = ran(3, &events);
        assert_eq!(out.alerts.len(), 1, "three is no power of two");
        let standing = pipeline.standing();
        assert_eq!(standing.len(), 1);
        assert_eq!((standing[0].count, standing[0].revision), (3, 2));
        assert_eq!((standing[0].resolved_at, &standing[0].id), (None, &out.alerts[0].id));
        assert_eq!(pipeline.standing(), standing);
        out.clear();
        pipeline.finish(&mut out);
        assert_eq!((out.alerts.len(), out.alerts[0].revision), (1, 2));
    }

    /// Rules as (id, settings); events as (second, action, user). Gives `rule second user count` of
    /// every alert that is over.
    fn of_many(rules: &[(&str, &str)], events: &[(i64, &str, &str)]) -> Vec<String> {
        let sets = Sets::default();
        let read = |(id, settings): &(&str, &str)| {
            let text = format!("title = '{id}'\nseverity = 'low'\n{settings}");
            let source = SourceText::new(id, text);
            let (rule, found) = rule::parse(&source, id, &rule::Context::new(&sets));
            Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")))
        };
        let rules: Vec<_> = rules.iter().map(read).collect();
        let mut layout = Layout::new();
        let mut pipeline = Pipeline::compile(&rules, &mut layout, &sets, 3).unwrap();
        let mut out = Findings::default();
        for (offset, (second, action, user)) in (0..).zip(events) {
            let time = Timestamp::from_millis(second * 1000);
            let position = Position::new("audit", 0, offset);
            let mut event = Event::empty(&layout, position, time, "m".into());
            for (name, value) in [("event.action", *action), ("user.name", *user)] {
                if let Some(slot) = layout.find(&FieldName::parse(name).unwrap()) {
                    event.push(slot, Scalar::from(value));
                }
            }
            pipeline.event(&event, &mut out);
        }
        pipeline.finish(&mut out);
        let over = out.alerts.iter().filter(|alert| alert.resolved_at.is_some());
        let mut shown: Vec<String> = over
            .map(|a| {
                let user = a.key.get("user.name").map(ToString::to_string).unwrap_or_default();
                let opened = a.opened_at.as_millis() / 1000;
                format!("{} {opened} {user} {}", a.rule.id, a.count)
            })
            .collect();
        shown.sort();
        shown
    }

    const FAILURES: &str = "when = 'event.action: fail'\ngroup_by = ['user.name']\nthreshold = { count = 2, within = '1m' }";

    #[test]
    fn an_alert_that_opens_is_an_event_to_rules_that_ask_for_it() {
        let wave = "when = 'rule.id: failures'\nthreshold = { count = 2, within = '10m' }";
        let again = "when = 'rule.id: wave and alert.count >= 2'\ngroup_by = ['rule.id']";
        let never = "when = 'event.kind: alert and alert.severity: high and not rule.id: never'";
        let rules = [
            ("failures", FAILURES),
            ("wave", wave),
            ("again", again),
            ("never", never),
            ("all", "when = 'user.name: *'\ngroup_by = ['user.name']"),
        ];
        let events = [
            (0, "fail", "eve"),
            (1, "fail", "eve"),
            (2, "fail", "eve"),
            (70, "fail", "bob"),
            (80, "fail", "bob"),
        ];
        assert_eq!(
            of_many(&rules, &events),
            [
                "again 80  1",
                "all 0 \"eve\" 3",
                "all 70 \"bob\" 2",
                "failures 1 \"eve\" 3",
                "failures 80 \"bob\" 2",
                "wave 80  2"
            ]
        );
    }

    const SILENT: &str = "when = 'event.action: ok'\ngroup_by = ['user.name']\nabsence = { within = '5m', expect = ['nobody', 'carol'] }";

    #[test]
    fn what_the_clock_opens_is_an_event_however_far_it_goes_at_once() {
        let both = "when = 'rule.id: silent'\nthreshold = { count = 2, within = '1m' }";
        let each = "when = 'rule.id: silent'\ngroup_by = ['user.name']";
        let again = "when = 'rule.id: both'\nthreshold = { count = 1, within = '1m' }";
        let rules = [("silent", SILENT), ("both", both), ("each", each), ("again", again)];
        let expected = [
            "again 300  1",
            "both 300  2",
            "each 300 \"carol\" 1",
            "each 300 \"nobody\" 1",
            "silent 300 \"carol\" 0",
            "silent 300 \"nobody\" 0",
        ];
        // At the end; between two events far apart; and between two that are not.
        assert_eq!(of_many(&rules, &[(0, "x", "eve")]), expected);
        assert_eq!(of_many(&rules, &[(0, "x", "eve"), (900_000, "x", "eve")]), expected);
        let minutes: Vec<_> = (0..20).map(|minute| (minute * 60, "x", "eve")).collect();
        assert_eq!(of_many(&rules, &minutes), expected);
    }

    #[test]
    fn silences_that_end_and_begin_again_end_with_the_events() {
        let silent = SILENT.replace("5m", "10m");
        let rules = [("silent", &*silent), ("each", "when = 'rule.id: silent'")];
        assert_eq!(
            of_many(&rules, &[(0, "ok", "carol"), (1_000, "ok", "carol")]),
            [
                "each 1600  1",
                "each 600  1",
                "each 600  1",
                "silent 1600 \"carol\" 0",
                "silent 600 \"carol\" 0",
                "silent 600 \"nobody\" 0"
            ]
        );
    }

    #[test]
    fn alerts_of_staging_are_events_to_staging_only() {
        let staged = format!("status = 'staging'\n{FAILURES}");
        let reader = "when = 'rule.id: failures'\ngroup_by = ['user.name']";
        let staged_reader = format!("status = 'staging'\n{reader}");
        let events = [(0, "fail", "eve"), (1, "fail", "eve")];
        let told = of_many(&[("failures", &staged), ("r", reader), ("s", &staged_reader)], &events);
        assert_eq!(told, ["failures 1 \"eve\" 2", "s 1 \"eve\" 1"]);
        let blocks = format!("status = 'building_block'\n{FAILURES}");
        let told = of_many(&[("failures", &blocks), ("r", reader)], &events);
        assert_eq!(told, ["failures 1 \"eve\" 2", "r 1 \"eve\" 1"]);
    }
}
