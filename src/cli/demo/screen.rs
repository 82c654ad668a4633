//! What the demo shows: text made from what happened, coloured on a terminal, plain in a pipe.
//!
//! [`Screen`] mostly makes text, so that tests can look at it; [`Screen::show`] and [`Screen::draw`]
//! write it out. On a terminal the last line is a status that is drawn over; in a pipe the same
//! words come as a line of their own now and then.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::receiver::Received;
use super::traffic::Product;
use crate::alert::{Alert, AlertStatus};
use crate::base::Severity;

/// Lines of a pipe, and shortened payloads, are cut at this many characters.
const WIDTH: usize = 160;

/// Characters of a name at the left of the summary's tables; a rule's may need more.
const NAME_WIDTH: usize = 34;

/// How the text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Escape codes for colour.
    pub(super) colour: bool,
    /// A status line that is drawn over.
    pub(super) live: bool,
    /// Characters that fit beside each other.
    pub(super) width: usize,
}

impl Look {
    /// What standard output can show; `NO_COLOR` (<https://no-color.org>) is respected.
    pub(super) fn of_stdout() -> Self {
        let live = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let columns = terminal_size::terminal_size().map_or(WIDTH, |(w, _)| usize::from(w.0));
        let width = if live { columns.max(40) } else { WIDTH };
        Self { colour: live && !refused, live, width }
    }
}

/// Everything that has been seen, and how to show it.
#[derive(Debug)]
pub(super) struct Screen {
    look: Look,
    events: BTreeMap<Product, u64>,
    alerts: BTreeMap<(String, Option<Product>), Counts>,
    open: u64,
    /// The status line as it stands on the terminal.
    status: String,
    /// Standard output is closed.
    gone: bool,
}

/// What became of one rule's alerts on one product.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    opened: u64,
    resolved: u64,
    severity: Option<Severity>,
}

