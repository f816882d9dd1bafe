//! Streams that last: many short connections, long silence, many at once, clients that vanish. With kubectl 1.20 (SPDY),
//! 1.37 (WebSocket) and 1.37 told to speak SPDY. Run through `cargo xtask test`.

mod lab;
mod matrix;

use lab::{Lab, tools};
use matrix::passed;

/// Every client: its name for the table, and the beginning of a line of shell.
fn clients() -> [(&'static str, String); 3] {
    let kubectl = |version: &str| tools().join("bin").join(format!("kubectl-{version}")).display().to_string();
    let spdy = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false";
    [
        ("kubectl 1.20", kubectl("1.20")),
        ("kubectl 1.37", kubectl("1.37")),
        ("kubectl 1.37 over SPDY", format!("env {spdy} {}", kubectl("1.37"))),
    ]
}

/// A lab with pod `a` (a shell) and pod `web` (a page at port 80).
fn lab() -> Lab {
    let lab = Lab::started("1.37");
    lab.ok("kubectl run a --image=archlinux -- sleep 1000 && kubectl run web --image=jpetazzo/color");
    lab.ok("kubectl wait --for=condition=Ready pod/a pod/web --timeout=90s");
    lab
}

/// How many processes of the machine have exactly this command line.
fn processes(lab: &Lab, line: &str) -> usize {
    lab.sh(&format!("pgrep -x -f -c -- '{line}'")).out.trim().parse().expect("a count")
}

/// The Rust half of a name no other test's processes have.
fn odd_seconds(lab: &Lab, number: usize) -> usize {
    let sum: usize = lab.folder().display().to_string().bytes().map(usize::from).sum();
    10_000 + sum * 10 + number
}

const MANY: &str = r#"
import socket, sys, threading, time
port, total, width = map(int, sys.argv[1:])
failed, lock = [], threading.Lock()
def one(number):
    try:
        s = socket.create_connection(("127.0.0.1", port), 20)
        s.sendall(f"GET /{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while chunk := s.recv(4096): text += chunk
        assert f"serving /{number} ".encode() in text, text
    except Exception as error:
        with lock: failed.append((number, repr(error)))
def row(first):
    for number in range(first, total, width): one(number)
rows = [threading.Thread(target=row, args=(first,)) for first in range(width)]
for thread in rows: thread.start()
for thread in rows: thread.join()
print(total - len(failed), failed[:3])
"#;

#[test]
fn forwards_carry_many_short_connections_and_long_silence() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        std::fs::write(lab.folder().join("home/many.py"), MANY).expect("a script");
        let forwards: Vec<_> = clients()
            .into_iter()
            .enumerate()
            .map(|(number, (name, kubectl))| {
                let port = 18_080 + number;
                let line = format!("{kubectl} port-forward pod/web {port}:80 2>&1");
                (name, port, lab.background(&line, &format!("forward{number}.txt")))
            })
            .collect();
        for (name, port, forward) in &forwards {
            lab.eventually("the forward begins", || match forward.text() {
                text if text.contains("Forwarding from 127.0.0.1") => Ok(()),
                text => Err(text),
            });
            assert_eq!(lab.ok(&format!("python3 many.py {port} 200 1")), "200 []\n", "{name}");
            assert_eq!(lab.ok(&format!("python3 many.py {port} 200 20")), "200 []\n", "{name}, side by side");
        }
        // Silence longer than any client's ping, with one connection open that only then speaks.
        let held = lab.background(
            "python3 -c 'import socket,time; s=[socket.create_connection((\"127.0.0.1\", 18080+n)) for n in range(3)]; time.sleep(25); [c.sendall(b\"GET /late HTTP/1.0\\r\\n\\r\\n\") for c in s]; print([b\"serving /late \" in c.makefile(\"rb\").read() for c in s], flush=True)'",
            "held.txt",
        );
        lab.eventually("connections held in silence still speak", || match held.text() {
            text if text == "[True, True, True]\n" => Ok(()),
            text => Err(text),
        });
        for (name, port, forward) in &forwards {
            assert_eq!(
                lab.ok(&format!("python3 many.py {port} 20 5")),
                "20 []\n",
                "{name}, after the silence; {}",
                forward.text()
            );
            passed(name, "port-forward stays stable", 4);
        }
    });
}

