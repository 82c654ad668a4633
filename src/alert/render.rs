//! What an alert says: title, summary, rule, samples; and how severe a firing is.
//!
//! Titles and cases read the latest firing event, the key and `alert.*` through the same names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Position, Severity, Timestamp};
use crate::detectors::Firing;
use crate::engine::{Fields, Key};
use crate::event::{Event, FieldName, Scalar, Wanted};
use crate::rule::{ALERT_FIELDS, Rule, Template, TemplateContext};
use crate::state::canonical;

use super::about::About;
use super::life::Life;
use super::recent::{Recent, SAMPLES_MAX};
use super::record::{Alert, RuleInfo, Sample};
use super::rules::Judge;
use super::values::Values;

impl Judge {
    /// The severity of a firing: that of the first case it meets, else the rule's.
    pub(super) fn severity(
        &self,
        life: &Life,
        time: Timestamp,
        position: Option<&Position>,
        fields: &Fields,
    ) -> Severity {
        let rule = self.rule();
        if self.cases.is_empty() {
            return rule.severity;
        }
        let position = position.cloned().unwrap_or_else(|| Position::new("", 0, 0));
        let mapping = match fields.get("event.dataset").first() {
            Some(Scalar::Text(mapping)) => mapping.as_ref().into(),
            _ => Arc::default(),
        };
        let mut event = Event::empty(&self.layout, position, time, mapping);
        for (slot, wanted) in self.layout.iter() {
            let (Wanted::Values(name) | Wanted::Present(name)) = wanted else { continue };
            let name = name.to_string();
            if name == "@timestamp" {
                event.push(slot, Scalar::from(time.to_string().as_str()));
            } else if ALERT_FIELDS.contains(&name.as_str()) {
                for value in alert_field(&life.alert, &name) {
                    event.push(slot, value);
                }
            } else {
                for value in fields.get(&name) {
                    event.push(slot, value.clone());
                }
            }
        }
        let met = self.cases.iter().find(|(when, _)| when.matches(&event));
        met.map_or(rule.severity, |(_, level)| *level)
    }

    /// Puts the words of this version of the rule on the alert.
    pub(super) fn word(&self, life: &mut Life, values: &Values) {
        let rule = self.rule();
        let context = self.context(life, values);
        let alert = &mut life.alert;
        alert.template_failures.clear();
        let mut worded = |template: Option<&Template>, name: &str, built_in: &str| {
            let rendered = template?.render(&context, built_in);
            let failure = rendered.failure.map(|why| format!("the template of `{name}`: {why}"));
            alert.template_failures.extend(failure);
            Some(rendered.text)
        };
        let title = worded(rule.alert.title.as_ref(), "title", &rule.title);
        let summary = worded(rule.alert.summary.as_ref(), "summary", &rule.description);
        alert.title = title.unwrap_or_else(|| rule.title.clone());
        alert.summary = summary.unwrap_or_default();
        alert.rule = RuleInfo {
            id: rule.id.to_string(),
            version: format!("{:016x}", rule.hash),
            title: rule.title.clone(),
            description: rule.description.clone(),
            status: rule.status.name().to_owned(),
            tags: rule.tags.clone(),
            threat: rule.threat.clone(),
            runbook: rule.runbook.clone(),
            false_positives: rule.false_positives.clone(),
        };
    }

    fn context(&self, life: &Life, values: &Values) -> TemplateContext {
        let mut context = TemplateContext::default();
        if self.rule().alert.templates().next().is_none() {
            return context;
        }
        let mut put = |name: &str, values: Vec<Scalar>| {
            if let Ok(name) = FieldName::parse(name) {
                context.fields.insert(name, values);
            }
        };
        for (name, values) in life.fields.iter() {
            put(name, values.to_vec());
        }
        for (name, value) in &life.alert.key {
            put(name, Scalar::from_json(value).into_iter().collect());
        }
        put("@timestamp", vec![Scalar::from(life.last().0.to_string().as_str())]);
        for name in ALERT_FIELDS {
            put(name, alert_field(&life.alert, name));
        }
        if life.is_count_bound() {
            context.lower_bounds.push("alert.count");
        }
        if life.is_value_bound() {
            context.lower_bounds.extend(["alert.value", "alert.peak"]);
        }
        let values = life.about().map_or(values, |about| &about.values);
        for (name, values) in values.between(life.alert.first_seen, life.end().0) {
            if let Ok(name) = FieldName::parse(name) {
                context.values.insert(name, values);
            }
        }
        context
    }
}

