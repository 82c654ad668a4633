//! Why an alert is over, in words for people.

use std::time::Duration;

use super::record::{Alert, Resolution};
use crate::base::duration;

impl Resolution {
    /// The word in records and logs: `max_open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::MaxOpen => "max_open",
            Self::RuleRemoved => "rule_removed",
            Self::OneEvent => "one_event",
            Self::NotExpected => "not_expected",
        }
    }

    /// Whether nothing more happened for as long as the rule asks for. All others end an alert whose
    /// condition may hold on: they are no all-clear.
    pub const fn is_all_clear(self) -> bool {
        match self {
            Self::Quiet | Self::OneEvent => true,
            Self::MaxOpen | Self::RuleRemoved | Self::NotExpected => false,
        }
    }
}

impl Alert {
    /// Why it is over, as one line for people; `None` while it is open.
    pub fn ending(&self) -> Option<String> {
        let resolution = self.resolution?;
        Some(match resolution {
            Resolution::Quiet => "over: what it is about has stopped".to_owned(),
            Resolution::OneEvent => "over at once: it is about one event".to_owned(),
            Resolution::MaxOpen => {
                let end = self.resolved_at.unwrap_or(self.opened_at).as_millis();
                let open = u64::try_from(end - self.opened_at.as_millis()).unwrap_or(0);
                let open = duration::print(Duration::from_millis(open));
                format!(
                    "closed because it was open for {open}, as long as an alert may be (max_open); \
                     this is no all-clear: what it is about had not stopped"
                )
            }
            Resolution::RuleRemoved => {
                "closed because its rule was removed; this is no all-clear: nobody watches any more"
                    .to_owned()
            }
            Resolution::NotExpected => {
                "closed because its key is not expected any more; this is no all-clear: it was silent"
                    .to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    const ALL: [Resolution; 5] = [
        Resolution::Quiet,
        Resolution::MaxOpen,
        Resolution::RuleRemoved,
        Resolution::OneEvent,
        Resolution::NotExpected,
    ];

    #[test]
    fn words_are_those_of_the_record() {
        for resolution in ALL {
            assert_eq!(serde_json::json!(resolution), resolution.name());
        }
    }

    #[test]
    fn only_what_has_stopped_reads_as_an_all_clear() {
        let mut alert = Alert::bare("a");
        assert_eq!(alert.ending(), None);
        alert.resolved_at = Some(Timestamp::from_millis(24 * 3_600_000));
        for resolution in ALL {
            alert.resolution = Some(resolution);
            let words = alert.ending().unwrap();
            assert_eq!(words.contains("no all-clear"), !resolution.is_all_clear(), "{words}");
        }
        alert.resolution = Some(Resolution::MaxOpen);
        assert!(alert.ending().unwrap().starts_with("closed because it was open for 1d,"));
    }
}
