//! Cookies of another Rails than the one that is installed here.

use crate::cookies::check;

#[tokio::test]
async fn cookies_of_rails_7_2_say_who_asks() {
    let version = check(include_str!("../identities/rails-7.2.jsonl")).await;
    assert!(version.starts_with("7.2."), "{version}");
}
