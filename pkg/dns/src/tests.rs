//! Answers over real sockets, each test in a network namespace of its own.

use std::collections::BTreeSet;
use std::future::Future;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use minisvc_testkit::isolated;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::zone::{plan_service, plan_slice};

mod corefiles;

fn block_on(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), body).await.expect("the test hangs") });
}

fn a_zone() -> Zone {
    let mut zone = Zone::empty("cluster.local");
    zone.set_namespaces(BTreeSet::from(["default".into()]));
    let mut add = |name: &str, spec: serde_json::Value, slices: &[zone::SliceEndpoints]| {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        zone.set_service(&("default".into(), name.into()), plan_service(&service, slices));
    };
    add("web", json!({"clusterIP": "10.96.0.7"}), &[]);
    add("k8s", json!({"type": "ExternalName", "externalName": "kubernetes.io"}), &[]);
    let endpoints: Vec<_> = (1..=60).map(|host| json!({"addresses": [format!("10.244.1.{host}")]})).collect();
    let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": endpoints});
    let slice = plan_slice(&serde_json::from_value(slice).unwrap());
    add("many", json!({"clusterIP": "None"}), &[slice]);
    zone.set_synced();
    zone
}

fn on_loopback(upstreams: Vec<SocketAddr>) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let cluster = Corefile::cluster("cluster.local", upstreams);
    let corefile = Corefile { metrics: Some(any), health: Some(any), ready: Some(any), ..cluster };
    Config { listen: any, corefile, path: None }
}

async fn served(zone: Zone, upstreams: Vec<SocketAddr>) -> (Listening, SocketAddr) {
    let shared = Arc::new(ArcSwap::from_pointee(zone));
    let server = listen(&on_loopback(upstreams), shared, Arc::default()).await.unwrap();
    let address = server.address;
    (server, address)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

async fn over_udp(server: SocketAddr, message: &Message) -> (Message, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&message.to_vec().unwrap()).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, message.metadata.id);
    (answer, length)
}

async fn over_tcp(server: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let bytes = message.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[test]
fn the_three_questions_of_host() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(a_zone(), Vec::new()).await;
            let name = "web.default.svc.cluster.local.";
            let (answer, _) = over_udp(address, &question(name, RecordType::A)).await;
            assert_eq!(answer.answers.len(), 1);
            assert_eq!(answer.answers[0].to_string(), "web.default.svc.cluster.local. 30 IN A 10.96.0.7");
            assert!(answer.metadata.authoritative && answer.metadata.recursion_desired && answer.edns.is_none());
            for kind in [RecordType::AAAA, RecordType::MX] {
                let (answer, _) = over_udp(address, &question(name, kind)).await;
                assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
                assert!(matches!(answer.authorities[0].data, RData::SOA(_)), "{kind}");
            }
            let (answer, _) = over_udp(address, &question("nope.default.svc.cluster.local.", RecordType::A)).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
            assert_eq!(answer.authorities[0].name.to_string(), "cluster.local.");
            // An ExternalName without upstreams: the alias, then clean empty answers about its target.
            let (answer, _) = over_udp(address, &question("k8s.default.svc.cluster.local.", RecordType::A)).await;
            assert_eq!(answer.answers[0].data.to_string(), "kubernetes.io.");
            let (answer, _) = over_udp(address, &question("kubernetes.io.", RecordType::MX)).await;
            assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
        });
    });
}

#[test]
fn large_answers_are_cut_over_udp_and_whole_over_tcp() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(a_zone(), Vec::new()).await;
            let mut asked = question("many.default.svc.cluster.local.", RecordType::A);
            let (answer, length) = over_udp(address, &asked).await;
            assert!(answer.metadata.truncation && length <= 512, "{length}");
            let answer = over_tcp(address, &asked).await;
            assert_eq!((answer.answers.len(), answer.metadata.truncation), (60, false));
            let mut edns = Edns::new();
            edns.set_max_payload(4096);
            asked.set_edns(edns);
            let (answer, length) = over_udp(address, &asked).await;
            assert_eq!(answer.edns.map(|edns| edns.max_payload()), Some(upstream::PAYLOAD));
            assert_eq!((answer.answers.len(), answer.metadata.truncation), (60, false));
            assert!(length > 512 && length <= usize::from(upstream::PAYLOAD), "{length}");
        });
    });
}

