//! After the platform said that it accepted: its word is checked where it is not enough, and what it gave is looked for
//! where its answer does not say.

use super::{Lines, RestSink};
use crate::job::push::ReadBack;
use crate::rest::lookup::{Sight, look};
use crate::transfer::{Class, Failure, Record, RejectClass, Rejected, Settled};
use std::collections::HashSet;

/// Records read back of one request as a sample.
const SAMPLE: usize = 5;

impl RestSink {
    /// Looks for what the platform gave for records it says it created, where its answer doesn't say: without it nothing
    /// more can be said of them.
    pub(super) async fn find_ids(&mut self, lines: &Lines<'_>, settled: &mut Settled) {
        if self.push.save.is_empty() {
            return;
        }
        for record in &lines.records {
            let is_known = settled.left.contains(&record.key)
                || settled.links.iter().any(|(key, _)| *key == record.key)
                || settled.rejected.iter().any(|rejected| rejected.key == record.key);
            if is_known {
                continue;
            }
            let why = match self.push.verify.clone() {
                None => "there is no `verify` to look for it".to_owned(),
                Some(verify) => match look(&self.client, &verify, &self.push.save, record).await {
                    Ok(Sight::There(Some(link))) => {
                        settled.links.push((record.key.clone(), link));
                        continue;
                    }
                    Ok(Sight::There(None)) => "neither does its row".to_owned(),
                    Ok(Sight::Missing) => "it is not found".to_owned(),
                    Ok(Sight::Unknowable(why)) => why,
                    Err(failure) => {
                        let why = failure.message.clone();
                        settled.stop = settled.stop.take().or(Some(failure));
                        why
                    }
                },
            };
            let reason = format!("the platform accepted it, its answer holds none of `save`, and {why}");
            settled.rejected.push(Rejected::record(record, reason).class(RejectClass::Unknown));
            self.tally.accepted -= 1;
        }
    }

    /// Reads back what the platform says it accepted, where its word is not enough.
    pub(super) async fn read_back(&mut self, lines: &Lines<'_>, read_back: ReadBack, settled: &mut Settled) {
        let Some(verify) = self.push.verify.clone().filter(|_| read_back != ReadBack::Off) else {
            return;
        };
        let unsure = if self.push.idempotent { RejectClass::Transient } else { RejectClass::Unknown };
        let refused: HashSet<&str> = settled.rejected.iter().map(|rejected| &*rejected.key).collect();
        let accepted: Vec<&Record> = (lines.records.iter().copied())
            .filter(|record| !refused.contains(&*record.key) && !settled.left.contains(&record.key))
            .collect();
        let step = match read_back {
            ReadBack::Sample => accepted.len().div_ceil(SAMPLE).max(1),
            ReadBack::Off | ReadBack::All => 1,
        };
        let mut seen = vec![false; accepted.len()];
        let mut is_sound = true;
        // First the sample, then, if one of it is missing, the others.
        for step in [step, 1] {
            if step == 1 && self.has_none(&accepted, &seen, settled) {
                return;
            }
            for place in (0..accepted.len()).step_by(step) {
                if std::mem::replace(&mut seen[place], true) {
                    continue;
                }
                let unknown = |why: &str| {
                    format!("the platform said it accepted it; whether it has it is not known: {why}")
                };
                let (words, class) = match look(&self.client, &verify, &self.push.save, accepted[place]).await
                {
                    Ok(Sight::There(_)) => continue,
                    Ok(Sight::Missing) => (
                        "the platform said it accepted it, and does not have it".to_owned(),
                        RejectClass::Rejected,
                    ),
                    Ok(Sight::Unknowable(why)) => (unknown(&why), unsure),
                    Err(failure) => {
                        let words = unknown(&failure.message);
                        settled.stop = Some(failure);
                        (words, unsure)
                    }
                };
                is_sound = false;
                self.tally.accepted -= 1;
                settled.rejected.push(Rejected::record(accepted[place], words).class(class));
                if settled.stop.is_some() {
                    let rest =
                        accepted.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|(record, _)| *record);
                    let why = "it was to be read back, and could not be";
                    settled.rejected.extend(rest.map(|record| Rejected::record(record, why).class(unsure)));
                    return;
                }
            }
            if is_sound {
                break;
            }
        }
    }

    /// Where the platform has none of a sample, not the records are at fault: the run stops, and nothing was accepted.
    fn has_none(&mut self, accepted: &[&Record], seen: &[bool], settled: &mut Settled) -> bool {
        let sampled: HashSet<&str> =
            accepted.iter().zip(seen).filter(|(_, seen)| **seen).map(|(record, _)| &*record.key).collect();
        let is_missing = |rejected: &Rejected| {
            rejected.class == RejectClass::Rejected && sampled.contains(rejected.key.as_str())
        };
        let missing = settled.rejected.iter().filter(|rejected| is_missing(rejected)).count();
        let says_enough = sampled.len() > 1 && sampled.len() < accepted.len() && missing == sampled.len();
        if !says_enough || !self.push.idempotent {
            return false;
        }
        settled.rejected.retain(|rejected| !is_missing(rejected));
        settled.left.extend(accepted.iter().map(|record| record.key.clone()));
        self.tally.accepted -= accepted.len() - missing;
        let message = format!(
            "the platform said that it accepted {} records, and has none of the {missing} that were looked up: does it know \
             every field that is sent?",
            accepted.len()
        );
        settled.stop = Some(Failure::new(Class::Config, message));
        true
    }
}
