//! Services arrive whole and their order codes go back, whatever the list does meanwhile.

use super::Works;
use cadenced::run::Outcome;
use cadenced::sandbox::Fault;
use cadenced::sandbox::cortecloud::{Cortecloud, Material, Options, STATUSES};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const SERVICES: &str = "cortecloud-services";
const LINKS: &str = "cortecloud-links";

fn cortecloud(settings: &[&str]) -> Cortecloud {
    let options = Options::default();
    for setting in settings {
        options.switches.set(setting).unwrap();
    }
    Cortecloud::start(options).unwrap()
}

async fn works(cloud: &Cortecloud, schedule: &str) -> Works {
    Works::new("cortecloud", cloud, "", schedule).await
}

/// In what the ERP's services differ from the platform's, field by field.
async fn differences(works: &Works, cloud: &Cortecloud) -> Vec<String> {
    let columns = "id, status, internal_code, updated_at, gone, document, status_name, erp_action";
    let mut found = Vec::new();
    let mut there = cloud.services();
    for row in works.erp.texts(&format!("select {columns} from cadenced_cortecloud_services")).await {
        let text = |at: usize| row[at].clone().unwrap_or_default();
        let Some(service) = there.remove(&text(0).parse().unwrap()) else {
            found.push(format!("service {} is only in the ERP", text(0)));
            continue;
        };
        let document: Value = serde_json::from_str(&text(5)).unwrap();
        let code = service["internal_code"].as_str().unwrap_or_default();
        let status = service["status"].as_u64().unwrap();
        let is_known = STATUSES.iter().any(|known| u64::from(*known) == status);
        let same = document == service
            && text(1) == status.to_string()
            && text(2) == code
            && text(3) == service["updated_at"].as_str().unwrap()
            && text(4) == "0"
            && (text(6) != "unknown") == is_known
            && (text(7) != "unknown") == is_known;
        if !same {
            found.push(format!("{row:?}, there {service}"));
        }
    }
    found.extend(there.keys().map(|id| format!("service {id} is not in the ERP")));
    found.truncate(10);
    found
}

#[tokio::test]
async fn twelve_hundred_services_arrive_while_the_list_changes() {
    let cloud = cortecloud(&["order=newest-first", "empty-page=4"]);
    cloud.seed(1_190);
    for status in [3, 5, 10, 11, 17, 19, 26, 26, 99, 6] {
        cloud.insert(status);
    }
    let works = works(&cloud, "").await;
    for page in 1..=12 {
        cloud.after_page(page, |cloud| {
            // The list tells seconds: what changes again within one is not seen to.
            cloud.wire.clock().advance(Duration::from_secs(2));
            cloud.touch(9);
            cloud.insert(6);
        });
    }
    cloud.after_page(5, |cloud| cloud.remove(cloud.services().into_keys().nth(700).unwrap()));
    cloud.wire.fail_every(97, "/services", Fault::status(503));
    cloud.wire.fail_next(2, "/services/", Fault::Reset);
    works.killed(SERVICES, "pull-after-sink-commit:3").await;
    let ended = works.once(SERVICES).await;
    assert!(matches!(ended.outcome, Outcome::Ok | Outcome::Partial), "{:?}", ended.message);
    cloud.wire.heal();
    // What changed meanwhile came with this walk or comes with the next.
    works.runs(SERVICES).await;
    let vanished: Vec<String> = differences(&works, &cloud).await;
    assert!(
        vanished.len() <= 1 && vanished.iter().all(|text| text.contains("only in the ERP")),
        "{vanished:?}"
    );
    works.runs(SERVICES).await;
    works.erp.run("delete from cadenced_cortecloud_services where gone").await;
    assert_eq!(differences(&works, &cloud).await, [""; 0]);
    let unknown =
        works.erp.texts("select status, services from cadenced_cortecloud_unknown_statuses order by 1").await;
    let codes: Vec<_> = unknown.iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(codes, ["3", "5", "10", "11", "17", "19", "26", "99"]);
    let details = cloud.wire.count_of("/services/");
    works.runs(SERVICES).await;
    assert_eq!(cloud.wire.count_of("/services/"), details, "what did not change is not asked for");
    assert_eq!(cloud.wire.broken_rules(), []);
}

