//! One batch on its way: sent, halved where it is refused, looked up where nothing was heard. What is asked after the
//! platform accepted is in `read_back`.

use super::{Lines, RestSink};
use crate::job;
use crate::job::PushGone;
use crate::job::push::ReadBack;
use crate::rest::Answer;
use crate::rest::lookup::{self, Sight, look};
use crate::rest::results;
use crate::rest::verdict::{self, Refusal, Verdict};
use crate::transfer::{Batch, Class, Exchange, Failure, Record, RejectClass, Rejected, Settled};
use reqwest::Method;
use serde_json::Value;
use std::collections::HashSet;
use std::ops::Range;
use tracing::debug;

/// So many records refused one by one, and none accepted, make it likely that not the records are at fault.
const SUSPICIOUS: usize = 8;
/// So many requests in a row without an answer stop a run that must not send anything twice.
pub(super) const UNHEARD: usize = 3;
/// A share of refused records says nothing before so many were answered for.
const ENOUGH: usize = 20;
/// Lines still to be sent.
struct Part {
    lines: Range<usize>,
    /// They were sent before, nothing was heard, and a look at the platform did not find them.
    again: bool,
}

/// What a request was answered.
struct Heard {
    status: u16,
    verdict: Verdict,
    /// What the platform gave, by the place of the record.
    links: Vec<(usize, Value)>,
    exchange: Exchange,
    /// Which of the records are to be read back.
    read_back: ReadBack,
    /// Puts request and status before the platform's words, and takes our secrets out of them.
    named: Box<dyn Fn(&str) -> String + Send>,
}

impl RestSink {
    pub(super) async fn deliver(&mut self, batch: &Batch) -> Settled {
        let mut settled = Settled::default();
        if let (PushGone::Delete(_), []) = (&self.push.on_gone, &*batch.records) {
            self.remove(&batch.gone, &mut settled).await;
            return settled;
        }
        let path = match self.path_of(batch) {
            Ok(path) => path,
            Err(error) => {
                let all = batch.records.iter().chain(&batch.gone);
                settled.rejected.extend(all.map(|record| Rejected::record(record, error.to_string())));
                return settled;
            }
        };
        let mut lines = Lines::of(batch, &self.push.on_gone);
        lines.gone.retain(|gone| match self.shape.lacking(gone) {
            Some(field) => {
                let reason = format!("the gone record has no `{field}` to tell the platform");
                settled.rejected.push(Rejected::record(gone, reason));
                false
            }
            None => true,
        });
        if self.is_taken(&path, &lines, &mut settled).await {
            return settled;
        }
        let read_back = self.halve(&path, &lines, &mut settled).await;
        if self.push.creates {
            self.find_ids(&lines, &mut settled).await;
        }
        if settled.stop.is_none() {
            self.read_back(&lines, read_back, &mut settled).await;
        }
        self.judge_run(&mut settled);
        settled
    }

    /// Whether the record must not be sent because the platform has another value where it would write.
    async fn is_taken(&self, path: &str, lines: &Lines<'_>, settled: &mut Settled) -> bool {
        let (Some(taken), [record]) = (&self.push.unless_taken, &*lines.records) else { return false };
        match lookup::taken(&self.client, taken, path, record).await {
            Ok(None) => return false,
            Ok(Some(words)) => {
                let class = self.class_of(&words);
                settled.rejected.push(Rejected::record(record, words).class(class));
            }
            Err(failure) => {
                settled.left.insert(record.key.clone());
                settled.stop = Some(failure);
            }
        }
        true
    }