#[test]
fn wrong_questions_are_told_what_is_wrong() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(a_zone(), Vec::new()).await;
            let code = async |message: Message| over_udp(address, &message).await.0.metadata.response_code;
            assert_eq!(code(Message::query()).await, ResponseCode::FormErr);
            let mut two = question("a.cluster.local.", RecordType::A);
            two.add_query(Query::query(Name::from_ascii("b.cluster.local.").unwrap(), RecordType::A));
            assert_eq!(code(two).await, ResponseCode::FormErr);
            let mut notify = question("cluster.local.", RecordType::SOA);
            notify.metadata.op_code = OpCode::Notify;
            assert_eq!(code(notify).await, ResponseCode::NotImp);
            let mut chaos = Message::query();
            let mut query = Query::query(Name::from_ascii("version.bind.").unwrap(), RecordType::TXT);
            query.set_query_class(DNSClass::CH);
            chaos.add_query(query);
            assert_eq!(code(chaos).await, ResponseCode::Refused);
            let unknown = question("9.0.96.10.in-addr.arpa.", RecordType::PTR);
            assert_eq!(code(unknown).await, ResponseCode::NXDomain);
        });
    });
}

#[test]
fn an_unsynced_zone_fails_instead_of_denying() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(Zone::empty("cluster.local"), Vec::new()).await;
            let (answer, _) = over_udp(address, &question("web.default.svc.cluster.local.", RecordType::A)).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        });
    });
}

#[test]
fn outside_names_go_upstream_and_silent_upstreams_do_not_stop_local_answers() {
    isolated(|| {
        block_on(async {
            // Another server of ours stands in for the resolver outside: it knows addresses by nip.io.
            let (_upstream, resolver) = served(Zone::empty("elsewhere"), Vec::new()).await;
            let mut zone = a_zone();
            let spec = json!({"spec": {"type": "ExternalName", "externalName": "web.elsewhere"}});
            let alias = plan_service(&serde_json::from_value(spec).unwrap(), []);
            zone.set_service(&("default".into(), "out".into()), alias);
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let (_server, address) = served(zone, vec![silent.local_addr().unwrap(), resolver]).await;
            let slow = question("www.example.com.", RecordType::A);
            let waiting = over_udp(address, &slow);
            let local = async {
                let (answer, _) = over_udp(address, &question("web.default.svc.cluster.local.", RecordType::A)).await;
                answer.answers.len()
            };
            // The local answer comes first although it was asked for later; then the second resolver's empty answer.
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("the silent resolver answered"),
                answers = local => assert_eq!(answers, 1),
            }
            let (answer, _) = waiting.await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            // An alias to a name that its resolver cannot answer still is the alias.
            let (answer, _) = over_udp(address, &question("out.default.svc.cluster.local.", RecordType::A)).await;
            assert_eq!(answer.answers[0].data.to_string(), "web.elsewhere.");
        });
    });
}

#[test]
fn pages_for_probes_and_prometheus() {
    isolated(|| {
        block_on(async {
            let zone: SharedZone = Arc::new(ArcSwap::from_pointee(Zone::empty("cluster.local")));
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let corefile = Corefile {
                metrics: Some(at(19153)),
                health: Some(at(18080)),
                ready: Some(at(18181)),
                ..Corefile::cluster("cluster.local", Vec::new())
            };
            let counters = Arc::new(Counters::default());
            counters.request(false, Some(RecordType::A));
            tokio::spawn(health::serve(&corefile, zone.clone(), counters).await.unwrap());
            assert!(page(at(18080), "/health").await.starts_with("HTTP/1.1 200 OK\r\n"));
            assert!(page(at(18181), "/ready").await.starts_with("HTTP/1.1 503"));
            zone.store(Arc::new(a_zone()));
            assert!(page(at(18181), "/ready").await.starts_with("HTTP/1.1 200"));
            let metrics = page(at(19153), "/metrics").await;
            assert!(metrics.contains("coredns_dns_requests_total{proto=\"udp\",type=\"A\"} 1\n"), "{metrics}");
            assert!(page(at(19153), "/nope").await.starts_with("HTTP/1.1 404"));
        });
    });
}

