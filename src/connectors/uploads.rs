//! Where uploads keep how far they have come: beside what else the platform gave for a record, so that the end of an
//! upload and the record's acceptance are written in one piece.

use super::{ENTITY, state};
use crate::rest::{UploadSteps, Uploading};
use crate::run::RunId;
use crate::state::{Settlement, Store, Token};
use crate::transfer::Failure;
use crate::words::JobName;
use futures_util::future::BoxFuture;

/// The uploads of one job's records.
pub(super) struct Steps {
    store: Store,
    job: JobName,
    run: RunId,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("job", &self.job).finish_non_exhaustive()
    }
}

impl Steps {
    pub(super) fn of(store: Store, token: &Token) -> Self {
        Self { store, job: token.slot.job.clone(), run: token.run }
    }
}

impl UploadSteps for Steps {
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Uploading, Failure>> {
        Box::pin(async {
            let links = self.store.links(&self.job, ENTITY, vec![key.to_owned()]).await.map_err(state)?;
            Ok(Uploading::of_link(links.into_iter().next().flatten().as_ref()))
        })
    }

    fn keep<'a>(&'a self, key: &'a str, uploading: &'a Uploading) -> BoxFuture<'a, Result<(), Failure>> {
        let links = vec![(key.to_owned(), uploading.to_link())];
        let settlement = Settlement { links, ..Settlement::default() };
        Box::pin(async { self.store.settle(&self.job, ENTITY, self.run, settlement).await.map_err(state) })
    }
}
