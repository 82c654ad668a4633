//! Rules on rules: an alert that opens is an event to the rules that ask for alerts (RULES §4).

use std::collections::BTreeMap;

use super::record::Alert;
use super::render::alert_field;
use crate::base::Position;
use crate::engine::Origin;
use crate::event::{Event, FieldName, Layout, Scalar, Wanted};
use crate::rule::{ALERT_FIELDS, Status};

/// What stands for a mapping's name in such events.
const MAPPING: &str = "hark.alerts";

/// Behind this stands the alert's id, in the topic that such an event is said to come from.
const TOPIC_OF_ONE: &str = "alert/";

impl Alert {
    /// The event that the alert is to other rules, once: when it opens. It has the time of the opening,
    /// `event.kind: alert`, `rule.id`, `rule.tags`, `alert.*`, and as far as the alert shows them the
    /// fields of the event that opened it and of the key.
    ///
    /// Its position is made of the alert's id: an alert that is read twice is one event.
    pub fn as_event(&self, layout: &Layout) -> Option<(Event, Origin)> {
        if self.revision != 1 {
            return None;
        }
        let fields = self.fields();
        let position = Position::new(&*format!("{TOPIC_OF_ONE}{}", self.id), 0, 0);
        let mut event = Event::empty(layout, position, self.opened_at, MAPPING.into());
        for (slot, wanted) in layout.iter() {
            let values = |field: &FieldName| -> Vec<Scalar> {
                let has = fields.iter().filter(|(name, _)| {
                    **name == field.to_string() || (field.is_pattern() && field.matches(name))
                });
                has.flat_map(|(_, values)| values.iter().cloned()).collect()
            };
            match wanted {
                Wanted::Values(field) => event.extend(slot, values(field)),
                Wanted::Present(field) if !values(field).is_empty() => {
                    event.push(slot, Scalar::Bool(true));
                }
                // There is no original record: nothing to look through, no arrays of objects.
                Wanted::Present(_) | Wanted::Elements(_) | Wanted::AnyText => {}
            }
        }
        let staging = self.rule.status == Status::Staging.name();
        Some((event, Origin::Alert { staging }))
    }

    /// The id of the alert that was the event by which this one opened, if it was one.
    pub fn opened_by(&self) -> Option<&str> {
        let place = self.samples.first()?.position.strip_prefix(TOPIC_OF_ONE)?;
        place.split(':').next()
    }

    /// Every field of the event, by the text that `FieldName` prints.
    fn fields(&self) -> BTreeMap<String, Vec<Scalar>> {
        let mut fields = BTreeMap::new();
        // What the clock opened shows an event before it, which is not the one that opened it.
        let opener = self.samples.first().filter(|sample| sample.time == self.opened_at);
        let shown = opener.into_iter().flat_map(|opener| &opener.fields);
        for (name, value) in shown.chain(&self.key) {
            fields.insert(name.clone(), super::render::elements(value));
        }
        for name in ALERT_FIELDS {
            fields.insert(name.to_owned(), alert_field(self, name));
        }
        let tags = self.rule.tags.iter().map(|tag| Scalar::from(tag.as_str()));
        fields.insert("rule.tags".to_owned(), tags.collect());
        fields.insert("rule.id".to_owned(), vec![self.rule.id.as_str().into()]);
        fields.insert("event.kind".to_owned(), vec!["alert".into()]);
        fields
    }
}
