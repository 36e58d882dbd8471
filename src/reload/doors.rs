//! Which doors a reload opens and closes, and the one that it could not open.

use crate::{
    bind::{Access, Bind},
    config::Config,
    edge::{self, Door, Order},
};

/// A door that the file wants and that could not be opened, for which all of it was refused. It is
/// tried again, since the file need not change for that to change; and it alone, since a door that
/// can be opened would be there for a moment each time.
#[derive(Debug, Default)]
pub(super) struct Shut(Option<(Bind, Access)>);

// === impl Shut ===

impl Shut {
    /// The door of `new` at `bind`.
    pub(super) fn of(new: &Config, bind: &Bind) -> Self {
        let wanted = new.listeners.iter().find(|wanted| wanted.bind == *bind);
        Self(wanted.map(|wanted| (wanted.bind.clone(), wanted.access)))
    }

    /// Whether there is such a door, and it could be opened now.
    pub(super) fn can_be_opened(&self) -> bool {
        self.0.as_ref().is_some_and(|(bind, access)| edge::bind(bind, *access).is_ok())
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
