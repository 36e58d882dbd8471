//! Which certificate a client is shown, and what becomes of those that are renewed.
//!
//! Transport: TLS itself; a certificate is shown before it is agreed what is spoken inside. Those
//! who come while it is renewed speak HTTP/1.1 and HTTP/2.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use h2::client::Builder;
use http::Request;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::{
    House, secure,
    sessions::session,
    support::{
        authority::{Authority, Issued},
        client::Client,
        http2::Http2,
        origin::{Origin, ok},
        wire::Wire,
    },
};

const APPLIED: &str = "usher_config_reloads_total{result=\"applied\"}";
const REFUSED: &str = "usher_config_reloads_total{result=\"refused\"}";

/// The certificate that was shown, as DER.
fn shown(client: &Client) -> Vec<u8> {
    session(client).peer_certificates().expect("a certificate")[0].to_vec()
}

fn der(issued: &Issued) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("a certificate").to_vec()
}

#[tokio::test]
async fn each_name_is_shown_its_own_certificate_and_others_the_first_or_none() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let shop = authority.issue(&["shop.example", "other.example"]);
    let api = authority.issue(&["*.api.example"]);
    let exact = authority.issue(&["v2.api.example"]);
    for (name, issued) in [("shop", &shop), ("api", &api), ("exact", &exact)] {
        issued.write(directory.path(), name);
    }
    let tls = "certificates: [{ cert: shop.crt, key: shop.key }, { cert: api.crt, key: api.key }, \
               { cert: exact.crt, key: exact.key }]";
    let listeners = format!(
        "{{ bind: 127.0.0.1:0, tls: {{ {tls} }} }}, \
         {{ bind: 127.0.0.2:0, tls: {{ {tls}, unknown_name: refuse }} }}"
    );
    let house = House::open_in(directory, &origin, "", &listeners).await;
    let config = Arc::new(authority.client());
    for (name, expected) in [
        ("shop.example", &shop),
        ("other.example", &shop),
        ("v1.api.example", &api),
        ("v2.api.example", &exact),
    ] {
        for listener in [0, 1] {
            let client = secure(house.address(listener), &config, name).await.expect("hands");
            assert_eq!(shown(&client), der(expected), "{name}");
        }
    }
    for name in ["nobody.example", "a.b.api.example", "127.0.0.1"] {
        // The first is shown, which is not good for that name.
        let error = secure(house.address(0), &config, name).await.err().expect("no hands");
        assert!(error.to_string().contains("certificate not valid for name"), "{error}");
        let error = secure(house.address(1), &config, name).await.err().expect("no hands");
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    let refused = format!(
        "usher_tls_handshakes_total{{listener=\"{}\",result=\"unknown_name\"}}",
        house.address(1)
    );
    house.usher.reaches(&refused, 3.0).await;
    house.usher.stop().await;
}

#[tokio::test]
async fn a_swapped_secret_is_shown_from_then_on_and_a_broken_one_never() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let secrets = directory.path().to_owned();
    // As Kubernetes mounts a Secret: files link through `..data`, which is swapped by a rename.
    let put = |version: &str, issued: &Issued| {
        fs::create_dir(secrets.join(version)).expect("a directory");
        issued.write(&secrets.join(version), "tls");
        let beside = secrets.join("..data_tmp");
        symlink(version, &beside).expect("a link");
        fs::rename(&beside, secrets.join("..data")).expect("it is swapped");
    };
    let issue = || authority.issue(&["shop.example"]);
    let (first, second, last) = (issue(), issue(), issue());
    put("..1", &first);
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), secrets.join(name)).expect("a link");
    }
    let listener =
        "{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: tls.crt, key: tls.key }] } }";
    let house = House::open_in(directory, &origin, "", listener).await;
    origin.serve(|_| ok("here"));
    let config = Arc::new(authority.client());
    let mut old = secure(house.address(0), &config, "shop.example").await.expect("hands");
    assert_eq!(shown(&old), der(&first));
    put("..2", &second);
    house.usher.reaches(APPLIED, 1.0).await;
    let client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    assert_eq!(shown(&client), der(&second));
    assert_eq!(old.get("/").await.text(), "here", "an open connection goes on");
    // The certificate of one and the key of another.
    put("..3", &Issued { cert: last.cert.clone(), key: second.key.clone() });
    house.usher.reaches(REFUSED, 1.0).await;
    let problems = house.usher.remote.status().problems;
    assert!(
        problems.iter().any(|it| it.contains("the private key does not belong to the certificate")),
        "{problems:?}"
    );
    let client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    assert_eq!(shown(&client), der(&second), "the old one goes on");
    put("..4", &last);
    house.usher.reaches(APPLIED, 2.0).await;
    let client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    assert_eq!(shown(&client), der(&last));
    let expires = "usher_tls_certificate_expires_timestamp_seconds\
                   {listener=\"127.0.0.1:0\",certificate=\"shop.example\"}";
    assert_eq!(
        house.usher.samples().get(expires),
        67_090_118_400.0,
        "the year 4096, as it was made"
    );
    drop((old, client));
    house.usher.stop().await;
}

