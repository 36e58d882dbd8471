//! Where the gate is asked and told.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{AnnotationOrder, EndOrder, GateOrder, OverrideOrder};
use crate::control::{
    By, Sight,
    answer::Problem,
    guard::Whence,
    keys::Caller,
    orders::{self},
};

type Seen = State<Arc<dyn Sight>>;
type Whose = (Extension<Caller>, Extension<Whence>);

/// The gate's paths.
pub(in crate::control) fn routes() -> Router<Arc<dyn Sight>> {
    Router::new()
        .route("/api/v1/gate", get(ask))
        .route("/api/v1/gate/override", post(override_it))
        .route("/api/v1/gate/end", post(end))
        .route("/api/v1/gate/annotate", post(annotate))
}

async fn ask(State(sight): Seen, RawQuery(query): RawQuery) -> Response {
    let (mut audiences, mut class) = (String::new(), "normal".to_owned());
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*key {
            "audience" => audiences = value.into_owned(),
            "class" => class = value.into_owned(),
            other => {
                return wrong(format!("`{other}` is no parameter of this path: audience, class."));
            }
        }
    }
    let audiences: Vec<&str> = audiences.split(',').filter(|name| !name.is_empty()).collect();
    match sight.gate(&audiences, &class) {
        Ok(view) => Json(view).into_response(),
        Err(complaint) => wrong(complaint),
    }
}

async fn override_it(sight: Seen, whose: Whose, headers: HeaderMap, body: Bytes) -> Response {
    tell::<OverrideOrder>(sight, whose, &headers, &body, GateOrder::Override)
}

async fn end(sight: Seen, whose: Whose, headers: HeaderMap, body: Bytes) -> Response {
    tell::<EndOrder>(sight, whose, &headers, &body, GateOrder::End)
}

async fn annotate(sight: Seen, whose: Whose, headers: HeaderMap, body: Bytes) -> Response {
    tell::<AnnotationOrder>(sight, whose, &headers, &body, GateOrder::Annotate)
}

fn tell<T>(
    State(sight): Seen,
    (Extension(caller), Extension(from)): Whose,
    headers: &HeaderMap,
    body: &[u8],
    order: fn(T) -> GateOrder,
) -> Response
where
    T: Default + for<'de> Deserialize<'de>,
{
    let order = match orders::read::<T>(headers, body) {
        Ok(read) => order(read),
        Err(complaint) => return wrong(complaint),
    };
    let why = order.why();
    if let Some(complaint) = why.complaint() {
        return wrong(complaint);
    }
    match sight.tell_gate(&order, &By::caller(&caller, from, why)) {
        Ok(view) => Json(view).into_response(),
        Err(complaint) => wrong(complaint),
    }
}

fn wrong(complaint: String) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, complaint).into_response()
}
