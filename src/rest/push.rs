//! stub
use super::Client;
use crate::job::Push;
use crate::transfer::*;
use futures_util::future::BoxFuture;
use std::sync::Arc;
/// stub
pub struct RestSink;
impl RestSink {
    /// s
    pub fn new(_: Arc<Client>, _: &Push) -> Self {
        Self
    }
}
impl Sink for RestSink {
    fn gather(&mut self, _: Vec<Record>) -> Vec<Batch> {
        vec![]
    }
    fn rest(&mut self, _: Vec<Record>) -> Vec<Batch> {
        vec![]
    }
    fn write<'a>(&'a mut self, _: &'a Batch) -> BoxFuture<'a, Result<Settled, Failure>> {
        Box::pin(async { Ok(Settled::default()) })
    }
}
