//! Links, addresses, routes, settings and sockets: what was asked for is what the kernel reports back.

use std::{
    io::{ErrorKind, Read, Write},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;
use minisvc_kernel::{
    Links, Netns, Route, Scope, bind_udp, connect_tcp, get_sysctl, listen_tcp, set_sysctl, set_sysctls,
};
use minisvc_testkit::isolated;

fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime").block_on(body)
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_new_namespace_is_another_one_with_its_loopback_up() {
    isolated(|| {
        let (here, there) = (Netns::current().expect("current"), Netns::create().expect("create"));
        assert_ne!(here.identity().expect("here"), there.identity().expect("there"));
        assert_eq!(here, Netns::of_process(std::process::id() as i32).expect("of process"));
        assert_eq!(here, Netns::open("/proc/self/ns/net").expect("open"));
        let inside = there.run(|| Netns::current().expect("inside")).expect("run");
        assert_eq!(inside, there);
        assert_eq!(here, Netns::current().expect("current"), "the caller's thread stayed where it was");
        run(async {
            let links = Links::open(&there).await.expect("open").links().await.expect("links");
            let [lo] = links.as_slice() else { panic!("not only lo: {links:?}") };
            assert_eq!((lo.name.as_str(), lo.up), ("lo", true));
        });
        assert_eq!(Netns::open("/proc/self/ns/uts").expect_err("wrong kind").kind(), ErrorKind::InvalidInput);
        assert_eq!(Netns::of_process(i32::MAX).expect_err("no process").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn many_tasks_stay_in_their_namespace_while_others_are_visited() {
    isolated(|| {
        run(async {
            let home = Netns::current().expect("current").identity().expect("identity");
            let visits = (0..8).map(|_| {
                tokio::task::spawn_blocking(|| {
                    let there = Netns::create().expect("create");
                    there.run(|| Netns::current().expect("inside").identity()).expect("run").expect("identity")
                })
            });
            for visit in futures::future::join_all(visits).await {
                assert_ne!(visit.expect("visit"), home);
            }
            for _ in 0..8 {
                let now = tokio::spawn(async { Netns::current().expect("current").identity().expect("identity") });
                assert_eq!(now.await.expect("task"), home);
            }
        });
    });
}

#[test]
fn veth_and_bridge_round_trip() {
    isolated(|| {
        run(async {
            let (here, there) = (Netns::current().expect("here"), Netns::create().expect("there"));
            let (near, far) = (Links::open(&here).await.expect("near"), Links::open(&there).await.expect("far"));
            near.create_veth("v0", "eth0", &there).await.expect("veth");
            let again = near.create_veth("v0", "eth1", &there).await.expect_err("taken");
            assert_eq!(again.kind(), ErrorKind::AlreadyExists);
            assert_eq!(again.to_string(), "create veth v0: File exists (os error 17)");
            near.create_bridge("br0").await.expect("bridge");
            near.set_master("v0", "br0").await.expect("master");
            near.set_hardware_address("v0", [2, 0, 0, 0, 0, 7]).await.expect("hardware address");
            assert!(near.exists("v0").await.expect("exists"));
            assert!(!near.exists("eth0").await.expect("exists"));

            let links = near.links().await.expect("links");
            let find = |name: &str| links.iter().find(|link| link.name == name).expect(name).clone();
            assert_eq!(find("br0").kind.as_deref(), Some("bridge"));
            assert_eq!(find("v0").kind.as_deref(), Some("veth"));
            assert_eq!(find("v0").master, Some(find("br0").index));
            assert_eq!(find("v0").hardware_address, [2, 0, 0, 0, 0, 7]);
            assert!(!find("v0").up && !find("br0").up, "made down");

            near.set_up("v0").await.expect("up");
            far.set_up("eth0").await.expect("up");
            let v0 = near.links().await.expect("links").into_iter().find(|link| link.name == "v0").expect("v0");
            assert!(v0.up && v0.carrier);
            far.set_down("eth0").await.expect("down");
            let v0 = near.links().await.expect("links").into_iter().find(|link| link.name == "v0").expect("v0");
            assert!(v0.up && !v0.carrier, "the other end is down");

            near.delete("v0").await.expect("delete");
            assert!(!far.exists("eth0").await.expect("exists"), "a veth dies with its other end");
            for error in [
                near.delete("v0").await.expect_err("gone"),
                near.set_up("v0").await.expect_err("gone"),
                near.set_master("v0", "br0").await.expect_err("gone"),
                near.add_address("v0", net("10.0.0.1/24"), Scope::Universe).await.expect_err("gone"),
            ] {
                assert_eq!(error.errno(), Some(19), "{error}");
            }
        });
    });
}

#[test]
fn addresses_and_routes_round_trip() {
    isolated(|| {
        run(async {
            let (here, there) = (Netns::current().expect("here"), Netns::create().expect("there"));
            let links = Links::open(&here).await.expect("links");
            links.create_veth("v0", "eth0", &there).await.expect("veth");
            links.add_address("v0", net("172.30.0.11/24"), Scope::Universe).await.expect("address");
            links.add_address("v0", net("169.254.1.1/32"), Scope::Link).await.expect("address");
            links.add_address("v0", net("169.254.1.1/32"), Scope::Link).await.expect("the same again is fine");
            let addresses = links.addresses().await.expect("addresses");
            let of_v0: Vec<_> = addresses
                .iter()
                .filter(|info| info.device == "v0" && info.address.addr().is_ipv4())
                .map(|info| (info.address, info.scope))
                .collect();
            assert_eq!(
                of_v0,
                [(net("169.254.1.1/32"), Scope::Link), (net("172.30.0.11/24"), Scope::Universe)],
                "the kernel puts narrow scopes first: {addresses:?}"
            );
            let lo = addresses.iter().find(|info| info.device == "lo").expect("lo");
            assert_eq!((lo.address, lo.scope), (net("127.0.0.1/8"), Scope::Host));

            links.set_up("v0").await.expect("up");
            let pod = Route { source: Some(ip("172.30.0.11")), ..Route::on_link(net("10.244.1.5/32"), "v0") };
            let default = Route::via(net("0.0.0.0/0"), ip("172.30.0.1"));
            let peer = Route::via(net("10.244.2.0/24"), ip("172.30.0.12"));
            for route in [&pod, &default, &peer, &peer] {
                links.replace_route(route).await.expect("route");
            }
            let moved = Route::via(net("10.244.2.0/24"), ip("172.30.0.13"));
            links.replace_route(&moved).await.expect("replace");

            let routes = links.routes().await.expect("routes");
            let find = |to: &str| {
                let all: Vec<_> = routes.iter().filter(|info| info.route.destination == net(to)).collect();
                assert_eq!(all.len(), 1, "{to} in {routes:?}");
                all[0].route.clone()
            };
            assert_eq!(find("10.244.1.5/32"), pod);
            assert_eq!(find("0.0.0.0/0"), Route { device: Some("v0".into()), ..default.clone() });
            assert_eq!(find("10.244.2.0/24"), Route { device: Some("v0".into()), ..moved.clone() });
            assert_eq!(find("172.30.0.0/24").source, Some(ip("172.30.0.11")), "the address' own route");

            links.delete_route(&moved).await.expect("delete");
            links.delete_route(&moved).await.expect("one that is gone is fine");
            links.delete_route(&pod).await.expect("delete");
            let left = links.routes().await.expect("routes");
            assert!(
                left.iter().all(|info| ![net("10.244.2.0/24"), net("10.244.1.5/32")].contains(&info.route.destination))
            );

            let lost = links.replace_route(&Route::via(net("10.9.0.0/16"), ip("10.8.0.1"))).await.expect_err("far");
            assert_eq!(lost.kind(), ErrorKind::NetworkUnreachable, "a gateway must be a neighbour: {lost}");
            links.delete_address("v0", net("169.254.1.1/32")).await.expect("delete address");
            links.delete_address("v0", net("169.254.1.1/32")).await.expect("again");
            let left = links.addresses().await.expect("addresses");
            assert!(left.iter().all(|info| info.address != net("169.254.1.1/32")));
        });
    });
}

#[test]
fn settings_belong_to_one_namespace() {
    isolated(|| {
        let (one, two) = (Netns::create().expect("one"), Netns::create().expect("two"));
        set_sysctl(&one, "net.ipv4.ip_forward", "1").expect("set");
        set_sysctls(&one, &[("net/ipv4/conf/all/rp_filter", "2"), ("net.ipv4.ip_unprivileged_port_start", "0")])
            .expect("set");
        assert_eq!(get_sysctl(&one, "net.ipv4.ip_forward").expect("get"), "1");
        assert_eq!(get_sysctl(&one, "net.ipv4.conf.all.rp_filter").expect("get"), "2");
        assert_eq!(get_sysctl(&two, "net.ipv4.ip_forward").expect("get"), "0");
        assert_eq!(get_sysctl(&one, "net.ipv4.nonsense").expect_err("none").kind(), ErrorKind::NotFound);
        for key in ["kernel.hostname", "net/../kernel/hostname"] {
            assert_eq!(set_sysctl(&one, key, "x").expect_err(key).kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn sockets_stay_where_they_were_born() {
    isolated(|| {
        let there = Netns::create().expect("there");
        let listener = listen_tcp(&there, "127.0.0.1:8080".parse().expect("address")).expect("listen");
        let address = listener.local_addr().expect("address");
        listener.set_nonblocking(false).expect("blocking");
        let taken = listen_tcp(&there, address).expect_err("taken");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let wait = Duration::from_secs(5);
        let here = Netns::current().expect("here");
        assert_eq!(connect_tcp(&here, address, wait).expect_err("elsewhere").kind(), ErrorKind::ConnectionRefused);
        let mut client = connect_tcp(&there, address, wait).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(b"hello").expect("write");
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello");

        let udp = bind_udp(&there, "127.0.0.1:5353".parse().expect("address")).expect("bind");
        let peer = bind_udp(&there, "127.0.0.1:0".parse().expect("address")).expect("bind");
        assert_eq!(udp.recv(&mut [0; 8]).expect_err("nothing there yet").kind(), ErrorKind::WouldBlock);
        udp.set_nonblocking(false).expect("blocking");
        peer.send_to(b"ask", udp.local_addr().expect("address")).expect("send");
        let mut buffer = [0; 8];
        let length = udp.recv(&mut buffer).expect("receive");
        assert_eq!(&buffer[..length], b"ask");
    });
}
