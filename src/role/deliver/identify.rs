//! What a sink is told about a record beside its bytes: its id, its time, where it comes from.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::base::{Clock, Severity, Timestamp};
use crate::delivery::{Forwarded, ForwardedKind, Pushed};
use crate::event::{FieldId, FieldName, Layout, Scalar};
use crate::kafka::Record;
use crate::mapping::Mappings;
use crate::role;

/// Reads just enough of a record to forward it.
pub struct Identify {
    mappings: Arc<Mappings>,
    event_id: FieldId,
    alerts: String,
    clock: Arc<dyn Clock>,
}

/// The parts of an alert that a sink is told.
#[derive(Deserialize)]
struct AlertHead {
    id: String,
    revision: u64,
    title: String,
    severity: Severity,
    last_seen: Timestamp,
    #[serde(default)]
    resolved_at: Option<Timestamp>,
}

impl Identify {
    /// The layout of an event as far as forwarding reads it: its id.
    pub fn layout() -> (Layout, FieldId) {
        let mut layout = Layout::new();
        let event_id = layout.field(&FieldName::from_keys(["event", "id"]));
        (layout, event_id)
    }

    /// `mappings` must be compiled against [`Self::layout`]; `alerts` is the name of the topic whose
    /// records are alerts.
    pub fn new(
        mappings: Arc<Mappings>,
        event_id: FieldId,
        alerts: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { mappings, event_id, alerts, clock }
    }

    /// Hands the record, identified, to `take`; `topic` is its topic, shared.
    ///
    /// A record that no mapping understands is forwarded all the same, under its position and its
    /// Kafka timestamp: the SIEM gets everything.
    pub fn forwarded(
        &self,
        record: &Record<'_>,
        topic: &Arc<str>,
        take: &mut dyn FnMut(&Forwarded<'_>) -> Pushed,
    ) -> Pushed {
        if record.topic == self.alerts {
            self.alert(record, take)
        } else {
            self.event(record, topic, take)
        }
    }

    fn event(
        &self,
        record: &Record<'_>,
        topic: &Arc<str>,
        take: &mut dyn FnMut(&Forwarded<'_>) -> Pushed,
    ) -> Pushed {
        let raw = role::raw(record, topic);
        let event = self.mappings.event(&raw, self.clock.now()).ok();
        let id = match event.as_ref().and_then(|event| event.first(self.event_id)) {
            Some(Scalar::Text(id)) => Cow::Borrowed(&**id),
            Some(other) => other.to_string().into(),
            None => raw.position.to_string().into(),
        };
        take(&Forwarded {
            id: &id,
            kind: ForwardedKind::Event,
            time: event.as_ref().map_or_else(|| self.record_time(record), |event| event.time),
            dataset: event.as_ref().map_or("", |event| &event.mapping),
            title: "",
            severity: None,
            ..Self::plain(record)
        })
    }

    fn alert(&self, record: &Record<'_>, take: &mut dyn FnMut(&Forwarded<'_>) -> Pushed) -> Pushed {
        let head: Option<AlertHead> =
            serde_json::from_slice(record.payload.unwrap_or_default()).ok();
        let id = head.as_ref().map_or_else(
            || record.position().to_string(),
            |head| format!("{}:{}", head.id, head.revision),
        );
        take(&Forwarded {
            id: &id,
            kind: ForwardedKind::Alert,
            time: head.as_ref().map_or_else(
                || self.record_time(record),
                |head| head.resolved_at.unwrap_or(head.last_seen),
            ),
            dataset: "hark.alerts",
            title: head.as_ref().map_or("", |head| &head.title),
            severity: head.as_ref().map(|head| head.severity),
            ..Self::plain(record)
        })
    }

    fn record_time(&self, record: &Record<'_>) -> Timestamp {
        record.timestamp.unwrap_or_else(|| self.clock.now())
    }

    fn plain<'r>(record: &Record<'r>) -> Forwarded<'r> {
        Forwarded {
            id: "",
            kind: ForwardedKind::Event,
            time: Timestamp::default(),
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            dataset: "",
            title: "",
            severity: None,
            payload: record.payload.unwrap_or_default(),
        }
    }
}
