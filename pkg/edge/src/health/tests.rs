//! Answers and what they mean, over real sockets of a private namespace.

use minisvc_testkit::isolated;
use tokio::net::TcpListener;

use super::*;

fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(body)
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn one_success_heals_and_two_failures_in_a_row_break() {
    let (mut health, probe) = (Health::default(), Probe::NodePort { address: HERE, port: 1 });
    assert!(!health.note(probe, false), "it was not healthy before");
    assert!(!health.failed(&probe));
    assert!(health.note(probe, true));
    assert!(!health.note(probe, true));
    assert!(!health.note(probe, false) && health.healthy().contains(&probe));
    assert!(!health.note(probe, true), "the count starts anew");
    assert!(!health.note(probe, false));
    assert!(health.note(probe, false) && health.failed(&probe));
    health.keep(&BTreeSet::new());
    assert!(!health.failed(&probe));
}

/// Answers every connection with these bytes; the port.
async fn serve(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 256];
            let _length = stream.read(&mut request).await;
            let _sent = stream.write_all(answer).await;
        }
    });
    port
}

#[test]
fn questions_are_answered_by_real_sockets() {
    isolated(|| run(questions()));
}

async fn questions() {
    let good = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let bad = serve(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    let silent = serve(b"").await;
    let closed = {
        let listener = TcpListener::bind((HERE, 0)).await.expect("bind");
        listener.local_addr().expect("address").port()
    };
    let healthz = |port| Probe::Healthz { address: HERE, port };
    assert!(healthz(good).ask().await);
    assert!(!healthz(bad).ask().await);
    assert!(!healthz(silent).ask().await);
    assert!(!healthz(closed).ask().await);
    assert!(Probe::NodePort { address: HERE, port: bad }.ask().await);
    assert!(!Probe::NodePort { address: HERE, port: closed }.ask().await);
    assert!(Probe::Alive { address: HERE }.ask().await, "a refusal is a sign of life");
    let proxy = TcpListener::bind((HERE, PROXY)).await.expect("bind");
    let well = tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.expect("accept");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("answer");
    });
    assert!(Probe::NodePort { address: HERE, port: closed }.ask().await, "the node itself is well");
    well.await.expect("asked");
}

#[test]
fn new_questions_are_asked_at_once_and_old_ones_again_and_again() {
    isolated(|| run(again_and_again()));
}

async fn again_and_again() {
    let port = serve(b"").await;
    let (wanted, asked) = watch::channel(BTreeSet::new());
    let (answers, mut inbox) = mpsc::unbounded_channel();
    let asking = tokio::spawn(ask_forever(Duration::from_millis(20), asked, answers));
    let probe = Probe::NodePort { address: HERE, port };
    wanted.send_replace([probe].into());
    for _ in 0..3 {
        assert_eq!(inbox.recv().await, Some((probe, true)));
    }
    drop(wanted);
    asking.await.expect("ends when nobody wants anything");
}
