//! The doors: where clients' connections are accepted, spread over the workers, and read.
//!
//! One acceptor thread owns every listening socket. It hands a connection to the worker that has
//! the fewest, and from then on the connection never leaves that worker's thread.

mod accept;
mod census;
mod date;
mod enter;
pub mod h1;
pub mod h2;
mod house;
mod introduce;
mod leave;
mod listen;
mod load;
mod pace;
mod rules;
mod stream;
mod strict;
mod work;

pub use accept::{Door, Doorman, Order};
pub use census::{Census, Counts, Handshake, Introduction, Place, Reading};
pub use house::House;
pub use listen::{BindError, Listener, Listening, SocketFile, bind};
pub use load::Load;
pub use stream::{Connected, Socket, Stream};
pub use work::{Accepted, Desk, Handed, INBOX, work};
