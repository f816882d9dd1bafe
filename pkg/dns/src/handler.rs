//! From a message to its answer: checks the question, finds the server block, asks its hosts, the cluster's zone and its
//! resolvers in turn.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tracing::{debug, warn};

use crate::SharedZone;
use crate::corefile::Corefile;
use crate::counters::Counters;
use crate::hosts::Said;
use crate::upstream::{PAYLOAD, Upstreams};
use crate::zone::lower;

/// Answers every message. Clones share everything.
#[derive(Clone, Debug)]
pub struct Handler {
    pub(crate) zone: SharedZone,
    rules: Arc<ArcSwap<Rules>>,
    upstreams: Arc<Upstreams>,
    pub(crate) counters: Arc<Counters>,
}

/// The Corefile that is current.
#[derive(Debug)]
struct Rules {
    corefile: Corefile,
    /// Whether the cluster's names are answered from the zone alone ([`Corefile::is_plain`]).
    plain: bool,
}

impl Rules {
    fn new(corefile: Corefile) -> Self {
        Self { plain: corefile.is_plain(), corefile }
    }
}

/// What others than the zone say to a question.
enum Elsewhere {
    Answer(ResponseCode, Vec<Record>, Vec<Record>),
    /// Those who should know do not answer.
    Failed,
    /// There is nobody to ask.
    Nobody,
}

/// The parts of an answer.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additional: Vec<Record>,
}

impl Reply {
    fn only(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Handler {
    /// Answers as the Corefile says, the cluster's names from whatever zone is current.
    pub fn new(zone: SharedZone, corefile: Corefile, counters: Arc<Counters>) -> Self {
        let rules = Arc::new(ArcSwap::from_pointee(Rules::new(corefile)));
        Self { zone, rules, upstreams: Arc::default(), counters }
    }

    /// Answers as this Corefile says from now on.
    pub fn set(&self, corefile: Corefile) {
        self.rules.store(Arc::new(Rules::new(corefile)));
    }

    /// Whether the cluster's names are answered from the zone alone.
    pub(crate) fn is_plain(&self) -> bool {
        self.rules.load().plain
    }

    /// The answer of the block's hosts or resolvers.
    async fn elsewhere(&self, name: &Name, kind: RecordType) -> Elsewhere {
        let text = lower(name).unwrap_or_default();
        let rules = self.rules.load_full();
        let Some(block) = rules.corefile.block_of(&text) else { return Elsewhere::Nobody };
        match block.hosts.as_ref().map(|hosts| hosts.answer(name, kind)) {
            Some(Said::Records(records)) => return Elsewhere::Answer(ResponseCode::NoError, records, Vec::new()),
            Some(Said::Nothing) => return Elsewhere::Failed,
            Some(Said::Next) | None => {}
        }
        let Some(resolvers) = block.resolvers(&text) else { return Elsewhere::Nobody };
        let answered = self.upstreams.ask(resolvers, name, kind).await;
        self.counters.forward(answered.is_ok());
        match answered {
            Ok(message) => Elsewhere::Answer(message.metadata.response_code, message.answers, message.authorities),
            Err(error) => {
                debug!(%name, ?error, "no answer from upstream");
                Elsewhere::Failed
            }
        }
    }

    async fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply::only(ResponseCode::NotImp);
        }
        if request.version() > 0 {
            return Reply::only(ResponseCode::BADVERS);
        }
        let Ok(info) = request.request_info() else { return Reply::only(ResponseCode::FormErr) };
        let kind = info.query.query_type();
        if !matches!(info.query.query_class(), DNSClass::IN | DNSClass::ANY) {
            return Reply::only(ResponseCode::Refused);
        }
        if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Reply::only(ResponseCode::NotImp);
        }
        let name = info.query.original().name();
        let text = lower(name).unwrap_or_default();
        let rules = self.rules.load_full();
        let Some(block) = rules.corefile.block_of(&text) else { return Reply::only(ResponseCode::Refused) };
        match block.hosts.as_ref().map(|hosts| hosts.answer(name, kind)) {
            Some(Said::Records(answers)) => return Reply { authoritative: true, answers, ..Reply::default() },
            Some(Said::Nothing) => return Reply::only(ResponseCode::ServFail),
            Some(Said::Next) | None => {}
        }
        if block.kubernetes.is_none() {
            return match self.elsewhere(name, kind).await {
                Elsewhere::Answer(code, answers, authorities) => {
                    Reply { code, answers, authorities, ..Reply::default() }
                }
                Elsewhere::Failed | Elsewhere::Nobody => Reply::only(ResponseCode::ServFail),
            };
        }
        let zone = self.zone.load_full();
        let answer = zone.answer(name, kind);
        if answer.authoritative && !zone.is_synced() {
            return Reply::only(ResponseCode::ServFail);
        }
        let mut reply = Reply {
            code: if answer.no_such_name { ResponseCode::NXDomain } else { ResponseCode::NoError },
            authoritative: answer.authoritative,
            answers: answer.records,
            authorities: Vec::new(),
            additional: answer.additional,
        };
        if let Some(outside) = answer.outside {
            match self.elsewhere(&outside, kind).await {
                Elsewhere::Answer(code, answers, authorities) => {
                    if !reply.authoritative {
                        (reply.code, reply.authorities) = (code, authorities);
                    }
                    reply.answers.extend(answers);
                }
                Elsewhere::Failed if !reply.authoritative => reply.code = ResponseCode::ServFail,
                // Addresses that no service has: an empty answer would make clients try on, and there is nobody to ask.
                Elsewhere::Nobody if !reply.authoritative && outside.parse_arpa_name().is_ok() => {
                    reply.code = ResponseCode::NXDomain;
                }
                Elsewhere::Failed | Elsewhere::Nobody => {}
            }
        }
        if reply.authoritative && reply.answers.is_empty() {
            reply.authorities.push(zone.soa());
        }
        reply
    }
}

