//! The web programs over real sockets, in a private namespace: what curl, old clients and browsers rely on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Starts `program` on its default port and waits until it accepts.
fn start(program: &'static str) {
    std::thread::spawn(move || minisvc_images::run(program, &[]));
    for _ in 0..200 {
        if TcpStream::connect("127.0.0.1:80").is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{program} does not listen");
}

/// Sends `request` and reads to the end of the connection.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn color_speaks_http() {
    minisvc_testkit::isolated(|| {
        start("color");
        let old = exchange("127.0.0.1:80", "GET /x?y HTTP/1.0\r\n\r\n");
        assert!(old.starts_with("HTTP/1.0 200 OK\r\n"), "{old}");
        assert!(old.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{old}");
        assert!(old.contains("serving /x?y for 127.0.0.1:"), "{old}");

        let pipelined = exchange(
            "[::1]:80",
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\
             GET //3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(pipelined.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{pipelined}");
        assert!(pipelined.contains("serving /1 for [::1]:") && pipelined.contains("serving /2 for [::1]:"));
        assert!(pipelined.contains("HTTP/1.1 301 Moved Permanently\r\n") && pipelined.contains("\r\nLocation: /3\r\n"));

        let nonsense = exchange("127.0.0.1:80", "hostName\n");
        assert!(nonsense.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{nonsense}");

        let head = exchange("127.0.0.1:80", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (headers, body) = head.split_once("\r\n\r\n").unwrap();
        assert!(headers.contains("\r\nContent-Length: "), "{head}");
        assert_eq!(body, "");
    });
}

#[test]
fn a_slow_client_holds_up_nobody() {
    minisvc_testkit::isolated(|| {
        start("nginx");
        let mut slow: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect("127.0.0.1:80").unwrap()).collect();
        for stream in &mut slow {
            stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        }
        let quick = exchange("127.0.0.1:80", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(quick.contains("Welcome to nginx!"), "{quick}");
        slow[299].write_all(b"st: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        slow[299].read_to_string(&mut answer).unwrap();
        assert!(answer.contains("Welcome to nginx!"), "{answer}");
    });
}
