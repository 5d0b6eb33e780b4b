//! Trade credits of organisations (ONe contract §3.6).

use super::super::exchange::{Incoming, Refusal};
use super::super::fields::{Field, Holds, check, may, must};
use super::State;
use super::clients::{contexts, not_found};
use super::route::{Answer, Reply, number};
use serde_json::json;

const FIELDS: &[Field] = &[
    must("creditValue", Holds::Number),
    may("creditValueUsed", Holds::Number),
    may("availableCreditValue", Holds::Number),
    may("paymentDays", Holds::Integer),
];
const EVENTS: usize = 100;

pub(super) fn get(state: &State, id: &str) -> Answer {
    let organization = organization(state, id)?;
    let credit = state.records.trade_credits.get(&organization).cloned();
    credit.map(Reply::Json).ok_or_else(|| Refusal::not_found("no trade credit"))
}

pub(super) fn put(state: &mut State, request: &Incoming, id: &str) -> Answer {
    let organization = organization(state, id)?;
    let credit = request.json()?;
    check(request, "credit", &credit, FIELDS)?;
    state.records.trade_credits.insert(organization.clone(), credit);
    tell(state, &organization, "UPDATE");
    Ok(Reply::Done)
}

pub(super) fn delete(state: &mut State, id: &str) -> Answer {
    let organization = organization(state, id)?;
    state.records.trade_credits.remove(&organization).ok_or_else(|| Refusal::not_found("no trade credit"))?;
    tell(state, &organization, "DELETE");
    Ok(Reply::Done)
}

pub(super) fn feed(state: &mut State, request: &Incoming) -> Answer {
    let (start, contexts) = (number(request, "startId")?, contexts(request)?);
    Ok(Reply::Json(state.credit_feed.page(&state.switches, start, EVENTS, &contexts)))
}

fn tell(state: &mut State, organization: &str, kind: &str) {
    let event = json!({"clientId": format!("org:{organization}"), "type": kind});
    state.credit_feed.push(&state.switches, "INTEGRATIONS", event);
}

/// The bare uuid of an organisation that is there. A person has no trade credit.
fn organization(state: &State, id: &str) -> Result<String, Refusal> {
    if id.starts_with("ind:") {
        return Err(Refusal::bad("credit-of-a-person", format!("`{id}` is a person")));
    }
    let bare = id.strip_prefix("org:");
    if bare.is_some() != state.switches.is("trade-credit-id", "prefixed") {
        return Err(not_found());
    }
    let bare = bare.unwrap_or(id);
    state.client(&format!("org:{bare}")).ok_or_else(not_found)?;
    Ok(bare.to_owned())
}
