//! Which doors a reload opens and closes, and those that it could not open.

use crate::{
    bind::{Access, Bind},
    config::Config,
    edge::{self, Door, Order},
};

/// Doors that the file wants and that could not be opened, for which all of it was refused. They
/// are tried again, since the file need not change for that to change.
#[derive(Debug, Default)]
pub(super) struct Shut(Vec<(Bind, Access)>);

// === impl Shut ===

impl Shut {
    /// The doors of `new` that are not there in `old`.
    pub(super) fn of(old: &Config, new: &Config) -> Self {
        let is_new = |bind: &Bind| !old.listeners.iter().any(|known| known.bind == *bind);
        let wanted = new.listeners.iter().filter(|wanted| is_new(&wanted.bind));
        Self(wanted.map(|wanted| (wanted.bind.clone(), wanted.access)).collect())
    }

    /// Whether there are such doors, and all of them could be opened now.
    pub(super) fn can_be_opened(&self) -> bool {
        let open = |(bind, access): &(Bind, Access)| edge::bind(bind, *access).is_ok();
        !self.0.is_empty() && self.0.iter().all(open)
    }
}

// === free functions ===

/// Which doors are opened and closed on the way from `old` to `new`. Those that are opened are
/// bound already.
pub(super) fn order(old: &Config, new: &Config) -> Result<Order, edge::BindError> {
    let mut order = Order::default();
    for listener in &new.listeners {
        let known = old.listeners.iter().find(|known| known.bind == listener.bind);
        if known.is_some_and(|known| known.access != listener.access) {
            order.dress.push((listener.bind.clone(), listener.access));
        }
        if known.is_none() {
            let socket = edge::bind(&listener.bind, listener.access)?;
            order.open.push(Door { bind: listener.bind.clone(), socket });
        }
    }
    let gone = |bind: &&Bind| !new.listeners.iter().any(|listener| listener.bind == **bind);
    order.close = old.listeners.iter().map(|known| &known.bind).filter(gone).cloned().collect();
    Ok(order)
}
