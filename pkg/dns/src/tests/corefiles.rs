//! Answers by Corefiles over real sockets: who answers what, and files that change.

use super::*;

/// A server for a Corefile; `/etc/hosts` there is empty.
async fn by_corefile(text: &str) -> (Listening, SocketAddr) {
    let corefile = Corefile::parse(text, &|_| Ok(String::new())).unwrap();
    let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), corefile, path: None };
    let server = listen(&config, Arc::new(ArcSwap::from_pointee(a_zone())), Arc::default()).await.unwrap();
    let address = server.address;
    (server, address)
}

#[test]
fn a_corefile_says_who_answers() {
    isolated(|| {
        block_on(async {
            let hosts = ". {\n hosts {\n  1.1.1.1 abc.acme.local\n  2001:db8::1 abc.acme.local\n }\n log\n}";
            let (_stub, stub) = by_corefile(hosts).await;
            let text = format!(
                ".:53 {{\n hosts {{\n  9.9.9.9 web.default.svc.cluster.local\n  fallthrough\n }}\n \
                 kubernetes cluster.local in-addr.arpa\n}}\nacme.local:53 {{\n forward . {stub}\n}}"
            );
            let (_server, server) = by_corefile(&text).await;
            let ask = async |server: SocketAddr, name: &str, kind: RecordType| {
                let (answer, _) = over_udp(server, &question(name, kind)).await;
                let data: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
                (answer.metadata.response_code, data.join(" "))
            };
            let said = |text: &str| (ResponseCode::NoError, text.to_owned());
            // Its own table, through the stub block, and nothing else below it.
            assert_eq!(ask(stub, "ABC.acme.local.", RecordType::A).await, said("1.1.1.1"));
            assert_eq!(ask(server, "abc.acme.local.", RecordType::A).await, said("1.1.1.1"));
            assert_eq!(ask(server, "abc.acme.local.", RecordType::AAAA).await, said("2001:db8::1"));
            assert_eq!(ask(stub, "abc.acme.local.", RecordType::MX).await, said(""), "the name is there");
            assert_eq!(ask(stub, "1.1.1.1.in-addr.arpa.", RecordType::PTR).await, said("abc.acme.local."));
            for (name, kind) in [("no.acme.local.", RecordType::A), ("2.1.1.1.in-addr.arpa.", RecordType::PTR)] {
                assert_eq!(ask(stub, name, kind).await, (ResponseCode::ServFail, String::new()), "{name}");
            }
            // Hosts come before the cluster, and what falls through reaches it.
            assert_eq!(ask(server, "web.default.svc.cluster.local.", RecordType::A).await, said("9.9.9.9"));
            let (code, many) = ask(server, "7.0.96.10.in-addr.arpa.", RecordType::PTR).await;
            assert_eq!((code, many.as_str()), (ResponseCode::NoError, "web.default.svc.cluster.local."));
            assert_eq!(ask(server, "no.default.svc.cluster.local.", RecordType::A).await.0, ResponseCode::NXDomain);
            let (_only, only) = by_corefile("example.org {\n hosts {\n  1.2.3.4 a.example.org\n }\n}").await;
            assert_eq!(ask(only, "a.example.org.", RecordType::A).await, said("1.2.3.4"));
            assert_eq!(ask(only, "a.example.com.", RecordType::A).await.0, ResponseCode::Refused);
        });
    });
}

#[test]
fn a_corefile_that_changes_is_read_again() {
    isolated(|| {
        block_on(async {
            let folder = std::env::temp_dir().join(format!("minisvc-corefile-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("Corefile");
            let write = |address: &str, more: &str| {
                let text = format!(". {{\n hosts /none {{\n  {address} a.example\n }}\n reload 2s\n{more}}}\n");
                std::fs::write(&path, text).unwrap();
            };
            write("1.1.1.1", "");
            let corefile = read_corefile(&path).unwrap();
            let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), corefile, path: Some(path.clone()) };
            let zone = Arc::new(ArcSwap::from_pointee(a_zone()));
            let server = listen(&config, zone, Arc::default()).await.unwrap();
            let (address, handler) = (server.address, server.handler.clone());
            tokio::spawn(async move { reload(&config, handler).await });
            let becomes = async |wanted: &str| loop {
                let (answer, _) = over_udp(address, &question("a.example.", RecordType::A)).await;
                if answer.answers[0].data.to_string() == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            becomes("1.1.1.1").await;
            write("2.2.2.2", "");
            becomes("2.2.2.2").await;
            // What cannot be honoured changes nothing, and the next good one does.
            write("3.3.3.3", " rewrite a b\n");
            tokio::time::sleep(Duration::from_millis(2500)).await;
            becomes("2.2.2.2").await;
            write("4.4.4.4", "");
            becomes("4.4.4.4").await;
            std::fs::remove_dir_all(&folder).unwrap();
        });
    });
}
