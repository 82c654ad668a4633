//! What an e-mail about an alert says: subject, text, HTML and headers.
//!
//! Whatever an event brought is text from strangers: it is cut, freed of control and
//! direction-changing characters, and escaped in HTML. Nothing in it can add a header, a line of
//! ours or a tag.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use crate::alert::{Alert, Resolution, Sample};
use crate::base::{Severity, Timestamp};
use crate::delivery::{Notification, NotificationKind};

/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// The longest value of a field that is shown, in characters.
const VALUE_CHARS_MAX: usize = 500;
/// The longest title, summary or description, in characters.
const PROSE_CHARS_MAX: usize = 4000;

/// The whole message, headers included, as it goes over the wire. The same notification always
/// gives the same bytes.
pub(super) fn compose(
    notification: &Notification,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Vec<u8>, lettre::error::Error> {
    let alert = &notification.alert;
    let domain = from.email.domain();
    let thread = format!("<{}.root@{domain}>", alert.id);
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(subject(notification))
        .date(system_time(notification.created))
        .message_id(Some(format!("<{}@{domain}>", notification.id)))
        .in_reply_to(thread.clone())
        .references(thread);
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let headers = [
        (HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()),
        (HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All".to_owned()),
        (HeaderName::new_from_ascii_str("List-Id"), format!("<alerts.{domain}>")),
        (HeaderName::new_from_ascii_str("X-Priority"), priority(alert.severity).to_owned()),
        (HeaderName::new_from_ascii_str("X-Severity"), alert.severity.name().to_owned()),
        (HeaderName::new_from_ascii_str("X-Alert-Id"), clean(&alert.id, VALUE_CHARS_MAX)),
        (HeaderName::new_from_ascii_str("X-Rule-Id"), clean(&alert.rule.id, VALUE_CHARS_MAX)),
    ];
    for (name, value) in headers {
        builder = builder.raw_header(HeaderValue::new(name, value));
    }
    let body = MultiPart::alternative()
        .boundary(format!("hark-{}", notification.id))
        .singlepart(SinglePart::plain(text(notification)))
        .singlepart(SinglePart::html(html(notification)));
    Ok(builder.multipart(body)?.formatted())
}

fn subject(notification: &Notification) -> String {
    let alert = &notification.alert;
    let word = match notification.kind {
        NotificationKind::Opened => alert.severity.name().to_uppercase(),
        NotificationKind::Resolved if is_all_clear(alert) => "RESOLVED".to_owned(),
        NotificationKind::Resolved => "CLOSED, NO ALL-CLEAR".to_owned(),
    };
    clean(&format!("[{word}] {}", alert.title), SUBJECT_CHARS_MAX)
}

/// Whether its end says that what it is about has stopped.
fn is_all_clear(alert: &Alert) -> bool {
    alert.resolution.is_none_or(Resolution::is_all_clear)
}

const fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "1",
        Severity::Medium => "3",
        Severity::Low | Severity::Info => "5",
    }
}

fn system_time(time: Timestamp) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0))
}

/// The beginning of a text from strangers, in one line, without characters that could hide or
/// reorder what stands around it.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let mut clean: String = text
        .chars()
        .take(chars_max)
        .map(|c| match c {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    if text.chars().nth(chars_max).is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

/// A value of a field for people: a text without its quotes, several separated by commas.
fn shown(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    clean(&text, VALUE_CHARS_MAX)
}

/// What is known about the alert, by name, in the order in which it is read.
fn facts(alert: &Alert) -> Vec<(String, String)> {
    let mut facts = vec![("severity".to_owned(), alert.severity.to_string())];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push((clean(name, VALUE_CHARS_MAX), value));
        }
    };
    for (field, value) in &alert.key {
        add(field, shown(value));
    }
    let about = if alert.approximate { "at least " } else { "" };
    add("events", format!("{about}{}", alert.count));
    if !alert.value.is_null() {
        add("value", shown(&alert.value));
    }
    add("opened", alert.opened_at.to_string());
    add("first event", alert.first_seen.to_string());
    add("last event", alert.last_seen.to_string());
    add("resolved", alert.resolved_at.map(|time| time.to_string()).unwrap_or_default());
    let rule = &alert.rule;
    add("rule", clean(&format!("{} ({})", rule.title, rule.id), VALUE_CHARS_MAX));
    add("techniques", clean(&rule.threat.join(", "), VALUE_CHARS_MAX));
    add("tags", clean(&rule.tags.join(", "), VALUE_CHARS_MAX));
    add("harmless if", clean(&rule.false_positives.join("; "), PROSE_CHARS_MAX));
    add("runbook", clean(rule.runbook.as_deref().unwrap_or_default(), PROSE_CHARS_MAX));
    add("alert", clean(&alert.id, VALUE_CHARS_MAX));
    facts
}

