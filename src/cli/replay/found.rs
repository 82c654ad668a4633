//! What a replay finds, on its way to standard output: alerts or firings, as a table or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::Serialize;

use super::super::table::{fit, grouped, lines, terminal_width};
use super::{Arguments, Format};
use crate::alert::{Alert, Fired};
use crate::base::{Timestamp, duration};
use crate::replay::Replay;

/// Rows of a table that are kept to be shown; `--format json` has no such bound.
const ROWS_MAX: usize = 10_000;

/// What is found, on its way to standard output.
pub(super) struct Findings<'a> {
    arguments: &'a Arguments,
    out: io::BufWriter<io::Stdout>,
    alerts: Vec<Alert>,
    /// Those that a silence after the last record opened.
    afterwards: Vec<Alert>,
    firings: Vec<Fired>,
    /// Those that there was no room for.
    more: usize,
}

impl<'a> Findings<'a> {
    pub(super) fn new(arguments: &'a Arguments) -> Self {
        let out = io::BufWriter::new(io::stdout());
        let (alerts, afterwards, firings) = (Vec::new(), Vec::new(), Vec::new());
        Self { arguments, out, alerts, afterwards, firings, more: 0 }
    }

    /// Takes what the last record led to.
    pub(super) fn take(&mut self, replay: &Replay) -> io::Result<()> {
        if self.arguments.firings {
            for fired in replay.firings() {
                match self.arguments.format {
                    Format::Json => self.json(&replay.told(fired))?,
                    Format::Table if self.firings.len() < ROWS_MAX => {
                        self.firings.push(fired.clone());
                    }
                    Format::Table => self.more += 1,
                }
            }
            return Ok(());
        }
        for alert in replay.over() {
            self.alert(alert, replay)?;
        }
        Ok(())
    }

    fn alert(&mut self, alert: &Alert, replay: &Replay) -> io::Result<()> {
        match self.arguments.format {
            Format::Json => self.json(alert)?,
            Format::Table if self.alerts.len() + self.afterwards.len() == ROWS_MAX => {
                self.more += 1;
            }
            Format::Table if replay.is_afterwards(alert) => self.afterwards.push(alert.clone()),
            Format::Table => self.alerts.push(alert.clone()),
        }
        Ok(())
    }

    /// All has been read: what is still open, and the table.
    pub(super) fn end(&mut self, replay: &Replay) -> io::Result<()> {
        if !self.arguments.firings {
            let mut open: Vec<&Alert> = replay.open().collect();
            open.sort_by_cached_key(|alert| order(alert));
            for alert in open {
                self.alert(alert, replay)?;
            }
        }
        if self.arguments.format == Format::Table {
            let width = terminal_width();
            let table =
                if self.arguments.firings { self.firings(width) } else { self.alerts(width) };
            self.out.write_all(table.as_bytes())?;
            if self.more > 0 {
                let more = grouped(self.more as u64);
                writeln!(self.out, "… and {more} more; --format json writes all of them")?;
            }
        }
        self.out.flush()
    }

    /// Writes more behind it.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn json(&mut self, what: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, what)?;
        self.out.write_all(b"\n")
    }

    fn alerts(&mut self, width: Option<usize>) -> String {
        let Self { alerts, afterwards, .. } = self;
        let mut text = match (alerts.is_empty(), afterwards.is_empty()) {
            (true, true) => "no alerts\n".to_owned(),
            (true, false) => "no alerts from the records\n".to_owned(),
            (false, _) => table(alerts, width),
        };
        if !afterwards.is_empty() {
            text.push_str("\nafter the last record, if nothing came any more:\n");
            text.push_str(&table(afterwards, width));
        }
        if alerts.iter().chain(&*afterwards).any(|alert| alert.approximate) {
            text.push_str("≥: at least so many, for a rule remembers only so much of one key\n");
        }
        text
    }

    fn firings(&self, width: Option<usize>) -> String {
        let row = |fired: &Fired| {
            let firing = &fired.firing;
            let index =
                firing.position.as_ref().map_or("clock".to_owned(), |p| p.offset.to_string());
            let value = match &firing.value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let (rule, count) = (fired.rule.to_string(), firing.count.to_string());
            vec![firing.time.to_string(), index, rule, key(&fired.key), count, value]
        };
        let mut rows: Vec<_> = self.firings.iter().map(row).collect();
        let headings = ["TIME", "RECORD", "RULE", "KEY", "COUNT", "VALUE"];
        if let Some(width) = width {
            fit(&headings, &mut rows, &[3, 2, 5], width);
        }
        if rows.is_empty() { "no firings\n".to_owned() } else { lines(&headings, &[1, 4], &rows) }
    }
}

/// A table of alerts by their opening. What is cut to a width can be read whole in a file.
fn table(alerts: &mut [Alert], width: Option<usize>) -> String {
    alerts.sort_by_cached_key(order);
    let row = |alert: &Alert| {
        let over = alert.resolved_at.map_or_else(
            || "open".to_owned(),
            |resolved| duration::print(resolved.since(alert.opened_at)),
        );
        let count = format!("{}{}", if alert.approximate { "≥" } else { "" }, alert.count);
        let (severity, rule) = (alert.severity.to_string(), alert.rule.id.clone());
        let (opened, key) = (alert.opened_at.to_string(), key(&alert.key));
        vec![opened, over, severity, count, rule, key, alert.title.clone()]
    };
    let mut rows: Vec<_> = alerts.iter().map(row).collect();
    let headings = ["OPENED", "OPEN FOR", "SEVERITY", "COUNT", "RULE", "KEY", "TITLE"];
    if let Some(width) = width {
        fit(&headings, &mut rows, &[5, 4, 6], width);
    }
    lines(&headings, &[1, 3], &rows)
}

fn order(alert: &Alert) -> (Timestamp, String, String) {
    (alert.opened_at, alert.rule.id.clone(), key(&alert.key))
}

fn key(key: &BTreeMap<String, serde_json::Value>) -> String {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    key.values().map(text).collect::<Vec<_>>().join(", ")
}
