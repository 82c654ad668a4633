//! The configuration files that are shipped, and the layers over them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use hark::base::diagnostic::Gravity;
use hark::config::{self, Layers, Purpose};

fn shipped(name: &str, environment: &[(&str, &str)], sets: &[&str]) -> Layers {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    Layers {
        text: std::fs::read_to_string(&path).unwrap(),
        path,
        environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        sets: sets.iter().map(|s| (*s).to_owned()).collect(),
    }
}

/// Every message with the text it points at.
fn mistakes(layers: &Layers) -> Vec<String> {
    let mut all = Vec::new();
    for (source, found) in config::load(layers).found {
        for d in found {
            let at = d.span.and_then(|span| source.text.get(span)).unwrap_or_default();
            all.push(format!("{}: {at}", d.message));
        }
    }
    all
}

const SECRETS: [(&str, &str); 5] = [
    ("HARK_KAFKA_PASSWORD", "hidden-k"),
    ("HARK_SMTP_PASSWORD", "hidden-s"),
    ("HARK_WEBHOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ("HARK_SPLUNK_TOKEN", "hidden-t"),
    ("HARK_DATADOG_API_KEY", "hidden-d"),
];

#[test]
fn the_default_configuration_runs_as_it_stands() {
    let layers = shipped("hark.toml", &[], &[]);
    assert_eq!(mistakes(&layers), Vec::<String>::new());
    let config = config::load(&layers).config.unwrap();
    assert!(config.kafka.is_embedded());
    assert_eq!(config.sources.len(), 5);
    assert!(config.sets.schedule("business-hours").is_some());
}

#[test]
fn the_example_for_production_needs_its_secrets_and_nothing_else() {
    assert_eq!(mistakes(&shipped("production.toml", &SECRETS, &[])), Vec::<String>::new());
    let without = mistakes(&shipped("production.toml", &[], &[]));
    assert_eq!(without.len(), SECRETS.len(), "{without:?}");
    assert!(without.iter().all(|m| m.contains("is not set")), "{without:?}");
}

#[test]
fn who_only_looks_needs_no_secrets() {
    let layers = shipped("production.toml", &[], &[]);
    let checked = config::load_for(&layers, Purpose::Check);
    let found: Vec<_> = checked.found.iter().flat_map(|(_, found)| found).collect();
    assert_eq!(found.len(), SECRETS.len(), "{found:?}");
    for d in found {
        assert_eq!((d.code, d.gravity), ("missing-secret", Gravity::Warning));
        assert!(d.message.ends_with(" is not set; needed by `hark run`"), "{}", d.message);
    }
    assert!(checked.config.is_some());
    let tried = config::load_for(&layers, Purpose::Try);
    assert!(tried.found.iter().all(|(_, found)| found.is_empty()) && tried.config.is_some());
    let on_kafka = config::load_for(&layers, Purpose::TryOnKafka);
    let found: Vec<_> = on_kafka.found.iter().flat_map(|(_, found)| found).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("HARK_KAFKA_PASSWORD") && on_kafka.config.is_none());
}

#[test]
fn a_secret_that_is_there_is_read_whoever_asks() {
    let mut secrets = SECRETS;
    secrets[2].1 = "not a key of the right form";
    let tried = config::load_for(&shipped("production.toml", &secrets, &[]), Purpose::Try);
    let found: Vec<_> = tried.found.iter().flat_map(|(_, found)| found).collect();
    assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), ["bad-secret"]);
}

#[test]
fn a_warning_of_missing_secrets_can_be_allowed_and_the_error_cannot() {
    let mut layers = shipped("production.toml", &[], &["check.allow=['missing-secret']"]);
    let checked = config::load_for(&layers, Purpose::Check);
    assert!(checked.found.iter().all(|(_, found)| found.is_empty()), "{:?}", checked.found);
    assert!(config::load(&layers).config.is_none());
    layers.sets.clear();
    assert!(config::load(&layers).config.is_none());
}

