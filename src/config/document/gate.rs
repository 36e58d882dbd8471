//! The gate before a deploy, and where the fleet's numbers are.

use std::borrow::Cow;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    PercentLeaf, document,
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};

document! {
    /// Where the counts of all replicas together are.
    SloSource {
        /// A Prometheus with the rules of `usher rules`: `http://prometheus:9090`.
        required prometheus: Url,
    }
}

document! {
    /// What has to be left of an error budget to ship.
    Gate {
        /// Below it, canaries only. 50% when left out.
        optional yellow: PercentLeaf,
        /// Below it, hotfixes only. 25% when left out.
        optional red: PercentLeaf,
        /// Below it, nothing. 10% when left out.
        optional frozen: PercentLeaf,
        /// By so much it must have grown past a threshold to be better again. 5% when left out.
        optional margin: PercentLeaf,
    }
}

/// A URL that is asked in plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Url(pub(crate) Uri);

leaves!(Url);

// === impl SloSource ===

impl SloSource {
    /// Where it is.
    pub(crate) fn url(&self) -> Option<Uri> {
        self.prometheus.as_ref().map(|url| url.value.0.clone())
    }
}

// === impl Url ===

impl Leaf for Url {
    const WHAT: &'static str = "a URL";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write for example `http://prometheus:9090`";
        let refused = |reason: &str| Complaint::new(reason).with_hint(hint);
        let uri: Uri = scalar.text.parse().map_err(|_| refused("it is none"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(refused("usher asks in plain HTTP: `https` is not spoken here"));
            }
            _ => return Err(refused("it does not begin with `http://`")),
        }
        if uri.query().is_some() || uri.authority().is_none_or(|it| it.as_str().contains('@')) {
            return Err(refused("it is more than a host, a port and a path"));
        }
        Ok(Self(uri))
    }

    fn schema() -> Schema {
        string("http://.+")
    }
}