#[tokio::test]
async fn every_status_means_what_the_table_says() {
    let cloud = cortecloud(&[]);
    let works = works(&cloud, "").await;
    let ids: Vec<u64> = STATUSES.iter().map(|status| cloud.insert(*status)).collect();
    works.runs(SERVICES).await;
    assert_eq!(cloud.wire.count_of("/services/"), ids.len());
    let rows =
        works.erp.texts("select status, status_name, erp_action from cadenced_cortecloud_services").await;
    let of: BTreeMap<u32, (String, String)> = rows
        .into_iter()
        .map(|row| {
            let mut row = row.into_iter().map(Option::unwrap);
            (row.next().unwrap().parse().unwrap(), (row.next().unwrap(), row.next().unwrap()))
        })
        .collect();
    let with = |action: &str| {
        of.iter().filter(|(_, (_, is))| is == action).map(|(code, _)| *code).collect::<Vec<_>>()
    };
    assert_eq!((with("order"), with("production"), with("produced")), (vec![6], vec![7], vec![9]));
    assert_eq!((with("quote"), with("cancel"), with("report")), (vec![4, 25], vec![8], vec![15]));
    assert_eq!(with("keep"), [1, 2, 12, 13, 14, 16, 18, 20, 21, 22, 23, 24]);
    assert_eq!((of[&6].0.as_str(), of[&25].0.as_str()), ("Service Authorized", "Waiting for Payment"));
}

#[tokio::test]
async fn a_site_names_a_code_that_is_new() {
    let cloud = cortecloud(&[]);
    let page = include_str!("../../docs/platforms/cortecloud.md");
    let (_, after) = page.split_once("<!-- statuses -->\n```toml\n").unwrap();
    let works = works(&cloud, after.split_once("```").unwrap().0).await;
    cloud.insert(26);
    cloud.insert(6);
    works.runs(SERVICES).await;
    let rows =
        works.erp.texts("select status_name, erp_action from cadenced_cortecloud_services order by id").await;
    let rows: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(|text| text.as_deref().unwrap()).collect()).collect();
    assert_eq!(rows, [["Waiting for Pickup", "produced"], ["Service Authorized", "order"]]);
}

#[tokio::test]
async fn a_list_without_end_stops_the_run_and_loses_nothing() {
    for next in ["stands-still", "goes-back"] {
        let cloud = cortecloud(&[]);
        cloud.seed(250);
        let works = works(&cloud, "").await;
        works.runs(SERVICES).await;
        cloud.switches.set(&format!("next={next}")).unwrap();
        let before = cloud.wire.count();
        let ended = works.once(SERVICES).await;
        assert_eq!(ended.outcome, Outcome::Failed, "{next}");
        let message = ended.message.unwrap();
        assert!(message.contains("round in circles"), "{next}: {message}");
        assert!(cloud.wire.count() - before <= 3, "{next}: it is not asked for ever");
        cloud.switches.set("next=honest").unwrap();
        // Of two changes within a second the platform's dates tell one.
        cloud.wire.clock().advance(Duration::from_secs(1));
        cloud.touch(3);
        works.runs(SERVICES).await;
        assert_eq!(differences(&works, &cloud).await, [""; 0], "{next}");
    }
}

#[tokio::test]
async fn order_codes_go_back_once_and_never_over_another() {
    let cloud = cortecloud(&["other-fields=refused"]);
    let ids = cloud.seed(12);
    let works = works(&cloud, "").await;
    works.runs(SERVICES).await;
    cloud.link(ids[3], "SOMEBODY-ELSES");
    let rows: Vec<String> = ids[..5].iter().map(|id| format!("({id}, 'ERP-{id}')")).collect();
    works.erp.run(&format!("insert into cadenced_cortecloud_orders values {}", rows.join(", "))).await;
    cloud.remove(ids[4]);

    // The answer is lost, and the process dies: the same code goes again, which harms nobody.
    cloud.wire.fail_next(1, &format!("/services/{}", ids[0]), Fault::status(503));
    works.killed(LINKS, "push-after-answer:2").await;
    let ended = works.once(LINKS).await;
    assert_eq!((ended.outcome, ended.counts.rejected), (Outcome::Partial, 2), "{:?}", ended.message);
    let rejects = works.rejects(LINKS).await;
    assert!(
        rejects.iter().any(|reject| reject.reason.contains("has `SOMEBODY-ELSES` as its internal_code")),
        "{rejects:?}"
    );
    assert!(rejects.iter().any(|reject| reject.reason.contains("404")), "{rejects:?}");
    let codes: BTreeMap<u64, String> = ids[..3].iter().map(|id| (*id, format!("ERP-{id}"))).collect();
    let links = cloud.links();
    assert!(codes.iter().all(|link| links.get(link.0) == Some(link.1)), "{links:?}");
    assert_eq!(links[&ids[3]], "SOMEBODY-ELSES");
    assert_eq!(cloud.wire.broken_rules(), []);
    let before = cloud.wire.count();
    works.runs(LINKS).await;
    assert_eq!(cloud.wire.count(), before, "what is done is not done again");
    works.runs(SERVICES).await;
    let kept = format!("select internal_code from cadenced_cortecloud_services where id = {}", ids[3]);
    assert_eq!(works.erp.text(&kept).await, "SOMEBODY-ELSES");
}

