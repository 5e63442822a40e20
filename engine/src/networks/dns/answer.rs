//! Answers about our own names: containers, aliases, short ids, each also with `.NETWORK`, and addresses.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record as Answer, RecordType,
        rdata::{A, PTR},
    },
};
use rand::seq::SliceRandom;

use crate::networks::{State, sandbox::Record};

/// Seconds; docker's.
const TTL: u32 = 600;

/// What became of a query.
pub(super) enum Outcome {
    /// Ours, answered.
    Answer(Vec<u8>),
    /// Not ours.
    Elsewhere(Message),
}

/// Answers the query if it is about a name or address that the container may know. `None`: no query at all.
pub(super) fn own(state: &State, container: &str, query: &[u8]) -> Option<Outcome> {
    let message = Message::from_vec(query).ok()?;
    if message.metadata.message_type != MessageType::Query || message.metadata.op_code != OpCode::Query {
        return None;
    }
    let question = message.queries.first()?.clone();
    let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let asker = state.sandboxes.get(container)?;
    let mut answers = Vec::new();
    if question.query_type() == RecordType::PTR {
        let Some(found) = reverse(&name).and_then(|ip| named(state, asker, ip)) else {
            return Some(Outcome::Elsewhere(message));
        };
        answers.push(Answer::from_rdata(question.name().clone(), TTL, RData::PTR(PTR(found))));
    } else {
        let mut addresses = addresses(state, asker, &name);
        if addresses.is_empty() {
            return Some(Outcome::Elsewhere(message));
        }
        addresses.shuffle(&mut rand::rng());
        if question.query_type() == RecordType::A {
            answers.extend(
                addresses
                    .into_iter()
                    .map(|ip| Answer::from_rdata(question.name().clone(), TTL, RData::A(A(ip)))),
            );
        }
    }
    let mut reply = reply(&message);
    reply.add_answers(answers);
    reply.to_vec().ok().map(Outcome::Answer)
}

/// SERVFAIL.
pub(super) fn failure(query: &Message) -> Option<Vec<u8>> {
    let mut reply = reply(query);
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.to_vec().ok()
}

fn reply(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.iter().cloned());
    reply
}

/// The addresses behind a name, in the networks that the asker is in.
fn addresses(state: &State, asker: &Record, name: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    for mine in &asker.endpoints {
        if !state.networks.get(&mine.network).is_some_and(crate::networks::Network::has_dns) {
            continue;
        }
        let suffix = format!(".{}", mine.network_name.to_ascii_lowercase());
        let bare = name.strip_suffix(&suffix);
        // A link's alias is known to its asker alone.
        let linked = mine.settings.links.iter().flatten().find_map(|link| {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            (alias.eq_ignore_ascii_case(name)).then(|| target.trim_start_matches('/').to_ascii_lowercase())
        });
        for other in state.sandboxes.values() {
            for endpoint in other.endpoints.iter().filter(|endpoint| endpoint.network == mine.network) {
                let fits =
                    endpoint.names(other).iter().map(|known| known.to_ascii_lowercase()).any(|known| {
                        known == name || Some(known.as_str()) == bare || Some(&known) == linked.as_ref()
                    }) || other.container == name;
                let ip = endpoint.address.addr();
                if fits && !found.contains(&ip) {
                    found.push(ip);
                }
            }
        }
    }
    found
}

/// `4.3.2.1.in-addr.arpa` → 1.2.3.4
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let mut octets: Vec<u8> = name
        .strip_suffix(".in-addr.arpa")?
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    octets.reverse();
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn named(state: &State, asker: &Record, ip: Ipv4Addr) -> Option<Name> {
    state
        .sandboxes
        .values()
        .flat_map(|record| record.endpoints.iter().map(move |endpoint| (record, endpoint)))
        .find(|(_, endpoint)| {
            endpoint.address.addr() == ip
                && asker.endpoints.iter().any(|mine| mine.network == endpoint.network)
        })
        .and_then(|(record, endpoint)| {
            Name::from_ascii(format!("{}.{}.", record.name, endpoint.network_name)).ok()
        })
}
