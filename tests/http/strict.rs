//! A second reader of requests: simple, slow, strict, and nothing of it from the codec.
//!
//! It takes only what a careful proxy writes, so that whatever differs from that is seen.

/// A request that is there whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub line: String,
    /// The fields, names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    pub chunked: bool,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// What is wrong with the bytes.
pub type Problem = &'static str;

/// The first request of `bytes` and how long it is, or nothing while it is not whole.
pub fn read(bytes: &[u8]) -> Result<Option<(Request, usize)>, Problem> {
    let mut at = 0;
    let Some(line) = line(bytes, &mut at)? else { return Ok(None) };
    let line = request_line(line)?;
    let Some(fields) = fields(bytes, &mut at)? else { return Ok(None) };
    let values = |name: &str| -> Vec<&Vec<u8>> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect()
    };
    if values("host").len() != 1 {
        return Err("not one Host");
    }
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    let chunked = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => false,
        ([length], []) => {
            let Some(part) = take(bytes, &mut at, decimal(length)?) else { return Ok(None) };
            body.extend_from_slice(part);
            false
        }
        ([], [coding]) if **coding == b"chunked" => {
            if !chunks(bytes, &mut at, &mut body)? {
                return Ok(None);
            }
            let Some(found) = self::fields(bytes, &mut at)? else { return Ok(None) };
            trailers = found;
            true
        }
        _ => return Err("not one framing"),
    };
    Ok(Some((Request { line, fields, chunked, body, trailers }, at)))
}

/// The next line without its CRLF.
fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Result<Option<&'b [u8]>, Problem> {
    let rest = &bytes[*at..];
    let Some(end) = rest.iter().position(|&b| b == b'\n') else { return Ok(None) };
    let line = rest[..end].strip_suffix(b"\r").ok_or("a bare LF")?;
    if line.iter().any(|&b| b != b'\t' && (b < b' ' || b == 0x7f)) {
        return Err("a control byte");
    }
    *at += end + 1;
    Ok(Some(line))
}

fn request_line(line: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(line).map_err(|_| "a request line that is not ASCII")?;
    let parts: Vec<&str> = text.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err("not three parts") };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err("no method");
    }
    let origin_form = target.starts_with('/') || (method == "OPTIONS" && target == "*");
    if !origin_form || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err("no target");
    }
    Ok(text.to_owned())
}

type Fields = Vec<(String, Vec<u8>)>;

/// Fields up to the empty line behind them.
fn fields(bytes: &[u8], at: &mut usize) -> Result<Option<Fields>, Problem> {
    let mut fields = Vec::new();
    loop {
        let Some(line) = line(bytes, at)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(fields));
        }
        let colon = line.iter().position(|&b| b == b':').ok_or("a field without a colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err("a name that is no token");
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, value.to_vec()));
    }
}

fn chunks(bytes: &[u8], at: &mut usize, body: &mut Vec<u8>) -> Result<bool, Problem> {
    loop {
        let Some(line) = line(bytes, at)? else { return Ok(false) };
        let text = std::str::from_utf8(line).map_err(|_| "no chunk size")?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("no chunk size");
        }
        let size = usize::from_str_radix(text, 16).map_err(|_| "a chunk size too large")?;
        if size == 0 {
            return Ok(true);
        }
        let Some(part) = take(bytes, at, size) else { return Ok(false) };
        body.extend_from_slice(part);
        match take(bytes, at, 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err("no CRLF behind a chunk"),
            None => return Ok(false),
        }
    }
}

fn take<'b>(bytes: &'b [u8], at: &mut usize, length: usize) -> Option<&'b [u8]> {
    let part = bytes.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(part)
}

fn decimal(digits: &[u8]) -> Result<usize, Problem> {
    let plain = digits == b"0" || (digits.first() != Some(&b'0') && !digits.is_empty());
    if !plain || !digits.iter().all(u8::is_ascii_digit) {
        return Err("no plain length");
    }
    let text = std::str::from_utf8(digits).map_err(|_| "no length")?;
    text.parse().map_err(|_| "a length too large")
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
