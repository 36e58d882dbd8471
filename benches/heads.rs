//! What reading a head costs, rewriting it and writing it out: `cargo bench --bench heads`.
//!
//! The heads are those of the other benches: a browser's small one, what an app on a phone sends,
//! what Rails answers. `read` is what becomes of the lines of fields on both sides; the line ahead
//! of them is not in it. `read_into_a_map` is the same for who has to have all fields in a map, as
//! over HTTP/2.

use bytes::{Bytes, BytesMut};
use divan::{AllocProfiler, Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use usher::{
    bind::Bind,
    http1::{fields, lines::Lines, names::Known, text::append_field},
    peer::{Peer, Protocol},
    proxy::{
        RequestId,
        headers::{self, Framing, Introduction},
    },
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const FIELDS_MAX: usize = 100;

const SHAPES: [&str; 3] = ["browser", "phone", "rails"];
const REQUESTS: [&str; 2] = ["browser", "phone"];

const BROWSER: &str = "Host: shop.example\r\nAccept: text/html, */*\r\nCookie: visitor=1\r\n";

fn main() {
    divan::main();
}

/// Lines of fields, read as a door or a connection to an endpoint reads them.
#[divan::bench(args = SHAPES)]
fn read(bencher: Bencher<'_, '_>, shape: &str) {
    let bytes = head(shape);
    bencher.bench_local(|| sorted(black_box(&bytes), shape));
}

#[divan::bench(args = SHAPES)]
fn read_into_a_map(bencher: Bencher<'_, '_>, shape: &str) {
    let bytes = head(shape);
    bencher.bench_local(|| fields::read(black_box(&bytes), FIELDS_MAX));
}

/// Stripped of what must not reach Rails, and told what usher says of it.
#[divan::bench(args = REQUESTS)]
fn rewrite(bencher: Bencher<'_, '_>, shape: &str) {
    let bytes = head(shape);
    let peer = peer();
    let [host, audience] = ["shop.example", "customer"].map(HeaderValue::from_static);
    let request_id = RequestId::drawn(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    bencher.with_inputs(|| sorted(&bytes, shape)).bench_local_values(|(mut map, mut lines)| {
        let brought = headers::clean(&Method::GET, &mut map, &mut lines, &peer, &[]);
        let said = Introduction {
            peer: &peer,
            protocol: Protocol::Http11,
            brought,
            host: Some(&host),
            audience: &audience,
            request_id: &request_id,
            arrived_ms: 1_700_000_000_000,
            pseudonym: "usher-0123abcd",
            framing: Framing::None,
        };
        headers::introduce(&mut map, &mut lines, &said);
        (map, lines)
    });
}

/// Written out for the other side, into memory that stays.
#[divan::bench(args = SHAPES)]
fn write(bencher: Bencher<'_, '_>, shape: &str) {
    let (map, lines) = sorted(&head(shape), shape);
    let mut text = BytesMut::with_capacity(16 * 1024);
    bencher.bench_local(|| {
        text.clear();
        for (name, value) in black_box(&map) {
            append_field(&mut text, name, value.as_bytes());
        }
        black_box(&lines).append_to(&mut text, None);
        text.len()
    });
}

/// Fields that somebody has to do with in a map, and all others where they lie.
fn sorted(bytes: &Bytes, shape: &str) -> (HeaderMap, Lines) {
    let known = if shape == "rails" { Known::of_answer } else { Known::of_request };
    let cut = Lines::cut(bytes, 0, FIELDS_MAX, |cut| known(cut.name));
    let (mut lines, _end) = cut.expect("fields");
    let mut map = HeaderMap::new();
    let kept = lines.settle(bytes, |_known, name, value| {
        map.append(HeaderName::from_bytes(name)?, HeaderValue::from_maybe_shared(value)?);
        Ok::<(), http::Error>(())
    });
    kept.expect("names and values");
    (map, lines)
}

fn head(shape: &str) -> Bytes {
    let lines = match shape {
        "browser" => BROWSER.to_owned(),
        "phone" => phone(),
        _ => rails(),
    };
    Bytes::from(lines + "\r\n")
}

fn phone() -> String {
    let (token, session) = ("c".repeat(390), "k".repeat(320));
    let signature = "s".repeat(86);
    format!(
        "Host: shop.example\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\n\
         Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.{token}.{signature}\r\n\
         Cache-Control: no-cache\r\nCookie: _shop_session={session}; visitor=8f14e45f; ab=3\r\n\
         If-None-Match: W/\"6d82cbb050ddc7fa9cbb659014546e59\"\r\n\
         Referer: https://shop.example/menus\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-origin\r\n\
         User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1\r\n\
         X-App-Build: 5210\r\nX-App-Version: 5.2.1\r\n\
         X-Device-Id: 9b2f4c1e-6f0a-4b57-9a2c-0d6f3f1f7f10\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    )
}

fn rails() -> String {
    let session = "k".repeat(320);
    format!(
        "X-Frame-Options: SAMEORIGIN\r\nX-XSS-Protection: 1; mode=block\r\n\
         X-Content-Type-Options: nosniff\r\nX-Download-Options: noopen\r\n\
         X-Permitted-Cross-Domain-Policies: none\r\n\
         Referrer-Policy: strict-origin-when-cross-origin\r\n\
         Content-Type: application/json; charset=utf-8\r\nVary: Accept\r\n\
         ETag: W/\"6d82cbb050ddc7fa9cbb659014546e59\"\r\n\
         Cache-Control: max-age=0, private, must-revalidate\r\n\
         Set-Cookie: _shop_session={session}; path=/; HttpOnly; SameSite=Lax\r\n\
         X-Request-Id: 8e1f2b64-7a53-4c1e-9d0b-2f6f3e1a7c55\r\nX-Runtime: 0.006443\r\n\
         Content-Length: 1024\r\n"
    )
}

fn peer() -> Peer {
    let (address, local) = (([203, 0, 113, 7], 40_000).into(), ([10, 0, 0, 1], 443).into());
    Peer {
        address: Some(address),
        local: Some(local),
        listener: Bind::Tcp(local),
        trusted: false,
        tls: None,
    }
}
