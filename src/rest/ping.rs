//! Asks a platform whether it is there and knows us: for `cadenced ping`, and, while the platform is left alone, now and
//! then by itself. It asks with the connection's `check`, or its bare address, and follows no redirect.

use super::client::{Again, Client, Trouble};
use super::request::{Answer, Request};
use crate::quota::Priority;
use crate::retry::Fault;
use crate::transfer::Class;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A difference between the clocks that is worth a look: watermarks clamp to the platform's.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// What came of asking a connection whether it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Whether a run can work over it.
    pub ok: bool,
    /// The steps in order, up to the first that failed.
    pub steps: Vec<PingStep>,
    /// The verdict in a sentence.
    pub verdict: String,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingStep {
    /// What: `address`, `tls`, `auth`, `clock`.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

impl Ping {
    /// The verdict follows from the steps: what was found by the last is wrong, or nothing is.
    #[must_use]
    pub fn of(steps: Vec<PingStep>) -> Self {
        let wrong = steps.iter().find(|step| !step.ok);
        let verdict = match wrong {
            None => "works".to_owned(),
            Some(step) => format!("does not work: {}: {}", step.what, step.found),
        };
        Self { ok: wrong.is_none(), verdict, steps }
    }
}

impl PingStep {
    /// One step.
    pub fn new(what: &str, ok: bool, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), ok, found: found.into() }
    }
}

impl Client {
    /// Sends the check once, whether or not the platform is left alone, through the same quotas as everything else.
    pub async fn ping(&self) -> Ping {
        let began = self.shared.clock.now();
        let asked = self.ask().await;
        self.shared.guard.probed(match &asked {
            Ok(_) => Ok(()),
            Err(trouble) => Err((trouble.fault.unwrap_or(Fault::Failing), trouble.failure.message.clone())),
        });
        let tls = || match self.shared.base.starts_with("https:") {
            true => PingStep::new("tls", true, "the certificate is trusted"),
            false => {
                PingStep::new("tls", true, "none: the address is http://, everything is sent in the clear")
            }
        };
        let reached = |found: String| vec![PingStep::new("address", true, found), tls()];
        let mut steps = match asked {
            Ok(answer) => {
                let millis = answer.took.as_millis();
                let mut steps = reached(format!("answers {} in {millis} ms", answer.status));
                let auth = match (answer.status, &self.shared.check) {
                    (200..=299, Some(check)) => {
                        PingStep::new("auth", true, format!("GET {check} was accepted"))
                    }
                    (status, Some(check)) => PingStep::new(
                        "auth",
                        false,
                        format!("GET {check} was answered {status}: is the path right?"),
                    ),
                    (_, None) => PingStep::new(
                        "auth",
                        true,
                        "not refused, which says little: give the connection a `check`, a path that needs its credentials",
                    ),
                };
                steps.push(auth);
                steps.extend(answer.date.map(|date| clock(date, began, &answer)));
                steps
            }
            Err(Trouble { failure, fault, .. }) => {
                let is_auth = failure.class == Class::Auth;
                if is_auth {
                    let mut steps = reached("answers".to_owned());
                    steps.push(PingStep::new("auth", false, failure.message));
                    steps
                } else if fault == Some(Fault::ForAPerson) && failure.message.contains("certificate") {
                    vec![
                        PingStep::new("address", true, "answers"),
                        PingStep::new("tls", false, failure.message),
                    ]
                } else {
                    vec![PingStep::new("address", false, failure.message)]
                }
            }
        };
        if let Some(wrong) = steps.iter().position(|step| !step.ok && step.what != "clock") {
            steps.truncate(wrong + 1);
        }
        Ping::of(steps)
    }

    /// Asks from time to time whether the platform is back, until it is.
    pub(super) fn watch_for_return(&self) {
        let weak = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            while let Some(at) = weak.upgrade().and_then(|shared| shared.guard.probe_at()) {
                tokio::time::sleep_until(at).await;
                // A reload may have replaced the connection meanwhile.
                let Some(shared) = weak.upgrade() else { return };
                Self { shared, sent: Arc::default(), priority: Priority::Live }.ping().await;
            }
        });
    }

    /// One check; an answer that is neither a failure nor a refusal says that the platform is there.
    async fn ask(&self) -> Result<Answer, Trouble> {
        let request = Request::get(self.shared.check.clone().unwrap_or_default(), Vec::new());
        let mut refused = None;
        loop {
            let proof = self.proof(refused).await?;
            let url = self
                .address(&request)
                .map_err(|message| Trouble::new(Again::Never, Class::Config, message))?;
            let answer = self.send(&request, None, url, &proof).await?;
            if self.shared.session.renews_on(answer.status) && refused.is_none() {
                refused = Some(answer.proof.number);
                continue;
            }
            return self.judge(answer, refused.is_some()).await;
        }
    }
}

/// How far the clocks are apart; a `Date` has whole seconds, and the answer took its time.
fn clock(date: DateTime<Utc>, began: DateTime<Utc>, answer: &Answer) -> PingStep {
    let half = TimeDelta::from_std(answer.took / 2).unwrap_or_default();
    let apart = date + TimeDelta::milliseconds(500) - (began + half);
    let seconds = apart.num_seconds();
    let ok = apart.abs().to_std().is_ok_and(|apart| apart <= CLOCKS_APART);
    let found = match seconds {
        0 => "within a second of ours".to_owned(),
        s if s > 0 => format!("{s} s ahead of ours"),
        s => format!("{} s behind ours", -s),
    };
    PingStep::new("clock", ok, found)
}
