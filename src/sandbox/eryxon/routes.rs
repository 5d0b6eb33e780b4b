//! The endpoints: who may call, what a request must say, and the envelope of the answer.

use super::super::exchange::{Incoming, Refusal};
use super::super::lock;
use super::rules::{self, text};
use super::store::{Entity, Fields, Row};
use super::{Eryxon, Generation, State, generation_a, generation_b, unified};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

pub(super) fn answer(eryxon: &Eryxon, request: &Incoming) -> Result<Response, Refusal> {
    let mut state = lock(&eryxon.inside.state);
    state.store.late_columns = match eryxon.switches.text("missing-columns").as_str() {
        "always" => false,
        "never" => true,
        _ => eryxon.generation() == Generation::A,
    };
    state.plan_limit = eryxon.switches.number("plan-limit");
    state.calls += 1;
    let answered = dispatch(eryxon, &mut state, request);
    for (rule, what) in state.notes.drain(..) {
        request.note(rule, what);
    }
    let mut response = match answered {
        Err(refusal) if refusal.rule.is_none() => refuse(&refusal),
        other => other?,
    };
    if eryxon.generation() == Generation::B {
        let id = match request.header("x-request-id") {
            Some(id) => id.to_owned(),
            None => format!("req-{}", state.calls),
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
    }
    Ok(response)
}

pub(super) fn refuse(refusal: &Refusal) -> Response {
    let code = match refusal.status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        405 => "METHOD_NOT_ALLOWED",
        _ => "INTERNAL_ERROR",
    };
    error(refusal.status, json!({"code": code, "message": refusal.message}))
}

fn error(status: StatusCode, mut error: Value) -> Response {
    error["statusCode"] = status.as_u16().into();
    (status, axum::Json(json!({"success": false, "error": error}))).into_response()
}

fn done(status: StatusCode, data: &Value) -> Response {
    (status, axum::Json(json!({"success": true, "data": data}))).into_response()
}

fn internal(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn dispatch(eryxon: &Eryxon, state: &mut State, request: &Incoming) -> Result<Response, Refusal> {
    let route = request.route();
    let Some(("functions", ["v1", rest @ ..])) = route.split_first().map(|(first, rest)| (*first, rest))
    else {
        return Err(Refusal::not_found("no such function"));
    };
    admit(eryxon, request)?;
    if let Some(refused) = beyond_quota(eryxon, state, request) {
        return Ok(refused);
    }
    let wrong_method = || Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    if let ["api-erp-sync", action] = rest {
        return match (&request.method, *action) {
            (&Method::POST, "sync") => {
                let body = unified_body(eryxon, state, request)?;
                Ok(done(StatusCode::OK, &unified::sync(state, &body)))
            }
            (&Method::POST, "diff") => {
                let body = unified_body(eryxon, state, request)?;
                Ok(done(StatusCode::OK, &unified::diff(state, &body)))
            }
            (&Method::GET, "status") => Ok(status(state, request)),
            (_, "sync" | "diff" | "status") => Err(wrong_method()),
            _ => Err(Refusal::not_found("no such route")),
        };
    }
    let entity =
        |name: &str| Entity::ALL.into_iter().find(|entity| name == format!("api-{}", entity.plural()));
    let (entity, action) = match rest {
        [name] => (entity(name), ""),
        [name, action] => (entity(name), *action),
        _ => (None, ""),
    };
    let entity = entity.ok_or_else(|| Refusal::not_found("no such function"))?;
    let no_routes = eryxon.switches.on("version-without-routes")
        && matches!(entity, Entity::Parts | Entity::Operations)
        && matches!(action, "sync" | "bulk-sync");
    match (&request.method, action) {
        (&Method::PUT, "sync") if no_routes => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "ID parameter is required for updates",
        )),
        (&Method::POST, "bulk-sync") if no_routes && entity == Entity::Parts => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "part_number is required"))
        }
        (&Method::POST, "bulk-sync") if no_routes => Err(internal(
            "Failed to create operations: null value in column \"part_id\" of relation \"operations\" violates \
             not-null constraint"
                .to_owned(),
        )),
        (&Method::PUT, "sync") => single(eryxon, state, request, entity),
        (&Method::POST, "bulk-sync") => bulk(eryxon, state, request, entity),
        (&Method::GET, "") => list(state, request, entity),
        (&Method::DELETE, "") => delete(eryxon, state, request, entity),
        (_, "" | "sync" | "bulk-sync") => Err(wrong_method()),
        _ => Err(Refusal::not_found("no such route")),
    }
}

