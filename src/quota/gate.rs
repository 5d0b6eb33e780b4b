//! The gate every request of a connection passes: all quotas, the limit of requests on the way, and what the
//! platform itself asked us to wait. It promises that whoever holds a [`Permit`] may send now: live requests first come
//! first served, a backfill's only while no live one waits, and of each window half at most.
//!
//! The log enforces; governor only paces the quota with the shortest window, so that `10/s` is ten requests spread
//! over the second and not ten at once. Longer windows aren't paced: `1000/day` would be one request every 86 s.
//! The log is asked before a paced cell is taken, so no cell is spent while a slower quota still says no.
//!
//! Windows of a minute or longer are written down before the request goes: a kill in between costs a request of the
//! quota, never one too many. Busy windows are reserved for some sends at a time.

use super::Quota;
use super::log::{Earliest, Log};
use super::pacer::Pacer;
use super::spent::{Keep, Spent};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// The longest window that is still paced.
const PACED: Duration = Duration::from_secs(60);
/// The shortest window whose use is kept over a restart.
const KEPT: Duration = Duration::from_secs(60);
/// Any wait this long is as good as for ever.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Lets requests through as the quotas allow. Cloning gives another handle to the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_flight: Arc<Semaphore>,
    /// Held by the one that waits for the quotas: tokio's mutex is first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// Held by the one backfill request that waits.
    backfill: tokio::sync::Mutex<()>,
    /// How many live requests wait.
    live: watch::Sender<usize>,
    book: Mutex<Book>,
    /// Told when an answer or a hint changes what the one in turn waits for.
    changed: Notify,
    keeper: Option<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    keep: Arc<dyn Keep>,
    /// A request is answered or given up this long after it was sent.
    longest: Duration,
}

#[derive(Debug)]
struct Book {
    log: Log,
    /// What backfills sent, against half of the quotas.
    backfills: Log,
    pacer: Option<Pacer>,
    not_before: Option<Instant>,
    lease: Lease,
    in_flight: usize,
    /// Permits to take out of use as they come back.
    too_many: usize,
}

/// Requests that are written down and not sent yet.
#[derive(Debug, Default)]
struct Lease {
    left: u32,
    /// Nothing before the first one.
    until: Option<Instant>,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// A job's that keeps up with the present.
    #[default]
    Live,
    /// One that fills in the past.
    Backfill,
}

/// Why no request goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// Nothing goes before then, which is longer than the caller would wait.
    Until(Instant),
    /// The quota's use could not be written down: what happened.
    Unkept(String),
}

/// The right to send one request. Dropping it says that the response is complete, or given up.
#[derive(Debug)]
#[must_use = "the request counts as answered once the permit is dropped"]
pub struct Permit {
    gate: Gate,
    number: u64,
    of_backfills: Option<u64>,
    in_flight: Option<OwnedSemaphorePermit>,
}

/// How a quota stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// Which.
    pub quota: Quota,
    /// Requests that could go now.
    pub left: u32,
    /// When the next one can go.
    pub wait: Duration,
}

/// What stands between a request and the wire.
enum Next {
    Go { number: u64, of_backfills: Option<u64> },
    Wait(Instant),
    AfterAnswer,
    Reserve,
}

impl Gate {
    /// A gate for these quotas, all of which hold at once, and at most `in_flight` requests on the way (1 at least). It
    /// forgets with the process.
    #[must_use]
    pub fn new(quotas: &[Quota], in_flight: usize) -> Self {
        Self::build(quotas, in_flight, None)
    }

    /// A gate that writes the use of long quotas down; no request takes longer than `longest`. What an earlier process
    /// has `spent`, and how long ago that was written, is taken over, and its shorter windows count as used up.
    #[must_use]
    pub fn kept(
        quotas: &[Quota],
        in_flight: usize,
        keep: Arc<dyn Keep>,
        longest: Duration,
        spent: Option<(Spent, Duration)>,
    ) -> Self {
        let gate = Self::build(quotas, in_flight, Some(Keeper { keep, longest }));
        if let Some((spent, ago)) = spent {
            let now = Instant::now();
            let mut book = gate.book();
            book.log.restore(spent.ages(ago), now);
            let short = quotas.iter().map(|quota| quota.window).filter(|window| *window < KEPT).max();
            book.not_before = short.map(|window| now + window);
        }
        gate
    }

