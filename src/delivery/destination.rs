//! One destination and whether it is up: attempts go in, a verdict for every record comes out.
//!
//! An attempt that is *rejected* is taken apart until the refused record is alone; one to be
//! *retried* waits with full jitter; a *blocked* destination is asked again now and then and nothing
//! is acknowledged meanwhile. So the caller gets back verdicts that are final, or `Cancelled`
//! because it said stop.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::backoff::{Backoff, Retry};
use super::batch::{Batch, Sink};
use super::notification::{Notification, Notifier};
use super::{Outcome, Stop};
use crate::base::metrics::Metrics;
use crate::base::{Clock, Timestamp, duration};

/// How long an attempt that is under way may go on after stop was said: cutting it off would leave
/// open whether the other side has the records, and they would be sent again.
const DRAIN: Duration = Duration::from_secs(2);

/// A part that fails for this fraction of `give_up` is halved and goes behind the others: one
/// record in it may be what they stumble over, and the rest need not wait for it.
const HALVED_AFTER: u32 = 8;

/// What finally became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The other side has it.
    Delivered,
    /// It will never take it, because; a dead letter.
    Rejected(String),
    /// Stop was said first; whether it has it is unknown, and it must be sent again.
    Cancelled,
}

/// Whether a destination is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The last attempt got through to it.
    Ok,
    /// It is down or overloaded; this is what happened.
    BackingOff(String),
    /// It refuses us, and a person has to mend that; this is what it said.
    Blocked(String),
}

impl State {
    const NAMES: [&'static str; 3] = ["ok", "backing_off", "blocked"];

    /// The label in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::BackingOff(_) => "backing_off",
            Self::Blocked(_) => "blocked",
        }
    }
}

/// Where a destination is configured, which is how messages and metrics call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `[sinks.NAME]`
    Sinks,
    /// `[notifiers.NAME]`
    Notifiers,
}

/// The state machine of one destination, shared by everything that sends to it.
pub struct Destination {
    family: Family,
    name: String,
    retry: Retry,
    state: watch::Sender<State>,
    /// When something was last delivered, in milliseconds since the epoch.
    delivered: AtomicI64,
    /// Differs from delivery to delivery, so that their waits do.
    seed: AtomicU64,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

/// Consecutive records of a batch that are sent together.
struct Part {
    range: Range<usize>,
    backoff: Backoff,
    /// Its first failure.
    failing_since: Option<Timestamp>,
    /// Its first failure when something else had got through since it failed: from then on it is
    /// this part that fails, not the destination.
    passed_since: Option<Timestamp>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("path", &self.path())
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Destination {
    /// A destination that is taken to be up. `seed` should differ between instances of Hark, or
    /// they all come back in step.
    pub fn new(
        family: Family,
        name: impl Into<String>,
        retry: Retry,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        let new = Self {
            family,
            name: name.into(),
            retry,
            state: watch::Sender::new(State::Ok),
            delivered: AtomicI64::new(i64::MIN),
            seed: AtomicU64::new(seed),
            metrics,
            clock,
        };
        new.show(State::Ok.name());
        new
    }

    /// Where it stands in the settings: `sinks.siem`.
    pub fn path(&self) -> String {
        let family = match self.family {
            Family::Sinks => "sinks",
            Family::Notifiers => "notifiers",
        };
        format!("{family}.{}", self.name)
    }

    /// Its state now, and every later one.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Sends a batch and does not come back before every record is delivered or rejected, or stop
    /// was said. The verdicts stand in the order of the records.
    pub async fn deliver(&self, sink: &dyn Sink, batch: &Arc<Batch>, stop: &Stop) -> Vec<Verdict> {
        let send = |range: Range<usize>| -> BoxFuture<'_, Outcome> {
            let batch = Arc::clone(batch);
            Box::pin(async move {
                // Compressing a megabyte takes some ten milliseconds: not on a thread that others wait for.
                match tokio::task::spawn_blocking(move || gzip(&batch.body(&range))).await {
                    Ok(Ok(body)) => sink.send(body).await,
                    Ok(Err(error)) => Outcome::retry(format!("compressing: {error}")),
                    Err(error) => Outcome::retry(format!("compressing: {error}")),
                }
            })
        };
        let verdicts = self.drive(batch.len(), &send, stop).await;
        for verdict in &verdicts {
            let outcome = match verdict {
                Verdict::Delivered => "delivered",
                Verdict::Rejected(_) => "rejected",
                Verdict::Cancelled => continue,
            };
            self.metrics.sink_records.with_label_values(&[self.name.as_str(), outcome]).inc();
        }
        verdicts
    }

    /// Sends a notification and does not come back before it is delivered or rejected, or stop was said.
    pub async fn notify(
        &self,
        notifier: &dyn Notifier,
        notification: &Notification,
        stop: &Stop,
    ) -> Verdict {
        let send = |_| notifier.send(notification, self.clock.now());
        self.drive(1, &send, stop).await.pop().unwrap_or(Verdict::Cancelled)
    }

