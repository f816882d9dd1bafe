//! Hands questions about names outside the cluster on to the machine's own resolvers. Runs beside the control plane, in
//! the machine's network, because pods have no way to the internet. Looks at no question; keeps nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Questions under way at once; further ones wait.
const AT_ONCE: usize = 128;
/// For one resolver to answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// For one whole TCP exchange.
const TCP_PATIENCE: Duration = Duration::from_secs(10);
/// Larger than any EDNS size in use.
const DATAGRAM: usize = 4096;

/// Relays for ever. Where no resolver answers, a UDP question gets an empty NOERROR: the lab is then offline, and a
/// client shall not wait for what cannot come.
///
/// # Errors
/// When one of the sockets fails.
pub async fn relay(udp: UdpSocket, tcp: TcpListener, resolvers: Vec<SocketAddr>) -> std::io::Result<()> {
    let (udp, resolvers) = (Arc::new(udp), Arc::new(resolvers));
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let permit = room.clone().acquire_owned().await;
        tokio::select! {
            received = udp.recv_from(&mut datagram) => {
                let (length, from) = received?;
                let (question, udp, resolvers) = (datagram[..length].to_vec(), udp.clone(), resolvers.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Some(answer) = ask(&question, &resolvers).await.or_else(|| empty(&question)) {
                        let _ = udp.send_to(&answer, from).await;
                    }
                });
            }
            accepted = tcp.accept() => {
                let (client, _) = accepted?;
                let resolvers = resolvers.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    let _ = timeout(TCP_PATIENCE, pass(client, &resolvers)).await;
                });
            }
        }
    }
}

/// The first answer, resolvers asked in turn.
async fn ask(question: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    for resolver in resolvers {
        let attempt = async {
            let any =
                if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.ok()?;
            socket.connect(resolver).await.ok()?;
            socket.send(question).await.ok()?;
            let mut answer = vec![0; DATAGRAM];
            loop {
                let length = socket.recv(&mut answer).await.ok()?;
                // Somebody else's answer is no answer.
                if length >= 12 && answer[..2] == question[..2] {
                    answer.truncate(length);
                    return Some(answer);
                }
            }
        };
        if let Ok(Some(answer)) = timeout(PATIENCE, attempt).await {
            return Some(answer);
        }
    }
    None
}

/// The question as its own empty answer: response, recursion available, NOERROR, nothing but the question (RFC 1035
/// section 4.1.1). Nothing for what is no question.
fn empty(question: &[u8]) -> Option<Vec<u8>> {
    if question.len() < 12 || question[2] & 0x80 != 0 {
        return None;
    }
    // Past the one question there may be an EDNS record, which goes with the counts.
    let mut end = 12;
    while *question.get(end)? != 0 {
        end += 1 + usize::from(question[end]);
    }
    let mut answer = question.get(..end + 5)?.to_vec();
    answer[2] = 0x80 | (question[2] & 0x79);
    answer[3] = 0x80;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(answer)
}

async fn pass(mut client: TcpStream, resolvers: &[SocketAddr]) -> std::io::Result<()> {
    for resolver in resolvers {
        if let Ok(Ok(mut server)) = timeout(PATIENCE, TcpStream::connect(resolver)).await {
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01\x03www\x04test\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

    #[test]
    fn an_empty_answer_repeats_the_question_alone() {
        let answer = empty(QUESTION).unwrap();
        assert_eq!(&answer[..12], b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00");
        assert_eq!(&answer[12..], b"\x03www\x04test\x00\x00\x01\x00\x01");
    }

    #[test]
    fn what_is_no_question_gets_nothing() {
        assert_eq!(empty(b"short"), None);
        let mut response = QUESTION.to_vec();
        response[2] |= 0x80;
        assert_eq!(empty(&response), None);
        assert_eq!(empty(&QUESTION[..20]), None);
    }

    #[test]
    fn questions_reach_the_resolver_that_answers() {
        minisvc_testkit::isolated(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let there = resolver.local_addr().unwrap();
                tokio::spawn(async move {
                    let mut question = [0; 512];
                    let (length, from) = resolver.recv_from(&mut question).await.unwrap();
                    question[3] = 0x83;
                    resolver.send_to(&question[..length], from).await.unwrap();
                });
                let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let relay_at = udp.local_addr().unwrap();
                let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
                // Nobody listens at the first resolver, and nothing leads to the second.
                let dead = ["127.0.0.1:9".parse().unwrap(), "192.0.2.1:53".parse().unwrap(), there];
                tokio::spawn(relay(udp, tcp, dead.to_vec()));
                let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                client.connect(relay_at).await.unwrap();
                let mut answer = [0; 512];
                client.send(QUESTION).await.unwrap();
                client.recv(&mut answer).await.unwrap();
                assert_eq!(answer[3], 0x83, "the resolver's own answer");
                // The resolver answers once only: now nobody does.
                client.send(QUESTION).await.unwrap();
                let length = client.recv(&mut answer).await.unwrap();
                assert_eq!((answer[3], length), (0x80, 26), "empty, at last");
            });
        });
    }
}
