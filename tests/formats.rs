//! However a platform writes its answers, the ERP gets the same rows; and an answer that can't be read says why.

use crate::support::Site;
use cadenced::run::Outcome;
use cadenced::sandbox::{Answers, Fault, Format, Lists};
use sqlx::Row as _;
use std::time::Duration;

const JOB: &str = "b2market-orders";

/// Every cell of every order.
async fn table(site: &Site) -> Vec<Vec<Option<String>>> {
    let rows = sqlx::query("select * from b2market_orders order by id").fetch_all(&site.erp).await.unwrap();
    let cell = |row: &sqlx::sqlite::SqliteRow, at| row.try_get_unchecked::<Option<String>, _>(at).unwrap();
    rows.iter().map(|row| (0..row.len()).map(|at| cell(row, at)).collect()).collect()
}

async fn pulled(answers: Answers, orders: usize) -> Site {
    let site = Site::quiet().await;
    let last = "2026-03-02T10:00:00Z".parse().unwrap();
    site.b2market.seed_between(orders, last - chrono::TimeDelta::minutes(5), last);
    site.b2market.set_answers(answers);
    let ended = site.once(JOB).await;
    assert_eq!((ended.outcome, ended.message), (Outcome::Ok, None), "{answers:?}");
    assert_eq!(ended.counts.written, orders as u64, "{answers:?}");
    assert_eq!(site.differences().await, [] as [&str; 0], "{answers:?}");
    site
}

#[tokio::test]
async fn xml_in_either_nesting_gives_the_cells_that_json_gives() {
    let json = table(&pulled(Answers::default(), 250).await).await;
    for lists in [Lists::Wrapped, Lists::Bare] {
        let answers = Answers { format: Format::Xml(lists), ..Answers::default() };
        assert_eq!(table(&pulled(answers, 250).await).await, json, "{lists:?}");
    }
}

#[tokio::test]
async fn a_platform_that_turns_to_xml_changes_no_row() {
    let site = pulled(Answers::default(), 120).await;
    let before = table(&site).await;
    site.b2market.set_answers(Answers { format: Format::Xml(Lists::Bare), ..Answers::default() });
    let ended = site.once(JOB).await;
    assert_eq!((ended.outcome, ended.counts.read), (Outcome::Ok, 120));
    assert_eq!(table(&site).await, before);
}

#[tokio::test]
async fn compressed_marked_slow_and_recoded_answers_are_read_like_plain_ones() {
    let plain = table(&pulled(Answers::default(), 30).await).await;
    let json = Answers::default();
    let xml = Answers { format: Format::Xml(Lists::Wrapped), ..json };
    for answers in [
        Answers { gzip: true, ..json },
        Answers { mark: true, ..json },
        Answers { mark: true, gzip: true, pause: Duration::from_millis(20), ..json },
        Answers { charset: Some("iso-8859-1"), ..json },
        Answers { gzip: true, pause: Duration::from_millis(20), ..xml },
        Answers { mark: true, ..xml },
        Answers { charset: Some("iso-8859-1"), ..xml },
        // It has no `ñ`, which is written as a reference then.
        Answers { charset: Some("windows-1250"), gzip: true, ..xml },
    ] {
        assert_eq!(table(&pulled(answers, 30).await).await, plain, "{answers:?}");
    }
}

#[tokio::test]
async fn a_large_page_is_handed_on_whole() {
    let site = Site::quiet().await;
    site.schedule("[job.b2market-orders.pull.params]\npageSize = 10000\n");
    site.b2market.set_max_page_size(10_000);
    site.b2market.seed(6_000);
    for format in [Format::Json, Format::Xml(Lists::Wrapped)] {
        site.b2market.set_answers(Answers { format, gzip: true, ..Answers::default() });
        site.b2market.touch(6_000);
        let ended = site.once(JOB).await;
        assert_eq!((ended.outcome, ended.message), (Outcome::Ok, None));
        assert_eq!((ended.counts.read, ended.counts.written, ended.counts.pages), (6_000, 6_000, 1));
        assert_eq!(site.differences().await, [] as [&str; 0]);
        site.b2market.wire.clock().advance(Duration::from_secs(300));
    }
}

#[tokio::test]
async fn an_answer_that_can_not_be_read_says_why_and_brings_no_row() {
    let xml = |body: &str| Fault::Answer {
        status: 200,
        headers: vec![("content-type", "application/xml".to_owned())],
        body: body.to_owned(),
    };
    let good = "<item><id>1</id><updatedAt>2026-03-02 10:00:00</updatedAt></item>";
    for (body, words) in [
        (format!("<export><data>{good}</data>"), "cut short"),
        (format!("<!DOCTYPE a><export><data>{good}</data></export>"), "a DOCTYPE is not accepted"),
        (format!("<export><data>{good}<item>&boom;</item></data></export>"), "`&boom;` is not defined"),
        (
            format!("<?xml version='1.0' encoding='klingon'?><export><data>{good}</data></export>"),
            "`klingon`",
        ),
        (format!("<export><rows>{good}</rows></export>"), "no `data`"),
        ("<export><error>closed for stock-taking</error></export>".to_owned(), "closed for stock-taking"),
    ] {
        let site = Site::quiet().await;
        site.b2market.wire.fail_next(1, "/Order/", xml(&body));
        let ended = site.once(JOB).await;
        let message = ended.message.unwrap();
        assert!(ended.outcome == Outcome::Failed && message.contains(words), "{body}: {message}");
        assert_eq!(table(&site).await.len(), 0);
    }
}

#[tokio::test]
async fn an_answer_above_the_limit_names_the_limit_and_the_key_that_raises_it() {
    let site = Site::quiet().await;
    site.b2market.seed(100);
    site.b2market.set_answers(Answers { gzip: true, ..Answers::default() });
    site.schedule("[connection.b2market]\nmax-body = \"50 kB\"\n");
    let ended = site.once(JOB).await;
    let message = ended.message.unwrap();
    assert_eq!(ended.outcome, Outcome::Failed);
    assert!(message.contains("larger than 50000 bytes") && message.contains("raise `max-body`"), "{message}");
    assert_eq!(table(&site).await.len(), 0);
    site.schedule("[connection.b2market]\nmax-body = \"500 kB\"\n");
    assert_eq!(site.once(JOB).await.outcome, Outcome::Ok);
    assert_eq!(site.differences().await, [] as [&str; 0]);
}
