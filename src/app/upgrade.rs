//! An upgrade as it was asked for: carried out, written down and answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    estates::Estates,
    sight::HouseSight,
    succession::{Heir, READY_WAIT},
};
use crate::control::{By, Deed, UpgradeView};

/// Starts the binary that lies where this one came from and hands over to it, because of `by`.
pub(super) async fn upgrade(sight: &HouseSight, by: &By, wait: Option<Duration>) -> UpgradeView {
    let from = env!("CARGO_PKG_VERSION").to_owned();
    let wait = wait.unwrap_or(READY_WAIT);
    let upgraded = sight.succession().succeed(&Estates::of(sight), sight.orders(), wait).await;
    let (result, detail, after) = match &upgraded {
        Ok(heir) => ("done", None, json!({ "version": heir.usher, "pid": heir.pid })),
        Err(error) => {
            tracing::error!("not upgraded: {error}");
            ("refused", Some(error.to_string()), Value::Null)
        }
    };
    sight.guard().audit.note(&Deed {
        before: json!({ "version": from, "pid": std::process::id() }),
        after,
        detail: detail.clone(),
        ..by.deed("upgrade", result)
    });
    match upgraded {
        Ok(Heir { usher, pid }) => UpgradeView {
            result: "upgraded".to_owned(),
            from,
            to: Some(usher),
            pid: Some(pid),
            problem: None,
        },
        Err(_) => UpgradeView {
            result: "refused".to_owned(),
            from,
            problem: detail,
            ..UpgradeView::default()
        },
    }
}