/// What `alert.*` reads.
pub(super) fn alert_field(alert: &Alert, name: &str) -> Vec<Scalar> {
    let time = |time: Timestamp| Scalar::from(time.to_string().as_str());
    let value = match name {
        "alert.approximate" => Some(Scalar::Bool(alert.approximate)),
        "alert.count" => Some(Scalar::from(alert.count)),
        "alert.firings" => Some(Scalar::from(alert.firings)),
        "alert.first_seen" => Some(time(alert.first_seen)),
        "alert.last_seen" => Some(time(alert.last_seen)),
        "alert.opened_at" => Some(time(alert.opened_at)),
        "alert.peak" => return elements(&alert.peak),
        "alert.previous" => return alert.previous.as_ref().map_or_else(Vec::new, elements),
        "alert.severity" => Some(Scalar::from(alert.severity.name())),
        "alert.value" => return elements(&alert.value),
        _ => None,
    };
    value.into_iter().collect()
}

/// A list is several values.
pub(super) fn elements(json: &serde_json::Value) -> Vec<Scalar> {
    match json {
        serde_json::Value::Array(all) => all.iter().filter_map(Scalar::from_json).collect(),
        one => Scalar::from_json(one).into_iter().collect(),
    }
}

/// An event as alerts show it.
pub(super) fn sample(position: &Position, time: Timestamp, fields: &Fields) -> Sample {
    let mut shown = BTreeMap::new();
    for (name, values) in fields.iter() {
        let value = match &**values {
            [one] => one.to_json(),
            many => many.iter().map(Scalar::to_json).collect(),
        };
        shown.insert(name.to_string(), value);
    }
    Sample { position: position.to_string(), time, fields: shown }
}

/// Puts the latest events behind the opening one, which stays; those that were shown before fill up
/// what the key no longer remembers.
pub(super) fn refresh_samples(life: &mut Life, recent: &Recent) {
    let (first, end) = (life.alert.first_seen, life.end().0);
    let mut shown = std::mem::take(&mut life.alert.samples).into_iter();
    let Some(opener) = shown.next() else { return };
    let mut latest: Vec<Sample> = Vec::new();
    let remembered = recent
        .latest(first, end, life.about().map(About::hash))
        .filter_map(|e| e.fields.as_ref().map(|fields| sample(&e.position, e.time, fields)));
    for candidate in remembered.chain(shown.rev()) {
        let known = candidate.position == opener.position
            || latest.iter().any(|have| have.position == candidate.position);
        if !known && latest.len() + 1 < SAMPLES_MAX {
            latest.push(candidate);
        }
    }
    latest.sort_by_key(|sample| sample.time);
    life.alert.samples = std::iter::once(opener).chain(latest).collect();
}

/// The key as the event with these fields spelt it.
pub(super) fn spelt(key: &Key, rule: &Rule, fields: &Fields) -> Key {
    let names: Vec<String> = rule.group_by.iter().map(ToString::to_string).collect();
    let parts = names.iter().zip(key.shown()).map(|(name, shown)| {
        let wanted = canonical(name, shown);
        let own = fields.get(name).iter().find(|value| canonical(name, value) == wanted);
        own.unwrap_or(shown).clone()
    });
    let own = Key::new(&names, &parts.collect::<Vec<_>>());
    if own == *key { own } else { key.clone() }
}

/// Makes the event that opened an alert its first sample; of one that the clock opened the event after
/// which it waited, as far as the key remembers it.
pub(super) fn show_opener(life: &mut Life, firing: &Firing, fields: &Fields, recent: &Recent) {
    if let Some(position) = &firing.position {
        life.alert.samples.push(sample(position, firing.time, fields));
    } else if let Some((time, position)) = &firing.after
        && let Some(fields) = recent.fields(*time, position)
    {
        life.alert.samples.push(sample(position, *time, fields));
    }
}

/// Hands over the record as it now stands. Without the rule the words are those last told.
pub(super) fn tell(
    life: &mut Life,
    judge: Option<&Judge>,
    recent: &Recent,
    values: &Values,
    out: &mut Vec<Alert>,
) {
    refresh_samples(life, recent);
    if let Some(judge) = judge {
        judge.word(life, values);
    }
    life.told();
    out.push(life.alert.clone());
}
