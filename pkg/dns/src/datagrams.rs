//! DNS over UDP. One task reads every datagram that waits, answers at once what the [`short`](crate::short) way knows,
//! and gives the rest to the handler, which answers the same. Must not interpret names.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use hickory_proto::op::{Header, HeaderCounts, MessageType, Metadata, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder};
use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::handler::Handler;
use crate::short::{self, Family};
use crate::upstream::PAYLOAD;

/// Answers in the making at once; a question beyond them waits in the socket.
const OUTSTANDING: usize = 1_024;

/// Datagrams answered before other tasks get their turn.
const TURN: usize = 64;

/// Largest question that is read; what is longer loses its end and is refused.
const QUESTION: usize = 4_096;

/// Answers datagrams until the socket fails for good.
///
/// # Errors
/// The socket's failure.
pub(crate) async fn serve(socket: UdpSocket, handler: Handler) -> anyhow::Result<()> {
    let socket = Arc::new(socket);
    let outstanding = Arc::new(Semaphore::new(OUTSTANDING));
    let (mut datagram, mut out) = (vec![0; QUESTION], Vec::with_capacity(512));
    loop {
        socket.readable().await.context("wait for datagrams")?;
        for _ in 0..TURN {
            let (length, from) = match socket.try_recv_from(&mut datagram) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::ConnectionAborted) => {
                    return Err(error).context("read datagrams");
                }
                // An earlier answer that met a closed port.
                Err(error) => {
                    debug!(%error, "a datagram's error");
                    continue;
                }
            };
            if !can_hear(from) {
                continue;
            }
            let bytes = &datagram[..length];
            if let Some(family) = at_once(&handler, bytes, &mut out) {
                handler.counters.request(false, Some(kind(family)));
                handler.counters.response(ResponseCode::NoError);
                send(&socket, &out, from).await;
                continue;
            }
            let permit = outstanding.clone().acquire_owned().await.context("take a place among the answers")?;
            let (bytes, handler) = (bytes.to_vec(), handler.clone());
            let reply = Datagram { socket: socket.clone(), to: from };
            tokio::spawn(async move {
                ask(&handler, bytes, reply).await;
                drop(permit);
            });
        }
        tokio::task::yield_now().await;
    }
}

fn at_once(handler: &Handler, datagram: &[u8], out: &mut Vec<u8>) -> Option<Family> {
    let zone = handler.zone.load();
    if handler.is_plain() && zone.is_synced() { short::answer(&zone, datagram, PAYLOAD, out) } else { None }
}

fn kind(family: Family) -> RecordType {
    match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    }
}

/// Whether an answer can reach the sender: neither port 0 nor nobody's or everybody's address.
fn can_hear(from: SocketAddr) -> bool {
    let nobody = match from.ip() {
        IpAddr::V4(address) => address.is_unspecified() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified(),
    };
    from.port() != 0 && !nobody
}

/// Takes a datagram apart and has the handler answer it; unreadable ones are refused with FORMERR, answers are ignored.
async fn ask(handler: &Handler, bytes: Vec<u8>, reply: Datagram) {
    let Ok(header) = Header::read(&mut BinDecoder::new(&bytes)) else { return };
    let asked = header.metadata;
    if asked.message_type == MessageType::Response {
        return;
    }
    match Request::from_bytes(bytes, reply.to, Protocol::Udp) {
        Ok(request) => {
            handler.handle_request::<_, TokioTime>(&request, reply).await;
        }
        Err(error) => {
            debug!(client = %reply.to, %error, "a question that cannot be read");
            handler.counters.request(false, None);
            handler.counters.response(ResponseCode::FormErr);
            let mut metadata = Metadata::new(asked.id, MessageType::Response, asked.op_code);
            metadata.response_code = ResponseCode::FormErr;
            let header = Header { metadata, counts: HeaderCounts::default() };
            if let Ok(bytes) = header.to_bytes() {
                send(&reply.socket, &bytes, reply.to).await;
            }
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, to).await {
        warn!(client = %to, %error, "cannot send an answer");
    }
}

/// Where one answer goes.
#[derive(Clone)]
struct Datagram {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
}

#[async_trait::async_trait]
impl ResponseHandler for Datagram {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut bytes);
        // Without EDNS the client has room for 512 bytes (RFC 1035 section 4.2.1); past it the encoder sets TC.
        encoder.set_max_size(response.edns().map_or(512, |edns| edns.max_payload()));
        let info = response.destructive_emit(&mut encoder)?;
        self.socket.send_to(&bytes, self.to).await?;
        Ok(info)
    }
}
