//! Pasted `curl` command lines.
//!
//! Only what changes the head of a request is taken out; other options are passed over together
//! with their values, and named when they are unknown or matter in a way not worked out here.

mod quotes;

use super::explain::{AskError, Asked};
use quotes::without_dollar_quotes;

/// Short options that take a value.
const SHORT_WITH_VALUE: &str = "AbcCdDeEFHKmoPQrtTuUwxXyYz";

/// Long options that take a value and are understood.
const LONG_UNDERSTOOD: &str = "\
    url request header user-agent referer range oauth2-bearer cookie upload-file form form- \
    string json url-query user proxy data data-ascii data-binary data-raw data-urlencode \
    request-target";

/// Long options that take a value and change nothing about the head of a request.
const LONG_WITH_VALUE: &str = "\
    abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config connect- \
    timeout connect-to continue-at cookie-jar create-file-mode crlfile curves delegation dns- \
    interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header ech egd-file engine \
    etag-compare etag-save expect100-timeout ftp-account ftp-method ftp-port happy-eyeballs- \
    timeout-ms haproxy-clientip hostpubmd5 hostpubsha256 hsts interface ip-tos ipfs-gateway \
    keepalive-cnt keepalive-time key key-type krb libcurl limit-rate local-port login-options \
    mail-auth mail-from mail-rcpt max-filesize max-redirs max-time netrc-file noproxy output \
    output-dir parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy \
    proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers proxy-crlfile proxy- \
    header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name proxy- \
    tls13-ciphers proxy-tlsauthtype proxy-tlspassword proxy-tlsuser proxy-user proxy1.0 pubkey \
    quote random-file rate request-target resolve retry retry-delay retry-max-time sasl-authzid \
    service-name socks4 socks4a socks5 socks5-gssapi-service socks5-hostname speed-limit speed- \
    time stderr telnet-option tftp-blksize time-cond tls-max tls13-ciphers tlsauthtype \
    tlspassword tlsuser trace trace-ascii trace-config unix-socket variable vlan-priority \
    write-out";

/// Long options without a value that change nothing about the head of a request.
const LONG_WITHOUT_VALUE: &str = "\
    anyauth basic compressed create-dirs digest disable fail fail-early fail-with-body globoff \
    http0.9 http1.0 http1.1 http2 http2-prior-knowledge http3 http3-only include insecure ipv4 \
    ipv6 junk-session-cookies location location-trusted negotiate netrc netrc-optional no-alpn \
    no-buffer no-clobber no-keepalive no-progress-meter no-sessionid ntlm parallel parallel- \
    immediate post301 post302 post303 progress-bar proxytunnel raw remote-header-name remote- \
    name remote-name-all remote-time remove-on-error retry-all-errors retry-connrefused show- \
    error show-headers silent ssl ssl-reqd styled-output tcp-fastopen tcp-nodelay tlsv1 tlsv1.0 \
    tlsv1.1 tlsv1.2 tlsv1.3 tr-encoding verbose version xattr";

const SHORT_WITHOUT_VALUE: &str = "#012346aBfgijJklLMnNOpqRsSvVZ";

/// What has been read of a command line.
#[derive(Debug, Default)]
struct Line {
    urls: Vec<String>,
    method: Option<String>,
    implied: Option<&'static str>,
    fields: Vec<String>,
    data: Vec<String>,
    form: Vec<String>,
    data_in_query: bool,
    /// Whether a part of the body stands where it was not read.
    data_unread: bool,
    path_as_is: bool,
    notes: Vec<String>,
}

/// Reads a command line as it was pasted, quotes and all.
pub fn parse_line(line: &str) -> Result<Asked, AskError> {
    let one_line = line.replace("\\\r\n", " ").replace("\\\n", " ");
    let words = shlex::split(&without_dollar_quotes(&one_line)).ok_or(AskError::OpenQuote)?;
    parse_words(words.get(1..).unwrap_or_default())
}

/// Reads the words behind `curl`.
pub fn parse_words(words: &[String]) -> Result<Asked, AskError> {
    let mut line = Line::default();
    let mut words = words.iter().map(String::as_str);
    let mut only_urls = false;
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            _ if only_urls || !word.starts_with('-') || word == "-" => {
                line.urls.push(word.to_owned())
            }
            Some("") => only_urls = true,
            Some("next") => {
                line.notes.push("only the request before `--next` is explained".to_owned());
                break;
            }
            Some(name) => line.long(name, &mut words)?,
            None => line.short(&word[1..], &mut words)?,
        }
    }
    line.ask()
}

// === impl Line ===

