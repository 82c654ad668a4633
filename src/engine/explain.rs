//! Why an event takes part in a rule, or does not: the verdict of MATCH, term by term.
//!
//! The verdict as a whole is that of the code that runs live; what stands beside it shows how it came
//! about. What the event then does to a window is the detector's business, which only a replay shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::base::document::{Document, Item, Spanned};
use crate::base::{Diagnostic, Diagnostics, Timestamp};
use crate::detectors::{DETECTORS, Decides};
use crate::event::{Event, Layout};
use crate::query::{Explainer, Explanation, Sets};
use crate::rule::Rule;

use super::compiled::Origin;
use super::compiled::{Compiled, Judged};
use super::group::Group;

/// The most keys that are shown of one event.
pub const KEYS_SHOWN: usize = 10;

/// A rule that can say why.
#[derive(Debug)]
pub struct RuleExplainer {
    compiled: Compiled,
    rule: Arc<Rule>,
    parts: Vec<(Option<String>, Explainer, Group)>,
    exceptions: Vec<Explainer>,
}

/// What a rule makes of one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleExplanation {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The rule's title.
    pub title: String,
    /// `false`: it is switched off, and all of this is only what would be.
    pub enabled: bool,
    /// Event time.
    pub time: Timestamp,
    /// The mapping that made the event; empty: none did.
    pub mapping: Arc<str>,
    /// What it comes to.
    pub outcome: Outcome,
    /// The conditions by which events take part; one unless the detector has steps or parts.
    pub parts: Vec<PartExplanation>,
    /// The rule's exceptions.
    pub exceptions: Vec<ExceptionExplanation>,
    /// The detector that the event goes to.
    pub detector: Option<DetectorExplanation>,
}

/// What an event means to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It takes part, for every key of the parts that it meets.
    TakesPart,
    /// It meets no part.
    Unmet,
    /// It meets a part, and an exception holds.
    Excepted,
    /// It meets a part and has no key: a `group_by` field is missing.
    Unkeyed,
}

/// One part of a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartExplanation {
    /// The name of the step or part, if it has one.
    pub name: Option<String>,
    /// Its condition, the rule's own `when` included.
    pub when: Explanation,
    /// Its `group_by` fields that the event has no value of.
    pub missing: Vec<String>,
    /// The keys that the event has for it; one without any field for a rule without `group_by`. At
    /// most [`KEYS_SHOWN`].
    pub keys: Vec<BTreeMap<String, Value>>,
    /// How many more there are.
    pub more_keys: usize,
}

/// One exception.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExceptionExplanation {
    /// Why there is one.
    pub reason: String,
    /// Until when it is meant to hold.
    pub until: Option<Timestamp>,
    /// The event lies after that, so that it does not hold whatever its condition says.
    pub ended: bool,
    /// Its condition.
    pub when: Explanation,
}

/// Where an event goes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetectorExplanation {
    /// Its table in the rule file.
    pub table: &'static str,
    /// Its settings in one line, as the rule file has them, without those of its parts.
    pub settings: String,
    /// It waits until the clock has passed the event.
    pub on_the_clock: bool,
}

impl RuleExplainer {
    /// Compiles the rule, enabled or not; asks the layout for everything that it reads or shows.
    pub fn new(
        rule: &Arc<Rule>,
        layout: &mut Layout,
        sets: &Sets,
    ) -> Result<Self, Vec<Diagnostic>> {
        let compiled = Compiled::new(Arc::clone(rule), layout, sets)?;
        let mut parts = Vec::new();
        for part in rule.parts() {
            let when = Explainer::new(&part.when, layout, sets)?;
            parts.push((part.name, when, Group::new(&part.group_by, layout)));
        }
        let exceptions = rule.exceptions.iter();
        let exceptions = exceptions.map(|e| Explainer::new(&e.when, layout, sets));
        let exceptions = exceptions.collect::<Result<_, _>>()?;
        Ok(Self { compiled, rule: Arc::clone(rule), parts, exceptions })
    }

    /// Where events go that take part.
    pub fn detector(&self) -> Option<DetectorExplanation> {
        self.rule.detector.as_ref().map(|detector| DetectorExplanation {
            table: detector.spec().table,
            settings: settings(&self.rule.source.text, detector.spec().table),
            on_the_clock: detector.decides() == Decides::OnTheClock,
        })
    }

