//! How keys are laid out: layout version 1, described for people in `state/README.md`. One tree holds everything, so
//! that one batch can change anything atomically; the first byte of a key says what it is.

use super::error::Fault;
use crate::run::{RunId, Slot};
use crate::words::JobName;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The layout this program writes.
pub(super) const LAYOUT: u64 = 1;

/// The layout's number.
pub(super) const META_LAYOUT: &[u8] = b"!layout";
/// The store's generation.
pub(super) const META_GENERATION: &[u8] = b"!generation";
/// The last run id given out.
pub(super) const META_RUN: &[u8] = b"!run";

/// The sum of all entries but this one.
pub(super) const META_SUM: &[u8] = b"!sum";

/// A pending child slot: JSON.
pub(super) const PENDING: u8 = b'c';
/// A block of what was delivered: binary.
pub(super) const DELIVERED: u8 = b'd';
/// A job's head: JSON.
pub(super) const HEAD: u8 = b'h';
/// A job's runs, for reading them by job: empty.
pub(super) const JOB_RUN: u8 = b'j';
/// A stretch of missed slots: JSON.
pub(super) const RANGE: u8 = b'm';
/// A slot that was claimed and not closed: its run's id.
pub(super) const OPEN: u8 = b'o';
/// A paused job: JSON.
pub(super) const PAUSE: u8 = b'p';
/// A counter kept for somebody else: any bytes.
pub(super) const BLOB: u8 = b'q';
/// A run: JSON.
pub(super) const RUN: u8 = b'r';
/// A slot: JSON.
pub(super) const SLOT: u8 = b's';
/// An unfinished walk: JSON.
pub(super) const WALK: u8 = b'u';
/// A watermark: JSON.
pub(super) const WATERMARK: u8 = b'w';
/// A reject: JSON.
pub(super) const REJECT: u8 = b'x';

/// Whether the value of a key is JSON text; an export then shows it as such.
pub(super) fn is_json(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(PENDING | HEAD | RANGE | PAUSE | RUN | SLOT | WALK | WATERMARK | REJECT)))
}

/// `kind job 00`: what every key of a job starts with. A job's name holds no zero byte.
pub(super) fn job(kind: u8, job: &JobName) -> Vec<u8> {
    let mut key = Vec::with_capacity(job.as_str().len() + 2);
    key.push(kind);
    key.extend_from_slice(job.as_str().as_bytes());
    key.push(0);
    key
}

/// `kind job 00 instant`: in order of time.
pub(super) fn slot(kind: u8, slot: &Slot) -> Vec<u8> {
    instant(kind, &slot.job, slot.at)
}

/// `kind job 00 instant`: in order of time.
pub(super) fn instant(kind: u8, job_name: &JobName, at: DateTime<Utc>) -> Vec<u8> {
    let mut key = job(kind, job_name);
    key.extend_from_slice(&ordered(at));
    key
}

/// Whole seconds as 8 bytes that sort as the instants do, also before 1970.
pub(super) fn ordered(at: DateTime<Utc>) -> [u8; 8] {
    (at.timestamp().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The slot of a key made by [`slot`].
pub(super) fn slot_of(key: &[u8]) -> Result<Slot, Fault> {
    let (job, rest) = job_of(key)?;
    let seconds = number(rest)? ^ (1 << 63);
    let at = DateTime::from_timestamp(seconds.cast_signed(), 0)
        .ok_or_else(|| Fault::Value("a slot's instant is out of range".to_owned()))?;
    Ok(Slot { job, at })
}

/// The job of a key and what follows it.
pub(super) fn job_of(key: &[u8]) -> Result<(JobName, &[u8]), Fault> {
    let bad = || Fault::Value(format!("a key without a job: {}", key.escape_ascii()));
    let end = key.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
    let name = key.get(1..end).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(bad)?;
    Ok((JobName::new(name).map_err(|_| bad())?, &key[end + 1..]))
}

/// `r id`: in the order the runs started.
pub(super) fn run(id: RunId) -> Vec<u8> {
    let mut key = vec![RUN];
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// `j job 00 id`.
pub(super) fn job_run(job_name: &JobName, id: RunId) -> Vec<u8> {
    let mut key = job(JOB_RUN, job_name);
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// `kind job 00 length entity`: what every key of a job's entity starts with.
pub(super) fn entity(kind: u8, job_name: &JobName, entity: &str) -> Vec<u8> {
    let entity = short(entity);
    let mut key = job(kind, job_name);
    key.extend_from_slice(&u16::try_from(entity.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(entity.as_bytes());
    key
}

/// `kind job 00 length entity key`.
pub(super) fn record(kind: u8, job_name: &JobName, entity_name: &str, key: &str) -> Vec<u8> {
    let mut bytes = entity(kind, job_name, entity_name);
    bytes.extend_from_slice(short(key).as_bytes());
    bytes
}

/// The job and entity of a key, and what follows them.
pub(super) fn entity_of(key: &[u8]) -> Result<(JobName, String, &[u8]), Fault> {
    let (job, rest) = job_of(key)?;
    let bad = || Fault::Value(format!("a key without an entity: {}", key.escape_ascii()));
    let (length, rest) = rest.split_at_checked(2).ok_or_else(bad)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let (entity, rest) = rest.split_at_checked(length).ok_or_else(bad)?;
    Ok((job, text(entity)?, rest))
}

/// The number of a block: `d job 00 length entity number`.
pub(super) fn block_number(key: &[u8]) -> Result<u32, Fault> {
    let number = entity_of(key)?.2.try_into();
    number.map(u32::from_be_bytes).map_err(|_| Fault::Value("a block without a number".to_owned()))
}

/// `q namespace 00 key`.
pub(super) fn blob(namespace: &str, key: &str) -> Vec<u8> {
    let mut bytes = vec![BLOB];
    bytes.extend_from_slice(namespace.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(short(key).as_bytes());
    bytes
}

/// The text itself, or where it is longer than a key should be its beginning and its digest.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 512;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let mut short = text[..text.floor_char_boundary(LONGEST - 65)].to_owned();
    short.push('#');
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(short, "{byte:02x}");
    }
    Cow::Owned(short)
}

/// A key's part as text.
pub(super) fn text(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Value("a key is not UTF-8".to_owned()))
}

/// Eight bytes as a number.
pub(super) fn number(bytes: &[u8]) -> Result<u64, Fault> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Fault::Value(format!("{} bytes where 8 belong", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job_name(name: &str) -> JobName {
        JobName::new(name).unwrap()
    }

    #[test]
    fn slots_sort_by_time_and_come_back_whole() {
        let slots = [-5, 0, 7, 4_102_444_800].map(|seconds| Slot {
            job: job_name("one-stocks"),
            at: DateTime::from_timestamp(seconds, 0).unwrap(),
        });
        let keys = slots.each_ref().map(|at| slot(SLOT, at));
        assert!(keys.is_sorted());
        for (key, slot) in keys.iter().zip(&slots) {
            assert_eq!(slot_of(key).unwrap(), *slot);
        }
    }

    #[test]
    fn a_job_never_sees_the_keys_of_one_whose_name_starts_alike() {
        let key = entity(WATERMARK, &job_name("one-stocks"), "");
        assert!(!key.starts_with(&job(WATERMARK, &job_name("one"))));
    }

    #[test]
    fn overlong_keys_stay_different_and_short() {
        let long = "ą".repeat(4000);
        let other = format!("{long}!");
        assert!(short(&long).len() <= 512);
        assert_ne!(short(&long), short(&other));
        assert_eq!(short("A-17"), "A-17");
    }
}