impl Line {
    /// A long option; `--name=value` is taken as well, though curl itself has only `--name value`.
    fn long<'w>(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), AskError> {
        let (name, inline) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        if self.flag(name) || named(LONG_WITHOUT_VALUE, name) || name.starts_with("no-") {
            return Ok(());
        }
        if !named(LONG_UNDERSTOOD, name) && !named(LONG_WITH_VALUE, name) {
            self.notes.push(format!("curl's `--{name}` is not known here and taken as a flag"));
            return Ok(());
        }
        let no_value = || AskError::NoValue { option: format!("--{name}") };
        let value = inline.or_else(|| words.next()).ok_or_else(no_value)?;
        self.value(name, value);
        Ok(())
    }

    /// Short options that share one dash: `-sSXPOST` is `-s -S -X POST`.
    fn short<'w>(
        &mut self,
        cluster: &str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), AskError> {
        for (at, letter) in cluster.char_indices() {
            if SHORT_WITH_VALUE.contains(letter) {
                let attached = &cluster[at + letter.len_utf8()..];
                let no_value = || AskError::NoValue { option: format!("-{letter}") };
                let value = match attached {
                    "" => words.next().ok_or_else(no_value)?,
                    attached => attached,
                };
                self.value(long_name(letter), value);
                return Ok(());
            }
            if !self.flag(long_name(letter)) && !SHORT_WITHOUT_VALUE.contains(letter) {
                self.notes
                    .push(format!("curl's `-{letter}` is not known here and taken as a flag"));
            }
        }
        Ok(())
    }

    /// An option without a value that changes the head.
    fn flag(&mut self, name: &str) -> bool {
        match name {
            "get" => self.data_in_query = true,
            "head" => self.implied = Some("HEAD"),
            "path-as-is" => self.path_as_is = true,
            _ => return false,
        }
        true
    }

    /// An option with its value.
    fn value(&mut self, name: &str, value: &str) {
        let text = value.to_owned();
        match name {
            "url" => self.urls.push(text),
            "request" => self.method = Some(text),
            "header" if value.starts_with('@') => self.unread(name),
            "header" => self.fields.push(text),
            "user-agent" => self.fields.push(format!("User-Agent: {value}")),
            "referer" => self.fields.push(format!("Referer: {value}")),
            "range" => self.fields.push(format!("Range: bytes={value}")),
            "oauth2-bearer" => self.fields.push(format!("Authorization: Bearer {value}")),
            "cookie" if !value.contains('=') => self.unread(name),
            "cookie" => self.fields.push(format!("Cookie: {value}")),
            "upload-file" => self.implied = Some("PUT"),
            "form" | "form-string" => self.form.push(text),
            "json" => {
                self.fields.push("Content-Type: application/json".to_owned());
                self.fields.push("Accept: application/json".to_owned());
                self.data.push(text);
            }
            "url-query" => self.notes.push("curl's `--url-query` is not worked out".to_owned()),
            "user" => {
                self.notes.push("the Authorization field of `--user` is not worked out".to_owned())
            }
            "proxy" => {
                self.notes.push("what the proxy of `--proxy` changes is not known".to_owned())
            }
            "request-target" => {
                self.notes.push("curl's `--request-target` is not worked out".to_owned());
            }
            _ if name.starts_with("data") => {
                if value.starts_with('@') && name != "data-raw" {
                    self.unread(name);
                    self.data_unread = true;
                }
                self.data.push(text);
            }
            _ => {}
        }
    }

    fn unread(&mut self, name: &str) {
        self.notes.push(format!("the file that `--{name}` names is not read"));
    }

    fn ask(mut self) -> Result<Asked, AskError> {
        let url = self.urls.first().ok_or(AskError::NoUrl)?;
        if self.urls.len() > 1 {
            self.notes.push("only the first URL is explained".to_owned());
        }
        let posts = !self.form.is_empty() || !self.data.is_empty() && !self.data_in_query;
        let implied = self.implied.unwrap_or(if posts { "POST" } else { "GET" });
        let mut asked = Asked::new(self.method.as_deref().unwrap_or(implied), url)?;
        if self.data_in_query && !self.data.is_empty() {
            let query = asked.query.into_iter().chain(std::mem::take(&mut self.data));
            asked.query = Some(query.collect::<Vec<_>>().join("&"));
        }
        if !self.path_as_is {
            let path = without_dot_segments(&asked.path);
            if path != asked.path {
                self.notes
                    .push("curl resolves dot segments itself; not with `--path-as-is`".to_owned());
                asked.path = path;
            }
        }
        let told = posts && self.form.is_empty() && !self.data_unread;
        asked.body = told.then(|| self.data.join("&"));
        asked.form_method = form_method(&self.form, &self.data);
        for field in &self.fields {
            add_field(&mut asked, field)?;
        }
        for default in self.defaults(posts) {
            let name = default.split(':').next().unwrap_or_default();
            let said =
                |field: &String| field.to_ascii_lowercase().starts_with(&name.to_ascii_lowercase());
            if !self.fields.iter().any(said) {
                asked.add_field(default)?;
            }
        }
        asked.notes.extend(self.notes);
        Ok(asked)
    }

    /// Fields that curl sends unless told otherwise. Its version is not known.
    fn defaults(&self, posts: bool) -> Vec<&'static str> {
        let mut fields = vec!["User-Agent: curl/8", "Accept: */*"];
        if posts && self.form.is_empty() {
            fields.push("Content-Type: application/x-www-form-urlencoded");
        } else if posts {
            fields.push("Content-Type: multipart/form-data");
        }
        fields
    }
}