#[tokio::test]
async fn other_envelopes_methods_and_paths_are_a_matter_of_configuration() {
    for (items, rows) in [("data", "data"), ("services", "services")] {
        let cloud = cortecloud(&[&format!("items={items}"), "write=PATCH", "dates=local", "next=missing"]);
        let ids = cloud.seed(7);
        let schedule = format!(
            "[job.cortecloud-services.pull]\nrows = \"{rows}\"\n[job.cortecloud-links.push]\npatch = \"/services/{{service_id}}\"\n\
             idempotent = true\n"
        );
        let works = works(&cloud, &schedule).await;
        works.runs(SERVICES).await;
        assert_eq!(differences(&works, &cloud).await, [""; 0]);
        works.erp.run(&format!("insert into cadenced_cortecloud_orders values ({}, 'X-1')", ids[0])).await;
        works.runs(LINKS).await;
        assert_eq!(cloud.links()[&ids[0]], "X-1");
    }
    let cloud = cortecloud(&["items=array"]);
    cloud.seed(7);
    let works = works(&cloud, "[job.cortecloud-services.pull]\nrows = \"\"\n").await;
    works.runs(SERVICES).await;
    assert_eq!(differences(&works, &cloud).await, [""; 0]);
}

#[tokio::test]
async fn materials_are_read_and_written_at_whatever_path_they_have() {
    let options = Options {
        material_paths: ["boards".to_owned(), "tapes".to_owned(), "components".to_owned()],
        ..Options::default()
    };
    let cloud = Cortecloud::start(options).unwrap();
    let mut schedule = String::new();
    for (kind, one) in [("panels", "panel"), ("tapes", "tape"), ("components", "component")] {
        for job in [kind.to_owned(), format!("{one}-stocks"), format!("{one}-prices"), format!("{one}-codes")]
        {
            schedule.push_str(&format!("[job.cortecloud-{job}]\nenabled = true\n"));
        }
    }
    schedule.push_str("[job.cortecloud-panels.pull]\nget = \"/boards\"\n");
    for job in ["stocks", "prices", "codes"] {
        schedule.push_str(&format!("[job.cortecloud-panel-{job}.push]\nput = \"/boards/{{id}}\"\n"));
    }
    let works = works(&cloud, &schedule).await;
    for material in Material::ALL {
        cloud.seed_materials(material, 130);
        let (kind, one) = (material.name(), material.name().trim_end_matches('s'));
        works.runs(&format!("cortecloud-{kind}")).await;
        let rows = works
            .erp
            .texts(&format!(
                "select id, description, internal_code, active, price, stock from cadenced_cortecloud_{kind}"
            ))
            .await;
        let there = cloud.materials(material);
        assert_eq!(rows.len(), 130);
        for row in rows {
            let row: Vec<String> = row.into_iter().map(Option::unwrap).collect();
            let material = &there[&row[0].parse::<u64>().unwrap()];
            let text = |field: &str| material[field].to_string().trim_matches('"').replace("null", "");
            let flag = if material["active"] == true { "1" } else { "0" };
            assert_eq!(
                row[1..],
                [text("description"), text("internal_code"), flag.to_owned(), text("price"), text("stock")]
            );
        }
        // Stock and price of one, the code of another; the rest is none of ours.
        let table = format!("cadenced_cortecloud_{one}_updates");
        works
            .erp
            .run(&format!(
                "insert into {table} values (3, null, null, '12.50', '7.25'), (4, 'A-4', 0, null, null)"
            ))
            .await;
        let before = cloud.materials(material);
        for job in ["stocks", "prices", "codes"] {
            works.runs(&format!("cortecloud-{one}-{job}")).await;
        }
        let mut wanted = before;
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        wanted.get_mut(&3).unwrap()["price"] = number("12.50");
        wanted.get_mut(&3).unwrap()["stock"] = number("7.25");
        wanted.get_mut(&4).unwrap()["internal_code"] = "A-4".into();
        wanted.get_mut(&4).unwrap()["active"] = false.into();
        assert_eq!(cloud.materials(material), wanted);
    }
    assert_eq!(cloud.wire.broken_rules(), []);
}

#[tokio::test]
async fn a_missing_key_is_a_refusal_to_believe_us_and_nothing_is_lost() {
    let cloud = cortecloud(&[]);
    cloud.seed(3);
    let works = works(&cloud, "").await;
    let key = works.dir.path().join("x-dreamfactory-api-key");
    std::fs::write(&key, "another").unwrap();
    let ended = works.once(SERVICES).await;
    assert_eq!((ended.outcome, ended.counts.requests), (Outcome::Failed, 1));
    assert!(ended.message.unwrap().contains("The API Key is not active"));
}
