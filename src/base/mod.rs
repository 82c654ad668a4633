//! The words every other folder is written in: time, durations, diagnostics, documents, secrets,
//! positions, severity, and the names of Hark's metrics.
//!
//! Nothing here knows what an event, a rule or an alert is, and nothing here reads a clock or meets
//! the world: [`clock`] declares how time is asked for, and the shell passes it in.

pub mod clock;
pub mod diagnostic;
pub mod document;
pub mod duration;
pub mod id;
pub mod keys;
pub mod live;
pub mod metrics;
mod overlay;
mod panic;
pub mod position;
pub mod secret;
pub mod severity;
pub mod suggest;
pub mod time;

pub use clock::Clock;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use live::{Gate, Live};
pub use panic::panic_text;
pub use position::Position;
pub use secret::{Secret, SecretSource, Secrets};
pub use severity::Severity;
pub use time::Timestamp;
