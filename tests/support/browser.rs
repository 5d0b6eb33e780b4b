//! A real browser without a window, spoken to over a pipe: it says which requests a page makes, what it complains
//! about, and what is to be seen on it. It ends with the value.

use super::soon;
use serde_json::{Value, json};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What ends a message, either way.
const END: u8 = 0;

/// A browser with one page.
pub(crate) struct Browser {
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
    asked: u64,
    session: Option<String>,
    events: Vec<Value>,
    _child: Child,
    _profile: TempDir,
}

/// On what a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// In the pixels of a style sheet.
    pub(crate) width: u32,
    /// `light` or `dark`.
    pub(crate) scheme: &'static str,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It takes commands on its third file and answers on its fourth.
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "chromium"])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--no-proxy-server"])
            .args(["--remote-debugging-pipe", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (asks, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (session, events) = (None, Vec::new());
        let mut browser = Self { asks, says, asked: 0, session, events, _child: child, _profile: profile };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Log", "Runtime", "Accessibility"] {
            browser.ask(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Opens an address and waits until the page is there; gives what the browser said meanwhile.
    pub(crate) async fn open(&mut self, address: &str, on: Screen) -> Vec<Value> {
        let size = json!({ "width": on.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": on.scheme }] });
        self.ask("Emulation.setEmulatedMedia", scheme).await;
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": address })).await;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let said = self.hear().await;
            self.events.push(said);
        }
        std::mem::take(&mut self.events)
    }

    /// What an expression comes to on the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.ask("Runtime.evaluate", ask).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// What a screen reader is told of the page: each thing's role and name.
    pub(crate) async fn read_aloud(&mut self) -> Vec<(String, String)> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({})).await;
        let text = |node: &Value, of: &str| node[of]["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut message = message.to_string().into_bytes();
        message.push(END);
        self.asks.write_all(&message).await.unwrap();
        loop {
            let mut said = self.hear().await;
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].take();
            }
            self.events.push(said);
        }
    }

    async fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        soon("the browser", self.says.read_until(END, &mut message)).await.unwrap();
        assert_eq!(message.pop(), Some(END), "the browser ended by itself");
        serde_json::from_slice(&message).unwrap()
    }
}
