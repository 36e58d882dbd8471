//! stub
use crate::{deadline::Wheel, drain::Drain, peer::Peer, proxy::Proxy};
use std::sync::Arc;
use tokio::net::TcpStream;
/// stub
#[derive(Debug)]
pub struct Rules;
/// stub
pub async fn serve(_s: TcpStream, _p: Arc<Peer>, _r: Arc<Rules>, _w: Wheel, _d: Drain, _x: Proxy) {}

impl Rules {
    /// stub
    pub fn new(_: &crate::config::Limits) -> Self { Self }
}