    fn build(quotas: &[Quota], in_flight: usize, keeper: Option<Keeper>) -> Self {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            in_flight: Arc::new(Semaphore::new(in_flight)),
            turn: tokio::sync::Mutex::new(()),
            backfill: tokio::sync::Mutex::new(()),
            live: watch::Sender::new(0),
            book: Mutex::new(Book {
                log: Log::new(quotas.to_vec()),
                backfills: Log::new(halves(quotas)),
                pacer: pacer(quotas),
                not_before: None,
                lease: Lease::default(),
                in_flight,
                too_many: 0,
            }),
            changed: Notify::new(),
            keeper,
        }))
    }

    /// From now on these hold. What was sent before counts on, what is on the way too.
    pub fn change(&self, quotas: &[Quota], in_flight: usize) {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let mut book = self.book();
        if book.log.quotas() != quotas {
            book.log.change(quotas.to_vec());
            book.backfills.change(halves(quotas));
            book.pacer = pacer(quotas);
            book.lease = Lease::default();
        }
        let before = std::mem::replace(&mut book.in_flight, in_flight);
        let more = in_flight.saturating_sub(before);
        let settled = more.min(book.too_many);
        book.too_many -= settled;
        self.0.in_flight.add_permits(more - settled);
        let fewer = before.saturating_sub(in_flight);
        book.too_many += fewer - self.0.in_flight.forget_permits(fewer);
        drop(book);
        self.0.changed.notify_waiters();
    }

    /// Waits until a request may go. Giving up the wait costs nothing.
    ///
    /// # Errors
    /// [`Shut`]: it would take longer than `patience`, or the quota's use can't be written down.
    pub async fn enter(&self, priority: Priority, patience: Duration) -> Result<Permit, Shut> {
        match priority {
            Priority::Live => {
                let _waiting = Waiting::new(&self.0.live);
                self.pass(priority, patience).await
            }
            Priority::Backfill => {
                let _turn = self.0.backfill.lock().await;
                let mut live = self.0.live.subscribe();
                loop {
                    // The sender lives as long as `self`.
                    drop(live.wait_for(|waiting| *waiting == 0).await);
                    tokio::select! {
                        passed = self.pass(priority, patience) => return passed,
                        // Gives its place up to the live one.
                        _ = live.wait_for(|waiting| *waiting > 0) => {}
                    }
                }
            }
        }
    }

    async fn pass(&self, priority: Priority, patience: Duration) -> Result<Permit, Shut> {
        let in_flight = loop {
            match Arc::clone(&self.0.in_flight).acquire_owned().await {
                Ok(permit) => break permit,
                // The semaphore is never closed; a gate that let nobody in would be the safe answer.
                Err(_closed) => std::future::pending().await,
            }
        };
        let _turn = self.0.turn.lock().await;
        loop {
            // Registered before the books are read, so that a change in between is not slept through.
            let changed = self.0.changed.notified();
            let now = Instant::now();
            match self.next(now, priority) {
                Next::Go { number, of_backfills } => {
                    let in_flight = Some(in_flight);
                    return Ok(Permit { gate: self.clone(), number, of_backfills, in_flight });
                }
                Next::Wait(until) if until.saturating_duration_since(now) > patience => {
                    return Err(Shut::Until(until));
                }
                Next::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
                Next::AfterAnswer => changed.await,
                Next::Reserve => self.reserve(now).await?,
            }
        }
    }

    /// How long a request asked for now would wait at least, for the quotas and the platform's own hints.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let now = Instant::now();
        let book = self.book();
        let until = match book.log.earliest(now) {
            Earliest::At(at) => Some(at),
            Earliest::Now | Earliest::AfterAnswer => None,
        };
        until.max(book.not_before).map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Lets nothing through before `at`: the platform asked for it. An earlier instant than one already known
    /// changes nothing.
    pub fn not_before(&self, at: Instant) {
        let mut book = self.book();
        book.not_before = book.not_before.max(Some(at));
        drop(book);
        self.0.changed.notify_waiters();
    }

    /// How each quota stands.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaUse> {
        self.quotas_from(Duration::ZERO)
    }

    /// How each quota stands whose window is at least this long.
    #[must_use]
    pub fn quotas_from(&self, shortest: Duration) -> Vec<QuotaUse> {
        let now = Instant::now();
        let book = self.book();
        let of = |quota: &Quota| QuotaUse {
            quota: *quota,
            left: quota.requests - book.log.used(*quota, now),
            wait: match book.log.earliest_of(*quota, now) {
                Earliest::At(at) => at.saturating_duration_since(now),
                Earliest::Now | Earliest::AfterAnswer => Duration::ZERO,
            },
        };
        book.log.quotas().iter().filter(|quota| quota.window >= shortest).map(of).collect()
    }

    /// Writes a request into the log if all allow it; else says what stands in its way.
    fn next(&self, now: Instant, priority: Priority) -> Next {
        let mut book = self.book();
        if let Some(not_before) = book.not_before {
            if now < not_before {
                return Next::Wait(not_before);
            }
            book.not_before = None;
        }
        let earliest = book.log.earliest(now);
        let earliest = match priority {
            Priority::Live => earliest,
            Priority::Backfill => earliest.max(book.backfills.earliest(now)),
        };
        match earliest {
            Earliest::Now => {}
            Earliest::At(at) => return Next::Wait(at),
            Earliest::AfterAnswer => return Next::AfterAnswer,
        }
        let is_kept = self.0.keeper.is_some() && !book.log.quotas().is_empty();
        if is_kept && (book.lease.left == 0 || book.lease.until.is_none_or(|until| now >= until)) {
            return Next::Reserve;
        }
        if let Some(Err(until)) = book.pacer.as_ref().map(|pacer| pacer.take(now)) {
            return Next::Wait(until);
        }
        book.lease.left = book.lease.left.saturating_sub(1);
        let of_backfills = (priority == Priority::Backfill).then(|| book.backfills.sent());
        Next::Go { number: book.log.sent(), of_backfills }
    }

    /// Writes the next requests down before they are sent. What a process that is killed then did not send is lost to the
    /// quota: so no more than it can spare, which of `100/day` is a single one.
    async fn reserve(&self, now: Instant) -> Result<(), Shut> {
        let Some(keeper) = &self.0.keeper else { return Ok(()) };
        let (spent, lease) = {
            let book = self.book();
            let long = || book.log.quotas().iter().filter(|quota| quota.window >= KEPT);
            let spare = |quota: &Quota| {
                let a_second = u64::from(quota.requests) / quota.window.as_secs().max(1);
                u32::try_from(a_second).unwrap_or(u32::MAX).max(quota.requests / 1000).max(1)
            };
            match (long().map(spare).min(), long().map(|quota| quota.window).min()) {
                (Some(left), Some(window)) => {
                    let lasts = window / 60;
                    let spent = Spent::of(&book.log, now, left, lasts + keeper.longest);
                    (spent, Lease { left, until: Some(now + lasts) })
                }
                // Short windows need no more than the word that something was sent.
                _ => (Spent::default(), Lease { left: u32::MAX, until: Some(now + FOR_EVER) }),
            }
        };
        keeper.keep.keep(spent).await.map_err(Shut::Unkept)?;
        self.book().lease = lease;
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing between lock and unlock can panic half-way through a change that matters.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pacer(quotas: &[Quota]) -> Option<Pacer> {
    let paced = quotas.iter().filter(|quota| quota.window <= PACED).min_by_key(|quota| quota.window);
    paced.and_then(Pacer::new)
}

/// What backfills may take.
fn halves(quotas: &[Quota]) -> Vec<Quota> {
    quotas.iter().map(|quota| quota.halved()).collect()
}

/// A live request that waits.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(live: &'a watch::Sender<usize>) -> Self {
        live.send_modify(|waiting| *waiting += 1);
        Self(live)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

impl Permit {
    /// Says that the response is complete, or given up.
    pub fn answered(self) {}
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut book = self.gate.book();
        book.log.answered(self.number, now);
        if let Some(number) = self.of_backfills {
            book.backfills.answered(number, now);
        }
        if book.too_many > 0
            && let Some(permit) = self.in_flight.take()
        {
            book.too_many -= 1;
            permit.forget();
        }
        drop(book);
        self.gate.0.changed.notify_waiters();
    }
}
