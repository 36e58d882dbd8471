//! The gate before a deploy.

use crate::{
    config::document::{self, At, PercentLeaf, Reader},
    slo::Thresholds,
};

/// Lowers its thresholds, which have to descend.
pub(super) fn lower(at: Option<&At<document::Gate>>, reader: &mut Reader) -> Thresholds {
    let usual = Thresholds::default();
    let Some(At { value, key, .. }) = at else { return usual };
    let or =
        |at: &Option<At<PercentLeaf>>, usual| at.as_ref().map_or(usual, |at| at.value.0.ratio());
    let thresholds = Thresholds {
        yellow: or(&value.yellow, usual.yellow),
        red: or(&value.red, usual.red),
        frozen: or(&value.frozen, usual.frozen),
        margin: or(&value.margin, usual.margin),
    };
    let Thresholds { yellow, red, frozen, margin } = thresholds;
    if yellow < red || red < frozen {
        let hint = "from the laxest to the strictest: `yellow: 50%`, `red: 25%`, `frozen: 10%`";
        reader.error_with(*key, "the gate's thresholds do not descend", hint);
    }
    if yellow + margin > 1.0 {
        let message = "with these thresholds a gate that was shut never opens";
        reader.error_with(*key, message, "`yellow` and `margin` together are at most 100%");
    }
    thresholds
}
