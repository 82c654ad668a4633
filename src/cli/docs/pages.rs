//! The pages of the reference, each from its table.

use std::fmt::Write as _;

use super::products::{self, Product};
use super::tables::{code, keys, rows, table};
use crate::base::diagnostic::Gravity;
use crate::base::diagnostic::lints::{Home, lints};
use crate::base::keys::{KeySpec, Shape};
use crate::base::metrics::{LABELS, METRICS, MetricSpec, PROCESS};
use crate::base::{duration, secret};
use crate::detectors::{DETECTORS, Decides};
use crate::event::schema;
use crate::kafka::Settings;
use crate::kafka::topics::{Cleanup, Topics};
use crate::mapping::Reason;
use crate::notifiers::NOTIFIERS;
use crate::query::FORMS;
use crate::sinks::SINKS;
use crate::{config, mapping, rule};

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name, which is a file's without `.md`.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// The Markdown, with its heading.
    pub text: String,
}

impl Page {
    fn new(name: &str, title: &str, body: &str) -> Self {
        let (name, title) = (name.to_owned(), title.to_owned());
        let text = format!("# {title}\n\n{}\n", body.trim_end());
        Self { name, title, text }
    }

    /// The file that it is written to.
    pub fn file(&self) -> String {
        format!("{}.md", self.name)
    }
}

/// All pages, in reading order: those of every installation, then those about products.
pub fn pages(products: &[Product]) -> Vec<Page> {
    let mut pages = vec![
        Page::new("rules", "Rules", &of_rules()),
        Page::new("detectors", "Detectors", &of_detectors()),
        Page::new("queries", "Queries", &of_queries()),
        Page::new("templates", "Templates", &super::templates::page()),
        Page::new("fields", "Fields", &of_fields()),
        Page::new("mappings", "Mappings", &of_mappings()),
        Page::new("config", "Configuration", &of_config()),
        Page::new("topics", "Topics and dead letters", &of_topics()),
        Page::new("metrics", "Metrics", &of_metrics()),
        Page::new("diagnostics", "Diagnostics", &of_diagnostics()),
    ];
    if !products.is_empty() {
        pages.push(Page::new("products", "Products", &products::overview(products)));
    }
    pages.extend(products.iter().map(|product| {
        let name = &product.description.name;
        let (file, title) = (format!("product-{name}"), format!("Product: {name}"));
        Page::new(&file, &title, &products::page(product))
    }));
    pages
}

fn of_rules() -> String {
    let is_detector = |name: &str| DETECTORS.iter().any(|spec| spec.table == name);
    let plain: Vec<_> =
        rule::keys::RULE.iter().filter(|key| !is_detector(key.name)).copied().collect();
    let mut text = String::from(
        "One rule is one TOML file. Beside these keys it has at most one detector's table; without one \
         it fires on every matching event.\n\n## Keys\n\n",
    );
    text.push_str(&keys("", &plain, |_| true));
    text.push_str("## Overrides\n\nA file that holds nothing but these tunes other rules.\n\n");
    text.push_str(&keys("", rule::keys::OVERRIDE_FILE, |name| name == "override"));
    text.push_str(
        "## What titles and severity cases read of the alert\n\nHow titles and summaries are written: \
         [templates](templates.md).\n\n",
    );
    text.extend(rule::ALERT_FIELDS.iter().map(|field| format!("- `{field}`\n")));
    text
}

fn of_detectors() -> String {
    let mut text = String::new();
    for spec in DETECTORS {
        let decides = match spec.decides {
            Decides::OnArrival => "as soon as an event arrives",
            Decides::OnTheClock => "when the clock has passed the event",
        };
        let table = spec.table;
        let _infallible =
            write!(text, "## `[{table}]`\n\n{}\n\nDecides {decides}.\n\n", spec.summary);
        text.push_str(&rows(spec.keys));
        for key in spec.keys {
            if let Shape::Tables(inner) = key.shape {
                text.push_str(&keys(&format!("[[{table}.{}]]", key.name), inner, |_| true));
            }
        }
        text.push_str(&code("toml", spec.example));
    }
    text
}

fn of_queries() -> String {
    let forms = FORMS.iter().map(|form| {
        let example = format!("`{}`", form.example);
        vec![form.form.to_owned(), form.meaning.to_owned(), example]
    });
    let mut text = String::from(
        "One language in rules, exceptions, mappings and on the command line. On the command line two \
         terms side by side are `and`, and bare words are free text.\n\n",
    );
    text.push_str(&table(&["form", "true when", "example"], forms));
    text.push_str("## Met, and not met\n\n");
    let cases = FORMS.iter().map(|form| {
        let quoted = |text: &str| format!("`{text}`");
        vec![quoted(form.example), quoted(form.met_by), quoted(form.not_met_by)]
    });
    text.push_str(&table(&["query", "met by", "not met by"], cases));
    text
}

