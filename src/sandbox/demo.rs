//! Keeps the sandbox alive for `cadenced demo`: new orders, edited ones, stock that moves.

use super::{B2Market, erp};
use sqlx::sqlite::SqlitePool;
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_grow_to_the_limit_and_stock_keeps_moving() {
        let b2market = B2Market::start(Default::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let erp = erp::create(&directory.path().join("erp.db"), erp::Size::default()).await.unwrap();
        let before = erp::quantities(&erp).await.unwrap();
        let pace = Pace { beat: Duration::from_millis(1), most_orders: 3, movements: 1 };
        let life = tokio::spawn(live(b2market.clone(), erp.clone(), pace));
        while b2market.len() < 3 || erp::quantities(&erp).await.unwrap() == before {
            assert!(!life.is_finished());
            tokio::task::yield_now().await;
        }
        // Three more turns add no fourth order.
        let edits = b2market.orders();
        while b2market.orders() == edits {
            tokio::task::yield_now().await;
        }
        assert_eq!(b2market.len(), 3);
        life.abort();
    }
}
