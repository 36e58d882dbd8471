//! What is found where on the two ports.

use std::{sync::Arc, time::Duration};

use axum::{
    BoxError, Extension, Json, Router,
    body::Bytes,
    error_handling::HandleErrorLayer,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CACHE_CONTROL, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tower::ServiceBuilder;

use super::{
    Readiness, Refused, Sight,
    answer::Problem,
    gate,
    guard::{self, Guard, Whence},
    keys::Caller,
    orders::{self, Asked, BODY_BYTES_MAX, By, OrderBody, UPGRADE_SECONDS_MAX, UpgradeOrder, Why},
    versions,
};

/// Requests in progress on one port, `/live` and `/ready` not counted.
const REQUESTS_MAX: usize = 32;

/// How long one of them may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long an upgrade may take: as long as the new process may, and what it takes to end one.
const UPGRADE_TIME_MAX: Duration = Duration::from_secs(UPGRADE_SECONDS_MAX + 10);

/// What Prometheus calls its text format.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

type Seen = State<Arc<dyn Sight>>;

/// The control port.
pub(super) fn control(sight: Arc<dyn Sight>, guard: &Arc<Guard>) -> Router {
    let known = middleware::from_fn_with_state(guard.clone(), guard::known_callers_only);
    let own = middleware::from_fn_with_state(guard.clone(), guard::own_pages_only);
    let local = middleware::from_fn_with_state(guard.clone(), guard::local_names_only);
    let api = Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/audiences", get(audiences))
        .route("/api/v1/pools", get(pools))
        .route("/api/v1/config", get(config))
        .route("/api/v1/requests/{id}", get(requests))
        .route("/api/v1/slo", get(promises))
        .route("/api/v1/reload", post(reload))
        .merge(verbs())
        .merge(gate::routes())
        .merge(versions::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route_layer(known.clone());
    let slow = Router::new()
        .route("/api/v1/upgrade", post(upgrade))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route_layer(known);
    let api = bounded(api, REQUEST_TIME_MAX).merge(bounded(slow, UPGRADE_TIME_MAX));
    finish(api.merge(health()), sight).layer(own).layer(local)
}

/// A path for each order.
fn verbs() -> Router<Arc<dyn Sight>> {
    Asked::ALL.into_iter().fold(Router::new(), |routes, asked| {
        let carry_out = move |sight, caller, from, headers, body| async move {
            order(asked, sight, caller, from, headers, body).await
        };
        routes.route(&format!("/api/v1/{}", asked.name()), post(carry_out))
    })
}

/// The metrics port.
pub(super) fn metrics(sight: Arc<dyn Sight>) -> Router {
    let metrics = Router::new().route("/metrics", get(render));
    finish(bounded(metrics, REQUEST_TIME_MAX).merge(health()), sight)
}

/// Outside every bound: these must answer whatever else is asked for.
fn health() -> Router<Arc<dyn Sight>> {
    Router::new().route("/live", get(live)).route("/ready", get(ready))
}

fn bounded(routes: Router<Arc<dyn Sight>>, time_max: Duration) -> Router<Arc<dyn Sight>> {
    let bounds = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(out_of_bounds))
        .load_shed()
        .concurrency_limit(REQUESTS_MAX)
        .timeout(time_max);
    routes.layer(bounds)
}

fn finish(routes: Router<Arc<dyn Sight>>, sight: Arc<dyn Sight>) -> Router {
    let routes = routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    routes.with_state(sight)
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(sight): Seen) -> Response {
    let readiness = sight.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::NotBound
        | Readiness::NoSnapshot
        | Readiness::NotResolved
        | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{}\n", readiness.text())).into_response()
}

async fn render(State(sight): Seen) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], sight.metrics()).into_response()
}

async fn status(State(sight): Seen) -> Response {
    fresh(Json(sight.status()))
}