/// The lines of prose: title, then what the rule says, then the summary.
fn prose(notification: &Notification) -> (String, Vec<String>) {
    let alert = &notification.alert;
    let word = match notification.kind {
        NotificationKind::Resolved if !is_all_clear(alert) => "closed",
        kind => kind.name(),
    };
    let heading = format!("Alert {word}: {}", alert.title);
    let ending = alert.ending().map(|why| format!("This alert is {why}."));
    let mut prose = vec![ending.unwrap_or_default(), clean(&alert.summary, PROSE_CHARS_MAX)];
    prose.push(clean(&alert.rule.description, PROSE_CHARS_MAX));
    prose.retain(|text| !text.trim().is_empty());
    (clean(&heading, PROSE_CHARS_MAX), prose)
}

fn text(notification: &Notification) -> String {
    let (heading, prose) = prose(notification);
    let mut out = heading;
    for paragraph in prose {
        // Writing to a String cannot fail, here and below.
        let _infallible = write!(out, "\n\n{paragraph}");
    }
    out.push('\n');
    for (name, value) in facts(&notification.alert) {
        let _infallible = write!(out, "\n{name:<12} {value}");
    }
    out.push('\n');
    for sample in &notification.alert.samples {
        let _infallible = write!(out, "\nEvent {}\n", event_line(sample));
        for (field, value) in &sample.fields {
            let field = clean(field, VALUE_CHARS_MAX);
            let _infallible = writeln!(out, "  {field} = {}", shown(value));
        }
    }
    out
}

fn html(notification: &Notification) -> String {
    let (heading, prose) = prose(notification);
    let colour = match (notification.kind, notification.alert.severity) {
        (NotificationKind::Resolved, _) if is_all_clear(&notification.alert) => "#1a7f37",
        (NotificationKind::Resolved, _) => "#667085",
        (_, Severity::Critical | Severity::High) => "#b42318",
        (_, Severity::Medium) => "#b54708",
        (_, Severity::Low | Severity::Info) => "#175cd3",
    };
    let mut out = String::from(
        "<!doctype html><html><body style=\"font-family:sans-serif;font-size:14px;color:#1d2939\">",
    );
    let heading = escape(&heading);
    // Writing to a String cannot fail, here and below.
    let _infallible = write!(
        out,
        "<h2 style=\"font-size:18px;border-left:6px solid {colour};padding-left:10px\">{heading}</h2>"
    );
    for paragraph in prose {
        let _infallible = write!(out, "<p>{}</p>", escape(&paragraph));
    }
    let alert = &notification.alert;
    write_table(&mut out, &facts(alert));
    for sample in &alert.samples {
        let line = escape(&event_line(sample));
        let _infallible =
            write!(out, "<h3 style=\"font-size:14px;margin:18px 0 4px\">Event {line}</h3>");
        let fields: Vec<_> = sample
            .fields
            .iter()
            .map(|(field, value)| (clean(field, VALUE_CHARS_MAX), shown(value)))
            .collect();
        write_table(&mut out, &fields);
    }
    out.push_str("</body></html>\n");
    out
}

fn write_table(out: &mut String, rows: &[(String, String)]) {
    out.push_str("<table style=\"border-collapse:collapse\">");
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            out,
            "<tr><td style=\"padding:2px 14px 2px 0;color:#667085;vertical-align:top\">{}</td><td>{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
    out.push_str("</table>");
}

fn event_line(sample: &Sample) -> String {
    clean(&format!("{} at {}", sample.time, sample.position), VALUE_CHARS_MAX)
}

/// Text that means nothing to a browser.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resolution: Resolution) -> Notification {
        let mut alert = Alert::bare("a");
        alert.resolution = Some(resolution);
        alert.resolved_at = Some(alert.opened_at + Duration::from_hours(24));
        let created = alert.opened_at;
        Notification::new("soc", NotificationKind::Resolved, created, alert)
    }

    #[test]
    fn an_alert_that_was_closed_for_its_age_is_no_all_clear() {
        let closed = of(Resolution::MaxOpen);
        assert_eq!(subject(&closed), "[CLOSED, NO ALL-CLEAR] t");
        for body in [text(&closed), html(&closed)] {
            assert!(body.contains("Alert closed: t"), "{body}");
            assert!(body.contains("closed because it was open for 1d, "), "{body}");
            assert!(body.contains("what it is about had not stopped"), "{body}");
        }
        let over = of(Resolution::Quiet);
        assert_eq!(subject(&over), "[RESOLVED] t");
        assert!(text(&over).starts_with("Alert resolved: t\n\nThis alert is over: "));
    }
}
