//! The whole sandbox for `cadenced demo` and `cadenced sandbox`: both platforms and the ERP, started together and kept
//! alive by new orders, edited ones and stock that moves.

use super::commerceup::{Call, Caller, Reply, customers, orders};
use super::{B2Market, One, b2market, erp, one};
use serde_json::json;
use sqlx::sqlite::SqlitePool;
use std::path::Path;
use std::time::Duration;

/// How the whole is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The platform orders come from.
    pub b2market: b2market::Options,
    /// The platform stocks go to; it knows the ERP's warehouses besides its own.
    pub one: one::Options,
    /// The ERP's size.
    pub erp: erp::Size,
    /// Orders there are from the start.
    pub orders: usize,
}

/// Both platforms and the ERP, running. They stop when this and every clone of its handles is gone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The platform orders come from.
    pub b2market: B2Market,
    /// The platform stocks go to.
    pub one: One,
    /// The ERP's database.
    pub erp: SqlitePool,
}

/// Why the sandbox can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A platform's port can't be had.
    #[error("can't start the simulated {platform}; is its port taken?")]
    Platform {
        /// Which one.
        platform: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The ERP's file can't be written.
    #[error("can't create the sample ERP")]
    Erp(#[from] sqlx::Error),
}

impl Sandbox {
    /// Starts everything; the ERP is, or becomes, the file `erp`.
    ///
    /// # Errors
    /// When a port is taken or the file can't be written.
    pub async fn start(erp: &Path, setup: Setup) -> Result<Self, StartError> {
        let failed = |platform| move |source| StartError::Platform { platform, source };
        let b2market = B2Market::start(setup.b2market).map_err(failed("B2Market"))?;
        let one = One::start(setup.one).map_err(failed("ONe"))?;
        let erp = erp::create(erp, setup.erp).await?;
        for warehouse in 1..=setup.erp.warehouses {
            one.add_warehouse(&format!("W{warehouse}"));
        }
        b2market.seed(setup.orders);
        Ok(Self { b2market, one, erp })
    }
}

/// How lively it is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time from one event to the next; a new order, an edit and a stock movement take turns.
    pub beat: Duration,
    /// No new orders beyond this many; edits go on.
    pub most_orders: usize,
    /// Stock levels changed at each movement.
    pub movements: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { beat: Duration::from_secs(2), most_orders: 5_000, movements: 10 }
    }
}

/// Runs until it is dropped or the ERP's database fails.
///
/// # Errors
/// Those of the database.
pub async fn live(b2market: B2Market, erp: SqlitePool, pace: Pace) -> Result<(), sqlx::Error> {
    let mut beat = tokio::time::interval(pace.beat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if b2market.len() < pace.most_orders {
            b2market.insert(1);
        }
        beat.tick().await;
        b2market.touch(1);
        beat.tick().await;
        erp::move_stock(&erp, pace.movements).await?;
    }
}

/// Shoppers that the demo's shop has.
const SHOPPERS: usize = 50;

/// The shop calls: a shopper registers and orders with each beat, some change their mind, and what was ordered a while ago is
/// on its way. Each call is told. Ends with the last shopper.
///
/// # Errors
/// Those of the ERP's database.
pub async fn call(
    shop: &Caller,
    erp: &SqlitePool,
    beat: Duration,
    tell: impl Fn(String),
) -> Result<(), sqlx::Error> {
    let mut beats = tokio::time::interval(beat);
    let ask = async |call: Call, of: &str| {
        let reply = shop.call(&call).await;
        let said = match &reply {
            Ok(Reply { status, text, .. }) => format!("{status} {text}"),
            Err(error) => format!("no answer: {error}"),
        };
        tell(format!("Commerceup calls /{:<18} {of}: {said}", call.name));
        reply.map(|reply| reply.json()).unwrap_or_default()
    };
    for (at, customer) in customers(1, SHOPPERS).iter().enumerate() {
        beats.tick().await;
        let answer = ask(Call::create_customer(customer), customer["id"].as_str().unwrap_or_default()).await;
        let Some(id) = answer["customerId"].as_str() else { continue };
        let Some(order) = orders(1, at + 1, &[id]).pop() else { continue };
        let answer = ask(Call::create_order(&order), order["id"].as_str().unwrap_or_default()).await;
        if let (Some(id), 3) = (answer["orderId"].as_str(), at % 5) {
            let item = json!({"sku": order["items"][0]["sku"], "quantity": 1});
            ask(Call::cancel_order(id, &[item]), id).await;
        }
        sqlx::query(
            "UPDATE cadenced_commerceup_orders SET status = iif(id <= ?1 - 4, 'Shipped', 'In Process') WHERE id <= ?1",
        )
        .bind(i64::try_from(at).unwrap_or_default() - 1)
        .execute(erp)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::WireOptions;
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_said_to_be_taken() {
        let directory = tempfile::tempdir().unwrap();
        let first = One::start(one::Options::default()).unwrap();
        let port = first.url().rsplit(':').next().unwrap().parse().unwrap();
        let wire = WireOptions { port, ..WireOptions::default() };
        let setup = Setup { one: one::Options { wire, ..Default::default() }, ..Setup::default() };
        let error = Sandbox::start(&directory.path().join("erp.db"), setup).await.unwrap_err();
        assert_eq!(error.to_string(), "can't start the simulated ONe; is its port taken?");
    }

    #[tokio::test]
    async fn orders_grow_to_the_limit_and_stock_keeps_moving() {
        let directory = tempfile::tempdir().unwrap();
        let setup = Setup { orders: 1, ..Setup::default() };
        let sandbox = Sandbox::start(&directory.path().join("erp.db"), setup).await.unwrap();
        let Sandbox { b2market, erp, .. } = sandbox;
        let before = erp::quantities(&erp).await.unwrap();
        let pace = Pace { beat: Duration::from_millis(1), most_orders: 3, movements: 1 };
        let life = tokio::spawn(live(b2market.clone(), erp.clone(), pace));
        while b2market.len() < 3 || erp::quantities(&erp).await.unwrap() == before {
            assert!(!life.is_finished());
            tokio::task::yield_now().await;
        }
        // Between two edits there is a turn for a new order; it is let pass.
        for _ in 0..3 {
            let before = b2market.orders();
            while b2market.orders() == before {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(b2market.len(), 3);
        life.abort();
    }
}
