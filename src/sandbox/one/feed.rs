//! A feed of events by ascending ids, and the ways in which it may lie.

use super::super::Switches;
use serde_json::{Value, json};

/// The events of one feed; the first has the id 1.
#[derive(Debug, Default)]
pub(super) struct Feed {
    events: Vec<Event>,
    /// The id that was withheld once, if one was.
    late: Option<usize>,
}

#[derive(Debug)]
struct Event {
    /// What caused it, or its type: what the feed is filtered by.
    tag: &'static str,
    body: Value,
}

impl Feed {
    pub(super) fn push(&mut self, switches: &Switches, tag: &'static str, body: Value) {
        if switches.on("duplicate-events") {
            self.events.push(Event { tag, body: body.clone() });
        }
        self.events.push(Event { tag, body });
    }

    /// `{"nextId":…,"events":[…]}`: up to `most` events from the id `start` on whose tag is `wanted`, all if none is.
    pub(super) fn page(&mut self, switches: &Switches, start: usize, most: usize, wanted: &[&str]) -> Value {
        let last = self.events.len();
        let withheld = if switches.on("late-event") && self.late.is_none() && last > 1 && start < last {
            self.late = Some(last - 1);
            self.late
        } else {
            None
        };
        let mut next = start;
        let mut events = Vec::new();
        for (id, event) in (1..).zip(&self.events).skip(start.saturating_sub(1)) {
            if events.len() == most {
                break;
            }
            next = id + 1;
            if withheld != Some(id) && (wanted.is_empty() || wanted.contains(&event.tag)) {
                events.push(event.body.clone());
            }
        }
        let next = match switches.text("next-id").as_str() {
            "stuck" => start,
            "backwards" => start.saturating_sub(1),
            _ => next,
        };
        json!({"nextId": next, "events": events})
    }
}
