//! Requests that ask for an operation of GraphQL.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use usher::{
    classify::{
        Ask, Choice, Classifier, Facts, Matcher, Operation, Operations, PathPattern, PathView,
        Places, RuleSpec, Text, operation_of_body,
    },
    peer::Client,
};

/// What Apollo's clients send.
const BODY: &str = concat!(
    r#"{"operationName":"PlaceOrder","variables":{"order":{"items":[{"id":"8f14e45f-ceea-467f","#,
    r#""count":2},{"id":"c9f0f895-fb98-4b91","count":1}],"note":"leave it at the door"}},"#,
    r#""query":"mutation PlaceOrder($order: OrderInput!) {\n  placeOrder(order: $order) {\n    "#,
    r#"id state eta\n    restaurant { id name }\n    "#,
    r#"items { id count price { amount currency } }\n    "#,
    r#"driver { id name position { lat lon } }\n  }\n}","#,
    r#""extensions":{"clientLibrary":{"name":"@apollo/client","version":"3.11.8"}}}"#,
);

/// A request that asks for an operation, and the rule that wants to know.
pub struct Asking {
    headers: HeaderMap,
    path: &'static str,
    query: Option<&'static str>,
    operations: Operations,
    classifier: Classifier,
}

// === impl Asking ===

impl Asking {
    pub fn new(said: &str) -> Self {
        let mut headers = super::phone();
        if said == "field" {
            let name = HeaderName::from_static("x-apollo-operation-name");
            headers.insert(name, HeaderValue::from_static("PlaceOrder"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let path = if said == "elsewhere" { "/orders/17" } else { "/graphql" };
        let query = match said {
            "query" => Some("operationName=PlaceOrder"),
            "persisted" => Some(
                "extensions=%7B%22persistedQuery%22%3A%7B%22version%22%3A1%2C%22sha256Hash%22%3A%22\
                 ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38%22%7D%7D",
            ),
            _ => None,
        };
        let matcher = match said {
            "persisted" => Matcher::Document(vec![Text::parse("ecf4edb4*").unwrap()]),
            _ => Matcher::Operation(vec![Text::parse("PlaceOrder").unwrap()]),
        };
        let of_path = Matcher::Path(vec![PathPattern::parse("/graphql").unwrap()]);
        let all = vec![of_path, matcher];
        let rule = RuleSpec { label: "".into(), line: 1, all, not: vec![] };
        let body_bytes_max = (said == "body").then_some(64 << 10);
        let places = Places { body_bytes_max, ..Places::default() };
        let operations = Operations::new(places, [&rule]).unwrap();
        let classifier = Classifier::new(&[vec![rule], vec![]]);
        Self { headers, path, query, operations, classifier }
    }

    /// As usher does it: by the head, and once more where the body has to be asked.
    pub fn decide(&self) -> Option<Choice> {
        let mut facts = Facts {
            method: &Method::POST,
            path: black_box(self.path),
            query: self.query,
            host: "shop.example.com",
            headers: &self.headers,
            client: Client::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            subject: None,
            identity: None,
            operation: None,
        };
        let classify = |facts: &Facts<'_>| {
            let path = PathView::of(facts.path).expect("a path that is served");
            self.classifier.classify(facts, &path)
        };
        let look = self.operations.look(&facts);
        facts.operation = look.as_ref().map(|look| &look.operation);
        let choice = classify(&facts);
        let Some(Ask::Read(_)) = look.as_ref().and_then(|look| look.body) else { return choice };
        let found: Operation = operation_of_body(black_box(BODY.as_bytes())).0;
        facts.operation = Some(&found);
        classify(&facts)
    }
}
