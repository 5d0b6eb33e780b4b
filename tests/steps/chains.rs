//! The shipped chain of clients without faults: what is sent, what is not, and what one refusal costs.

use super::*;

#[tokio::test]
async fn new_clients_go_out_whole_and_once() {
    let site = office(35).await;
    let counts = goes_well(&site, ADD).await;
    equal(&site).await;
    keeps_the_contract(&site);
    // Two segments, 35 clients, the limits of the organisations among them, five blockades.
    let limits = (1..=35).filter(|number| number % 3 != 0 && number % 5 != 0).count() as u64;
    assert_eq!((counts.read, counts.written), (37, 2 + 35 + limits + 5));
    let lists = 2 + 1; // The root segment is there; of clients there is none.
    assert_eq!(counts.requests, counts.written + lists, "each list is read to its end, once");
    let first =
        site.one.records().clients.values().find(|client| client["externalId"] == "K/1").cloned().unwrap();
    assert_eq!(first["admin"], json!({"email": "buyer1@example.org", "name": "Buyer 1"}));

    let sent = site.one.wire.count();
    for job in [UPDATE, ADD, UPDATE] {
        assert_eq!(goes_well(&site, job).await.requests, 0, "{job}: nothing has changed");
    }
    assert_eq!(site.one.wire.count(), sent);
    let paths: Vec<String> = site.one.wire.requests().iter().map(|request| request.path.clone()).collect();
    let blockade = paths.iter().find(|path| path.contains("client-blockades")).unwrap();
    assert!(blockade.contains("/org%3A") || blockade.contains("/ind%3A"), "{blockade}");
}

#[tokio::test]
async fn only_steps_that_changed_are_sent() {
    let site = office(10).await;
    goes_well(&site, ADD).await;
    for (sql, requests) in [
        ("update cadenced_clients set name = 'Other', city = 'Łask' where code = 'K/4'", 1),
        ("update cadenced_clients set admin_name = 'Other' where code = 'K/4'", 0),
        ("update cadenced_trade_credits set credit_value = '5' where client = 'K/4'", 1),
        ("update cadenced_trade_credits set credit_value = '5' where client = 'K/5'", 0),
        ("update cadenced_segments set name = 'Wholesale' where code = 'A/1'", 1),
        ("insert into cadenced_blockades values ('K/1', 'CLIENT', 'B1')", 1),
        // Lifted first: the platform keeps blockades by their type.
        ("update cadenced_blockades set type = 'SALE' where client = 'K/1'", 2),
        ("delete from cadenced_blockades where client = 'K/1'", 1),
        ("delete from cadenced_trade_credits where client = 'K/2'", 1),
        ("update cadenced_clients set segment = 'Z' where code = 'K/1'", 1),
    ] {
        site.sql(sql).await;
        assert_eq!(goes_well(&site, ADD).await.requests, 0, "{sql}: nobody is new");
        assert_eq!(goes_well(&site, UPDATE).await.requests, requests, "{sql}");
        equal(&site).await;
    }
    keeps_the_contract(&site);
}

#[tokio::test]
async fn one_deleted_client_is_one_reject_and_costs_the_others_nothing() {
    let site = office(500).await;
    goes_well(&site, ADD).await;
    let missing = id_of(&site, "K/250");
    site.one.switches.set(&format!("missing-client={missing}")).unwrap();
    site.sql("update cadenced_clients set name = name || '!'").await;
    let ended = site.once(UPDATE).await;
    assert_eq!(ended.outcome, Outcome::Partial);
    assert_eq!((ended.counts.written, ended.counts.rejected), (499, 1));
    let rejects = site.rejects(ADD).await;
    let [reject] = rejects.as_slice() else { panic!("{rejects:?}") };
    assert_eq!(reject.key, "client\u{1f}K/250", "it names the step");
    assert!(reject.reason.contains("client not found"), "{}", reject.reason);

    let sent = site.one.wire.count();
    assert_eq!(site.once(UPDATE).await.outcome, Outcome::Ok);
    goes_well(&site, ADD).await;
    assert_eq!(site.one.wire.count(), sent, "nobody is sent again, and nobody is created anew");
    site.one.switches.set("missing-client=").unwrap();
    site.sql("update cadenced_clients set name = 'Back' where code = 'K/250'").await;
    assert_eq!(goes_well(&site, UPDATE).await.written, 1);
    assert!(site.rejects(ADD).await.is_empty());
    equal(&site).await;
}