/// `Name;` is a field without text, `Name:` takes a field back that curl would send by itself.
fn add_field(asked: &mut Asked, field: &str) -> Result<(), AskError> {
    match field.split_once(':') {
        Some((_, value)) if value.trim().is_empty() => Ok(()),
        None if field.ends_with(';') => asked.add_field(&field.replace(';', ":")),
        Some(_) | None => asked.add_field(field),
    }
}

fn form_method(form: &[String], data: &[String]) -> Option<String> {
    let named = form.iter().filter_map(|part| part.strip_prefix("_method=")).next_back();
    let pairs = data.iter().flat_map(|text| form_urlencoded::parse(text.as_bytes()));
    let posted = pairs.filter(|(name, _)| name == "_method").last();
    named.map(str::to_owned).or_else(|| posted.map(|(_, value)| value.into_owned()))
}

fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
        if segments.peek().is_none() && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn named(names: &str, name: &str) -> bool {
    names.split(' ').any(|known| known == name)
}

/// The long name of a short option that means something here.
fn long_name(letter: char) -> &'static str {
    match letter {
        'A' => "user-agent",
        'b' => "cookie",
        'd' => "data",
        'e' => "referer",
        'F' => "form",
        'G' => "get",
        'H' => "header",
        'I' => "head",
        'r' => "range",
        'T' => "upload-file",
        'u' => "user",
        'x' => "proxy",
        'X' => "request",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        parse_line(line).expect("a command line")
    }

    fn field<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
        asked.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn a_browsers_copied_command_line_is_understood() {
        let asked = asked(
            "curl 'https://shop.test/orders?x=1' \\\n  -X 'PUT' \\\n  -H 'accept: text/html' \\\n  \
             -H 'X-App: driver' -b 'a=1; b=2' --data-raw '{\"a\":1}' --compressed",
        );
        assert_eq!(
            (asked.method.as_str(), &*asked.host, &*asked.path),
            ("PUT", "shop.test", "/orders")
        );
        assert_eq!(asked.query.as_deref(), Some("x=1"));
        assert_eq!(field(&asked, "x-app"), Some("driver"));
        assert_eq!(field(&asked, "accept"), Some("text/html"));
        assert_eq!(field(&asked, "cookie"), Some("a=1; b=2"));
        assert!(asked.notes.is_empty(), "{:?}", asked.notes);
    }

    #[test]
    fn options_are_passed_over_together_with_their_values() {
        let asked =
            asked("curl -sSLo out.html --max-time 5 -w '%{http_code}' -kvXDELETE a.test/x -m5");
        assert_eq!((asked.method.as_str(), &*asked.host, &*asked.path), ("DELETE", "a.test", "/x"));
        assert!(asked.notes.is_empty(), "{:?}", asked.notes);
    }

    #[test]
    fn data_makes_a_post_and_may_hold_another_method() {
        let post = asked("curl -d name=x --data _method=patch http://a.test/orders/1");
        assert_eq!((post.method.as_str(), post.form_method.as_deref()), ("POST", Some("patch")));
        assert_eq!(field(&post, "content-type"), Some("application/x-www-form-urlencoded"));
        let form = asked("curl -F _method=delete -F file=@x http://a.test/");
        assert_eq!((form.method.as_str(), form.form_method.as_deref()), ("POST", Some("delete")));
        let get = asked("curl -G -d a=1 -d b=2 'http://a.test/?c=3'");
        assert_eq!((get.method.as_str(), get.query.as_deref()), ("GET", Some("c=3&a=1&b=2")));
        assert_eq!(asked("curl -I http://a.test/").method, "HEAD");
    }

    #[test]
    fn dot_segments_are_resolved_by_curl_itself_unless_told_otherwise() {
        assert_eq!(asked("curl http://a.test/x/../admin/./y").path, "/admin/y");
        assert_eq!(asked("curl http://a.test/x/..").path, "/");
        assert_eq!(asked("curl --path-as-is http://a.test/x/../admin").path, "/x/../admin");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let asked = asked("curl --brand-new http://a.test/ -u me:secret http://b.test/");
        assert_eq!(asked.notes.len(), 3, "{:?}", asked.notes);
        assert!(asked.notes.iter().all(|note| !note.contains("secret")));
        assert_eq!(parse_line("curl -s").err(), Some(AskError::NoUrl));
        assert_eq!(parse_line("curl 'x").err(), Some(AskError::OpenQuote));
        let no_value = AskError::NoValue { option: "-H".to_owned() };
        assert_eq!(parse_line("curl a.test -H").err(), Some(no_value));
    }
}
