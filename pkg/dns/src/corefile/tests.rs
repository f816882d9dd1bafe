//! Corefiles as Kubernetes' tests, kubeadm and users write them, and what is refused.

use super::*;

fn read(path: &str) -> std::io::Result<String> {
    match path {
        "/etc/hosts" => Ok("127.0.0.1 localhost\n# 9.9.9.9 not.this\n10.0.0.1 a.example  A2.example # two\n".into()),
        "/etc/resolv.conf" => Ok("search x\nnameserver 10.0.2.3\nnameserver fe80::1\noptions ndots:5\n".into()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> anyhow::Result<Corefile> {
    Corefile::parse(text, &read)
}

fn refused(text: &str) -> String {
    format!("{:#}", parse(text).expect_err("refused"))
}

#[test]
fn kubeadms_file() {
    let file = parse(
        ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    kubernetes Cluster.Local in-addr.arpa \
         ip6.arpa {\n       pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    }\n    \
         prometheus :9153\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n    \
         loop\n    reload\n    loadbalance\n}\n",
    )
    .unwrap();
    let any = |port| Some(SocketAddr::from(([0, 0, 0, 0], port)));
    assert_eq!((file.port, file.health, file.ready, file.metrics), (53, any(8080), any(8181), any(9153)));
    assert_eq!((file.domain(), file.reload), (Some("cluster.local"), Some(Duration::from_secs(30))));
    assert!(file.is_plain());
    let block = file.block_of("anything.at.all.").unwrap();
    let resolvers: Vec<SocketAddr> = vec!["10.0.2.3:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()];
    assert_eq!(block.resolvers("example.org"), Some(resolvers.as_slice()));
}

#[test]
fn a_stub_domain_has_a_block_of_its_own() {
    let file = parse(
        "# two blocks\n.:53 {\n kubernetes cluster.local\n forward . 10.0.0.1\n}\n acme.local:53,\n corp.local:53 {\n \
         forward . 10.244.1.9:5353 dns://10.244.1.10\n}",
    )
    .unwrap();
    let of = |name: &str| file.block_of(name).unwrap();
    assert!(of("acme.local").kubernetes.is_none() && of("x.corp.local").kubernetes.is_none());
    assert!(of("notacme.local").kubernetes.is_some());
    let stub: Vec<SocketAddr> = vec!["10.244.1.9:5353".parse().unwrap(), "10.244.1.10:53".parse().unwrap()];
    assert_eq!(of("abc.acme.local").resolvers("abc.acme.local"), Some(stub.as_slice()));
    assert!(file.is_plain());
    let deeper = parse(". {\n kubernetes cluster.local\n}\nx.cluster.local {\n forward . 1.1.1.1\n}").unwrap();
    assert!(!deeper.is_plain());
}

#[test]
fn hosts_come_from_the_file_and_the_block() {
    let file = parse(". {\n\thosts {\n\t\t1.1.1.1 notexistname.resolv.conf.local\n\t\tttl 60\n\t}\n\tlog\n}").unwrap();
    let block = file.block_of("x").unwrap();
    assert!(block.log && file.domain().is_none() && !file.is_plain());
    let mut wanted = Hosts::default();
    wanted.add("127.0.0.1 localhost\n10.0.0.1 a.example a2.example\n1.1.1.1 notexistname.resolv.conf.local");
    wanted.ttl = 60;
    assert_eq!(block.hosts.as_ref(), Some(&wanted));
    assert_eq!(file.block_of("anything"), Some(block));
    assert_eq!(parse("example.org {\n log\n}").unwrap().block_of("example.com"), None);
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    assert_eq!(refused(". {\n log\n rewrite name a b\n}"), "3 - Error during parsing: Unknown directive 'rewrite'");
    let text = refused(". {\n kubernetes cluster.local {\n  pods verified\n }\n}");
    assert!(text.ends_with("kubernetes: 'pods verified' is not supported"), "{text}");
    assert!(refused(". {\n forward . tls://9.9.9.9\n}").contains("tls is not spoken here"));
    assert!(refused(". {\n forward . nobody\n}").contains("not an IP address or file: \"nobody\""));
    assert!(refused(". {\n forward .\n}").contains("Wrong argument count"));
    assert!(refused(". {\n hosts {\n  inline\n }\n}").contains("hosts: unknown property 'inline'"));
    assert!(refused(". {\n reload 1s\n}").contains("greater or equal to 2s"));
    assert_eq!(parse(". {\n reload 1m 5s\n}").unwrap().reload, Some(Duration::from_secs(60)));
    assert!(refused("tls://. {\n log\n}").contains("only plain DNS"));
    assert!(refused(". {\n log\n}\nx:5353 {\n log\n}").contains("one port"));
    assert!(refused(". {\n log\n").contains("not closed"));
    assert!(refused("{\n log\n}").contains("without zones"));
    assert!(refused("import more").contains("import is not supported"));
    assert!(refused("").contains("no server block"));
    assert!(refused(". {\n log {\n a {\n }\n }\n}").contains("Unexpected '{'"));
}