fn of_fields() -> String {
    let mut text = String::from(
        "The common fields: those of ECS and a few of Hark's own, with what OCSF, Splunk's Common \
         Information Model and Datadog call them. `raw.some.path` is any path of the original record.\n\n",
    );
    let fields = schema::fields().map(|field| {
        let name = |text: &str| {
            if text.is_empty() { String::new() } else { format!("`{text}`") }
        };
        vec![
            name(field.name),
            field.kind.name().to_owned(),
            field.meaning.to_owned(),
            name(field.ocsf),
            name(field.cim),
            name(field.datadog),
        ]
    });
    let head = ["field", "kind", "meaning", "OCSF", "Splunk CIM", "Datadog"];
    text.push_str(&table(&head, fields));
    text
}

fn of_mappings() -> String {
    let mut text = String::from(
        "A mapping says how one product's record becomes an event in the common fields; its file's \
         name is the event's `event.dataset`.\n\n## Keys\n\n",
    );
    text.push_str(&keys("", mapping::keys::MAPPING, |name| name != "case.fields"));
    text
}

fn of_config() -> String {
    let mut text = String::from(
        "One TOML file, then the environment (`HARK__KAFKA__BOOTSTRAP=…`), then `--set \
         kafka.bootstrap=…`; later ones win. Paths are relative to the file.\n\n## Sections\n\n",
    );
    text.push_str(&keys("", config::keys::CONFIG, |name| {
        // A destination's kinds stand below, with examples.
        !matches!(name, "notifiers" | "sinks" | "kafka.properties")
    }));
    text.push_str(
        "## Secrets\n\nA secret never stands in the file; it is a table with one of:\n\n",
    );
    text.push_str(&rows(secret::KEYS));
    text.push_str("## Notifiers\n\n");
    for spec in NOTIFIERS {
        text.push_str(&destination("notifiers", spec.kind, spec.summary, spec.keys, spec.example));
    }
    text.push_str("## Sinks\n\n");
    for spec in SINKS {
        text.push_str(&destination("sinks", spec.kind, spec.summary, spec.keys, spec.example));
    }
    text
}

fn destination(family: &str, kind: &str, summary: &str, own: &[KeySpec], example: &str) -> String {
    let path = format!("[{family}.NAME.{kind}]");
    let inner = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        matches!(last, "retry" | "batch")
    };
    format!("{summary}\n\n{}{}", keys(&path, own, inner), code("toml", example))
}

fn of_topics() -> String {
    let settings = Settings::default();
    let topics = Topics::new(&settings.prefix).specs(&settings);
    let rows = topics.iter().map(|spec| {
        let kept = match spec.cleanup {
            Cleanup::Delete { retention } => duration::print(retention),
            Cleanup::Compact => "the last record of each key".to_owned(),
        };
        vec![
            format!("`{}`", spec.name),
            spec.partitions.count().to_string(),
            kept,
            spec.purpose.to_owned(),
        ]
    });
    let mut text = String::from("Hark's own topics, as they are with the defaults.\n\n");
    text.push_str(&table(&["topic", "partitions", "kept", "holds"], rows));
    text.push_str("## Why a record of an audit topic could not be used\n\n");
    text.extend(Reason::ALL.iter().map(|reason| format!("- `{}`\n", reason.code())));
    text
}

fn of_metrics() -> String {
    let rows = |specs: &[MetricSpec]| {
        let row = |spec: &MetricSpec| {
            let labels: Vec<_> = spec.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (format!("`{}`", spec.name), spec.kind.name().to_owned());
            vec![name, kind, labels.join(", "), spec.help.to_owned()]
        };
        table(&["metric", "type", "labels", "help"], specs.iter().map(row).collect::<Vec<_>>())
    };
    let mut text = String::from(
        "What Hark tells about itself, for Prometheus, at `/metrics` of `[admin]`. A metric with labels \
         is there once it has something to tell.\n\n",
    );
    text.push_str(&rows(METRICS));
    text.push_str(
        "## Labels\n\nTheir values come from the configuration, the rules and the cluster: never a user, an \
         address or anything else that an event brings.\n\n",
    );
    let labels = LABELS.iter().map(|(label, says)| vec![format!("`{label}`"), (*says).to_owned()]);
    text.push_str(&table(&["label", "is"], labels));
    text.push_str("## Of the process\n\nOn Linux, as other programs tell them too.\n\n");
    text.push_str(&rows(PROCESS));
    text
}

fn of_diagnostics() -> String {
    let mut text = String::from(
        "Every code that `hark check` can name. A warning can be allowed: `allow = [\"code\"]` in the \
         rule, or in `[check]` of the configuration.\n\n",
    );
    for lint in lints() {
        let gravity = match lint.gravity {
            Gravity::Error => "error",
            Gravity::Warning => "warning",
        };
        let _infallible = write!(text, "## `{}` ({gravity})\n\n{}\n\n", lint.code, lint.summary);
        match lint.home {
            Home::Elsewhere => {
                let _infallible =
                    write!(text, "Wrong: {}\n\nRight: {}\n\n", lint.wrong, lint.right);
            }
            home => {
                let language = if home == Home::Query { "text" } else { "toml" };
                let (wrong, right) = (code(language, lint.wrong), code(language, lint.right));
                let _infallible = write!(text, "Wrong:\n\n{wrong}Right:\n\n{right}");
            }
        }
    }
    text
}
