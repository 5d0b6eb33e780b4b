//! One answer as a page: found whole and valid before the first of its rows is handed on, and handed on in windows, so
//! that memory is bounded by a window however large the page is. A small body is read once. A large one lies in a
//! temporary file and is read twice: once to see that it is a page, once for its rows.

use super::request::Answer;
use super::rows::{PageFacts, Reading, read_page};
use crate::transfer::{Class, Failure};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows in a window, at most.
const WINDOW_ROWS: usize = 500;
/// Bytes of a window beyond which no further row is added to it.
const WINDOW_BYTES: usize = 1024 * 1024;

/// A page whose rows have been made into `T`s, or are being.
pub(super) struct Page<T> {
    /// What it holds besides its rows, and how many they are.
    pub(super) facts: PageFacts,
    rows: Rows<T>,
    /// How many rows are still to be handed on; nothing once that is done.
    left: Option<usize>,
}

enum Rows<T> {
    Here(Vec<T>),
    Coming(mpsc::Receiver<Result<Vec<T>, Failure>>),
}

/// Some rows of a page.
pub(super) struct Window<T> {
    /// The rows, in the page's order.
    pub(super) rows: Vec<T>,
    /// Whether they are the last.
    pub(super) is_last: bool,
}

/// Makes something of the row with this number, from 1.
type Make<T> = Arc<dyn Fn(usize, Box<RawValue>) -> T + Send + Sync>;

impl<T: Send + 'static> Page<T> {
    /// Reads the answer to its end.
    ///
    /// # Errors
    /// [`Class::Answer`]: it is no page, or says that it is an error. [`Class::State`]: its temporary file can't be
    /// read.
    pub(super) async fn open(
        mut answer: Answer,
        reading: Reading,
        make: impl Fn(usize, Box<RawValue>) -> T + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let make: Make<T> = Arc::new(make);
        let reading = Arc::new(reading);
        let is_small = answer.body.bytes().is_some();
        let (first, kept) = (Arc::clone(&make), Arc::clone(&reading));
        let look = move || {
            let mut rows = Vec::new();
            let facts = read(&mut answer, &reading, |number, row| {
                if is_small {
                    rows.push(first(number, row));
                }
                Ok(())
            })?;
            Ok::<_, Failure>((answer, facts, rows))
        };
        let looked = tokio::task::spawn_blocking(look).await.map_err(broke_off).flatten();
        let (answer, facts, rows) = looked?;
        if let Some(error) = facts.error_hint {
            let message = format!("the platform answered with an error: {error}");
            return Err(Failure::new(Class::Answer, message));
        }
        let rows = if is_small { Rows::Here(rows) } else { Rows::Coming(stream(answer, kept, make)) };
        let left = Some(facts.rows);
        Ok(Self { facts, rows, left })
    }

    /// The next rows; nothing after the last. A page without rows is one empty window.
    pub(super) async fn next(&mut self) -> Result<Option<Window<T>>, Failure> {
        let Some(left) = self.left else { return Ok(None) };
        let rows = match &mut self.rows {
            Rows::Here(rows) => std::mem::take(rows),
            Rows::Coming(_) if left == 0 => Vec::new(),
            Rows::Coming(windows) => match windows.recv().await {
                Some(window) => window?,
                None => return Err(Failure::new(Class::State, "reading the page again broke off")),
            },
        };
        self.left = left.checked_sub(rows.len()).filter(|left| *left > 0);
        Ok(Some(Window { rows, is_last: self.left.is_none() }))
    }
}

/// Reads the rows again, no further ahead than one window. It ends when nobody waits for it any more.
fn stream<T: Send + 'static>(
    mut answer: Answer,
    reading: Arc<Reading>,
    make: Make<T>,
) -> mpsc::Receiver<Result<Vec<T>, Failure>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let nobody_waits = |_| Failure::new(Class::Stopped, "nobody waits for the page any more");
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let read = read(&mut answer, &reading, |number, row| {
            bytes += row.get().len();
            rows.push(make(number, row));
            if rows.len() >= WINDOW_ROWS || bytes >= WINDOW_BYTES {
                bytes = 0;
                sender.blocking_send(Ok(std::mem::take(&mut rows))).map_err(nobody_waits)?;
            }
            Ok(())
        });
        let rest = match read {
            Ok(_) if rows.is_empty() => return,
            Ok(_) => Ok(rows),
            Err(failure) => Err(failure),
        };
        // Nobody may be waiting, as after a run that failed.
        let _ = sender.blocking_send(rest);
    });
    receiver
}

fn read(
    answer: &mut Answer,
    reading: &Reading,
    mut on_row: impl FnMut(usize, Box<RawValue>) -> Result<(), Failure>,
) -> Result<PageFacts, Failure> {
    let charset = answer.charset.clone();
    let body = answer.body.reader().map_err(|error| {
        Failure::new(Class::State, format!("the temporary file of a page can't be read: {error}"))
    })?;
    let mut number = 0;
    let read = read_page(body, charset.as_deref(), reading, |row| {
        number += 1;
        on_row(number, row)
    });
    Ok(read?)
}

fn broke_off(error: tokio::task::JoinError) -> Failure {
    Failure::new(Class::Answer, format!("reading it broke off: {error}"))
}