#[tokio::test]
async fn a_step_that_is_refused_stops_its_row_and_is_taken_up_there() {
    let site = office(6).await;
    // K/2's client is refused, K/4's limit.
    site.sql("update cadenced_clients set account_type = 'NOBODY' where code = 'K/2'").await;
    site.sql("update cadenced_trade_credits set credit_value = 'much' where client = 'K/4'").await;
    site.sql("insert into cadenced_blockades values ('K/4', 'SALE', 'B4')").await;
    let ended = site.once(ADD).await;
    assert_eq!((ended.outcome, ended.counts.rejected), (Outcome::Partial, 2));
    let keys: Vec<String> = site.rejects(ADD).await.into_iter().map(|reject| reject.key).collect();
    assert_eq!(keys, ["client\u{1f}K/2", "one-trade-credits\u{1f}K/4"]);
    let records = site.one.records();
    assert_eq!((records.clients.len(), records.blockades.len()), (5, 0), "nothing after the refused step");
    for job in [UPDATE, ADD] {
        assert_eq!(site.once(job).await.counts.requests, 0, "{job}: nothing has changed");
    }
    site.sql("update cadenced_clients set account_type = null where code = 'K/2'").await;
    site.sql("update cadenced_trade_credits set credit_value = '40' where client = 'K/4'").await;
    assert_eq!(goes_well(&site, ADD).await.written, 2, "the client and its limit");
    assert_eq!(goes_well(&site, UPDATE).await.written, 2, "the limit and the blockade");
    assert!(site.rejects(ADD).await.is_empty());
    equal(&site).await;
}

#[tokio::test]
async fn a_child_waits_for_the_segment_above_it() {
    let site = office(2).await;
    site.sql("update cadenced_segments set parent = 'nowhere' where code = 'A/1'").await;
    let ended = site.once(ADD).await;
    assert_eq!(
        (ended.outcome, ended.counts.rejected),
        (Outcome::Partial, 2),
        "the segment, and the client in it"
    );
    let rejects = site.rejects(ADD).await;
    assert!(rejects[1].reason.contains("has nothing for parent nowhere yet"), "{}", rejects[1].reason);
    assert!(rejects[0].reason.contains("has nothing for segment A/1 yet"), "{}", rejects[0].reason);
    site.sql("insert into cadenced_segments values ('nowhere', 'Now here', null, 1)").await;
    goes_well(&site, ADD).await;
    equal(&site).await;
}

#[tokio::test]
async fn what_is_there_already_is_not_created_again() {
    let site = office(8).await;
    goes_well(&site, ADD).await;
    // As after the loss of the state.
    std::fs::remove_dir_all(site.state()).unwrap();
    site.sql("update cadenced_clients set name = 'Other' where code = 'K/3'").await;
    site.sql("update cadenced_segments set name = 'Other' where code = 'Z'").await;
    goes_well(&site, ADD).await;
    goes_well(&site, UPDATE).await;
    equal(&site).await;
    keeps_the_contract(&site);
    assert_eq!(goes_well(&site, UPDATE).await.requests, 0);
}

#[tokio::test]
async fn a_view_that_lost_its_rows_lifts_nothing() {
    let site = office(35).await;
    goes_well(&site, ADD).await;
    let before = there(&site);
    for view in ["cadenced_blockades", "cadenced_trade_credits"] {
        site.sql(&format!("create table kept as select * from {view}; delete from {view}")).await;
        site.sql("update cadenced_clients set name = 'Other' where code = 'K/3'").await;
        let ended = site.once(UPDATE).await;
        assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Failed, 0), "{view}");
        assert!(ended.message.unwrap().contains("more than `max-gone` allows; nothing was sent or deleted"));
        assert_eq!(there(&site), before);
        site.sql(&format!("insert into {view} select * from kept; drop table kept")).await;
    }
    goes_well(&site, UPDATE).await;
    equal(&site).await;
}