impl Screen {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            events: BTreeMap::new(),
            alerts: BTreeMap::new(),
            open: 0,
            status: String::new(),
            gone: false,
        }
    }

    /// So many more events were written.
    pub(super) fn wrote(&mut self, product: Product, count: u64) {
        *self.events.entry(product).or_default() += count;
    }

    /// How many were written in all.
    pub(super) fn written(&self) -> u64 {
        self.events.values().sum()
    }

    /// Takes in one state of one alert; the line to show, if it opened or resolved.
    pub(super) fn alert(&mut self, since_start: Duration, alert: &Alert) -> Option<String> {
        let product = product_of(alert);
        let entry = self.alerts.entry((alert.rule.id.clone(), product)).or_default();
        let opens = alert.revision == 1;
        let resolved = alert.status == AlertStatus::Resolved;
        if opens {
            entry.opened += 1;
            self.open += 1;
        }
        entry.severity = entry.severity.max(Some(alert.severity));
        if resolved {
            entry.resolved += 1;
            self.open = self.open.saturating_sub(1);
        }
        let (sign, word) = match (opens, resolved) {
            (false, true) => ("▽", "resolved"),
            // Over as soon as it opened: one alert for one event.
            (true, true) => ("▲", "event"),
            (true, false) => ("▲", "open"),
            // It grew: the summary tells.
            (false, false) => return None,
        };
        let over = resolved && !opens;
        let severity = format!("{:<8}", alert.severity.name().to_uppercase());
        let severity =
            if over { self.dim(&severity) } else { self.severity(alert.severity, &severity) };
        let title = shortened(&alert.title, self.look.width.saturating_sub(42));
        let title = if over { self.dim(&title) } else { self.bold(&title) };
        Some(format!(
            "{}  {sign} {word:<8}  {severity}  {:<11}  {title}",
            self.dim(&clock(since_start)),
            // An alert about alerts of other rules is no one product's.
            product.map_or("", Product::title),
        ))
    }

    /// What the generator is up to.
    pub(super) fn note(&self, since_start: Duration, product: Product, note: &str) -> String {
        let (clock, product) = (clock(since_start), product.title());
        self.dim(&format!("{clock}  · {:<8}  {:<8}  {product:<11}  {}", "", "", plain(note)))
    }

    /// The status in one line.
    pub(super) fn status(&self, since_start: Duration, per_second: f64, seen: &Received) -> String {
        let line = format!(
            "{}  {} events  {per_second:.0}/s  {} open  mail {}  webhook {}  Splunk {}  Datadog {}",
            clock(since_start),
            grouped(self.written()),
            self.open,
            grouped(seen.mails.records),
            grouped(seen.webhooks.records),
            grouped(seen.splunk.records),
            grouped(seen.datadog.records),
        );
        shortened(&line, self.look.width.saturating_sub(1))
    }

    /// What the four receivers got last.
    pub(super) fn latest(&self, seen: &Received) -> String {
        let mut text = String::new();
        for (name, inbox) in [
            ("mail", &seen.mails),
            ("webhook", &seen.webhooks),
            ("Splunk", &seen.splunk),
            ("Datadog", &seen.datadog),
        ] {
            if inbox.records > 0 {
                let latest = shortened(&inbox.latest, self.look.width.saturating_sub(30));
                let line = format!("       last {name:<8} {latest}");
                text.push_str(&self.dim(&line));
                text.push('\n');
            }
        }
        text
    }

    /// The whole story, at the end.
    pub(super) fn summary(&self, took: Duration, seen: &Received) -> String {
        let mut lines = vec![String::new(), self.bold(&format!("After {}", words(took)))];
        lines.extend(self.by_product());
        lines.extend(self.by_rule());
        lines.push(String::new());
        lines.push(self.dim(&row(["received by", "requests", "records", ""])));
        for (name, inbox) in [
            ("mail server", &seen.mails),
            ("webhook", &seen.webhooks),
            ("Splunk", &seen.splunk),
            ("Datadog", &seen.datadog),
        ] {
            lines.push(row([name, &grouped(inbox.requests), &grouped(inbox.records), ""]));
        }
        lines.join("\n") + "\n"
    }

    fn by_product(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        lines.push(self.dim(&row(["product", "events", "alerts", "resolved"])));
        let sum = |of: &dyn Fn(Option<Product>) -> bool, number: fn(&Counts) -> u64| -> u64 {
            let counts = self.alerts.iter().filter(|((_, product), _)| of(*product));
            counts.map(|(_, counts)| number(counts)).sum()
        };
        let mut line = |name: &str, events: u64, of: &dyn Fn(Option<Product>) -> bool| {
            let (opened, resolved) = (sum(of, |c| c.opened), sum(of, |c| c.resolved));
            lines.push(row([name, &grouped(events), &grouped(opened), &grouped(resolved)]));
        };
        for product in Product::ALL {
            let events = self.events.get(&product).copied().unwrap_or_default();
            line(product.title(), events, &|other| other == Some(product));
        }
        if self.alerts.keys().any(|(_, product)| product.is_none()) {
            // Alerts about alerts of other rules.
            line("no one product", 0, &|other| other.is_none());
        }
        line("together", self.written(), &|_| true);
        lines
    }

    fn by_rule(&self) -> Vec<String> {
        let names = self.alerts.keys().map(|(rule, _)| rule.chars().count());
        let width = names.max().unwrap_or_default().max(NAME_WIDTH);
        let line = |rule: &str, severity: &str, alerts: &str, products: &str| {
            format!("  {rule:<width$} {severity} {alerts:>8} {products:>9}").trim_end().to_owned()
        };
        let mut rules: BTreeMap<&str, (Counts, usize)> = BTreeMap::new();
        for ((rule, product), counts) in &self.alerts {
            let (sum, products) = rules.entry(rule).or_default();
            sum.opened += counts.opened;
            sum.severity = sum.severity.max(counts.severity);
            *products += usize::from(product.is_some());
        }
        let head = line("rule", "severity  ", "alerts", "products");
        let mut lines = vec![String::new(), self.dim(&head)];
        for (rule, (sum, products)) in &rules {
            let severity = sum.severity.unwrap_or(Severity::Info);
            let shown = self.severity(severity, &format!("{severity:<10}"));
            let products = if *products > 0 { products.to_string() } else { String::new() };
            lines.push(line(rule, &shown, &grouped(sum.opened), &products));
        }
        if rules.is_empty() {
            lines.push("  none".to_owned());
        }
        lines
    }

    /// Writes lines that stay, above the status line if there is one.
    pub(super) fn show(&mut self, lines: &str) {
        let lines = lines.strip_suffix('\n').unwrap_or(lines);
        if self.look.live {
            self.write(&format!("\r\x1b[K{lines}\n{}", self.status));
        } else {
            self.write(&format!("{lines}\n"));
        }
    }

    /// Draws the status line over the old one; in a pipe, does nothing.
    pub(super) fn draw(&mut self, status: &str) {
        if self.look.live {
            self.status = self.dim(status);
            self.write(&format!("\r\x1b[K{}", self.status));
        }
    }

    /// Takes the status line away, before the last words.
    pub(super) fn clear(&mut self) {
        self.draw("");
    }

    fn write(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        self.gone |= out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    /// Whether nobody reads any more, as behind `| head`.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether a status line is drawn over; if not, it should be shown now and then.
    pub(super) fn is_live(&self) -> bool {
        self.look.live
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.dressed("1", text)
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.dressed("2", text)
    }

    fn severity(&self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Critical => "1;97;41",
            Severity::High => "1;31",
            Severity::Medium => "33",
            Severity::Low => "36",
            Severity::Info => "2",
        };
        self.dressed(code, text)
    }

    fn dressed(&self, code: &str, text: &str) -> String {
        if self.look.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A row of the summary's tables: a name and three numbers.
fn row([name, a, b, c]: [&str; 4]) -> String {
    format!("  {name:<NAME_WIDTH$} {a:>10} {b:>8} {c:>9}").trim_end().to_owned()
}

/// The product whose record opened the alert, by the topic of its first sample.
fn product_of(alert: &Alert) -> Option<Product> {
    let topic = alert.samples.first()?.position.split(':').next()?;
    Product::ALL.into_iter().find(|product| product.topic() == topic)
}

/// Without control characters: what an event brings must not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// [`plain`], and no longer than `width` characters.
fn shortened(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `mm:ss` since the start.
fn clock(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// `1 min 5 s`.
pub(super) fn words(took: Duration) -> String {
    match (took.as_secs() / 60, took.as_secs() % 60) {
        (0, s) => format!("{s} s"),
        (m, 0) => format!("{m} min"),
        (m, s) => format!("{m} min {s} s"),
    }
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::alert::{RuleInfo, Sample};
    use crate::base::Timestamp;
    use crate::cli::demo::receiver::Inbox;

    const PIPE: Look = Look { colour: false, live: false, width: 100 };

    fn alert(revision: u64, status: AlertStatus, topic: &str, title: &str) -> Alert {
        let at = Timestamp::from_millis(0);
        Alert {
            id: "a".into(),
            revision,
            status,
            severity: Severity::High,
            title: title.into(),
            summary: String::new(),
            rule: RuleInfo { id: "common/failed-logins".into(), ..RuleInfo::default() },
            key: BTreeMap::new(),
            count: 5,
            firings: 1,
            value: 5.into(),
            previous: None,
            peak: 5.into(),
            approximate: false,
            opened_at: at,
            first_seen: at,
            last_seen: at,
            resolved_at: None,
            resolution: None,
            samples: vec![Sample {
                position: format!("{topic}:0:17"),
                time: at,
                fields: BTreeMap::new(),
            }],
            template_failures: Vec::new(),
        }
    }

    fn check(found: &str, wanted: &Expect) {
        wanted.assert_eq(found);
    }

    #[test]
    fn an_alert_is_shown_when_it_opens_and_when_it_resolves_but_not_when_it_grows() {
        let mut screen = Screen::new(PIPE);
        let at = Duration::from_secs(65);
        let opened =
            screen.alert(at, &alert(1, AlertStatus::Open, "audit.ops0", "5 failed logins"));
        check(
            &opened.unwrap(),
            &expect!["01:05  ▲ open      HIGH      ops0         5 failed logins"],
        );
        assert_eq!(screen.alert(at, &alert(2, AlertStatus::Open, "audit.ops0", "8")), None);
        let resolved = screen.alert(at, &alert(3, AlertStatus::Resolved, "audit.ops0", "8 failed"));
        check(&resolved.unwrap(), &expect!["01:05  ▽ resolved  HIGH      ops0         8 failed"]);
        assert_eq!(screen.open, 0);
    }

    #[test]
    fn an_alert_about_alerts_is_no_one_products_and_its_row_stands_as_straight_as_others() {
        let mut screen = Screen::new(PIPE);
        let mut about = alert(1, AlertStatus::Open, "hark.alerts", "3 rules tell of eve");
        about.rule.id = "common/several-alerts-about-one-user".to_owned();
        check(
            &screen.alert(Duration::ZERO, &about).unwrap(),
            &expect!["00:00  ▲ open      HIGH                   3 rules tell of eve"],
        );
        screen.alert(Duration::ZERO, &alert(1, AlertStatus::Open, "audit.ops0", "x"));
        check(
            &format!("by rule{}\n", screen.by_rule().join("\n")),
            &expect![[r"
                by rule
                  rule                                 severity     alerts  products
                  common/failed-logins                 high              1         1
                  common/several-alerts-about-one-user high              1
            "]],
        );
        check(
            &format!("by product{}\n", screen.by_product().join("\n")),
            &expect![[r"
                by product
                  product                                events   alerts  resolved
                  OpsKnight                                   0        0         0
                  OpsSentinal                                 0        0         0
                  ops0                                        0        1         0
                  Squadcast                                   0        0         0
                  BlockSecOps                                 0        0         0
                  no one product                              0        1         0
                  together                                    0        2         0
            "]],
        );
    }

    #[test]
    fn what_an_event_brings_cannot_steer_the_terminal() {
        let mut screen = Screen::new(Look { colour: true, live: true, width: 80 });
        let title = format!("\x1b[2J\r{}", "x".repeat(200));
        let line = screen.alert(Duration::ZERO, &alert(1, AlertStatus::Open, "audit.ops0", &title));
        let line = line.unwrap();
        assert!(!line.contains("\x1b[2J") && !line.contains('\r'), "{line:?}");
        assert!(line.contains('…'));
    }

    #[test]
    fn a_pipe_gets_no_escape_codes() {
        let screen = Screen::new(PIPE);
        let all = screen.bold("a") + &screen.dim("b") + &screen.severity(Severity::Critical, "c");
        assert_eq!(all, "abc");
        let coloured = Screen::new(Look { colour: true, ..PIPE });
        assert_eq!(coloured.severity(Severity::High, "c"), "\x1b[1;31mc\x1b[0m");
    }

    #[test]
    fn the_status_counts_what_went_in_and_what_came_out() {
        let mut screen = Screen::new(PIPE);
        screen.wrote(Product::Squadcast, 12_345);
        let seen = Received {
            splunk: Inbox { requests: 2, records: 1_000_000, latest: String::new() },
            ..Received::default()
        };
        check(
            &screen.status(Duration::from_secs(9), 299.6, &seen),
            &expect![
                "00:09  12,345 events  300/s  0 open  mail 0  webhook 0  Splunk 1,000,000  Datadog 0"
            ],
        );
    }

    #[test]
    fn the_summary_has_every_product_every_rule_and_every_receiver() {
        let mut screen = Screen::new(PIPE);
        screen.wrote(Product::Ops0, 1);
        screen.wrote(Product::OpsKnight, 1);
        for topic in ["audit.ops0", "audit.opsknight", "audit.opsknight"] {
            screen.alert(Duration::ZERO, &alert(1, AlertStatus::Open, topic, "x"));
        }
        let seen = Received {
            mails: Inbox { requests: 3, records: 3, latest: "x".into() },
            ..Received::default()
        };
        check(
            &screen.summary(Duration::from_secs(61), &seen),
            &expect![[r"

                After 1 min 1 s

                  product                                events   alerts  resolved
                  OpsKnight                                   1        2         0
                  OpsSentinal                                 0        0         0
                  ops0                                        1        1         0
                  Squadcast                                   0        0         0
                  BlockSecOps                                 0        0         0
                  together                                    2        3         0

                  rule                               severity     alerts  products
                  common/failed-logins               high              3         2

                  received by                          requests  records
                  mail server                                 3        3
                  webhook                                     0        0
                  Splunk                                      0        0
                  Datadog                                     0        0
            "]],
        );
    }
}