async fn audiences(State(sight): Seen) -> Response {
    fresh(Json(json!({ "audiences": sight.status().audiences })))
}

async fn pools(State(sight): Seen) -> Response {
    fresh(Json(json!({ "pools": sight.status().pools })))
}

async fn config(State(sight): Seen) -> Response {
    fresh(Json(sight.config()))
}

async fn requests(State(sight): Seen, Path(request_id): Path<String>) -> Response {
    match sight.requests(&request_id) {
        Ok(view) => fresh(Json(view)),
        Err(reach) => fresh(Problem::new(StatusCode::NOT_FOUND, reach)),
    }
}

async fn promises(State(sight): Seen) -> Response {
    fresh(Json(sight.promises()))
}

async fn reload(
    State(sight): Seen,
    Extension(caller): Extension<Caller>,
    Extension(from): Extension<Whence>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let why: Why = match orders::read(&headers, &body) {
        Ok(why) => why,
        Err(complaint) => return wrong(complaint),
    };
    if let Some(complaint) = why.complaint() {
        return wrong(complaint);
    }
    let view = sight.reload(By::caller(&caller, from, why)).await;
    let status =
        if view.result == "refused" { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    (status, fresh(Json(view))).into_response()
}

async fn order(
    asked: Asked,
    State(sight): Seen,
    Extension(caller): Extension<Caller>,
    Extension(from): Extension<Whence>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = orders::read(&headers, &body).and_then(|body: OrderBody| body.order(asked));
    let (order, why) = match body {
        Ok(order) => order,
        Err(complaint) => return wrong(complaint),
    };
    match sight.order(order, By::caller(&caller, from, why)).await {
        Ok(view) => fresh(Json(view)),
        Err(Refused::Unknown(detail)) => {
            Problem::new(StatusCode::NOT_FOUND, detail).into_response()
        }
        Err(Refused::Unwise(detail)) => Problem::new(StatusCode::CONFLICT, detail).into_response(),
    }
}

async fn upgrade(
    State(sight): Seen,
    Extension(caller): Extension<Caller>,
    Extension(from): Extension<Whence>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let order = orders::read::<UpgradeOrder>(&headers, &body).and_then(UpgradeOrder::parts);
    let (why, wait) = match order {
        Ok(parts) => parts,
        Err(complaint) => return wrong(complaint),
    };
    let view = sight.upgrade(By::caller(&caller, from, why), wait).await;
    let status =
        if view.result == "upgraded" { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, fresh(Json(view))).into_response()
}

/// An order that makes no sense.
fn wrong(complaint: String) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, complaint).into_response()
}

/// What is true now and need not be true a moment later.
fn fresh(body: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response()
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This path knows other methods: see Allow.")
}

async fn out_of_bounds(_error: BoxError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Too much is asked of this port at once.")
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;
    use crate::control::tests::Stand;

    /// A port with a path that never answers.
    fn stuck() -> Router {
        let routes = Router::new().route("/stuck", get(std::future::pending::<()>));
        finish(bounded(routes, REQUEST_TIME_MAX).merge(health()), Arc::new(Stand::default()))
    }

    async fn get_from(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("it always answers").status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_all_the_same() {
        assert_eq!(get_from(&stuck(), "/stuck").await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn with_too_many_requests_the_next_is_refused_and_probes_are_answered() {
        let router = stuck();
        let start = tokio::time::Instant::now();
        let mut stuck = tokio::task::JoinSet::new();
        for _ in 0..REQUESTS_MAX {
            let router = router.clone();
            stuck.spawn(async move { get_from(&router, "/stuck").await });
        }
        tokio::task::yield_now().await;
        assert_eq!(get_from(&router, "/stuck").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get_from(&router, "/live").await, StatusCode::OK);
        assert_eq!(get_from(&router, "/ready").await, StatusCode::OK);
        assert!(start.elapsed() < REQUEST_TIME_MAX, "nobody waited");
    }
}
