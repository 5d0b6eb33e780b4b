//! Clients in both directions (ONe contract §3.4, §3.5).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::route::{Answer, Reply, number, page, text};
use serde_json::{Value, json};

const FIELDS: &[Field] = &[
    must("accountType", Holds::OneOf(&["CLIENT", "SUPPLIER"])),
    must("name", Holds::Id),
    must("externalId", Holds::Id),
    must("address", Holds::Object(ADDRESS)),
    // A person has none.
    may("tin", Holds::Id),
    may("admin", Holds::Object(ADMIN)),
    may("accountManagerId", Holds::Id),
    may("segmentId", Holds::Id),
    may("segmentIds", Holds::Ids),
    may("clientStatus", Holds::Id),
    may("businessRegistrationNumber", Holds::Text),
    may("bankAccountNumber", Holds::Text),
    may("additionalFields", Holds::Object(&[])),
    // What was read may be sent back.
    may("id", Holds::Id),
];
const ADDRESS: &[Field] = &[
    must("name", Holds::Text),
    must("street", Holds::Text),
    must("zipCode", Holds::Text),
    must("city", Holds::Text),
    must("country", Holds::Text),
    may("phone", Holds::Text),
    may("externalId", Holds::Text),
];
const ADMIN: &[Field] = &[must("email", Holds::Id), must("name", Holds::Id), may("phone", Holds::Text)];
/// The events a page of a feed of clients has at most.
const EVENTS: usize = 100;

pub(super) fn list(state: &State, request: &Incoming) -> Answer {
    let rows: Vec<Value> = page(request, state.records.clients.values())?.into_iter().cloned().collect();
    let (rows, total) = (Value::from(rows), state.records.clients.len());
    Ok(Reply::Json(match state.switches.text("list-shape").as_str() {
        "array" => rows,
        "items" => json!({"totalElement": total, "items": rows}),
        "listElement" => json!({"listElement": rows, "totalElement": total}),
        _ => json!({"listElement": rows, "totalElement": total, "items": rows}),
    }))
}

/// Nothing keeps a client from being created twice; who does it has not looked.
pub(super) fn create(state: &mut State, request: &Incoming) -> Answer {
    let mut client = read(state, request)?;
    if client.get("admin").is_none_or(Value::is_null) {
        return Err(Refusal::bad("field-missing", "client.admin is missing: a new client has a first user"));
    }
    let external = text(&client, "externalId");
    if state.records.clients.values().any(|other| text(other, "externalId") == external) {
        request.note("created-twice", format!("client {external} is there"));
    }
    let prefix = if client.get("tin").is_some_and(Value::is_string) { "org" } else { "ind" };
    let id = format!("{prefix}:{}", state.uuid());
    client["id"] = Value::from(id.as_str());
    state.records.clients.insert(id.clone(), client);
    tell(state, &id, "INTEGRATIONS", "CREATE");
    Ok(Reply::Json(match state.switches.text("client-answer").as_str() {
        "string" => Value::from(id),
        "clientId" => json!({"clientId": id}),
        _ => json!({"id": id}),
    }))
}

pub(super) fn get(state: &State, id: &str) -> Answer {
    state.client(id).cloned().map(Reply::Json).ok_or_else(not_found)
}

pub(super) fn update(state: &mut State, request: &Incoming, id: &str) -> Answer {
    state.client(id).ok_or_else(not_found)?;
    let mut client = read(state, request)?;
    client["id"] = Value::from(id);
    state.records.clients.insert(id.to_owned(), client);
    tell(state, id, "INTEGRATIONS", "UPDATE");
    Ok(Reply::Done)
}

pub(super) fn delete(state: &mut State, id: &str) -> Answer {
    state.client(id).ok_or_else(not_found)?;
    state.records.clients.remove(id);
    tell(state, id, "INTEGRATIONS", "DELETE");
    Ok(Reply::Done)
}

pub(super) fn feed(state: &mut State, request: &Incoming) -> Answer {
    if state.switches.is("client-feed", "missing") {
        return Err(Refusal::not_found("this tenant has no feed of clients"));
    }
    let (start, contexts) = (number(request, "startId")?, contexts(request)?);
    Ok(Reply::Json(state.client_feed.page(&state.switches, start, EVENTS, &contexts)))
}

/// Has the feed say that a client changed, and where.
pub(super) fn tell(state: &mut State, id: &str, context: &'static str, kind: &str) {
    state.client_feed.push(&state.switches, context, json!({"clientId": id, "type": kind}));
}

/// The contexts asked for, repeated or separated by commas; none means all.
pub(super) fn contexts(request: &Incoming) -> Result<Vec<&str>, Refusal> {
    const CONTEXTS: [&str; 4] = ["APPLICATION", "BACKOFFICE", "INTERNAL", "INTEGRATIONS"];
    let lists = request.query.iter().filter(|(name, _)| name == "contexts");
    let asked = lists.flat_map(|(_, list)| list.split(',')).filter(|context| !context.is_empty());
    let asked: Vec<&str> = asked.collect();
    match asked.iter().find(|context| !CONTEXTS.contains(context)) {
        Some(wrong) => Err(Refusal::bad("query-enum", format!("there is no context `{wrong}`"))),
        None => Ok(asked),
    }
}

pub(super) fn not_found() -> Refusal {
    Refusal::not_found("client not found")
}

fn read(state: &State, request: &Incoming) -> Result<Value, Refusal> {
    let mut client = request.json()?;
    // What is in additional fields is the tenant's own.
    let additional = client.as_object_mut().and_then(|client| client.shift_remove("additionalFields"));
    check(request, "client", &client, FIELDS)?;
    if let Some(additional) = additional {
        if !additional.is_object() {
            return Err(Refusal::bad("field-type", "client.additionalFields is no object"));
        }
        client["additionalFields"] = additional;
    }
    if client.get("bankAccountNumber").is_some_and(|number| !number.is_null())
        && !state.switches.on("individual-accounts")
    {
        request.note("bank-account-number", "only tenants that issue individual accounts are sent them");
    }
    let one = client.get("segmentId").and_then(Value::as_str);
    let several = client.get("segmentIds").and_then(Value::as_array);
    let several = several.into_iter().flatten().filter_map(Value::as_str);
    match one.into_iter().chain(several).find(|id| !state.records.segments.contains_key(*id)) {
        Some(id) => Err(Refusal::bad("segment-first", format!("there is no segment `{id}`"))),
        None => Ok(client),
    }
}
