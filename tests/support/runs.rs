//! Single runs without a daemon, in the test's own process, and what they leave in the state.

use super::Site;
use cadenced::clock::SystemClock;
use cadenced::config::{self, Sources};
use cadenced::daemon;
use cadenced::runner::Ended;
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::erp;
use cadenced::state::{Reject, Store};
use cadenced::words::JobName;
use std::sync::Arc;
use tokio::sync::watch;

/// The jobs come due in January only: no slot disturbs a test.
const YEARLY: &str = r#"
[job.one-stocks]
cron = "0 0 0 1 1 *"
[job.b2market-orders]
cron = "0 0 0 1 1 *"
[job.one-client-add]
cron = "0 0 0 1 1 *"
[job.one-client-update]
cron = "0 0 0 1 1 *"
"#;

fn name(job: &str) -> JobName {
    JobName::new(job).unwrap()
}

impl Site {
    /// Two warehouses with twenty articles each, no orders yet, and no slots.
    pub(crate) async fn quiet() -> Self {
        let erp = erp::Size { warehouses: 2, articles: 20 };
        Self::new(Setup { erp, ..Setup::default() }, YEARLY).await
    }

    /// One run of a job, without a daemon.
    pub(crate) async fn once(&self, job: &str) -> Ended {
        let sources = Sources { file: Some(self.config()), ..Sources::default() };
        let loaded = config::load(&sources).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let job = &loaded.jobs[&name(job)];
        daemon::once(&loaded, job, Arc::new(SystemClock), stopped).await.unwrap().ended
    }

    /// The state, while no daemon holds it.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state(), Arc::new(SystemClock)).unwrap()
    }

    /// The watermark of a job, in milliseconds since 1970.
    pub(crate) async fn watermark(&self, job: &str) -> Option<i64> {
        let marks = self.store().watermarks(Some(&name(job))).await.unwrap();
        marks.first().and_then(|(_, _, mark)| mark.value.as_i64())
    }

    pub(crate) async fn rejects(&self, job: &str) -> Vec<Reject> {
        self.store().rejects(&name(job), None, 1000).await.unwrap()
    }

    /// In what the ERP's orders differ from the platform's.
    pub(crate) async fn differences(&self) -> Vec<String> {
        erp::differences(&self.erp, &self.b2market.orders()).await.unwrap()
    }
}
