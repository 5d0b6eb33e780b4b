//! Promises of the sample ERP.

use super::super::B2Market;
use super::*;

async fn erp(size: Size) -> (tempfile::TempDir, SqlitePool) {
    let directory = tempfile::tempdir().unwrap();
    let pool = create(&directory.path().join("erp.db"), size).await.unwrap();
    (directory, pool)
}

#[tokio::test]
async fn every_article_is_in_every_warehouse_and_decimals_are_exact_text() {
    let (_directory, pool) = erp(Size { warehouses: 3, articles: 40 }).await;
    let found = quantities(&pool).await.unwrap();
    assert_eq!(found.len(), 120);
    let key = ("W2".to_owned(), "A-00007".to_owned());
    for (thousandths, text) in
        [(0, "0"), (12_000, "12"), (12_500, "12.5"), (1, "0.001"), (10_100, "10.1"), (100_000, "100")]
    {
        set_stock(&pool, "W2", "A-00007", thousandths).await.unwrap();
        assert_eq!(quantities(&pool).await.unwrap()[&key], text);
    }
    assert!(found.values().any(|quantity| quantity.contains('.')));
}

#[tokio::test]
async fn opening_it_again_leaves_its_rows() {
    let (directory, pool) = erp(Size::default()).await;
    move_stock(&pool, 50).await.unwrap();
    let before = quantities(&pool).await.unwrap();
    let again = create(&directory.path().join("erp.db"), Size::default()).await.unwrap();
    assert_eq!(quantities(&again).await.unwrap(), before);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&again).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_movement_changes_so_many_levels_and_the_next_brings_them_back() {
    let (_directory, pool) = erp(Size { warehouses: 2, articles: 10 }).await;
    let usual = quantities(&pool).await.unwrap();
    assert_eq!(move_stock(&pool, 7).await.unwrap(), 7);
    let moved = quantities(&pool).await.unwrap();
    assert_eq!(usual.iter().filter(|(key, quantity)| moved[*key] != **quantity).count(), 7);
    // All twenty at once: the seven return, the others leave.
    assert_eq!(move_stock(&pool, 20).await.unwrap(), 20);
    let returned = quantities(&pool).await.unwrap();
    assert_eq!(usual.iter().filter(|(key, quantity)| returned[*key] == **quantity).count(), 7);
}

#[tokio::test]
async fn an_article_no_longer_offered_leaves_the_view() {
    let (_directory, pool) = erp(Size { warehouses: 2, articles: 3 }).await;
    offer(&pool, "A-00002", false).await.unwrap();
    assert_eq!(quantities(&pool).await.unwrap().len(), 4);
    offer(&pool, "A-00002", true).await.unwrap();
    assert_eq!(quantities(&pool).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_lost_foreign_or_rounded_order_is_a_difference() {
    let (_directory, pool) = erp(Size::default()).await;
    let market = B2Market::start(Default::default()).unwrap();
    market.seed(2);
    let orders = market.orders();
    assert_eq!(
        differences(&pool, &orders).await.unwrap(),
        ["order 1: not in the ERP", "order 2: not in the ERP"]
    );
    for order in orders.values() {
        store(&pool, order).await;
    }
    assert_eq!(differences(&pool, &orders).await.unwrap(), Vec::<String>::new());
    sqlx::query("UPDATE b2market_orders SET \"totalAmount\" = \"totalAmount\" || '0' WHERE id = '2'")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO b2market_orders (id) VALUES ('x')").execute(&pool).await.unwrap();
    let found = differences(&pool, &orders).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("order 2: totalAmount: stored "), "{found:?}");
    assert_eq!(found[1], "order x: the platform has none");
}

/// Writes an order as a careful client would.
async fn store(pool: &SqlitePool, order: &Value) {
    let order = order.as_object().unwrap();
    let names: Vec<String> = order.keys().map(|name| format!("\"{name}\"")).collect();
    let places = vec!["?"; names.len()].join(",");
    let sql = format!("INSERT INTO b2market_orders ({}) VALUES ({places})", names.join(","));
    let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql));
    for value in order.values() {
        insert = match value {
            Value::Null => insert.bind(None::<String>),
            Value::String(text) => insert.bind(text.clone()),
            Value::Bool(yes) => insert.bind(i64::from(*yes)),
            other => insert.bind(other.to_string()),
        };
    }
    insert.execute(pool).await.unwrap();
}
