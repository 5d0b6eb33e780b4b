//! The endpoints behind the gateway: who may call, which page is asked for, what may be written.

use super::super::exchange::{Incoming, Refusal};
use super::super::lock;
use super::{Cortecloud, Material, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A part of the credentials is missing or wrong (Cortecloud contract §2).
const AUTH: &str = "authorization";
/// The key is in the URL, where logs keep it (§2).
const KEY_IN_URL: &str = "key-in-url";
/// A list asked for without `limit` and `offset`, or with something else than numbers (§3).
const LIMIT: &str = "limit-and-offset";
/// An offset that was not handed out as `meta.next` (§3).
const OFFSET: &str = "offset-from-next";
/// A service is sent another field than `internal_code` (§5).
const ONLY_CODE: &str = "only-internal-code";
/// A code that is missing, empty or no text (§5).
const CODE: &str = "internal-code";
/// A service that has a code is given another one (§5).
const OVERWRITTEN: &str = "internal-code-overwritten";
/// A material's field of another type or range, or one there is not (§6).
const MATERIAL: &str = "material-field";

pub(super) fn refuse(refusal: &Refusal) -> Response {
    let code = refusal.status.as_u16();
    let error = json!({"code": code, "context": null, "message": refusal.message, "status_code": code});
    (refusal.status, axum::Json(json!({"error": error}))).into_response()
}

pub(super) fn answer(cloud: &Cortecloud, request: &Incoming) -> Result<Response, Refusal> {
    admit(cloud, request)?;
    let route = request.route();
    let writes = match cloud.switches.text("write").as_str() {
        "PATCH" => request.method == Method::PATCH,
        "both" => request.method == Method::PUT || request.method == Method::PATCH,
        _ => request.method == Method::PUT,
    };
    let reads = request.method == Method::GET;
    let no_method = || Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.");
    match route.as_slice() {
        ["services"] if reads => services(cloud, request),
        ["services", id] if reads => service(cloud, id),
        ["services", id] if writes => link(cloud, request, id),
        ["services"] | ["services", _] => Err(no_method()),
        [path, rest @ ..] => {
            let kind = Material::ALL.into_iter().zip(&cloud.inside.material_paths);
            let kind = kind.filter(|(_, known)| known == path).map(|(kind, _)| kind).next();
            let kind = kind.filter(|_| cloud.switches.is("materials", "on"));
            let kind = kind.ok_or_else(|| Refusal::not_found("Resource not found."))?;
            match rest {
                [] if reads => materials(cloud, request, kind),
                [id] if reads => material(cloud, kind, id),
                [id] if writes => update(cloud, request, kind, id),
                [] | [_] => Err(no_method()),
                _ => Err(Refusal::not_found("Resource not found.")),
            }
        }
        [] => Err(Refusal::not_found("Resource not found.")),
    }
}

fn admit(cloud: &Cortecloud, request: &Incoming) -> Result<(), Refusal> {
    let refused = |status, message: &str| Err(Refusal::broken(status, AUTH, message));
    if request.param("api_key").is_some() {
        request.note(KEY_IN_URL, "api_key is in the query");
    }
    let Some(key) = request.header("x-dreamfactory-api-key").or(request.param("api_key")) else {
        return refused(StatusCode::BAD_REQUEST, "No API Key provided. Please provide a valid API Key.");
    };
    let Some(basic) = request.header("authorization").and_then(|value| value.strip_prefix("Basic ")) else {
        return refused(StatusCode::BAD_REQUEST, "No session token (JWT) or credentials provided.");
    };
    let user =
        STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    // Only the first colon parts the two: a password may have more.
    if user.split_once(':') != Some((&cloud.inside.email, &cloud.inside.password)) {
        return refused(StatusCode::UNAUTHORIZED, "Unauthorized. User credentials did not match.");
    }
    if key != cloud.inside.api_key {
        return refused(StatusCode::FORBIDDEN, "Access Forbidden. The API Key is not active or has no role.");
    }
    Ok(())
}

fn services(cloud: &Cortecloud, request: &Incoming) -> Result<Response, Refusal> {
    let local = cloud.switches.is("dates", "local");
    let (answer, hooks) = {
        let mut state = lock(&cloud.inside.state);
        let mut order: Vec<usize> = (0..state.services.len()).collect();
        if cloud.switches.is("order", "newest-first") {
            order.sort_by_key(|at| std::cmp::Reverse((state.services[*at].updated, state.services[*at].id)));
        }
        let rows: Vec<Value> = order.iter().map(|at| state.services[*at].item(local)).collect();
        let answer = page(cloud, request, &mut state, rows)?;
        state.pages += 1;
        let reached = state.pages;
        let hooks: Vec<_> = state.hooks.extract_if(.., |(at, _)| *at <= reached).collect();
        (answer, hooks)
    };
    // Outside the lock: hooks change the services.
    for (_, hook) in hooks {
        hook(cloud);
    }
    Ok(answer)
}

/// The rows from `offset` on, in the envelope the switches ask for.
fn page(
    cloud: &Cortecloud,
    request: &Incoming,
    state: &mut State,
    mut rows: Vec<Value>,
) -> Result<Response, Refusal> {
    let number = |name: &str| match request.param(name) {
        None => {
            request.note(LIMIT, format!("`{name}` is missing"));
            Ok(None)
        }
        Some(text) => text
            .parse::<usize>()
            .map(Some)
            .map_err(|_| Refusal::bad(LIMIT, format!("`{name}` must be a number, not `{text}`"))),
    };
    let largest = cloud.switches.number("max-limit").max(1);
    let limit = number("limit")?.unwrap_or(largest).clamp(1, largest);
    let offset = number("offset")?.unwrap_or(0);
    let path = request.route().join("/");
    if offset > 0 && !state.handed_out.contains(&(path.clone(), offset)) {
        request.note(OFFSET, format!("offset {offset} was never `meta.next`"));
    }
    let total = rows.len();
    // Positions, not rows, are counted: the rows of the empty page are hidden from this caller.
    let hole = cloud.switches.number("empty-page").checked_sub(1).map(|page| page * limit);
    if let Some(at) = hole.filter(|at| *at <= rows.len()) {
        rows.splice(at..at, vec![Value::Null; limit]);
    }
    let positions = rows.len();
    let end = offset.saturating_add(limit).min(positions);
    let items: Vec<Value> = rows.into_iter().skip(offset).take(limit).filter(|row| !row.is_null()).collect();
    let honest = (end < positions).then_some(end);
    let next = match cloud.switches.text("next").as_str() {
        "stands-still" => Some(offset),
        "goes-back" => honest.map(|_| offset.saturating_sub(limit)),
        _ => honest,
    };
    if let Some(next) = next {
        state.handed_out.insert((path, next));
    }
    let name = cloud.switches.text("items");
    if name == "array" {
        return Ok(axum::Json(items).into_response());
    }
    let mut answer = Map::new();
    answer.insert(name, items.into());
    if !cloud.switches.is("next", "missing") {
        answer.insert("meta".to_owned(), json!({"count": total, "next": next}));
    }
    Ok(axum::Json(answer).into_response())
}

fn no_service(id: &str) -> Refusal {
    Refusal::not_found(format!("Record with identifier '{id}' not found."))
}

fn service(cloud: &Cortecloud, id: &str) -> Result<Response, Refusal> {
    let detail = id.parse().ok().and_then(|id| cloud.service(id));
    Ok(axum::Json(detail.ok_or_else(|| no_service(id))?).into_response())
}

fn body(request: &Incoming, rule: &'static str) -> Result<Map<String, Value>, Refusal> {
    match request.json()? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::bad(rule, "the body is no object")),
    }
}