/// A client over HTTP/2, by a handshake of its own.
async fn secure_http2(address: SocketAddr, config: &ClientConfig) -> Http2 {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await.expect("usher accepts");
    let wire = Wire::secure(socket, Arc::new(config), "shop.example").await;
    Http2::on(wire.expect("hands are shaken"), &Builder::new()).await
}

async fn ask_http2(client: &mut Http2) {
    let request = Request::get("https://shop.example/").body(()).expect("a request");
    assert_eq!(client.ask(request).await.text(), "here");
}

/// Puts another certificate for the shop, with its key, at `path`: one rename changes both.
fn renew(authority: &Authority, path: &Path) -> Issued {
    let (issued, beside) = (authority.issue(&["shop.example"]), path.with_extension("new"));
    fs::write(&beside, [&*issued.cert, &*issued.key].concat()).expect("it can be written");
    fs::rename(beside, path).expect("it is put in its place");
    issued
}

/// What a visitor speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
}

/// Connects, asks and leaves until `done`, each time with a whole handshake; how often that went
/// well. Anything else fails.
async fn come_and_go(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    speaks: Speaks,
    done: Arc<AtomicBool>,
) -> u32 {
    let mut well = 0;
    while !done.load(Ordering::Relaxed) {
        match speaks {
            Speaks::Http1 => {
                let client = secure(address, &config, "shop.example").await;
                let answer = client.expect("hands are shaken").get("/").await;
                assert_eq!(answer.text(), "here");
            }
            Speaks::Http2 => ask_http2(&mut secure_http2(address, &config).await).await,
        }
        well += 1;
    }
    well
}

#[tokio::test]
async fn a_hundred_renewals_under_load_fail_no_handshake_and_cut_no_connection() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tls.pem");
    renew(&authority, &file);
    let listener = "{ bind: 127.0.0.1:0, \
                    tls: { certificates: [{ cert: tls.pem, key: tls.pem }] } }";
    let house = House::open_in(directory, &origin, "", listener).await;
    origin.serve(|_| ok("here"));
    let (config, done, address) = (Arc::new(authority.client()), Arc::default(), house.address(0));
    let visit = |speaks| {
        let visit = come_and_go(address, config.clone(), speaks, Arc::clone(&done));
        (speaks, tokio::spawn(visit))
    };
    let control = house.usher.addresses.control.expect("a control port");
    let visitors = [Speaks::Http1, Speaks::Http2, Speaks::Http1, Speaks::Http2].map(visit);
    // These stay on one connection from before the first renewal until after the last.
    let mut old = secure(address, &config, "shop.example").await.expect("hands");
    let mut old_http2 = secure_http2(address, &config).await;
    for round in 1..=100 {
        let issued = renew(&authority, &file);
        let mut operator = Client::plain(control).await;
        operator.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        // What is asked meanwhile is answered, on the connections of before.
        let (answer, here, ()) =
            tokio::join!(operator.answer(), old.get("/"), ask_http2(&mut old_http2));
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        assert_eq!(here.text(), "here");
        // Put to use by this or by usher's own look at the file, whichever came first.
        let client = secure(address, &config, "shop.example").await.expect("hands");
        assert_eq!(shown(&client), der(&issued), "round {round}");
    }
    done.store(true, Ordering::Relaxed);
    let (mut http1, mut http2) = (0, 0);
    for (speaks, visitor) in visitors {
        let well = visitor.await.expect("no visitor failed");
        match speaks {
            Speaks::Http1 => http1 += well,
            Speaks::Http2 => http2 += well,
        }
    }
    assert!(http1 >= 50 && http2 >= 50, "only {http1} and {http2} handshakes beside the renewals");
    // Each of them once, and one for each round: whoever stayed never had to come back.
    let hands = |result| {
        format!("usher_tls_handshakes_total{{listener=\"{address}\",result=\"{result}\"}}")
    };
    house.usher.reaches(&hands("full"), f64::from(http1 + http2 + 2 + 100)).await;
    for other in ["failed", "late", "resumed", "unknown_name"] {
        assert_eq!(house.usher.samples().0.get(&hands(other)), Some(&0.0), "{other}");
    }
    drop((old, old_http2));
    let samples = house.usher.stop().await;
    assert_eq!(samples.get(REFUSED), 0.0);
}
