//! The shipped jobs of ONe and B2Market against the simulated platforms: one test for each endpoint, both ends compared field
//! by field, and no rule of the platforms' contracts broken.

mod b2market;
mod clients;
mod day;
mod documents;
mod orders;
mod prices;
mod stocks;

use crate::support::{Site, json, stderr};
use cadenced::run::{Counts, Outcome};
use cadenced::sandbox::demo::Setup;
use cadenced::sandbox::erp;

/// Where every path of ONe begins.
const AT: [&str; 2] = ["/api/v1/", "/integrations/auth-required/"];

/// A shop whose ERP has the interface's tables, all empty but for stocks, and with these keys changed.
async fn shop_with(schedule: &str) -> Site {
    let erp = erp::Size { warehouses: 2, articles: 3 };
    Site::new(Setup { erp, ..Setup::default() }, schedule).await
}

async fn shop() -> Site {
    shop_with("").await
}

/// How a run ended.
#[derive(serde::Deserialize)]
struct Ran {
    outcome: Outcome,
    counts: Counts,
    message: Option<String>,
}

impl Site {
    /// What the ERP has: the one text that a query gives.
    async fn text(&self, sql: &str) -> Option<String> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.erp).await.unwrap()
    }

    /// One run by the program, which a filter needs: it is a process of its own.
    async fn runs(&self, job: &str) -> Ran {
        let output = self.cadenced(&["once", job, "--format", "json"]);
        let printed = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(!printed.is_empty(), "{job}: {}", stderr(&output));
        serde_json::from_str(&printed).unwrap()
    }

    /// One run that goes through whole.
    async fn goes_through(&self, job: &str) -> Counts {
        let ended = self.runs(job).await;
        assert_eq!((ended.outcome, ended.message.as_deref()), (Outcome::Ok, None), "{job}");
        assert_eq!(ended.counts.rejected, 0, "{job}");
        self.no_rule_is_broken();
        ended.counts
    }

    fn no_rule_is_broken(&self) {
        assert_eq!(self.one.wire.broken_rules(), []);
        assert_eq!(self.b2market.wire.broken_rules(), []);
    }

    /// A client of ONe that the ERP knows under this code; its id there.
    async fn client(&self, code: &str) -> String {
        let id = self.one.add_client();
        self.one.edit_client(&id, "externalId", code.into());
        self.goes_through("one-client-ids").await;
        id
    }

    /// The last request of this method whose path ends so: its whole path, and its body.
    fn sent(&self, method: &str, path: &str) -> String {
        let log = self.one.wire.requests();
        let found = log.iter().rev().find(|sent| sent.method == method && sent.path.ends_with(path));
        found.unwrap_or_else(|| panic!("nothing was sent to {method} {path}: {log:?}")).path.clone()
    }
}

/// The path of an endpoint of ONe.
fn at(domain: &str, rest: &str) -> String {
    format!("{}{domain}{}{rest}", AT[0], AT[1])
}