impl Handler {
    /// Tells a question and its answer on standard output where the block says so, in CoreDNS' order; sizes are not known.
    fn log(&self, request: &Request, reply: &Reply, asked: Instant) {
        let Some(query) = request.queries.queries().first() else { return };
        let name = query.original().name();
        let rules = self.rules.load();
        if !rules.corefile.block_of(&lower(name).unwrap_or_default()).is_some_and(|block| block.log) {
            return;
        }
        let protocol = if request.protocol() == Protocol::Tcp { "tcp" } else { "udp" };
        let dnssec = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let authority = if reply.authoritative { ",aa" } else { "" };
        let wish = if request.metadata.recursion_desired { ",rd" } else { "" };
        println!(
            "[INFO] {} - {} \"{} {} {name} {protocol} - {dnssec} {}\" {} qr{authority}{wish} - {:.9}s",
            request.src(),
            request.metadata.id,
            query.query_type(),
            query.query_class(),
            request.max_payload(),
            format!("{:?}", reply.code).to_ascii_uppercase(),
            asked.elapsed().as_secs_f64(),
        );
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let kind = request.queries.queries().first().map(|query| query.query_type());
        self.counters.request(request.protocol() == Protocol::Tcp, kind);
        let asked = Instant::now();
        let reply = self.reply(request).await;
        self.counters.response(reply.code);
        self.log(request, &reply, asked);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = true;
        // The size that the answer must fit is the smaller of the client's and ours; past it the encoder sets TC.
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(request.max_payload().min(PAYLOAD));
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let response = builder.build(metadata, &reply.answers, &reply.authorities, None, &reply.additional);
        match out.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                warn!(client = %request.src(), %error, "cannot send an answer");
                ResponseInfo::from(hickory_proto::op::Header { metadata, counts: Default::default() })
            }
        }
    }
}