fn admit(eryxon: &Eryxon, request: &Incoming) -> Result<(), Refusal> {
    let message = match request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        None => "Missing or invalid authorization header",
        Some(key) if !key.starts_with("ery_live_") && !key.starts_with("ery_test_") => {
            "Invalid API key format"
        }
        Some(key) if key != eryxon.inside.api_key => "Invalid API key",
        Some(_) => return Ok(()),
    };
    let status = if eryxon.switches.is("auth-fault", "500") {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::UNAUTHORIZED
    };
    Err(Refusal::broken(status, rules::AUTH, message))
}

/// Counts the call, also if it is denied, in the window of 24 h that began with the first call after the last window.
fn beyond_quota(eryxon: &Eryxon, state: &mut State, request: &Incoming) -> Option<Response> {
    let quota = eryxon.switches.number("quota");
    let now = eryxon.wire.clock().now();
    let day = TimeDelta::hours(24);
    let (began, calls) = match state.window {
        Some((began, calls)) if now < began + day => (began, calls + 1),
        _ => (now, 1),
    };
    state.window = Some((began, calls));
    if quota == 0 || calls <= quota {
        return None;
    }
    request.note(rules::QUOTA, format!("call {calls} of {quota} in 24 h"));
    let reset = began + day;
    let wait = (reset - now).num_seconds().max(1);
    let reset = reset.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut response = error(
        StatusCode::TOO_MANY_REQUESTS,
        json!({
            "code": "RATE_LIMIT_EXCEEDED",
            "message": "Rate limit exceeded. Try again later.",
            "rateLimitInfo": {"remaining": 0, "resetAt": reset, "retryAfter": wait},
        }),
    );
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-remaining", HeaderValue::from_static("0"));
    if let Ok(reset) = HeaderValue::from_str(&reset) {
        headers.insert("x-ratelimit-reset", reset);
    }
    headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
    Some(response)
}

fn object(eryxon: &Eryxon, request: &Incoming) -> Result<Fields, Refusal> {
    if !request.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
        request.note(rules::BODY, "the content type is not application/json");
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Fields::new()),
        Err(error) => {
            request.note(rules::BODY, format!("not JSON: {error}"));
            Err(match eryxon.generation() {
                Generation::A => Refusal::new(StatusCode::BAD_REQUEST, "Invalid JSON in request body"),
                Generation::B => internal(format!("Unexpected token in JSON: {error}")),
            })
        }
    }
}

fn judge(eryxon: &Eryxon, state: &mut State, entity: Entity, records: &[Value]) {
    let generation = eryxon.generation();
    for record in records {
        let nothing = Fields::new();
        let record = record.as_object().unwrap_or(&nothing);
        let broken = rules::broken_by(entity, record, generation, |field| state.store.knows(entity, field));
        state.notes.extend(broken);
        if let Some(source) = text(record, "external_source")
            && let Some(other) = state.store.other_spelling(source)
        {
            state.note(rules::SOURCE, format!("`{source}`, and `{other}` before"));
        }
    }
}