#[test]
fn a_secret_in_the_file_is_not_in_what_is_shown_of_it() {
    let text = "[sources.a]\n[sinks.siem.splunk_hec]\nurl = 'https://example.com'\n\
                token = \"hünter2\" # why\n[notifiers.t]\nwebhook = { url = 'https://example.com', secret = ['whsec_a', '''whsec_\nb'''], x = 1 }\n";
    let layers = Layers {
        path: "hark.toml".into(),
        text: text.into(),
        sets: vec!["sinks.siem.splunk_hec.source='hark'".to_owned()],
        ..Layers::default()
    };
    for sets in [layers.sets.clone(), vec![]] {
        for (source, found) in config::load(&Layers { sets, ..layers.clone() }).found {
            for secret in ["nter2", "whsec_", "\nb'"] {
                assert!(!source.text.contains(secret), "{}", source.text);
            }
            if source.text.contains("# why") {
                assert_eq!(source.text.len(), text.len());
                assert!(source.text.contains("token = \"********\" # why"), "{}", source.text);
                for d in found {
                    let at = d.span.unwrap();
                    assert!(text.get(at.clone()).is_some() && source.text.get(at).is_some());
                }
            }
        }
    }
}

#[test]
fn no_secret_shows_in_what_is_printed() {
    let config = config::load(&shipped("production.toml", &SECRETS, &[])).config.unwrap();
    let shown = format!("{config:?} {config:#?}");
    for (_, secret) in SECRETS {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn environment_and_set_win_over_the_file() {
    let environment = [("HARK__KAFKA__BOOTSTRAP", "a:1"), ("HARK__KAFKA__PREFIX", "env.")];
    let layers =
        shipped("hark.toml", &environment, &["kafka.bootstrap=b:2", "admin.listen=127.0.0.1:1"]);
    assert_eq!(mistakes(&layers), Vec::<String>::new());
    let config = config::load(&layers).config.unwrap();
    assert_eq!(config.kafka.bootstrap, "b:2");
    assert_eq!(config.kafka.prefix, "env.");
    assert_eq!(config.admin.unwrap().port(), 1);
    assert_eq!(config.sources.len(), 5, "names with dots survive the layers");
}

#[test]
fn an_override_that_is_wrong_is_shown_in_the_merged_text() {
    let found = mistakes(&shipped("hark.toml", &[], &["kafka.bootstrp=b:2"]));
    assert_eq!(found, ["unknown key `bootstrp` in `[kafka]`: bootstrp"]);
    let found = mistakes(&shipped("hark.toml", &[("HARK__ADMIN__LISTEN", "here")], &[]));
    assert!(found[0].contains("127.0.0.1:9464, found `here`"), "{found:?}");
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = "[kafka]\nbootstrap = 5\nprefx = 'a'\n[sources.a]\ndelay = '5'\nstart = 'now'\n\
                [log]\nformat = 'jsn'\n[admin]\nlisten = 'x'\n[schedules.s]\ntimezone = 'Mars/X'\n";
    let layers = Layers {
        path: "hark.toml".into(),
        text: text.into(),
        environment: BTreeMap::new(),
        sets: vec![],
    };
    let found = mistakes(&layers);
    for part in
        ["expected a string", "prefx", "with a unit", "`latest`", "jsn", "an address", "Mars/X"]
    {
        assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
    }
}

#[test]
fn a_pattern_for_topics_is_refused() {
    let layers = Layers {
        text: "[sources.'^audit.*']\n[sources.'audit.a']\n[sources.'']\n".to_owned(),
        ..Layers::default()
    };
    assert_eq!(
        mistakes(&layers),
        [
            "expected a topic's name: letters, digits, `.`, `_` and `-`, found `^audit.*`: '^audit.*'",
            "expected a topic's name: letters, digits, `.`, `_` and `-`, found ``: ''",
        ]
    );
}
