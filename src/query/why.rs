//! An explanation in few words: the part that decided it, and what that part saw.

use std::cmp::Reverse;

use serde_json::Value;

use super::explain::{Explanation, Kind, Seen};

impl Explanation {
    /// The part that kept the query from holding: the first of an `and` that does not hold, of an `or`
    /// the alternative that came nearest. Alternatives that are single terms are decided together, as is
    /// what is denied. Of a query that holds, the whole.
    pub fn decisive(&self) -> &Self {
        if self.holds {
            return self;
        }
        let next = match self.kind {
            Kind::All => self.parts.iter().find(|part| !part.holds),
            Kind::Any if self.parts.iter().any(|part| part.kind == Kind::All) => {
                self.parts.iter().min_by_key(|part| part.distance())
            }
            _ => None,
        };
        next.map_or(self, Self::decisive)
    }

    /// How far it is from holding, for comparisons: how many of its conjuncts do not hold, then how many
    /// do.
    pub fn distance(&self) -> (usize, Reverse<usize>) {
        match self.kind {
            Kind::All => {
                let below = self.parts.iter().map(Self::distance);
                below.fold((0, Reverse(0)), |(unmet, Reverse(met)), (more, Reverse(also))| {
                    (unmet + more, Reverse(met + also))
                })
            }
            Kind::Any => {
                let nearest = self.parts.iter().map(Self::distance).min();
                nearest.unwrap_or((1, Reverse(0)))
            }
            _ => (usize::from(!self.holds), Reverse(usize::from(self.holds))),
        }
    }

    /// What was seen, of terms below it as well; each field once: `user.name = "eve"`.
    pub fn seen_in_words(&self) -> String {
        let mut words = Vec::new();
        self.words_of_terms(&mut words);
        words.join("; ")
    }

    fn words_of_terms(&self, words: &mut Vec<String>) {
        for seen in self.seen.iter().map(|seen| self.in_words(seen)) {
            if !words.contains(&seen) {
                words.push(seen);
            }
        }
        // What an array's elements say is a tree of its own.
        if self.kind != Kind::Elements {
            for part in &self.parts {
                part.words_of_terms(words);
            }
        }
    }

    fn in_words(&self, seen: &Seen) -> String {
        let Seen { field, values, more } = seen;
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        match (self.kind, values.is_empty(), more) {
            (Kind::FreeText, true, _) => "no text of the record contains it".to_owned(),
            (Kind::FreeText, false, _) => format!("in {}", values.join(", ")),
            (Kind::Elements, _, 0) => format!("{field} has no elements"),
            (Kind::Elements, _, 1) => format!("{field} has 1 element"),
            (Kind::Elements, _, more) => format!("{field} has {more} elements"),
            (_, true, _) => format!("{field} is missing"),
            (_, false, 0) => format!("{field} = {}", values.join(", ")),
            (_, false, more) => format!("{field} = {} and {more} more", values.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::explain::tests::explain;
    use expect_test::{Expect, expect};

    const RECORD: &str = r#"{"n": 7, "text": "Deleted by EVE", "who": ["eve", "bob"],
        "targets": [{"type": "Role"}, {"type": "User"}]}"#;

    fn check(queries: &[&str], expected: &Expect) {
        let lines = queries.iter().map(|query| {
            let told = explain(query, RECORD);
            let part = told.decisive();
            let (unmet, Reverse(met)) = told.distance();
            let seen = part.seen_in_words();
            format!("{} | {seen} | {unmet} of {}\n", part.query, unmet + met)
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn what_decided_is_the_first_term_that_does_not_hold_with_what_it_saw() {
        check(
            &[
                "raw.n: 7 and raw.who: alice and raw.n: 8",
                "raw.n: 7 and not raw.who: eve",
                "raw.n: 7 and raw.who: (alice or carol) and raw.n: 8",
                "raw.n: 7 and not (raw.n: 7 and raw.who: eve)",
                "raw.x: 1 or raw.y: 2",
                "\"nobody\"",
                "raw.targets: { type: App }",
                "raw.n: 7",
            ],
            &expect![[r#"
                raw.who: alice | raw.who = "eve", "bob" | 2 of 3
                not raw.who: eve | raw.who = "eve", "bob" | 1 of 2
                raw.who: alice or raw.who: carol | raw.who = "eve", "bob" | 2 of 3
                not (raw.n: 7 and raw.who: eve) | raw.n = 7; raw.who = "eve", "bob" | 1 of 2
                raw.x: 1 or raw.y: 2 | raw.x is missing; raw.y is missing | 1 of 1
                "nobody" | no text of the record contains it | 1 of 1
                raw.targets: { type: App } | raw.targets has 2 elements | 1 of 1
                raw.n: 7 | raw.n = 7 | 0 of 1
            "#]],
        );
    }

    #[test]
    fn of_alternatives_the_nearest_decides() {
        check(
            &[
                "(raw.n: 8 and raw.x: 1) or (raw.n: 7 and raw.who: eve and raw.y: 1)",
                "raw.x: 1 or (raw.n: 7 and raw.y: 2)",
            ],
            &expect![[r"
                raw.y: 1 | raw.y is missing | 1 of 3
                raw.y: 2 | raw.y is missing | 1 of 2
            "]],
        );
    }
}
