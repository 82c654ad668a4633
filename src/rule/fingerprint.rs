//! What a version of a rule is, as two numbers.
//!
//! The *fingerprint* covers what the memory of windows depends on: change it, and counting starts
//! again. The *hash* covers the whole meaning and names the version in Kafka. Both are taken over
//! canonical, length-prefixed text, so that spelling, comments and order of keys do not matter.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::duration;

use super::Rule;

/// Parts of text that cannot run together.
struct Canonical(Vec<u8>);

impl Canonical {
    fn new(kind: &str) -> Self {
        Self(Vec::new()).part(kind)
    }

    fn part(mut self, text: impl AsRef<[u8]>) -> Self {
        let bytes = text.as_ref();
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    fn parts<T: AsRef<[u8]>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        let texts: Vec<T> = texts.into_iter().collect();
        let counted = self.part((texts.len() as u64).to_le_bytes());
        texts.into_iter().fold(counted, Self::part)
    }

    /// A missing part differs from an empty one.
    fn maybe(self, text: Option<&str>) -> Self {
        self.parts(text)
    }

    fn finish(self) -> u64 {
        xxh3_64(&self.0)
    }
}

/// Over query, exceptions, group, detector, lateness.
pub(super) fn fingerprint(rule: &Rule) -> u64 {
    let mut canonical = Canonical::new("hark-rule-state-1");
    canonical = canonical.maybe(rule.when.as_ref().map(ToString::to_string).as_deref());
    canonical = canonical.part((rule.exceptions.len() as u64).to_le_bytes());
    for exception in &rule.exceptions {
        let until = exception.until.map(|until| until.to_string());
        canonical = canonical.part(exception.when.to_string()).maybe(until.as_deref());
    }
    canonical = canonical.parts(rule.group_by.iter().map(ToString::to_string));
    canonical = match &rule.detector {
        Some(detector) => canonical.part(detector.spec().table).part(detector.canonical()),
        None => canonical.part("").part(""),
    };
    canonical.part(duration::print(rule.lateness)).finish()
}

/// Over everything that changes what the rule does or shows; needs `rule.fingerprint`.
pub(super) fn hash(rule: &Rule) -> u64 {
    let mut canonical = Canonical::new("hark-rule-1")
        .part(&*rule.id)
        .part(rule.fingerprint.to_le_bytes())
        .part(&rule.title)
        .part(&rule.description)
        .part(rule.severity.name())
        .part(rule.status.name())
        .part([u8::from(rule.enabled)])
        .parts(&rule.tags)
        .parts(&rule.threat)
        .maybe(rule.runbook.as_deref())
        .parts(&rule.false_positives)
        .parts(&rule.references)
        .maybe(rule.owner.as_deref())
        .parts(rule.exceptions.iter().map(|e| &e.reason))
        .part(duration::print(rule.alert.keep_open))
        .part(duration::print(rule.alert.max_open))
        .part(rule.alert.per.name())
        .maybe(rule.alert.title.as_ref().map(super::Template::text))
        .maybe(rule.alert.summary.as_ref().map(super::Template::text));
    for case in &rule.alert.cases {
        canonical = canonical.part(case.when.to_string()).part(case.level.name());
    }
    canonical.finish()
}