    /// What the rule makes of an event of the same layout, and why.
    pub fn explain(&self, event: &Event) -> RuleExplanation {
        let rule = &self.rule;
        let parts: Vec<PartExplanation> = self
            .parts
            .iter()
            .map(|(name, when, group)| part(name.as_ref(), when, group, event))
            .collect();
        let outcome = match self.compiled.judge(event, Origin::Audit) {
            Judged::Met(..) => Outcome::TakesPart,
            Judged::Unkeyed => Outcome::Unkeyed,
            Judged::Unmet if parts.iter().any(|part| part.when.holds) => Outcome::Excepted,
            // A panic costs the rule the event; it is told where the rule runs.
            Judged::Unmet | Judged::Panicked => Outcome::Unmet,
        };
        let exceptions = rule.exceptions.iter().zip(&self.exceptions);
        let exceptions = exceptions.map(|(exception, when)| ExceptionExplanation {
            reason: exception.reason.clone(),
            until: exception.until,
            ended: exception.until.is_some_and(|until| event.time > until),
            when: when.explain(event),
        });
        let detector = self.detector();
        RuleExplanation {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            enabled: rule.enabled,
            time: event.time,
            mapping: event.mapping.clone(),
            outcome,
            parts,
            exceptions: exceptions.collect(),
            detector,
        }
    }
}

fn part(name: Option<&String>, when: &Explainer, group: &Group, event: &Event) -> PartExplanation {
    let keys = group.keys(event);
    let more_keys = keys.len().saturating_sub(KEYS_SHOWN);
    let named = keys.iter().take(KEYS_SHOWN).map(|key| {
        let values = key.shown().iter().map(crate::event::Scalar::to_json);
        group.names().iter().cloned().zip(values).collect()
    });
    let keys = named.collect();
    let missing = group.missing(event);
    PartExplanation { name: name.cloned(), when: when.explain(event), missing, keys, more_keys }
}

