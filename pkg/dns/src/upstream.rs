//! Questions to resolvers outside: bounded in time and number, so that they cannot hold up the cluster's own answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Questions that may wait for resolvers at once; more are refused.
const OUTSTANDING: usize = 256;

/// For one resolver to answer; clients wait about 5 s.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Resolvers asked in turn, as with resolv.conf.
const TRIES: usize = 3;

/// Largest UDP answer that is asked for (the size that DNS flag day 2020 recommends).
pub(crate) const PAYLOAD: u16 = 1232;

/// Why no resolver answered.
#[derive(Debug)]
pub enum UpstreamError {
    /// There are no resolvers.
    None,
    /// Too many questions are waiting already.
    Busy,
    /// Each resolver failed or stayed silent; the last one's error.
    Failed(SocketAddr, String),
}

/// The way to resolvers, with its bound.
#[derive(Debug)]
pub struct Upstreams {
    permits: Semaphore,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { permits: Semaphore::new(OUTSTANDING) }
    }
}

impl Upstreams {
    /// The answer of the first of these resolvers that gives one.
    ///
    /// # Errors
    /// When none does in time, or too many questions wait already.
    pub async fn ask(&self, servers: &[SocketAddr], name: &Name, kind: RecordType) -> Result<Message, UpstreamError> {
        let _permit = self.permits.try_acquire().map_err(|_| UpstreamError::Busy)?;
        let mut last = UpstreamError::None;
        for server in servers.iter().take(TRIES) {
            match timeout(PATIENCE, exchange(*server, name, kind)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = UpstreamError::Failed(*server, error.to_string()),
                Err(_) => last = UpstreamError::Failed(*server, "no answer in time".into()),
            }
        }
        Err(last)
    }
}

async fn exchange(server: SocketAddr, name: &Name, kind: RecordType) -> anyhow::Result<Message> {
    let mut question = Message::query();
    question.metadata.id = fastrand::u16(..);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    question.set_edns(edns);
    let bytes = question.to_vec()?;
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; usize::from(PAYLOAD)];
    let answer = loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything but the answer to this question is not for us; wait on.
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && answers(&answer, &question)
        {
            break answer;
        }
    };
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(u16::try_from(bytes.len())?).await?;
    stream.write_all(&bytes).await?;
    let mut whole = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut whole).await?;
    let answer = Message::from_vec(&whole)?;
    anyhow::ensure!(answers(&answer, &question), "the answer over TCP is to another question");
    Ok(answer)
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id && answer.queries == question.queries
}
