//! Who shows a certificate.

use std::sync::Arc;

use rcgen::DnType;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::{
    support::{
        authority::{Authority, Issued},
        client::Client,
        origin::{Origin, PATIENCE, ok},
        usher::{Usher, listener_tls},
        wire::Wire,
    },
    tokens::{asked, text},
};

const AUDIENCES: &str = "  - { name: ops, pool: rails, match: [{ user: ops }] }\n  \
    - { name: staff, pool: rails, match: [{ role: staff }] }\n  \
    - { name: admin, pool: rails, match: [{ path: /admin/** }], only: [{ user: '*' }] }\n";

/// A certificate of this subject.
fn issued(authority: &Authority, subject: &[(DnType, &str)]) -> Issued {
    authority.issue_with(&[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    })
}

async fn connected(usher: &Usher, config: ClientConfig) -> std::io::Result<Client> {
    let socket = TcpStream::connect(usher.address()).await?;
    Wire::within_tls(socket, &Arc::new(config), "shop.example").await.map(Client::on)
}

#[tokio::test]
async fn the_subject_of_a_certificate_that_was_verified_is_the_user_and_nothing_else_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("who signs staff"), Authority::new("a stranger"));
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    std::fs::write(directory.path().join("roots.crt"), authority.root()).unwrap();
    let origin = Origin::start().await;
    let identity = "identity: [{ client_cert: { roles: OU } }, \
                                { header: { user: X-Client-Cert-User } }]";
    let tls = "[{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: shop.crt, key: shop.key }], \
               clients: { roots: roots.crt, verify: optional } } }]";
    let text = text(directory.path(), identity, AUDIENCES, &origin)
        .replace(&format!("[{{ bind: 127.0.0.1:0{} }}]", listener_tls()), tls);
    origin.serve(|asked| {
        let forged = asked.field("x-client-cert-user").or(asked.field("x-usher-user"));
        ok(&[asked.field("x-audience").unwrap(), forged.unwrap_or_default()].concat())
    });
    let path = directory.path().join("usher.yaml");
    std::fs::write(&path, text).unwrap();
    let usher = Usher::start_at(&path).await;
    let forged = "X-Client-Cert-User: ops\r\nX-Usher-User: ops\r\n";
    let ops = issued(&authority, &[(DnType::CommonName, "ops")]);
    let seven = [(DnType::CommonName, "7"), (DnType::OrganizationalUnitName, "staff")];
    let seven = issued(&authority, &seven);
    let nameless = issued(&authority, &[(DnType::OrganizationalUnitName, "staff")]);
    for (shown, target, fields, said) in [
        (Some(&ops), "/", "", "ops"),
        (Some(&ops), "/admin/x", "", "ops"),
        (Some(&seven), "/", "", "staff"),
        (Some(&seven), "/", forged, "staff"),
        (Some(&nameless), "/", "", "everyone"),
        (Some(&nameless), "/admin/x", forged, "401 unidentified"),
        (None, "/", forged, "everyone"),
        (None, "/admin/x", forged, "401 unidentified"),
    ] {
        let config = shown.map_or_else(|| authority.client(), |it| authority.client_showing(it));
        let mut client = connected(&usher, config).await.expect("hands are shaken");
        assert_eq!(asked(&mut client, target, fields).await, said, "{target} {fields}");
    }
    // What somebody else has signed does not even get to ask.
    let impostor = issued(&stranger, &[(DnType::CommonName, "ops")]);
    let config = authority.client_showing(&impostor);
    if let Ok(mut client) = connected(&usher, config).await {
        // In TLS 1.3 a client hears of it when it reads.
        client.try_send(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        let answer = tokio::time::timeout(PATIENCE, client.try_answer(false)).await;
        assert!(answer.expect("it ends in time").is_none(), "it was answered");
    }
    let proved = "usher_identities_total{source=\"client_cert\",result=\"proved\"}";
    usher.reaches(proved, 4.0).await;
    usher.stop().await;
}
