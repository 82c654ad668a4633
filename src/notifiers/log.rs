//! One line in Hark's own log: for a first look, and for whoever collects logs anyway.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{COMMON, NotifierSpec};
use crate::alert::Resolution;
use crate::base::document::Table;
use crate::base::{Diagnostics, Secrets, Timestamp};
use crate::delivery::{Notification, Notifier, Outcome};

/// This notifier's entry in the family.
pub(super) const SPEC: NotifierSpec = NotifierSpec {
    kind: "log",
    summary: "A line in Hark's own log.",
    example: r#"
[notifiers.console.log]
min_severity = "low"
resolved     = true
"#,
    keys: COMMON,
    build,
};

#[derive(Debug)]
struct Log;

#[expect(clippy::unnecessary_wraps, reason = "the signature is the family's")]
fn build(
    table: Table<'_>,
    found: &mut Diagnostics,
    _secrets: &dyn Secrets,
) -> Option<Arc<dyn Notifier>> {
    table.finish(found);
    Some(Arc::new(Log))
}

impl Notifier for Log {
    fn send<'a>(
        &'a self,
        notification: &'a Notification,
        _now: Timestamp,
    ) -> BoxFuture<'a, Outcome> {
        let alert = &notification.alert;
        let key = serde_json::to_string(&alert.key).unwrap_or_default();
        tracing::info!(
            target: "hark::alerts",
            happened = notification.kind.name(),
            resolution = alert.resolution.map(Resolution::name),
            ending = alert.ending(),
            severity = alert.severity.name(),
            rule = alert.rule.id,
            title = alert.title,
            key,
            count = alert.count,
            opened_at = %alert.opened_at,
            alert = alert.id,
            notification = notification.id,
            "alert"
        );
        Box::pin(async { Outcome::Delivered })
    }
}
