//! What the demo has of each platform, a table: its shipped schedule, what it needs of the sample ERP, how it is connected, and
//! how much faster its jobs run. A platform is added by an entry, and by nothing else.

use crate::sandbox::{Kind, b2market, commerceup, one};

/// What the demo has of one platform.
pub(super) struct Part {
    /// The simulated platform.
    pub(super) kind: &'static Kind,
    /// The schedule as it is shipped.
    pub(super) schedule: &'static str,
    /// SQL for the sample ERP: views over its tables first, then what is shipped for the rest.
    pub(super) erp: &'static [&'static str],
    /// The keys of its connection besides the address. `<NAME>` stands for the platform's credential of that name; without
    /// `headers` or `auth`, each is a header.
    pub(super) connection: &'static str,
    /// A site's own file, which changes single keys of shipped jobs. Here it only makes them faster.
    pub(super) pace: &'static str,
    /// What is started at once.
    pub(super) jobs: &'static [&'static str],
    /// What is to be seen, for the introduction.
    pub(super) shows: &'static str,
}

/// All of them.
pub(super) const PARTS: &[Part] = &[
    Part {
        kind: &one::KIND,
        schedule: include_str!("../../../schedules/one.toml"),
        erp: &[],
        connection: "quota = [\"10/s\", \"300/min\"]",
        pace: "[job.one-stocks]\ncron = \"5/10 * * * * *\"\n",
        jobs: &["one-stocks"],
        shows: "stock levels that changed go to ONe every 10 s (shipped: every 2 minutes)",
    },
    Part {
        kind: &b2market::KIND,
        schedule: include_str!("../../../schedules/b2market.toml"),
        erp: &[],
        connection: "auth = { login = \"/login\", body = { _username = <_username>, _password = <_password> }, token = \"token\", \
                     renew-on = [401, 403] }\nquota = [\"5/s\"]\nin-flight = 1",
        pace: "[job.b2market-orders]\ncron = \"*/10 * * * * *\"\npull = { since = { settle = \"1s\" } }\n",
        jobs: &["b2market-orders"],
        shows: "orders that changed come from B2Market every 10 s (shipped: every 5 minutes)",
    },
    Part {
        kind: &commerceup::KIND,
        schedule: include_str!("../../../schedules/commerceup.toml"),
        erp: &[
            "create view cadenced_commerceup_stocks as
                 select sku, max(sum(thousandths) / 1000, 0) as quantity 
                 from stock_levels join articles using (sku) where web = 1 group by sku;
             create view cadenced_commerceup_products as select sku, 90000 + rowid as remote_id from articles where web = 1;",
            include_str!("../../../packaging/erp/sqlite/commerceup.sql"),
        ],
        connection: "quota = [\"5/s\"]\nin-flight = 1",
        pace: "[job.commerceup-stocks]\ncron = \"2/10 * * * * *\"\n[job.commerceup-order-status]\ncron = \"7/10 * * * * *\"\n",
        jobs: &["commerceup-link-products", "commerceup-stocks"],
        shows: "Commerceup calls with customers and orders, gets stock and the status of its orders every 10 s",
    },
];