fn link(cloud: &Cortecloud, request: &Incoming, id: &str) -> Result<Response, Refusal> {
    let fields = body(request, CODE)?;
    let others: Vec<&str> =
        fields.keys().map(String::as_str).filter(|name| *name != "internal_code").collect();
    if !others.is_empty() {
        let what = format!("only internal_code can be changed, not {}", others.join(", "));
        if cloud.switches.is("other-fields", "refused") {
            return Err(Refusal::bad(ONLY_CODE, what));
        }
        request.note(ONLY_CODE, what);
    }
    let code = fields.get("internal_code").and_then(Value::as_str).filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| Refusal::bad(CODE, "internal_code is missing, empty or no text"))?;
    let id_number: Option<u64> = id.parse().ok();
    let mut state = lock(&cloud.inside.state);
    let service = state.services.iter_mut().find(|service| Some(service.id) == id_number);
    let service = service.ok_or_else(|| no_service(id))?;
    if let Some(old) = service.internal_code.as_deref().filter(|old| *old != code) {
        request.note(OVERWRITTEN, format!("service {id} was `{old}` and is now `{code}`"));
    }
    if service.internal_code.as_deref() != Some(code) {
        service.internal_code = Some(code.to_owned());
        service.updated = cloud.wire.clock().now();
    }
    state.writes += 1;
    Ok(axum::Json(json!({"id": id_number})).into_response())
}

fn materials(cloud: &Cortecloud, request: &Incoming, kind: Material) -> Result<Response, Refusal> {
    let rows: Vec<Value> = cloud.materials(kind).into_values().collect();
    page(cloud, request, &mut lock(&cloud.inside.state), rows)
}

fn material(cloud: &Cortecloud, kind: Material, id: &str) -> Result<Response, Refusal> {
    let found = id.parse().ok().and_then(|id: u64| cloud.materials(kind).remove(&id));
    Ok(axum::Json(found.ok_or_else(|| no_service(id))?).into_response())
}

fn update(cloud: &Cortecloud, request: &Incoming, kind: Material, id: &str) -> Result<Response, Refusal> {
    let fields = body(request, MATERIAL)?;
    if fields.is_empty() {
        return Err(Refusal::bad(MATERIAL, "nothing to update"));
    }
    for (name, value) in &fields {
        let fits = match name.as_str() {
            "internal_code" => value.is_string(),
            "active" => value.is_boolean(),
            "price" | "stock" => value.is_number() && !value.to_string().starts_with('-'),
            _ => false,
        };
        if !fits {
            return Err(Refusal::bad(MATERIAL, format!("{name}: {value}")));
        }
    }
    let mut state = lock(&cloud.inside.state);
    let all = state.materials.entry(kind).or_default();
    let material = id.parse().ok().and_then(|id: u64| all.get_mut(&id)).ok_or_else(|| no_service(id))?;
    material.extend(fields);
    let answer = Value::from(material.clone());
    state.writes += 1;
    Ok(axum::Json(answer).into_response())
}