#[test]
fn many_commands_at_once() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        for (name, kubectl) in clients() {
            let said = lab.ok(&format!(
                "for i in $(seq 30); do {kubectl} exec a -- sh -c \"echo $i; sleep 0.2; echo $i >&2; exit $i\" >out.$i 2>err.$i & p[$i]=$!; done; for i in $(seq 30); do wait ${{p[$i]}}; echo $i $? $(cat out.$i) $(head -n 1 err.$i); done"
            ));
            let wanted: String = (1..=30).map(|i| format!("{i} {i} {i} {i}\n")).collect();
            assert_eq!(said, wanted, "{name}");
            passed(name, "30 commands at once", 1);
        }
    });
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        for (number, (name, kubectl)) in clients().into_iter().enumerate() {
            for (way, flags) in [("plain", ""), ("with input", "-i")] {
                let line = format!("sleep {}", odd_seconds(&lab, number));
                // Its input stays open, so that only the client's death can end it.
                let client =
                    lab.background(&format!("{kubectl} exec {flags} a -- {line} < <(sleep 300)"), "vanishing.txt");
                lab.eventually("the command runs", || match processes(&lab, &line) {
                    1 => Ok(()),
                    other => Err(other.to_string()),
                });
                drop(client); // killed with SIGKILL
                lab.eventually(&format!("{name}, {way}: the command ends with its client"), || {
                    match processes(&lab, &line) {
                        0 => Ok(()),
                        other => Err(format!("{other} still run")),
                    }
                });
            }
            passed(name, "a vanished client leaves nothing", 2);
        }
        assert_eq!(lab.ok("kubectl get pod a -o jsonpath={.status.containerStatuses[0].restartCount}"), "0");
    });
}

#[test]
fn logs_and_attachments_over_a_restart() {
    minisvc_testkit::isolated(|| {
        let lab = lab();
        let script = "echo start; while ! test -e /tmp/go; do sleep 0.1; done; rm /tmp/go; echo end";
        for (number, (name, kubectl)) in clients().into_iter().enumerate() {
            let (pod, ticking) = (format!("r{number}"), format!("t{number}"));
            lab.ok(&format!("kubectl run {pod} --image=alpine -- sh -c '{script}'"));
            let ticks = "while ! test -e /tmp/go; do echo tick; sleep 0.2; done; rm /tmp/go; echo end";
            lab.ok(&format!("kubectl run {ticking} --image=alpine -- sh -c '{ticks}'"));
            lab.ok(&format!("kubectl wait --for=condition=Ready pod/{pod} pod/{ticking} --timeout=90s"));
            // An attachment hears what is said now, and ends with the container.
            let mut attached = lab.background(&format!("{kubectl} attach {ticking}"), "attach.txt");
            let heard = |attached: &lab::Background| attached.text().contains("tick\n");
            lab.eventually("an attachment hears", || if heard(&attached) { Ok(()) } else { Err(attached.text()) });
            lab.sh(&format!("{kubectl} exec {ticking} -- touch /tmp/go"));
            lab.eventually("it ends", || if attached.ended() { Ok(()) } else { Err(attached.text()) });
            assert!(attached.text().ends_with("tick\nend\n"), "{name}: {}", attached.text());

            let mut follower = lab.background(&format!("{kubectl} logs -f {pod}"), "follow.txt");
            lab.eventually("the follower reads", || match follower.text() {
                text if text == "start\n" => Ok(()),
                text => Err(text),
            });
            // Its end may overtake the command.
            lab.sh(&format!("{kubectl} exec {pod} -- touch /tmp/go"));
            // The follower ends by itself with the container it followed, and has heard all of it.
            lab.eventually("the follower ends", || if follower.ended() { Ok(()) } else { Err(follower.text()) });
            assert_eq!(follower.text(), "start\nend\n", "{name}");
            lab.until(
                &format!("kubectl get pod {pod} -o jsonpath={{.status.containerStatuses[0].restartCount}}"),
                |t| t == "1",
            );
            lab.until(&format!("{kubectl} logs {pod}"), |text| text == "start\n");
            assert_eq!(lab.ok(&format!("{kubectl} logs {pod} --previous")), "start\nend\n");
            // Attached, gone, attached again: the container does not notice.
            for _ in 0..3 {
                lab.sh(&format!("timeout -s KILL 2 {kubectl} attach {pod}"));
            }
            let count =
                lab.ok(&format!("kubectl get pod {pod} -o jsonpath={{.status.containerStatuses[0].restartCount}}"));
            assert_eq!(count, "1", "{name}");
            passed(name, "logs and attach over a restart", 5);
        }
    });
}