    /// Sends the lines, in halves where they are refused, down to the refused ones. One bad line of n costs
    /// 2·⌈log₂ n⌉ + 1 requests. Says which of the accepted ones are to be read back.
    async fn halve(&mut self, path: &str, lines: &Lines<'_>, settled: &mut Settled) -> ReadBack {
        let mut read_back = ReadBack::Off;
        let mut parts = vec![Part { lines: 0..lines.len(), again: false }];
        let (mut accepted, mut alone) = (0, 0);
        while let Some(Part { lines: part, again }) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let limit = self.groups.limit();
            if part.len() > limit {
                // It was put together before a request was found to be too large.
                parts.push(Part { lines: part.start + limit..part.end, again });
                parts.push(Part { lines: part.start..part.start + limit, again });
                continue;
            }
            let heard = match self.send(path, lines, part.clone()).await {
                Ok(heard) => heard,
                Err(failure) if self.may_be_done(&failure) => {
                    self.unheard(lines, Part { lines: part, again }, &failure, &mut parts, settled).await;
                    continue;
                }
                Err(failure) => {
                    parts.push(Part { lines: part, again });
                    leave(&mut parts, lines, settled);
                    settled.stop = Some(failure);
                    break;
                }
            };
            self.tally.unheard = 0;
            let Heard { status, verdict, links, exchange, read_back: of_answer, named } = heard;
            read_back = read_back.max(of_answer);
            let refused: HashSet<usize> = match &verdict {
                Verdict::Accepted => HashSet::new(),
                Verdict::Each(refused) => refused.iter().map(|(place, _)| *place).collect(),
                Verdict::Refused(_) | Verdict::Unclear(_) => (0..part.len()).collect(),
            };
            accepted += part.len() - refused.len();
            self.tally.accepted += part.len() - refused.len();
            settled.links.extend(
                links
                    .into_iter()
                    .filter(|(place, _)| !refused.contains(place))
                    .map(|(place, link)| (lines.at(part.start + place).key.clone(), link)),
            );
            let verdict = match verdict {
                Verdict::Accepted => continue,
                Verdict::Each(refused) => {
                    for (place, Refusal { words, answer, unheard }) in refused {
                        let exchange = Exchange {
                            answer: answer.map_or_else(|| exchange.answer.clone(), |answer| named(&answer)),
                            request: exchange.request.clone(),
                        };
                        let class = match (unheard, self.push.idempotent) {
                            (true, true) => RejectClass::Transient,
                            (true, false) => RejectClass::Unknown,
                            (false, _) => self.class_of(&words),
                        };
                        let rejected = Rejected::record(lines.at(part.start + place), named(&words));
                        settled.rejected.push(Rejected {
                            class,
                            exchange: Some(Box::new(exchange)),
                            ..rejected
                        });
                    }
                    continue;
                }
                Verdict::Unclear(words) if !self.push.idempotent => {
                    let failure = Failure::new(Class::Unknown, named(&words));
                    self.unheard(lines, Part { lines: part, again }, &failure, &mut parts, settled).await;
                    continue;
                }
                Verdict::Refused(words) if said(&self.push.words.unserved, &words) => {
                    parts.push(Part { lines: part, again });
                    leave(&mut parts, lines, settled);
                    let message = format!(
                        "{}: this version of the platform does not serve it (`unserved-when`)",
                        named(&words)
                    );
                    settled.stop = Some(Failure::new(Class::Config, message));
                    break;
                }
                verdict @ (Verdict::Refused(_) | Verdict::Unclear(_)) => verdict,
            };
            let unclear = self.is_unclear(&verdict);
            let (Verdict::Refused(words) | Verdict::Unclear(words)) = verdict else { continue };
            if part.len() > 1 {
                let middle = part.start + part.len().div_ceil(2);
                if status == 413 || said(&self.push.words.too_large, &words) {
                    settled.limit = self.groups.shrink(middle - part.start).or(settled.limit);
                }
                debug!(lines = part.len(), "refused, sent again in halves: {words}");
                parts.push(Part { lines: middle..part.end, again });
                parts.push(Part { lines: part.start..middle, again });
                continue;
            }
            let record = lines.at(part.start);
            let reason = named(&words);
            let class = if unclear { RejectClass::Transient } else { self.class_of(&reason) };
            let rejected = Rejected::record(record, reason.clone()).class(class);
            settled.rejected.push(Rejected { exchange: Some(Box::new(exchange)), ..rejected });
            if status == 404 && self.leads_nowhere(path, record, settled, &reason) {
                leave(&mut parts, lines, settled);
                break;
            }
            alone += 1;
            if accepted == 0 && alone == SUSPICIOUS {
                self.probe(path, lines, &mut parts, settled, &mut accepted, alone).await;
            }
        }
        read_back
    }

    /// The other end of the batch decides: a group that is wrong refuses every line, and halving ten thousand of them
    /// would take twenty thousand requests to say so.
    async fn probe(
        &mut self,
        path: &str,
        lines: &Lines<'_>,
        parts: &mut Vec<Part>,
        settled: &mut Settled,
        accepted: &mut usize,
        alone: usize,
    ) {
        let Some(last) = parts.first_mut().filter(|last| last.lines.len() > 1) else { return };
        last.lines.end -= 1;
        let probe = last.lines.end..last.lines.end + 1;
        let heard = match self.send(path, lines, probe.clone()).await {
            Ok(heard) => heard,
            Err(failure) if self.may_be_done(&failure) => {
                let part = Part { lines: probe, again: false };
                return self.unheard(lines, part, &failure, parts, settled).await;
            }
            Err(failure) => {
                parts.push(Part { lines: probe, again: false });
                leave(parts, lines, settled);
                settled.stop = Some(failure);
                return;
            }
        };
        let unclear = self.is_unclear(&heard.verdict);
        let words = match heard.verdict {
            Verdict::Accepted => {
                *accepted += 1;
                self.tally.accepted += 1;
                return;
            }
            Verdict::Each(refused) => refused.into_iter().map(|(_, refusal)| refusal.words).collect(),
            Verdict::Refused(words) | Verdict::Unclear(words) => words,
        };
        let words = (heard.named)(&words);
        let tried = alone + 1;
        let reason = format!("{words} (so were {tried} records sent alone; the rest of the batch was not)");
        let class = if unclear { RejectClass::Transient } else { self.class_of(&words) };
        let left = parts.drain(..).map(|part| part.lines).chain([probe]).flatten();
        settled.rejected.extend(left.map(|line| {
            let rejected = Rejected::record(lines.at(line), reason.clone()).class(class);
            Rejected { exchange: Some(Box::new(heard.exchange.clone())), ..rejected }
        }));
    }

    /// Nothing was heard of lines that must not be sent twice: a look at the platform decides, or else a person.
    async fn unheard(
        &mut self,
        lines: &Lines<'_>,
        part: Part,
        failure: &Failure,
        parts: &mut Vec<Part>,
        settled: &mut Settled,
    ) {
        self.tally.unheard += 1;
        let mut stop = (self.tally.unheard >= UNHEARD).then(|| {
            let message =
                format!("{failure}; {UNHEARD} requests in a row were not answered for: the run stops here");
            Failure::new(Class::Unknown, message)
        });
        let verify = self.push.verify.clone();
        for line in part.lines {
            let record = lines.at(line);
            let look_at = verify.as_ref().filter(|_| line < lines.records.len());
            let why = match look_at {
                None => failure.message.clone(),
                Some(verify) => match look(&self.client, verify, &self.push.save, record).await {
                    Ok(Sight::There(link)) => {
                        settled.links.extend(link.map(|link| (record.key.clone(), link)));
                        self.tally.accepted += 1;
                        self.tally.unheard = 0;
                        continue;
                    }
                    Ok(Sight::Missing) if !part.again => {
                        parts.push(Part { lines: line..line + 1, again: true });
                        continue;
                    }
                    Ok(Sight::Missing) => format!("{failure}; it is not there, after two requests"),
                    Ok(Sight::Unknowable(words)) => format!("{failure}; a look does not tell: {words}"),
                    Err(failure) => {
                        let message = failure.message.clone();
                        stop = Some(failure);
                        message
                    }
                },
            };
            settled.rejected.push(Rejected::record(record, why).class(RejectClass::Unknown));
        }
        if let Some(stop) = stop {
            leave(parts, lines, settled);
            settled.stop = Some(stop);
        }
    }

    /// Whether the platform may have carried out a request that it must not get twice.
    fn may_be_done(&self, failure: &Failure) -> bool {
        // An answer that can't be read, or is too large to be, answers a request that was carried out.
        let unread = failure.class == Class::Answer || failure.message.contains("`max-body`");
        !self.push.idempotent && (failure.class == Class::Unknown || unread)
    }

    /// Sends some of the lines as one request.
    async fn send(&self, path: &str, lines: &Lines<'_>, part: Range<usize>) -> Result<Heard, Failure> {
        let is_one = part.len() == 1;
        let (records, gone) = lines.part(part);
        let request = self.request(path.to_owned(), records, gone);
        let removes = request.method == Method::DELETE;
        let words = &self.push.words;
        let refuses = |answer: &str| said(&words.refused, answer) || said(&words.unserved, answer);
        let mut answer = self.client.call_with(&request, None, refuses).await?;
        let status = answer.status;
        let mut read_back = self.push.verify.as_ref().map_or(ReadBack::Off, |verify| verify.read_back);
        let exchange = Exchange { request: request.shown(), answer: answer.kept() };
        let (mut verdict, mut links) = (Verdict::Accepted, Vec::new());
        let refusal = |answer: &Answer| Verdict::Refused(answer.words_or_none());
        match status {
            200..=299 => {
                let (read, document) = verdict::document_of(answer).await?;
                answer = read;
                let document = document.as_ref();
                verdict = if self.push.results.is_empty() || records.is_empty() {
                    verdict::of(document, records)
                } else {
                    results::judge(&self.push.results, document, records)
                };
                read_back = results::read_back(&self.push.results, document).unwrap_or(read_back);
                links = results::saved(&self.push.save, &self.push.results, document, records);
            }
            404 if removes && is_one => {}
            400 | 404 | 409 | 410 | 413 | 422 | 500.. => verdict = refusal(&answer),
            402 if refuses(&exchange.answer) => verdict = refusal(&answer),
            405 | 406 | 414 | 415 => return Err(answer.failure(Class::Config)),
            _ => return Err(answer.refusal()),
        }
        Ok(Heard { status, verdict, links, exchange, read_back, named: answer.into_naming() })
    }

    /// Removes records one by one; what is not there any more is done.
    async fn remove(&mut self, gone: &[Record], settled: &mut Settled) {
        for record in gone {
            let request = match self.removal(record) {
                Ok(request) => request,
                Err(error) => {
                    settled.rejected.push(Rejected::record(record, error.to_string()));
                    continue;
                }
            };
            let refused = match self.client.call(&request).await {
                Ok(answer) if matches!(answer.status, 404 | 410) => continue,
                Ok(answer) if matches!(answer.status, 400 | 409 | 422) => {
                    Ok(Some((answer.refusal().message, answer.kept())))
                }
                Ok(answer) if answer.is_success() => not_removed(record, answer).await,
                Ok(answer) => Err(answer.failure(Class::Config)),
                Err(failure) => Err(failure),
            };
            match refused {
                Ok(None) => {}
                Ok(Some((reason, answer))) => {
                    let class = self.class_of(&reason);
                    let exchange = Some(Box::new(Exchange { request: request.shown(), answer }));
                    let rejected = Rejected::record(record, reason).class(class);
                    settled.rejected.push(Rejected { exchange, ..rejected });
                }
                Err(failure) => {
                    settled.left.insert(record.key.clone());
                    settled.stop = Some(failure);
                    return;
                }
            }
        }
    }

    /// Whether an answer holds nothing of what the job says it should: it refuses no record, and another may.
    fn is_unclear(&self, verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Unclear(_)) && !self.push.results.is_empty()
    }

    pub(super) fn class_of(&self, words: &str) -> RejectClass {
        let job::push::Words { waiting, transient, .. } = &self.push.words;
        if said(waiting, words) {
            RejectClass::Waiting
        } else if said(transient, words) {
            RejectClass::Transient
        } else {
            RejectClass::Rejected
        }
    }

    /// A 404 on everything is no fault of the records: the path is wrong, and the flow stops without a reject.
    pub(super) fn leads_nowhere(
        &mut self,
        path: &str,
        record: &Record,
        settled: &mut Settled,
        reason: &str,
    ) -> bool {
        if self.tally.accepted > 0 || self.class_of(reason) != RejectClass::Rejected {
            return false;
        }
        let is_one_path = self.push.path.placeholders().is_empty();
        self.tally.lost.insert(if is_one_path { record.key.clone() } else { path.to_owned() });
        self.tally.lost_keys.push(record.key.clone());
        if self.tally.lost.len() < SUSPICIOUS {
            return false;
        }
        let lost = std::mem::take(&mut self.tally.lost_keys);
        settled.rejected.retain(|rejected| !lost.contains(&rejected.key));
        settled.left.extend(lost);
        let message = format!(
            "{reason}: nothing else was answered in this run ({} times): is the path right?",
            self.tally.lost.len()
        );
        settled.stop = Some(Failure::new(Class::Config, message));
        true
    }

    /// Stops a run that is refused as a matter of course.
    fn judge_run(&mut self, settled: &mut Settled) {
        let refused =
            |rejected: &&Rejected| matches!(rejected.class, RejectClass::Rejected | RejectClass::Unknown);
        self.tally.refused += settled.rejected.iter().filter(refused).count();
        let (refused, answered) = (self.tally.refused, self.tally.refused + self.tally.accepted);
        let Some(share) = self.push.stop_when.filter(|_| answered >= ENOUGH && settled.stop.is_none()) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a share of records needs no more digits")]
        if refused as f64 >= answered as f64 * share {
            let message = format!(
                "{refused} of {answered} records were refused, as many as `stop-when` allows: the run stops here"
            );
            settled.stop = Some(Failure::new(Class::Refused, message));
        }
    }
}

/// What a 2xx answer to a removal has against it, if anything, with the words and what is kept of the answer.
async fn not_removed(record: &Record, answer: Answer) -> Result<Option<(String, String)>, Failure> {
    let (answer, document) = verdict::document_of(answer).await?;
    let words = match verdict::of(document.as_ref(), &[record]) {
        Verdict::Accepted => return Ok(None),
        Verdict::Refused(words) | Verdict::Unclear(words) => words,
        Verdict::Each(refused) => refused.into_iter().map(|(_, refusal)| refusal.words).collect(),
    };
    let kept = answer.kept();
    Ok(Some((answer.into_naming()(&words), kept)))
}

/// What was not sent is left to the next run.
fn leave(parts: &mut Vec<Part>, lines: &Lines<'_>, settled: &mut Settled) {
    let left = parts.drain(..).flat_map(|part| part.lines);
    settled.left.extend(left.map(|line| lines.at(line).key.clone()));
}

/// Whether one of these is in the words, whatever their case.
fn said(wanted: &[String], words: &str) -> bool {
    let words = words.to_lowercase();
    wanted.iter().any(|wanted| words.contains(&wanted.to_lowercase()))
}