/// A detector's settings as its rule has them, overrides included, without those of its parts, which
/// are explained themselves.
fn settings(rule: &str, table: &str) -> String {
    let mut document = Document::parse(rule);
    document.lay_over("override", "set", "exception");
    let mut found = Diagnostics::new();
    let mut root = document.root(&mut found);
    let Some(own) = DETECTORS.iter().find(|spec| spec.table == table) else { return String::new() };
    let Some(own) = root.table(own.table, &mut found) else { return String::new() };
    let written = |key: Spanned<String>| {
        let value = own.any(&key.value)?;
        let is_parts = value.is_array()
            && value.array(&mut Diagnostics::new())?.first().is_some_and(Item::is_table);
        let text = rule.get(value.span).filter(|_| !is_parts)?;
        // A list or a query may stand on several lines.
        let text: Vec<&str> = text.split_whitespace().collect();
        Some(format!("{} = {}", key.value, text.join(" ")))
    };
    own.keys().into_iter().filter_map(written).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Position;
    use crate::base::diagnostic::SourceText;
    use crate::event::{FieldName, Scalar};
    use crate::rule;

    const RULE: &str = "title = 't'\nseverity = 'low'\nwhen = 'event.action: login'\n\
        group_by = ['user.name', 'source.ip']\nthreshold = { count = 5, within = '10m' }\n\
        [[exception]]\nwhen = 'user.name: robot'\nreason = 'ours'\nuntil = 2026-01-31\n";

    fn explain(time: &str, fields: &[(&str, &str)]) -> RuleExplanation {
        explain_by(RULE, time, fields)
    }

    fn explain_by(rule: &str, time: &str, fields: &[(&str, &str)]) -> RuleExplanation {
        let sets = Sets::new();
        let source = SourceText::new("a", rule);
        let (rule, found) = rule::parse(&source, "a", &rule::Context::new(&sets));
        let rule = Arc::new(rule.unwrap_or_else(|| panic!("{found:?}")));
        let mut layout = Layout::new();
        let explainer = RuleExplainer::new(&rule, &mut layout, &sets).unwrap();
        let time = Timestamp::parse(time).unwrap();
        let mut event = Event::empty(&layout, Position::new("t", 0, 0), time, "door".into());
        for (name, value) in fields {
            let slot = layout.find(&FieldName::parse(name).unwrap()).unwrap();
            event.push(slot, Scalar::from(*value));
        }
        explainer.explain(&event)
    }

    const JANUARY: &str = "2026-01-05T12:00:00Z";
    const EVE: [(&str, &str); 4] = [
        ("event.action", "login"),
        ("user.name", "eve"),
        ("source.ip", "10.0.0.1"),
        ("source.ip", "10.0.0.2"),
    ];

    #[test]
    fn an_event_takes_part_for_every_key_it_has() {
        let told = explain(JANUARY, &EVE);
        assert_eq!((told.outcome, told.parts.len()), (Outcome::TakesPart, 1));
        let part = &told.parts[0];
        let keys: Vec<_> = part.keys.iter().map(|key| key["source.ip"].as_str().unwrap()).collect();
        assert_eq!((keys, part.missing.len()), (vec!["10.0.0.1", "10.0.0.2"], 0));
        assert_eq!(part.keys[0]["user.name"], "eve");
        let detector = told.detector.unwrap();
        assert_eq!((detector.table, detector.on_the_clock), ("threshold", false));
        assert_eq!(detector.settings, "count = 5, within = '10m'");
    }

    #[test]
    fn an_event_without_a_key_says_which_field_is_missing() {
        let told = explain(JANUARY, &[EVE[0], ("user.name", ""), EVE[2]]);
        assert_eq!(told.outcome, Outcome::Unkeyed);
        assert_eq!(
            (&told.parts[0].missing[..], told.parts[0].keys.len()),
            (&["user.name".to_owned()][..], 0)
        );
    }

    #[test]
    fn an_exception_holds_until_it_ends() {
        let robot = [EVE[0], ("user.name", "Robot"), EVE[2]];
        let told = explain(JANUARY, &robot);
        assert_eq!(told.outcome, Outcome::Excepted);
        assert!(told.exceptions[0].when.holds && !told.exceptions[0].ended);
        let told = explain("2026-02-01T00:00:00Z", &robot);
        assert_eq!(told.outcome, Outcome::TakesPart);
        assert!(told.exceptions[0].when.holds && told.exceptions[0].ended);
    }

    #[test]
    fn each_part_has_its_own_condition_and_key() {
        let rule = "title = 't'\nseverity = 'low'\ngroup_by = ['user.name']\n\
            [temporal]\nwithin = '1h'\n\
            [[temporal.of]]\nname = 'in'\nwhen = 'event.action: (login or open)'\n\
            [[temporal.of]]\nname = 'changed'\nwhen = 'event.action: login and user.target.name: *'\n\
            group_by = ['user.target.name']\n";
        let told = explain_by(rule, JANUARY, &[EVE[0], ("user.target.name", "bob")]);
        assert_eq!(told.outcome, Outcome::TakesPart, "by the second part");
        let of = |part: &PartExplanation| {
            (part.name.clone().unwrap(), part.when.holds, part.missing.len(), part.keys.len())
        };
        let parts: Vec<_> = told.parts.iter().map(of).collect();
        assert_eq!(parts, [("in".to_owned(), true, 1, 0), ("changed".to_owned(), true, 0, 1)]);
        let detector = told.detector.unwrap();
        assert_eq!((detector.table, &*detector.settings), ("temporal", "within = '1h'"));
    }

    #[test]
    fn settings_are_those_of_the_file_without_its_parts() {
        for (rule, told) in [
            ("[spike]\nfactor = 5 # times\nwithin = '10m'\n", "factor = 5, within = '10m'"),
            ("spike = { factor = 2.5, baseline = \"24h\" }", "factor = 2.5, baseline = \"24h\""),
            (
                "[spike]\nof = '''a: x and\n  b: y'''\nk = [\n'a',\n'b' ]",
                "of = '''a: x and b: y''', k = [ 'a', 'b' ]",
            ),
            ("[spike]\nwithin = '1h'\n[[spike.of]]\nwhen = 'a: x'\n", "within = '1h'"),
            ("[spike]\nwithin = '1h'\nstep = [{ when = 'a: x' }]", "within = '1h'"),
            ("[spike]\nfactor = 5\n[[override]]\nset = { 'spike.factor' = 7 }\n", "factor = 7"),
        ] {
            assert_eq!(settings(rule, "spike"), told, "{rule}");
        }
    }

    #[test]
    fn an_event_that_meets_no_part_is_unmet_whatever_else() {
        let told = explain(JANUARY, &[("event.action", "logout"), ("user.name", "robot")]);
        assert_eq!(told.outcome, Outcome::Unmet);
        assert!(!told.parts[0].when.holds && told.exceptions[0].when.holds);
    }
}