#[tokio::test]
async fn an_answer_may_name_the_id_in_any_of_its_ways() {
    for shape in ["id", "clientId", "string"] {
        let site = office(3).await;
        site.one.switches.set(&format!("client-answer={shape}")).unwrap();
        goes_well(&site, ADD).await;
        equal(&site).await;
    }
}

#[tokio::test]
async fn what_a_run_would_do_is_shown_step_by_step() {
    let site = office(3).await;
    let shown = json_of(&site, &["once", ADD, "--dry-run"]);
    assert_eq!(shown["counts"]["new"], 1 + 2);
    assert_eq!(shown["counts"]["waiting"], 2, "what follows needs the ids of these clients");
    assert_eq!(
        shown["counts"]["rejected"], 2,
        "the child needs its parent's id, and the client in it the child's"
    );
    assert_eq!(shown["requests"][0]["path"], "/api/v1/account/integrations/auth-required/segments");
    assert_eq!(shown["requests"][0]["body"], r#"{"externalId":"Z","name":"Parent"}"#);
    assert_eq!(site.one.wire.count(), 0);

    goes_well(&site, ADD).await;
    site.sql("update cadenced_trade_credits set credit_value = '5' where client = 'K/1'").await;
    site.sql("insert into cadenced_blockades values ('K/3', 'SALE', 'B3')").await;
    let sent = site.one.wire.count();
    let shown = json_of(&site, &["once", UPDATE, "--dry-run"]);
    assert_eq!((&shown["counts"]["new"], &shown["counts"]["changed"]), (&json!(1), &json!(1)));
    let id = id_of(&site, "K/1").replace("org:", "");
    let path = format!("/api/v1/account/integrations/auth-required/trade-credits/{id}");
    assert_eq!(
        (&shown["requests"][0]["path"], &shown["requests"][0]["method"]),
        (&json!(path), &json!("PUT"))
    );
    assert_eq!(shown["requests"][0]["body"], r#"{"creditValue":5,"creditValueUsed":7,"paymentDays":14}"#);

    let tried = json_of(&site, &["try", UPDATE, "--limit", "1"]);
    let steps: Vec<&str> =
        tried["tried"].as_array().unwrap().iter().filter_map(|tried| tried["step"].as_str()).collect();
    assert_eq!(steps, ["one-segments", "client", "one-trade-credits"]);
    assert_eq!(tried["tried"][1]["record"]["externalId"], "K/1");
    let text = site.printed(&["try", UPDATE, "--limit", "1"]);
    assert!(text.contains("  step    one-trade-credits\n"), "{text}");
    site.printed(&["check", "--connect"]);
    site.schedule(&format!("[job.{ADD}]\nenabled = true\n"));
    let plan = site.printed(&["plan"]);
    assert!(plan.contains(ADD) && !plan.contains("one-client-add?"), "{plan}");
    assert_eq!(site.one.wire.count(), sent, "all of this asks nothing");
}

#[tokio::test]
async fn rejects_are_found_retried_and_dropped_under_either_job() {
    let site = office(2).await;
    goes_well(&site, ADD).await;
    site.one.switches.set(&format!("missing-client={}", id_of(&site, "K/1"))).unwrap();
    site.sql("update cadenced_clients set name = 'Other'").await;
    assert_eq!(site.once(UPDATE).await.outcome, Outcome::Partial);
    for job in [ADD, UPDATE] {
        let listed = site.printed(&["rejects", "list", job]);
        assert!(listed.contains("client␟K/1") && listed.contains("client not found"), "{listed}");
        site.printed(&["rejects", "show", job, "client␟K/1"]);
    }
    site.one.switches.set("missing-client=").unwrap();
    site.printed(&["rejects", "retry", UPDATE, "client␟K/1"]);
    assert_eq!(goes_well(&site, UPDATE).await.written, 1);
    equal(&site).await;
}

fn json_of(site: &Site, arguments: &[&str]) -> Value {
    crate::support::json(&site.printed(&[arguments, &["--format", "json"]].concat()))
}
