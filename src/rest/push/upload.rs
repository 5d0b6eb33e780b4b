//! One record's file on its way: begun, its bytes transferred, completed.
//!
//! Promises: how far an upload has come is written down before the next step, so that a crash goes on where it was, or
//! begins again what could not have been completed; a file that a completed upload brought is never uploaded again for
//! the same record; an upload that is given up is removed where the platform has a way for that. Bytes go to another origin
//! only if the job names it, and never with credentials.
//!
//! After a crash in the beginning the platform may hold an upload nobody knows of; what was never completed is no
//! document.

mod carried;
mod progress;

pub use progress::{UploadSteps, Uploading};

use super::RestSink;
use super::deliver::UNHEARD;
use crate::job::upload::Call;
use crate::job::{self, Push};
use crate::rest::request::Request;
use crate::telemetry;
use crate::transfer::files::Files;
use crate::transfer::{Batch, Class, Exchange, Failure, Record, RejectClass, Rejected, Settled};
use carried::{Carried, request_of};
use metrics::counter;
use std::sync::Arc;

/// What a sink needs for records that carry files.
#[derive(Debug)]
pub(super) struct Uploads {
    pub(super) upload: job::Upload,
    pub(super) files: Files,
    pub(super) steps: Arc<dyn UploadSteps>,
}

/// How an upload went through.
#[derive(Clone, Copy)]
enum How {
    Completed,
    Resumed,
    /// The platform has the file already.
    Known,
}

/// Why an upload did not.
enum End {
    /// It was refused.
    Refused(Refused),
    /// It may work later.
    Later(String),
    /// As the failure says.
    Failed(Failure),
}

struct Refused {
    status: u16,
    /// Whether it could not even be begun.
    at_begin: bool,
    words: String,
    exchange: Option<Exchange>,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A record that can't be told as the job says.
fn untellable(words: String) -> End {
    End::Refused(Refused { status: 0, at_begin: false, words, exchange: None })
}

impl RestSink {
    /// The request that begins a record's upload.
    pub(super) fn beginning(&self, record: &Record) -> Result<Request, String> {
        let Push { method, path, body, .. } = &self.push;
        let call = Call { method: *method, path: path.clone(), body: body.clone() };
        request_of(&call, record, None, false)
    }

    /// Uploads the file of the one record of a batch.
    pub(super) async fn upload(&mut self, uploads: &Uploads, batch: &Batch) -> Settled {
        let mut settled = Settled::default();
        let Some(record) = batch.records.first() else { return settled };
        let stop = |settled: &mut Settled, failure| {
            settled.left.insert(record.key.clone());
            settled.stop = Some(failure);
        };
        let mut uploading = match uploads.steps.read(&record.key).await {
            Ok(uploading) => uploading,
            Err(failure) => {
                stop(&mut settled, failure);
                return settled;
            }
        };
        let Some(file) = uploads.files.take(&record.key) else {
            let lost = Rejected::record(record, "its file was not read").class(RejectClass::Transient);
            settled.rejected.push(lost);
            return settled;
        };
        let size = file.size;
        let carried = Carried { sink: self, uploads, record, file };
        let end = carried.go(&mut uploading).await;
        settled.links.push((record.key.clone(), uploading.to_link()));
        let connection = self.client.connection_name();
        let outcome = match end {
            Ok(how) => {
                self.tally.accepted += 1;
                self.tally.unheard = 0;
                if !matches!(how, How::Known) {
                    counter!(telemetry::UPLOADED, "connection" => connection.clone()).increment(size);
                }
                match how {
                    How::Completed => "completed",
                    How::Resumed => "resumed",
                    How::Known => "known",
                }
            }
            Err(End::Refused(Refused { status, at_begin, words, exchange })) => {
                self.tally.unheard = 0;
                let rejected = Rejected::record(record, words.clone()).class(self.class_of(&words));
                settled.rejected.push(Rejected { exchange: exchange.map(Box::new), ..rejected });
                if at_begin && status == 404 {
                    let path = self.beginning(record).map(|request| request.path).unwrap_or_default();
                    self.leads_nowhere(&path, record, &mut settled, &words);
                }
                "refused"
            }
            Err(End::Failed(failure))
                if matches!(failure.class, Class::Auth | Class::Config | Class::Stopped | Class::State) =>
            {
                stop(&mut settled, failure);
                "later"
            }
            Err(End::Later(message) | End::Failed(Failure { message, .. })) => {
                self.tally.unheard += 1;
                let later = Rejected::record(record, message.clone()).class(RejectClass::Transient);
                settled.rejected.push(later);
                if self.tally.unheard >= UNHEARD {
                    let message =
                        format!("{message}; {UNHEARD} files in a row went wrong: the run stops here");
                    settled.stop = Some(Failure::new(Class::Transient, message));
                }
                "later"
            }
        };
        counter!(telemetry::UPLOADS, "connection" => connection, "outcome" => outcome).increment(1);
        settled
    }
}
