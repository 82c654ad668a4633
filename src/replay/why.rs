//! Why events of a test count for nothing, for its timeline: the first term that did not hold, the
//! exception that dropped the event, the field that its key wants. The verdicts are those of `hark explain`;
//! here they become few words, and of many events those that came nearest keep theirs.

use std::cmp::Reverse;

use crate::engine::RuleExplanation;
use crate::engine::explain::{DetectorExplanation, Outcome, PartExplanation};
use crate::query::Explanation;

use super::story::{Fate, Moment};

/// Different reasons why events do not match that a timeline shows at most.
pub(super) const REASONS_MAX: usize = 5;

/// Of these, how many may be of one term with different values: an address of each event would leave no
/// room for other terms.
const REASONS_OF_TERM_MAX: usize = 2;

/// Characters of a term, or of a detector's settings, that are shown at most.
const TERM_CHARS: usize = 120;

/// Why an event meets no part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmet {
    /// How far it is from the part that it comes nearest to.
    distance: (usize, Reverse<usize>),
    /// `event.outcome: failure`
    pub(super) term: String,
    /// What was there: `event.outcome = "success"`.
    pub(super) seen: String,
    /// What the part is called that it comes nearest to, if the rule has several: `` `login` ``.
    pub(super) part: Option<String>,
}

/// What became of an event, with what `hark explain` says of it.
pub(super) fn explained(fate: Fate, told: &RuleExplanation) -> Fate {
    match fate {
        Fate::Unmet(_) | Fate::Unkeyed(_) => of_nothing(told).unwrap_or(fate),
        Fate::Met { keys, fired, .. } => Fate::Met { parts: parts_met(told), keys, fired },
        fate => fate,
    }
}

/// That events matched, and that the detector never fired for them: then its numbers are the reason.
pub(super) fn silent(moments: &[Moment], detector: &DetectorExplanation) -> Option<String> {
    let mut matched = 0;
    for moment in moments {
        match moment {
            Moment::Event(_, Fate::Met { fired, .. }) if fired.is_empty() => matched += 1,
            Moment::Event(_, Fate::Met { .. }) | Moment::Clock(..) => return None,
            _ => {}
        }
    }
    let DetectorExplanation { table, settings, .. } = detector;
    let events = match matched {
        0 => return None,
        1 => "1 event matches".to_owned(),
        n => format!("{n} events match"),
    };
    let settings = shortened(settings.trim());
    let space = if settings.is_empty() { "" } else { " " };
    // The commonest reason, and one that no number of events of the last hour mends.
    let waits = if *table == "spike" {
        ": it is silent until a key's first event is `within` + `baseline` ago"
    } else {
        ""
    };
    Some(format!("{events}, and [{table}]{space}{settings} does not fire for any key{waits}"))
}

/// What became of an event that the rule makes nothing of; `None`: it makes something of it.
fn of_nothing(told: &RuleExplanation) -> Option<Fate> {
    match told.outcome {
        Outcome::TakesPart => None,
        Outcome::Unmet => Some(Fate::Unmet(unmet(told))),
        Outcome::Excepted => {
            let holds = |ended: bool, when: &Explanation| when.holds && !ended;
            let exception = told.exceptions.iter().find(|e| holds(e.ended, &e.when))?;
            let (term, seen) = decisive(&exception.when);
            Some(Fate::Excepted(format!("`{}`: `{term}`, {seen}", exception.reason)))
        }
        Outcome::Unkeyed => {
            let mut missing: Vec<String> = Vec::new();
            let met = told.parts.iter().filter(|part| part.when.holds);
            for field in met.flat_map(|part| &part.missing) {
                if !missing.contains(field) {
                    missing.push(field.clone());
                }
            }
            Some(Fate::Unkeyed(missing))
        }
    }
}

fn unmet(told: &RuleExplanation) -> Option<Unmet> {
    let parts = told.parts.iter().enumerate();
    let (n, nearest) = parts.min_by_key(|(_, part)| part.when.distance())?;
    let (term, seen) = decisive(&nearest.when);
    let part = (told.parts.len() > 1).then(|| called(n, nearest));
    Some(Unmet { distance: nearest.when.distance(), term, seen, part })
}

/// The part of a query that decides, and what it saw.
fn decisive(when: &Explanation) -> (String, String) {
    let part = when.decisive();
    (shortened(&part.query), part.seen_in_words())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TERM_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What the parts are called that an event counts as, if the rule has several.
fn parts_met(told: &RuleExplanation) -> Vec<String> {
    let met = told.parts.iter().enumerate().filter(|(_, part)| part.when.holds);
    let met = met.filter(|(_, part)| told.parts.len() > 1 && !part.keys.is_empty());
    met.map(|(n, part)| called(n, part)).collect()
}

fn called(n: usize, part: &PartExplanation) -> String {
    match &part.name {
        Some(name) => format!("`{name}`"),
        None => format!("part {}", n + 1),
    }
}

/// Leaves their reasons to the events that came nearest, `most` different ones. How many events then do
/// not match without a reason.
pub(super) fn keep_nearest(moments: &mut [Moment], most: usize) -> usize {
    let reason = |moment: &Moment| match moment {
        Moment::Event(_, Fate::Unmet(Some(unmet))) => Some(unmet.clone()),
        _ => None,
    };
    let mut nearest: Vec<Unmet> = Vec::new();
    for unmet in moments.iter().filter_map(reason) {
        if nearest.contains(&unmet) {
            continue;
        }
        // Of those that are equally near, the first stay, and of one term the nearest.
        let of_term = |known: &&Unmet| known.term == unmet.term && known.part == unmet.part;
        if nearest.iter().filter(of_term).count() >= REASONS_OF_TERM_MAX {
            let farthest = nearest.iter().rposition(|known| of_term(&known));
            match farthest
                .filter(|at| nearest.get(*at).is_some_and(|f| f.distance > unmet.distance))
            {
                Some(at) => drop(nearest.remove(at)),
                None => continue,
            }
        }
        let place = nearest.partition_point(|known| known.distance <= unmet.distance);
        nearest.insert(place, unmet);
        nearest.truncate(most);
    }
    let mut rest = 0;
    for moment in moments {
        if let Moment::Event(_, Fate::Unmet(unmet)) = moment
            && unmet.take_if(|unmet| !nearest.contains(unmet)).is_some()
        {
            rest += 1;
        }
    }
    rest
}
