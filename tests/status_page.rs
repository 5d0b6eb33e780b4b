//! The status page of a running daemon, as a browser shows it.

use crate::support::{Browser, Screen, Site};
use serde_json::Value;

/// What a person could have typed, and would have run.
const REASON: &str =
    "</p><script>document.title = 'taken over'</script><img src=http://127.0.0.1:1/x> & \"so\"";

/// What is to be seen: a row that takes no room is none.
const LOOK: &str = r#"(() => {
    const shown = element => {
        const { width, height } = element.getBoundingClientRect();
        return width > 0 && height > 0 && getComputedStyle(element).visibility === "visible";
    };
    const texts = selector => [...document.querySelectorAll(selector)].filter(shown).map(it => it.innerText);
    const rows = [...document.querySelectorAll("tr[id^=job-]")].filter(shown);
    const links = [...document.querySelectorAll("a[href^='#']")];
    return {
        title: document.title,
        status: texts("h1").join(),
        why: texts("header .why").join(),
        attention: texts(".concerns > li"),
        jobs: Object.fromEntries(rows.map(row => [row.id.slice(4), row.innerText])),
        connections: Object.fromEntries(
            [...document.querySelectorAll("tr[id^=connection-]")].filter(shown).map(row => [row.id.slice(11), row.innerText])),
        nowhere: links.filter(link => !document.getElementById(link.hash.slice(1))).length,
        scripts: document.scripts.length,
        wider: document.documentElement.scrollWidth - innerWidth,
        back: getComputedStyle(document.body).backgroundColor,
    };
})()"#;

fn complaints(events: &[Value]) -> Vec<&Value> {
    let complains =
        ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.loadingFailed"];
    events.iter().filter(|event| complains.contains(&event["method"].as_str().unwrap_or_default())).collect()
}

/// Every address that the page had the browser ask, or would have, that is not itself or within it.
fn asked_elsewhere<'a>(events: &'a [Value], page: &str) -> Vec<&'a str> {
    let requests = events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    let asked = requests.map(|event| event["params"]["request"]["url"].as_str().unwrap());
    asked.filter(|url| *url != page && !url.starts_with("data:")).collect()
}

#[tokio::test]
async fn a_browser_shows_every_job_and_what_needs_attention_and_loads_nothing_else() {
    let site = Site::quiet().await;
    // Half of the stock is refused.
    site.one.remove_warehouse("W2");
    let daemon = site.service();
    assert_eq!(site.cadenced(&["trigger", "one-stocks", "--wait"]).status.code(), Some(2));
    site.printed(&["pause", "b2market-orders", "--reason", REASON]);
    let status = site.control().await.status().await.unwrap();
    let mut jobs: Vec<&str> = status.iter().map(|job| job.job.as_str()).collect();
    jobs.sort_unstable();

    let mut browser = Browser::start().await;
    let page = format!("{}/?still", daemon.address());
    let mut backs = Vec::new();
    for (width, scheme) in [(1280, "light"), (390, "light"), (390, "dark"), (820, "dark")] {
        let events = browser.open(&page, Screen { width, scheme }).await;
        assert_eq!(complaints(&events), [&Value::Null; 0], "{width} {scheme}");
        assert_eq!(asked_elsewhere(&events, &page), [""; 0], "{width} {scheme}");

        let seen = browser.evaluate(LOOK).await;
        assert_eq!((&seen["title"], &seen["status"]), (&"degraded · cadenced".into(), &"degraded".into()));
        assert_eq!(seen["why"], "2 of 2 jobs need a look (b2market-orders, one-stocks).");
        let rows = seen["jobs"].as_object().unwrap();
        let mut shown: Vec<&str> = rows.keys().map(String::as_str).collect();
        shown.sort_unstable();
        assert_eq!(shown, jobs, "{width} {scheme}");
        let stocks = rows["one-stocks"].as_str().unwrap();
        for what in ["degraded", "partial", "20 of 40, 20 rejected", "1 Jan"] {
            assert!(stocks.contains(what), "{what}: {stocks}");
        }
        assert!(rows["unfinished"].as_str().unwrap().contains("its ends are still to be configured"));
        let attention: Vec<&str> =
            seen["attention"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let [paused, refused] = attention[..] else { panic!("{attention:?}") };
        assert!(paused.contains(&format!("paused: {REASON}")), "{paused}");
        assert!(paused.contains("cadenced resume b2market-orders"), "{paused}");
        assert!(refused.contains("one-stocks: 20 of 40 records were refused"), "{refused}");
        assert!(refused.contains("cadenced rejects list one-stocks"), "{refused}");
        assert!(
            seen["connections"]["one"].is_string() && seen["connections"]["b2market"].is_string(),
            "{seen}"
        );

        assert_eq!((&seen["scripts"], &seen["nowhere"]), (&0.into(), &0.into()));
        assert!(seen["wider"].as_i64().unwrap() <= 0, "{width}: the page is wider than the screen: {seen}");
        backs.push(seen["back"].clone());

        // Tables stay tables where they are laid out as a list.
        let heard = browser.read_aloud().await;
        let count = |role: &str| heard.iter().filter(|(of, _)| of == role).count();
        assert_eq!((count("table"), count("rowheader")), (3, jobs.len() + rows_of(&seen["connections"])));
        let row = heard.iter().any(|(role, name)| role == "rowheader" && name.starts_with("one-stocks"));
        assert!(row && heard.contains(&("heading".to_owned(), "degraded".to_owned())), "{heard:?}");
    }
    assert!(backs[0] == backs[1] && backs[1] != backs[2], "{backs:?}");
}

fn rows_of(table: &Value) -> usize {
    table.as_object().unwrap().len()
}