async fn page(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[test]
fn upstreams_are_read_with_and_without_ports() {
    let read = parse_upstreams("192.0.2.1, 192.0.2.2:5353").unwrap();
    assert_eq!(read, ["192.0.2.1:53".parse().unwrap(), "192.0.2.2:5353".parse().unwrap()]);
    assert!(parse_upstreams("example.com").unwrap_err().to_string().contains("example.com"));
}

/// Both ways of answering over UDP: the short one from bytes, and the handler's, as TCP always takes it.
#[test]
fn the_short_way_says_what_the_handler_says() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(a_zone(), Vec::new()).await;
            let zone = a_zone();
            let mut edns = Edns::new();
            edns.set_max_payload(4096).set_dnssec_ok(true);
            let mut small = Edns::new();
            small.set_max_payload(100);
            for edns in [None, Some(edns), Some(small)] {
                for (name, short) in [
                    ("web.default.svc.cluster.local.", true),
                    ("WeB.Default.SVC.cluster.LOCAL.", true),
                    ("web.default.svc.cluster.local.default.svc.cluster.local.", false),
                    ("many.default.svc.cluster.local.", false),
                    ("absent.default.svc.cluster.local.", false),
                    ("a.web.default.svc.cluster.local.", false),
                    ("default.svc.cluster.local.", false),
                    ("web.default.pod.cluster.local.", false),
                    ("k8s.default.svc.cluster.local.", false),
                    ("cluster.local.", false),
                    ("elsewhere.example.", false),
                    (".", false),
                ] {
                    for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
                        let mut message = question(name, kind);
                        message.edns = edns.clone();
                        message.metadata.checking_disabled = true;
                        let took = short::answer(&zone, &message.to_vec().unwrap(), 1232, &mut Vec::new());
                        assert_eq!(took.is_some(), short && kind == RecordType::A, "{name} {kind}");
                        let (ours, _) = over_udp(address, &message).await;
                        let mut theirs = over_tcp(address, &message).await;
                        if ours.metadata.truncation {
                            assert!(name.starts_with("many."), "{name}");
                            continue;
                        }
                        assert_eq!(ours.metadata, theirs.metadata, "{name} {kind}");
                        assert_eq!(ours.queries[0].name().to_string(), name, "the question's letters are kept");
                        assert_eq!(ours.edns, theirs.edns, "{name} {kind}");
                        theirs.answers.sort();
                        let mut answers = ours.answers.clone();
                        answers.sort();
                        assert_eq!(answers, theirs.answers, "{name} {kind}");
                        assert_eq!(ours.authorities, theirs.authorities, "{name} {kind}");
                    }
                }
            }
        });
    });
}

#[test]
fn what_is_no_question_is_refused_or_ignored() {
    isolated(|| {
        block_on(async {
            let (_server, address) = served(a_zone(), Vec::new()).await;
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(address).await.unwrap();
            let good = question("web.default.svc.cluster.local.", RecordType::A).to_vec().unwrap();
            let mut answer = good.clone();
            answer[2] |= 0x80;
            // Too short to answer, and an answer: silence. The question behind them is answered.
            for silent in [&[][..], &good[..5], &answer] {
                socket.send(silent).await.unwrap();
            }
            // A question cut short in its name: FORMERR with its id.
            socket.send(&good[..20]).await.unwrap();
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(buffer[..2], good[..2]);
            assert_eq!((length, buffer[2] & 0x80, buffer[3] & 0x0f), (12, 0x80, 1));
            socket.send(&good).await.unwrap();
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(Message::from_vec(&buffer[..length]).unwrap().answers.len(), 1);
        });
    });
}
