//! What is asked of a name server, and what its answer says (RFC 1035, RFC 2782).

use std::{net::IpAddr, time::Duration};

use domain::{
    base::{
        Message, MessageBuilder, Name, ParsedName, Rtype, ToName,
        iana::{Opcode, Rcode},
        wire::ParseError,
    },
    rdata::{A, Aaaa, Cname, Srv},
};

/// How large an answer over UDP may be; what is larger comes over TCP. The size that passes every
/// network in one piece (DNS Flag Day 2020).
pub(super) const UDP_BYTES: u16 = 1232;

/// How many aliases are followed within an answer.
const ALIASES_MAX: usize = 16;

pub(super) type Owned = Name<Vec<u8>>;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
    Service,
}

/// A query for one kind of records of one name.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) name: Owned,
    pub(super) kind: Kind,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// These; none where the name has no records of this kind.
    Records(Records),
    /// There is no such name.
    NoName,
    /// It is too large for UDP.
    Truncated,
    /// The server would not or could not say.
    Refused(Rcode),
}

/// The records that answer a query, aliases followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) targets: Vec<Target>,
    /// The shortest of all that it rests on; nothing where there are no records.
    pub(super) ttl: Option<Duration>,
}

/// A target of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) name: Owned,
}

// === impl Kind ===

impl Kind {
    fn rtype(self) -> Rtype {
        match self {
            Kind::V4 => Rtype::A,
            Kind::V6 => Rtype::AAAA,
            Kind::Service => Rtype::SRV,
        }
    }
}

// === impl Query ===

impl Query {
    /// The query as it is sent, with this id; `extended` says how much fits over UDP (RFC 6891).
    pub(super) fn compose(&self, id: u16, extended: bool) -> Vec<u8> {
        let mut message = MessageBuilder::new_vec();
        message.header_mut().set_id(id);
        message.header_mut().set_rd(true);
        let mut message = message.question();
        // A vector takes whatever it is given.
        let _ = message.push((&self.name, self.kind.rtype()));
        let mut message = message.additional();
        if extended {
            let _ = message.opt(|opt| {
                opt.set_udp_payload_size(UDP_BYTES);
                Ok(())
            });
        }
        message.finish()
    }

    /// What `bytes` say to the query with this id: `None` if they are no answer to it, and an error
    /// if they are one that cannot be read.
    pub(super) fn read(&self, id: u16, bytes: &[u8]) -> Option<Result<Reply, ParseError>> {
        let message = Message::from_slice(bytes).ok()?;
        let header = message.header();
        if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY {
            return None;
        }
        // A server that could not read the question does not repeat it.
        let asked = match message.sole_question() {
            Ok(question) => {
                question.qtype() == self.kind.rtype() && question.qname().name_eq(&self.name)
            }
            Err(_) => header.rcode() != Rcode::NOERROR,
        };
        asked.then(|| self.judge(message))
    }

    fn judge(&self, message: &Message<[u8]>) -> Result<Reply, ParseError> {
        match message.header().rcode() {
            Rcode::NOERROR if message.header().tc() => Ok(Reply::Truncated),
            Rcode::NOERROR => self.records(message).map(Reply::Records),
            Rcode::NXDOMAIN => Ok(Reply::NoName),
            rcode => Ok(Reply::Refused(rcode)),
        }
    }

    fn records(&self, message: &Message<[u8]>) -> Result<Records, ParseError> {
        let mut records = Records::default();
        let mut owner: Owned = self.name.clone();
        for _ in 0..ALIASES_MAX {
            let Some((alias, ttl)) = alias_of(&owner, message)? else { break };
            records.hold(ttl);
            owner = alias;
        }
        for record in message.answer()? {
            let record = record?;
            if record.rtype() != self.kind.rtype() || !record.owner().name_eq(&owner) {
                continue;
            }
            match self.kind {
                Kind::V4 => {
                    let Some(found) = record.to_record::<A>()? else { continue };
                    records.addresses.push(found.data().addr().into());
                }
                Kind::V6 => {
                    let Some(found) = record.to_record::<Aaaa>()? else { continue };
                    records.addresses.push(found.data().addr().into());
                }
                Kind::Service => {
                    let Some(found) = record.to_record::<Srv<ParsedName<_>>>()? else { continue };
                    records.targets.push(Target::of(found.data()));
                }
            }
            records.hold(record.ttl().into_duration());
        }
        Ok(records)
    }
}

// === impl Records ===

impl Records {
    fn hold(&mut self, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.targets.is_empty()
    }
}

// === impl Target ===

impl Target {
    fn of(srv: &Srv<ParsedName<&[u8]>>) -> Self {
        Self {
            priority: srv.priority(),
            weight: srv.weight(),
            port: srv.port(),
            name: srv.target().to_name(),
        }
    }
}

/// What `owner` is an alias of, according to the answer.
fn alias_of(
    owner: &Owned,
    message: &Message<[u8]>,
) -> Result<Option<(Owned, Duration)>, ParseError> {
    for record in message.answer()?.limit_to::<Cname<_>>() {
        let record = record?;
        if record.owner().name_eq(owner) {
            return Ok(Some((record.data().cname().to_name(), record.ttl().into_duration())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        Query { name: Owned::from_str("web.shop.").unwrap(), kind: Kind::V4 }
    }

    /// An answer to `query()`, with `records` behind the question.
    fn answer(counts: [u8; 2], records: &[u8]) -> Vec<u8> {
        let mut bytes = query().compose(7, false);
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[6..8].copy_from_slice(&counts);
        bytes.extend(records);
        bytes
    }

    #[test]
    fn a_query_says_how_large_an_answer_may_be() {
        let plain = query().compose(0x1234, false);
        let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(plain, [&head[..], b"\x03web\x04shop\0\0\x01\0\x01"].concat());
        let extended = query().compose(0x1234, true);
        assert_eq!(extended[11], 1, "one additional record");
        assert_eq!(extended[plain.len()..], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_alias_that_leads_back_to_itself_ends() {
        let loops = b"\xc0\x0c\0\x05\0\x01\0\0\0\x05\0\x02\xc0\x0c";
        let Some(Ok(Reply::Records(records))) = query().read(7, &answer([0, 1], loops)) else {
            panic!("it is an answer");
        };
        assert!(records.is_empty());
    }

    #[test]
    fn what_answers_something_else_is_no_answer() {
        let right = answer([0, 0], b"");
        assert!(query().read(7, &right).is_some());
        assert!(query().read(8, &right).is_none(), "another id");
        let other = Query { name: Owned::from_str("web.other.").unwrap(), kind: Kind::V4 };
        assert!(other.read(7, &right).is_none(), "another name");
        assert!(Query { kind: Kind::V6, ..query() }.read(7, &right).is_none(), "another kind");
        let mut question = right.clone();
        question[2] = 1;
        assert!(query().read(7, &question).is_none(), "no answer at all");
        let mut louder = right;
        louder[12..21].make_ascii_uppercase();
        assert!(query().read(7, &louder).is_some(), "letters are alike");
    }

    proptest! {
        #[test]
        fn no_answer_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            counts in any::<[u8; 2]>(),
        ) {
            query().read(7, &bytes);
            query().read(7, &answer(counts, &bytes));
            Query { kind: Kind::Service, ..query() }.read(7, &answer(counts, &bytes));
        }
    }
}
