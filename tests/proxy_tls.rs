//! The tests of `proxy`, over TLS.

#[path = "proxy/http1.rs"]
mod http1;
#[path = "proxy/suite.rs"]
mod suite;

use suite::*;
