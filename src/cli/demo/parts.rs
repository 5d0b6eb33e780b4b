//! What the demo has of each platform, a table: what its shipped jobs find in the sample ERP, how it is connected, and how much
//! faster its jobs run. The schedule and the rest of the ERP's side are in the platform's kit.

use crate::sandbox::{Kind, b2market, commerceup, cortecloud, eryxon, one};

/// What the demo has of one platform.
pub(super) struct Part {
    /// The simulated platform.
    pub(super) kind: &'static Kind,
    /// Views over the sample ERP's tables, for what would else be empty tables.
    pub(super) views: &'static str,
    /// The keys of its connection besides the address. `<NAME>` stands for the platform's credential of that name; without
    /// `auth`, each is a header.
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
        views: "",
        connection: "quota = [\"10/s\", \"300/min\"]",
        pace: "[job.one-stocks]\ncron = \"5/10 * * * * *\"\n",
        jobs: &["one-stocks"],
        shows: "gets stock levels that changed (shipped: every 2 minutes)",
    },
    Part {
        kind: &b2market::KIND,
        views: "",
        connection: "auth = { login = \"/login\", body = { _username = <_username>, _password = <_password> }, token = \"token\", \
                     renew-on = [401, 403] }\nquota = [\"5/s\"]\nin-flight = 1",
        pace: "[job.b2market-orders]\ncron = \"*/10 * * * * *\"\npull = { since = { settle = \"1s\" } }\n",
        jobs: &["b2market-orders"],
        shows: "gives orders that changed (shipped: every 5 minutes)",
    },
    Part {
        kind: &commerceup::KIND,
        views: "create view cadenced_commerceup_stocks as
                    select sku, max(sum(thousandths) / 1000, 0) as quantity
                    from stock_levels join articles using (sku) where web = 1 group by sku;
                create view cadenced_commerceup_products as
                    select sku, 90000 + rowid as remote_id from articles where web = 1;",
        connection: "quota = [\"5/s\"]\nin-flight = 1",
        pace: "[job.commerceup-stocks]\ncron = \"2/10 * * * * *\"\n[job.commerceup-order-status]\ncron = \"7/10 * * * * *\"\n",
        jobs: &["commerceup-link-products", "commerceup-stocks"],
        shows: "calls with customers and orders, gets stock and order status (shipped: every 5 minutes)",
    },
    Part {
        kind: &eryxon::KIND,
        // What the shop sold is produced: an order is a job, its lines are parts, and each part goes through two cells.
        views: "create view cadenced_eryxon_cells as
                    select column1 as external_id, column2 as name, null as color, column3 as sequence, 1 as active
                    from (values ('SAW', 'Sawing', 1), ('WELD', 'Welding', 2));
                create view cadenced_eryxon_jobs as
                    select 'SO-' || id as external_id, 'SO-' || id as job_number, 'Customer ' || customer_id as customer,
                           null as due_date, null as priority, null as notes
                    from cadenced_commerceup_orders;
                create view cadenced_eryxon_parts as
                    select 'SO-' || sold.id || '/' || item.key as external_id, 'SO-' || sold.id as job_external_id,
                           'SO-' || sold.id || '/' || item.key as part_number, 'Steel' as material,
                           json_extract(item.value, '$.quantity') as quantity, null as notes
                    from cadenced_commerceup_orders as sold, json_each(sold.items) as item;
                create view cadenced_eryxon_operations as
                    select part.external_id || '/' || cell.external_id as external_id,
                           part.external_id as part_external_id, cell.name as cell_name, cell.name as operation_name,
                           cell.sequence, 10 * part.quantity as estimated_time_minutes, null as notes
                    from cadenced_eryxon_parts as part, cadenced_eryxon_cells as cell;",
        connection: "in-flight = 1",
        pace: "[job.eryxon-cells]\ncron = \"8/10 * * * * *\"\n",
        jobs: &["eryxon-cells"],
        shows: "gets cells, and of the shop's orders jobs, parts and operations (shipped: every hour)",
    },
    Part {
        kind: &cortecloud::KIND,
        // Every service gets an order, but for those that somebody gave another code.
        views: "create view cadenced_cortecloud_orders as
                    select id as service_id, 'ERP-' || id as order_code from cadenced_cortecloud_services
                    where internal_code in ('', 'ERP-' || id);",
        connection: "quota = [\"10/s\"]\nin-flight = 1",
        pace: "[job.cortecloud-services]\ncron = \"4/10 * * * * *\"\n[job.cortecloud-links]\ncron = \"9/10 * * * * *\"\n",
        jobs: &["cortecloud-services"],
        shows: "gives services, gets the codes of their orders (shipped: every 5 minutes)",
    },
];
