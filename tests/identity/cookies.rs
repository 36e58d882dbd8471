//! Cookies that Rails made, as `tests/identities/mint.rb` tells them, in a live usher.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use crate::tokens::{asked, started};

/// A cookie, and who it speaks of to a source that is configured as `variant` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Minted {
    pub variant: String,
    pub label: String,
    pub user: Option<String>,
    pub value: String,
}

/// How many changes of each good cookie are tried.
const CHANGES: usize = 30;

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n  \
    - { name: others, pool: rails, match: [{ user: '*' }] }\n";

/// The source that each variant is for.
fn source(variant: &str) -> &'static str {
    match variant {
        "gcm" => "keys: [{ secret_key_base_file: base }], user: warden.user.user.key.0.0",
        "salted" => "keys: [{ secret_key_base_file: base, salt: of our own }], user: user_id",
        "derived" => "keys: [{ derived_file: derived }], user: user_id",
        "bare" => "keys: [{ secret_key_base_file: base }], user: user_id, purpose: optional",
        "cbc" => "form: cbc, keys: [{ secret_key_base_file: base }], user: user_id",
        "cbc_salted" => {
            "form: cbc, user: user_id, keys: [{ secret_key_base_file: base, digest: SHA256 }, \
             { secret_key_base_file: base, salt: of our own, signed_salt: another }]"
        }
        "signed" => "form: signed, keys: [{ secret_key_base_file: base }]",
        "remember" => "form: signed, keys: [{ secret_key_base_file: base }], user: '0.0'",
        "signed_salted" => {
            "form: signed, keys: [{ secret_key_base_file: base, salt: of our own, digest: SHA1 }]"
        }
        other => panic!("{other} is not known"),
    }
}

/// Asks ushers about all of `minted`, a JSON object a line, and says which Rails made them.
pub async fn check(minted: &str) -> String {
    let rows = minted.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut rows: Vec<Minted> = rows.collect();
    let about = rows.remove(0);
    assert_eq!(about.variant, "about");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("base"), "a1b2c3d4".repeat(16) + "\n").unwrap();
    std::fs::write(directory.path().join("derived"), &about.value).unwrap();
    let mut variants: Vec<&str> = rows.iter().map(|row| row.variant.as_str()).collect();
    variants.dedup();
    for variant in variants {
        let source = source(variant);
        let identity =
            format!("identity: [{{ rails_cookie: {{ cookie: _shop_session, {source} }} }}]\n");
        let (usher, mut client) = started(directory.path(), &identity, AUDIENCES).await;
        for row in rows.iter().filter(|row| row.variant == variant) {
            let audience = if row.user.is_some() { "vip" } else { "everyone" };
            let field = format!("Cookie: a=b; _shop_session={}\r\n", row.value);
            let said = asked(&mut client, "/", &field).await;
            assert_eq!(said, audience, "{variant}: {} by Rails {}", row.label, about.label);
            if row.user.is_some() {
                for changed in changed(&row.value) {
                    let field = format!("Cookie: _shop_session={changed}\r\n");
                    let said = asked(&mut client, "/", &field).await;
                    assert_eq!(said, "everyone", "{variant}: {changed} of {}", row.value);
                }
            }
        }
        drop(client);
        usher.stop().await;
    }
    about.label
}

/// The same cookie, changed.
fn changed(value: &str) -> Vec<String> {
    let plain = percent_decode_str(value).decode_utf8().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut change = || {
        let mut bytes = plain.as_bytes().to_vec();
        let at = random.usize(0..bytes.len());
        let letter = b"ABCabcxyz019+/=-"[random.usize(0..16)];
        match random.u8(0..4) {
            0 => bytes[at] = letter,
            1 => bytes.insert(at, letter),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        String::from_utf8(bytes).unwrap()
    };
    let changes = (0..CHANGES).map(|_| change()).filter(|changed| *changed != plain);
    changes.map(|changed| utf8_percent_encode(&changed, NON_ALPHANUMERIC).to_string()).collect()
}