fn single(
    eryxon: &Eryxon,
    state: &mut State,
    request: &Incoming,
    entity: Entity,
) -> Result<Response, Refusal> {
    let record = object(eryxon, request)?;
    let seed_answers = eryxon.switches.is("answers", "seed");
    judge(eryxon, state, entity, &[Value::from(record.clone())]);
    if let Some(missing) =
        ["external_id", "external_source"].iter().find(|name| text(&record, name).is_none())
    {
        let message = match eryxon.generation() {
            Generation::A => "external_id and external_source are required".to_owned(),
            Generation::B => format!("{missing} is required for sync operations"),
        };
        if seed_answers {
            let body = json!({"success": false, "error": {"code": "VALIDATION_ERROR", "message": message}});
            return Ok((StatusCode::BAD_REQUEST, axum::Json(body)).into_response());
        }
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    }
    let (action, at) = match eryxon.generation() {
        Generation::A => match generation_a::upsert(state, entity, &record, false) {
            Ok((action, at)) => {
                if entity == Entity::Jobs {
                    generation_a::nested(state, &record, at);
                }
                (action, at)
            }
            Err(generation_a::No::Record(text)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
            Err(generation_a::No::Database(what, text)) => {
                return Err(internal(format!("Failed to {what} {}: {text}", entity.singular())));
            }
            Err(generation_a::No::Plan { used, limit }) => return Ok(plan_exceeded(entity, used, limit)),
        },
        Generation::B => match generation_b::upsert(state, entity, &record) {
            Ok(done) => done,
            Err(generation_b::No::Record(text)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
            Err(generation_b::No::Invalid(details)) => {
                let said =
                    json!({"code": "VALIDATION_ERROR", "message": "Validation failed", "details": details});
                return Ok(error(StatusCode::UNPROCESSABLE_ENTITY, said));
            }
            Err(generation_b::No::Database(text)) => {
                return Err(internal(format!("Failed to sync {}: {text}", entity.plural())));
            }
        },
    };
    let row = state.store.row(entity, at);
    let status = if action == super::Action::Created { StatusCode::CREATED } else { StatusCode::OK };
    let data = if seed_answers {
        json!({"action": action.word(), "id": row.id, "external_id": record.get("external_id")})
    } else {
        let mut fields = Fields::new();
        fields.insert("id".to_owned(), row.id.clone().into());
        fields.extend(row.fields.clone());
        json!({"action": action.word(), entity.singular(): fields})
    };
    Ok(done(status, &data))
}

fn plan_exceeded(entity: Entity, used: usize, limit: usize) -> Response {
    let details = json!({"limitType": entity.plural(), "currentUsage": used, "limit": limit});
    error(
        StatusCode::PAYMENT_REQUIRED,
        json!({"code": "QUOTA_EXCEEDED", "message": "Plan limit reached", "details": details}),
    )
}

fn bulk(eryxon: &Eryxon, state: &mut State, request: &Incoming, entity: Entity) -> Result<Response, Refusal> {
    let body = object(eryxon, request)?;
    let name = entity.plural();
    let generation = eryxon.generation();
    let named = body.get(name).and_then(Value::as_array);
    let records =
        match generation {
            Generation::A => named.ok_or_else(|| format!("{name} must be an array")),
            Generation::B => body.get("items").and_then(Value::as_array).or(named).ok_or_else(|| {
                format!("Request body must contain either \"items\" array or \"{name}\" array")
            }),
        };
    let records = records.map_err(|message| Refusal::bad(rules::BODY, message))?;
    let limit = match (generation, entity) {
        (Generation::A, Entity::Cells) => eryxon.switches.number("cells-limit"),
        _ => eryxon.switches.number("records-limit"),
    };
    if records.len() > limit {
        let what = if generation == Generation::A { name } else { "items" };
        request.note(rules::BATCH, format!("{} {name}, {limit} are allowed", records.len()));
        let message = format!("Maximum {limit} {what} per bulk-sync request");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    }
    if records.is_empty() {
        request.note(rules::EMPTY, name);
    }
    judge(eryxon, state, entity, records);
    let told = eryxon.switches.is("refusals", "told");
    let data = match generation {
        Generation::A => generation_a::bulk(state, entity, records),
        Generation::B => generation_b::bulk(state, entity, records, told),
    };
    Ok(done(StatusCode::OK, &data))
}

fn unified_body(eryxon: &Eryxon, state: &mut State, request: &Incoming) -> Result<Fields, Refusal> {
    let body = object(eryxon, request)?;
    let lists = [Entity::Jobs, Entity::Parts, Entity::Resources];
    let lists = lists.map(|entity| body.get(entity.plural()).and_then(Value::as_array));
    // The code checks no limit; the contract still wants at most as many as elsewhere.
    let most = eryxon.switches.number("records-limit");
    if lists.iter().flatten().any(|records| records.len() > most) {
        state.note(rules::BATCH, format!("more than {most} records of one kind"));
    }
    if lists.iter().flatten().all(|records| records.is_empty()) {
        state.note(rules::EMPTY, "erp-sync".to_owned());
    }
    Ok(body)
}

fn status(state: &State, request: &Incoming) -> Response {
    let limit = request.param("limit").and_then(|text| text.parse().ok()).unwrap_or(20usize).clamp(1, 100);
    let fits = |entry: &&Value| {
        request.param("source").is_none_or(|source| entry["source"].as_str() == Some(source))
    };
    let history: Vec<&Value> = state.history.iter().rev().filter(fits).take(limit).collect();
    done(StatusCode::OK, &json!({"history": history}))
}

fn list(state: &State, request: &Incoming, entity: Entity) -> Result<Response, Refusal> {
    if let Some(id) = request.param("id") {
        let at = state.store.find_id(entity, id).ok_or_else(|| missing(entity, id))?;
        let item = item(entity, state.store.row(entity, at));
        return Ok(done(StatusCode::OK, &json!({entity.singular(): item})));
    }
    let number = |name: &str| request.param(name).and_then(|text| text.parse::<usize>().ok());
    if number("limit").is_some_and(|limit| limit > 1000) {
        request.note(rules::PAGE, format!("limit={}", request.param("limit").unwrap_or_default()));
    }
    let (limit, offset) = (number("limit").unwrap_or(100).clamp(1, 1000), number("offset").unwrap_or(0));
    let rows: Vec<&Row> = state.store.rows(entity).filter(|row| chosen(entity, row, request)).collect();
    let total = rows.len();
    let ascending = request.param("order") == Some("asc");
    let ordered: Box<dyn Iterator<Item = &Row>> =
        if ascending { Box::new(rows.into_iter()) } else { Box::new(rows.into_iter().rev()) };
    let items: Vec<Value> = ordered.skip(offset).take(limit).map(|row| item(entity, row)).collect();
    let pagination = json!({"total": total, "offset": offset, "limit": limit});
    Ok(done(StatusCode::OK, &json!({entity.plural(): items, "pagination": pagination})))
}

/// A row as the lists show it: only resources with their external id.
fn item(entity: Entity, row: &Row) -> Value {
    let mut fields = Fields::new();
    fields.insert("id".to_owned(), row.id.clone().into());
    let hidden = |name: &str| name.starts_with("external_") && entity != Entity::Resources;
    fields.extend(
        row.fields
            .iter()
            .filter(|(name, _)| !hidden(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    fields.into()
}

fn chosen(entity: Entity, row: &Row, request: &Incoming) -> bool {
    let exact: &[&str] = match entity {
        Entity::Cells => &["active"],
        Entity::Resources => &["external_id", "external_source", "type", "status"],
        Entity::Jobs => &["status"],
        Entity::Parts => &["job_id", "status", "material"],
        Entity::Operations => &["cell_id", "part_id", "status"],
    };
    let (within, searched): (&[&str], &[&str]) = match entity {
        Entity::Jobs => (&["customer", "job_number"], &["job_number", "customer"]),
        Entity::Parts => (&[], &["part_number", "material"]),
        _ => (&[], &["name", "operation_name"]),
    };
    let value = |field: &str| match row.fields.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let contains = |field: &str, text: &str| value(field).to_lowercase().contains(&text.to_lowercase());
    exact.iter().all(|field| request.param(field).is_none_or(|asked| value(field) == asked))
        && within.iter().all(|field| request.param(field).is_none_or(|asked| contains(field, asked)))
        && request.param("search").is_none_or(|text| searched.iter().any(|field| contains(field, text)))
}

fn delete(
    eryxon: &Eryxon,
    state: &mut State,
    request: &Incoming,
    entity: Entity,
) -> Result<Response, Refusal> {
    let id = request
        .param("id")
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "ID parameter is required for deletion"))?;
    let at = state.store.find_id(entity, id).ok_or_else(|| missing(entity, id))?;
    if eryxon.generation() == Generation::A || entity == Entity::Cells {
        state.store.hard_delete(entity, at);
    } else {
        state.store.soft_delete(entity, at);
    }
    Ok(done(StatusCode::OK, &json!({"message": "Deleted successfully"})))
}

fn missing(entity: Entity, id: &str) -> Refusal {
    Refusal::not_found(format!("{} with id {id} not found", entity.singular()))
}
