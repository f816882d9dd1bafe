//! From a message to its answer: checks the question, asks the zone, goes upstream where the zone says so.

use std::sync::Arc;

use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tracing::{debug, warn};

use crate::SharedZone;
use crate::counters::Counters;
use crate::upstream::{PAYLOAD, Upstreams};

/// Answers every message. Clones share everything.
#[derive(Clone, Debug)]
pub struct Handler {
    pub(crate) zone: SharedZone,
    upstreams: Arc<Upstreams>,
    pub(crate) counters: Arc<Counters>,
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
    /// Answers from whatever zone is current.
    pub fn new(zone: SharedZone, upstreams: Upstreams, counters: Arc<Counters>) -> Self {
        Self { zone, upstreams: Arc::new(upstreams), counters }
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
        match answer.outside {
            Some(outside) if !self.upstreams.is_empty() => {
                let answered = self.upstreams.ask(&outside, kind).await;
                self.counters.forward(answered.is_ok());
                match answered {
                    Ok(message) => {
                        if !reply.authoritative {
                            reply.code = message.metadata.response_code;
                            reply.authorities = message.authorities;
                        }
                        reply.answers.extend(message.answers);
                    }
                    Err(error) => {
                        debug!(name = %outside, ?error, "no answer from upstream");
                        if !reply.authoritative {
                            reply.code = ResponseCode::ServFail;
                        }
                    }
                }
            }
            // Addresses that no service has: an empty answer would make clients try on, and there is nobody to ask.
            Some(outside) if !reply.authoritative && outside.parse_arpa_name().is_ok() => {
                reply.code = ResponseCode::NXDomain;
            }
            _ => {}
        }
        if reply.authoritative && reply.answers.is_empty() {
            reply.authorities.push(zone.soa());
        }
        reply
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let kind = request.queries.queries().first().map(|query| query.query_type());
        self.counters.request(request.protocol() == Protocol::Tcp, kind);
        let reply = self.reply(request).await;
        self.counters.response(reply.code);
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
