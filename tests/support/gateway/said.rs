//! What a test says as HTTP/1.1, as HTTP/2 has it.

use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// How the body of a request is cut.
#[derive(Clone, Copy, PartialEq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

/// The key of a WebSocket handshake, whose answer the test is to see.
pub struct Key(pub String);

/// A request of HTTP/1.1 as HTTP/2 has it.
pub struct Said {
    pub request: Request<()>,
    pub framing: Framing,
    pub key: Option<Key>,
    /// Whether it is the last on its connection.
    pub is_last: bool,
}

/// What `head` says, which is whole.
pub fn read(head: &str) -> Said {
    let mut lines = head.trim_end().split("\r\n");
    let line: Vec<&str> = lines.next().expect("a line").split(' ').collect();
    let [method, target, "HTTP/1.1"] = line[..] else { panic!("HTTP/2 cannot say {line:?}") };
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let find = |name| fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let framing = match (find("transfer-encoding"), find("content-length")) {
        (None, length) => Framing::Length(length.map_or(0, |it| it.parse().expect("a number"))),
        (Some("chunked"), None) => Framing::Chunked,
        said => panic!("HTTP/2 cannot say {said:?}"),
    };
    let connection = find("connection").unwrap_or_default().to_ascii_lowercase();
    let named: Vec<&str> = connection.split(',').map(str::trim).collect();
    let upgrade = find("upgrade").filter(|_| named.contains(&"upgrade"));
    let key = upgrade.filter(|to| to.eq_ignore_ascii_case("websocket")).map(|_| {
        assert_eq!(method, "GET", "HTTP/2 cannot say {head:?}");
        Key(find("sec-websocket-key").expect("a key, or HTTP/2 cannot say it").to_owned())
    });
    let host = find("host").expect("a host");
    let uri = match target.starts_with('/') || target == "*" {
        true => {
            let uri = Uri::builder().scheme("https").authority(host);
            uri.path_and_query(target).build()
        }
        false => target.parse().map_err(http::Error::from),
    };
    let mut request = Request::new(());
    *request.uri_mut() = uri.unwrap_or_else(|error| panic!("{target:?} is no target: {error}"));
    *request.method_mut() = match key {
        Some(_) => Method::CONNECT,
        None => method.parse().expect("a method"),
    };
    for (name, value) in &fields {
        let gone = ["host", "connection", "upgrade", "transfer-encoding", "keep-alive"];
        let gone = gone.contains(&&**name) || named.contains(&&**name);
        let replaced = key.is_some() && name == "sec-websocket-key";
        if !gone && !replaced {
            let bytes: Vec<u8> = value.chars().map(|it| it as u8).collect();
            let value = HeaderValue::from_bytes(&bytes).expect("a value");
            request.headers_mut().append(name.parse::<HeaderName>().expect("a name"), value);
        }
    }
    Said { request, framing, key, is_last: named.contains(&"close") }
}