    /// Attempts until nothing is left to attempt.
    async fn drive<'a>(
        &self,
        records: usize,
        send: &(dyn Fn(Range<usize>) -> BoxFuture<'a, Outcome> + Send + Sync),
        stop: &Stop,
    ) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Cancelled; records];
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let whole = Part {
            range: 0..records,
            backoff: Backoff::new(&self.retry, seed),
            failing_since: None,
            passed_since: None,
        };
        let mut parts = VecDeque::from([whole]);
        while let Some(mut part) = parts.pop_front() {
            if part.range.is_empty() {
                continue;
            }
            if stop.is_set() {
                break;
            }
            let outcome = tokio::select! {
                outcome = send(part.range.clone()) => outcome,
                () = stopped_and_drained(stop) => break,
            };
            self.note(&outcome);
            let wait = match outcome {
                Outcome::Delivered => {
                    settle(&mut verdicts, &part.range, &Verdict::Delivered);
                    continue;
                }
                Outcome::Rejected { reason, .. } if part.range.len() == 1 => {
                    settle(&mut verdicts, &part.range, &Verdict::Rejected(reason));
                    continue;
                }
                Outcome::Rejected { record, .. } => {
                    for piece in around(&part.range, record).into_iter().rev() {
                        parts.push_front(part.piece(piece));
                    }
                    continue;
                }
                Outcome::Blocked { .. } => {
                    let wait = part.backoff.around(self.retry.probe);
                    parts.push_front(part);
                    wait
                }
                Outcome::Retry { after, reason } => {
                    let wait = part.backoff.next(after);
                    let (failing, passed) = self.how_long(&mut part);
                    if passed >= self.retry.give_up && part.range.len() == 1 {
                        let given_up = format!(
                            "given up after {}, while others got through: {reason}",
                            duration::print(self.retry.give_up)
                        );
                        settle(&mut verdicts, &part.range, &Verdict::Rejected(given_up));
                        continue;
                    }
                    if failing < self.retry.give_up / HALVED_AFTER {
                        parts.push_front(part);
                    } else if part.range.len() > 1 {
                        parts.extend(around(&part.range, None).into_iter().map(|p| part.piece(p)));
                    } else {
                        parts.push_back(part);
                    }
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.wait() => {}
            }
        }
        verdicts
    }

    /// How long a part that has just failed has been failing, and for how much of it others have
    /// got through.
    fn how_long(&self, part: &mut Part) -> (Duration, Duration) {
        let now = self.clock.now();
        let since = *part.failing_since.get_or_insert(now);
        if self.delivered.load(Ordering::Relaxed) >= since.as_millis() {
            part.passed_since.get_or_insert(now);
        }
        (now.since(since), part.passed_since.map_or(Duration::ZERO, |passed| now.since(passed)))
    }

    /// Counts an attempt and moves the state; a change of state is logged once.
    fn note(&self, outcome: &Outcome) {
        let counter = match self.family {
            Family::Sinks => &self.metrics.sink_requests,
            Family::Notifiers => &self.metrics.notifications,
        };
        counter.with_label_values(&[self.name.as_str(), outcome.name()]).inc();
        if *outcome == Outcome::Delivered {
            self.delivered.store(self.clock.now().as_millis(), Ordering::Relaxed);
        }
        let state = match outcome {
            // Who refuses one record is there and knows us.
            Outcome::Delivered | Outcome::Rejected { .. } => State::Ok,
            Outcome::Retry { reason, .. } => State::BackingOff(reason.clone()),
            Outcome::Blocked { reason } => State::Blocked(reason.clone()),
        };
        let changed = self.state.send_if_modified(|current| {
            let changed = current.name() != state.name();
            if *current != state {
                current.clone_from(&state);
            }
            changed
        });
        if changed {
            self.show(state.name());
            let destination = self.path();
            match state {
                State::Ok => tracing::info!(destination, "destination accepts again"),
                State::BackingOff(reason) => {
                    tracing::warn!(destination, reason, "destination fails, will retry");
                }
                State::Blocked(reason) => {
                    tracing::error!(
                        destination,
                        reason,
                        "destination refuses us, mend its settings"
                    );
                }
            }
        }
    }

    fn show(&self, state: &str) {
        let path = self.path();
        for name in State::NAMES {
            let gauge = self.metrics.destination_state.with_label_values(&[path.as_str(), name]);
            gauge.set((name == state).into());
        }
    }
}

impl Part {
    /// A part of it, as patient as it is; what others did says nothing about a piece yet.
    fn piece(&self, range: Range<usize>) -> Self {
        let Self { backoff, failing_since, .. } = self;
        Self { range, backoff: backoff.clone(), failing_since: *failing_since, passed_since: None }
    }
}

fn settle(verdicts: &mut [Verdict], range: &Range<usize>, verdict: &Verdict) {
    for place in verdicts.get_mut(range.clone()).unwrap_or_default() {
        place.clone_from(verdict);
    }
}

/// The parts of `range` to try next: the record complained about alone and what stands on either
/// side of it, else two halves. Always smaller than `range`, so that taking apart comes to an end.
///
/// What stands before a named record may have been taken already; it is sent again, with its ids.
fn around(range: &Range<usize>, record: Option<usize>) -> Vec<Range<usize>> {
    match record.and_then(|record| range.start.checked_add(record)) {
        Some(at) if range.contains(&at) => vec![range.start..at, at..at + 1, at + 1..range.end],
        _ => {
            let middle = range.start.midpoint(range.end);
            vec![range.start..middle, middle..range.end]
        }
    }
}

async fn stopped_and_drained(stop: &Stop) {
    stop.wait().await;
    tokio::time::sleep(DRAIN).await;
}

fn gzip(pieces: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_smaller_and_together_the_whole(
            start in 0..1000_usize,
            len in 2..1000_usize,
            record in proptest::option::of(0..2000_usize),
        ) {
            let whole = start..start + len;
            let parts = around(&whole, record);
            prop_assert!(parts.iter().all(|part| part.len() < len));
            prop_assert!(parts.into_iter().flatten().eq(whole));
        }
    }
}
