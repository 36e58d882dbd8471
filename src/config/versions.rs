//! Which versions of its app an audience serves.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::{
    classify::{PathPattern, VersionSource},
    policy::versions::Policy,
};

/// What was written of the versions of an audience's app.
#[derive(Clone, Debug)]
pub struct Versions {
    /// Where a request says its own; the first that says something counts.
    pub from: Arc<[VersionSource]>,
    /// Which are served, and which are told what.
    pub policy: Policy,
    /// Since when those that are not refused grow old, as they are told; counted from 1970.
    pub warn_since: Duration,
    /// Paths that all versions may ask for.
    pub exempt: Vec<PathPattern>,
    /// What those that are refused are answered; problem details or a page without it.
    pub answer: VersionAnswer,
}

/// What clients are answered whose app is too old.
#[derive(Clone, Debug)]
pub struct VersionAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, its type among them where a body was written.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body; usher's own without it.
    pub body: Option<Bytes>,
}
