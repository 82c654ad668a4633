//! Many rules over one stream: what each event means to which rule and key, and how far time has come.
//!
//! [`matching`] is MATCH's half: event in, [`signal`] records out, one for each signals partition
//! that a rule's key lives on. [`ticker`] says what MATCH may report of time, [`clock`] what CORRELATE
//! makes of it. [`explain`] says to people why an event takes part in a rule. Windows and alerts are run by `alert`, which stands above.

pub mod clock;
mod compiled;
pub mod explain;
mod group;
pub mod key;
pub mod matching;
pub mod signal;
pub mod ticker;

pub use clock::StreamClock;
pub use compiled::{Origin, PANICS_MAX, SAMPLE_FIELDS, SAMPLE_TEXT_BYTES, SAMPLE_VALUES};
pub use explain::{RuleExplainer, RuleExplanation};
pub use group::KEYS_PER_EVENT;
pub use key::{Key, partition_of};
pub use matching::{Matched, Program};
pub use signal::{Fields, Record, Signal, Signals, Source, SourceTime, Tick};
pub use ticker::Ticker;
