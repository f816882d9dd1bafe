//! kill -9 at random moments: a child writes with several writers and prints what was acknowledged; after each kill
//! the store must have every acknowledged write, must not have used a revision twice, and a watch from an old revision
//! must deliver every event in order. A program of its own (no harness), because it starts itself again as the child.
//! `MINISVC_CRASH_ROUNDS` sets the number of rounds.

mod lab;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::Lab;
use minisvc_store::{EventKind, Key, Options, SledStore, Store, Write};
use serde_json::json;

const WRITERS: usize = 6;
const ROUNDS: u32 = 24;
const NAME: &str = "no_acknowledged_write_is_lost_to_kill_9";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(dir) = arguments.iter().skip_while(|argument| *argument != "--child").nth(1) {
        return child(Path::new(dir));
    }
    // Enough of the harness' manners for runners that list tests first.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    let rounds = std::env::var("MINISVC_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    parent(rounds);
}

fn options() -> Options {
    // Rebuilds, exports and compaction happen often, so that kills hit them too.
    Options {
        rebuild_above: 1 << 20,
        tend_every: Duration::from_millis(20),
        export_every: Duration::from_millis(5),
        // A short log makes the file mostly dead, a long one lets watches reach back.
        log_keep_entries: if fastrand::bool() { 100 } else { 5_000 },
        ..Options::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Writes until killed. Each writer has its own objects: create, update, update, delete, sometimes long ones.
fn child(dir: &Path) {
    let store = SledStore::open(dir, options()).unwrap();
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            tasks.push(tokio::spawn(write_for_ever(store.clone(), writer)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn write_for_ever(store: SledStore, writer: usize) {
    let mut rng = fastrand::Rng::new();
    loop {
        let name = format!("w{writer}-{}", rng.u8(..8));
        let key = Key::new(if writer == 0 { "services" } else { "configmaps" }, "default", &*name);
        let filler = "f".repeat(if rng.u8(..10) == 0 { 30_000 } else { rng.usize(..2_000) });
        let value = json!({"metadata": {"name": name}, "spec": {"filler": filler, "token": rng.u64(..)}});
        let write = match (store.get(&key).is_some(), rng.u8(..4)) {
            (false, _) => Write::Create { key: key.clone(), value },
            (true, 0) => Write::Delete { key: key.clone(), expected: None },
            (true, _) => Write::Update { key: key.clone(), expected: None, value },
        };
        let deletes = matches!(write, Write::Delete { .. });
        let done = store.commit(write, false).await.unwrap();
        let token = if deletes { "gone".into() } else { done.value["spec"]["token"].to_string() };
        // One line, one write: a kill may cut only the last line.
        let line = format!("ack {} {} {} {token}\n", key.resource, name, done.revision);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn parent(rounds: u32) {
    let lab = Lab::new();
    let mut seen: HashMap<u64, (String, String)> = HashMap::new();
    let mut writes = 0;
    for round in 0..rounds {
        let before = {
            let store = SledStore::open(lab.path(), options()).unwrap_or_else(|error| panic!("round {round}: {error}"));
            store.revision()
        };
        let acknowledged = kill_one(lab.path());
        writes += acknowledged.len();
        let store = SledStore::open(lab.path(), options()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        check(&store, before, &acknowledged, &mut seen);
        if round % 5 == 4 {
            runtime().block_on(store.close()).unwrap();
        }
    }
    assert!(writes > rounds as usize, "the children wrote hardly anything: {writes}");
    println!("test {NAME} ... ok ({rounds} kills, {writes} acknowledged writes)");
}

/// Starts a child, kills it after a random moment, and gives its acknowledgements: (resource, name, revision, token).
fn kill_one(dir: &Path) -> Vec<(String, String, u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--child".as_ref(), dir.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line).unwrap_or(0) > 0 && line.ends_with('\n') {
            lines.push(std::mem::take(&mut line));
        }
        lines
    });
    std::thread::sleep(Duration::from_millis(fastrand::u64(30..600)));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the child ended by itself");
    let lines = reader.join().unwrap();
    let parse = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ack", resource, name, revision, token] = words[..] else { panic!("a strange line: {line}") };
        (resource.into(), name.into(), revision.parse().unwrap(), token.into())
    };
    lines.iter().map(parse).collect()
}

fn check(
    store: &SledStore,
    before: u64,
    acknowledged: &[(String, String, u64, String)],
    seen: &mut HashMap<u64, (String, String)>,
) {
    // No revision twice, in this round or any other.
    for (_, name, revision, token) in acknowledged {
        assert!(*revision > before, "revision {revision} was there before the child began");
        let used = seen.insert(*revision, (name.clone(), token.clone()));
        assert!(used.is_none(), "revision {revision} was used for {used:?} and for {name}");
    }
    let highest = acknowledged.iter().map(|ack| ack.2).max().unwrap_or(before);
    assert!(store.revision() >= highest, "{} < {highest}: an acknowledged write is lost", store.revision());
    // The newest acknowledged state of each object, or a newer one that was not acknowledged in time.
    let mut newest: HashMap<(&str, &str), (u64, &str)> = HashMap::new();
    for (resource, name, revision, token) in acknowledged {
        let entry = newest.entry((resource, name)).or_default();
        *entry = (*entry).max((*revision, token));
    }
    for ((resource, name), (revision, token)) in newest {
        match store.get(&Key::new(resource, "default", name)) {
            Some(found) if found.revision == revision => assert_eq!(found.value["spec"]["token"].to_string(), token),
            Some(found) => assert!(found.revision > revision, "{name}: {} < {revision}", found.revision),
            None if token == "gone" => {}
            None => assert!(removed_after(store, resource, name, revision), "{name} of revision {revision} is lost"),
        }
    }
    // A watch from before the child began (or from the oldest kept) has every revision once, in order, over resources.
    let from = before.max(store.oldest());
    let mut revisions: Vec<u64> = Vec::new();
    for resource in ["configmaps", "services"] {
        let mut watch = store.watch(resource, from).unwrap();
        let mut mine = Vec::new();
        loop {
            let batch = watch.poll_now().unwrap();
            if batch.events.is_empty() {
                break;
            }
            for event in batch.events {
                assert_eq!(event.object.value["metadata"]["resourceVersion"], event.revision.to_string());
                if let Some((name, token)) = seen.get(&event.revision) {
                    assert_eq!(&*event.object.key.name, name);
                    let deleted = event.kind == EventKind::Deleted;
                    assert!(deleted == (token == "gone"), "revision {}", event.revision);
                    assert!(deleted || event.object.value["spec"]["token"].as_u64() == token.parse().ok());
                }
                mine.push(event.revision);
            }
        }
        assert!(mine.is_sorted());
        revisions.extend(mine);
    }
    revisions.sort_unstable();
    assert!(revisions.iter().copied().eq(from + 1..=store.revision()), "the log has gaps after {from}");
}

fn removed_after(store: &SledStore, resource: &str, name: &str, revision: u64) -> bool {
    let Ok(mut watch) = store.watch(resource, revision.max(store.oldest())) else { return false };
    while let Ok(batch) = watch.poll_now() {
        if batch.events.is_empty() {
            return false;
        }
        if batch.events.iter().any(|event| event.kind == EventKind::Deleted && *event.object.key.name == *name) {
            return true;
        }
    }
    false
}
