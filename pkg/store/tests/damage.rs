//! Every way in which a store was seen to break: snapshots, a shortened or zeroed data file, a missing database, a
//! second holder. Nothing acknowledged may go missing without a word. `MINISVC_DAMAGE_PAGES` sets how many pages are
//! zeroed, one at a time.

mod lab;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lab::{Lab, create, delete, key, update};
use minisvc_store::{OpenError, Options, SledStore, Store};
use serde_json::json;

const OBJECTS: usize = 400;

/// A store with some history; closed with an export, or only let go.
async fn filled(with_export: bool) -> (Lab, u64) {
    let lab = Lab::new();
    let store = lab.open();
    for round in 0..3 {
        let writes = (0..OBJECTS).map(|index| {
            let (name, data) = (format!("o{index}"), json!({ "x": format!("{round}-{}", "z".repeat(2_000)) }));
            let write = match round {
                0 => create("configmaps", &name, data),
                _ => update("configmaps", &name, None, data),
            };
            tokio::spawn(store.commit(write, false))
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
    }
    let revision = store.revision();
    if with_export {
        store.close().await.unwrap();
    }
    drop(store);
    (lab, revision)
}

fn snapshots(lab: &Lab) -> Vec<PathBuf> {
    let entries = fs::read_dir(lab.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap.")).collect()
}

fn shorten(path: &Path, by: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(by)).unwrap();
}

fn whole(store: &SledStore, revision: u64) {
    let listing = store.list("configmaps", None);
    assert_eq!((listing.items.len(), listing.revision), (OBJECTS, revision));
    assert!(listing.items.iter().all(|object| object.value["data"]["x"].as_str().unwrap().starts_with("2-")));
}

async fn still_writes(store: &SledStore, above: u64) {
    let made = store.commit(create("configmaps", "after", json!({})), false).await.unwrap();
    assert!(made.revision > above, "{} was used before", made.revision);
    store.commit(delete("configmaps", "after", None), false).await.unwrap();
}

#[tokio::test]
async fn damaged_snapshots_are_done_without() {
    for damage in ["empty", "halved", "flipped"] {
        let (lab, revision) = filled(false).await;
        let found = snapshots(&lab);
        assert!(!found.is_empty(), "sled writes a snapshot when it closes");
        for path in found {
            let bytes = fs::read(&path).unwrap();
            let bytes = match damage {
                "empty" => Vec::new(),
                "halved" => bytes[..bytes.len() / 2].to_vec(),
                _ => bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 20)).collect(),
            };
            fs::write(&path, bytes).unwrap();
        }
        let store = lab.open();
        whole(&store, revision);
        assert_eq!(store.watch("configmaps", 1).unwrap().next().await.unwrap().events[0].revision, 2, "{damage}");
        still_writes(&store, revision).await;
        drop(store);
        assert!(lab.path().join("damaged-1").exists(), "{damage}: the original is kept");
        whole(&lab.open(), revision + 2);
    }
}

#[tokio::test]
async fn half_written_and_missing_snapshots_do_not_matter() {
    let (lab, revision) = filled(false).await;
    fs::write(lab.path().join("db/snap.0000000000000123.generating"), b"half").unwrap();
    whole(&lab.open(), revision);
    for path in snapshots(&lab) {
        fs::remove_file(path).unwrap();
    }
    whole(&lab.open(), revision);
    assert!(!lab.path().join("damaged-1").exists());
}

#[tokio::test]
async fn a_shortened_data_file_is_restored_from_an_export_that_has_all() {
    for (keep_snapshots, by) in [(true, 300_000), (true, 1 << 20), (false, 300_000), (false, 1 << 20), (false, 1 << 40)]
    {
        let (lab, revision) = filled(true).await;
        if !keep_snapshots {
            snapshots(&lab).iter().for_each(|path| fs::remove_file(path).unwrap());
        }
        shorten(&lab.path().join("db/db"), by);
        let store = lab.open();
        whole(&store, revision);
        still_writes(&store, revision).await;
    }
}

#[tokio::test]
async fn a_shortened_data_file_without_export_is_refused_and_kept() {
    for by in [300_000, 1 << 20, 1 << 40] {
        let (lab, revision) = filled(false).await;
        snapshots(&lab).iter().for_each(|path| fs::remove_file(path).unwrap());
        shorten(&lab.path().join("db/db"), by);
        for _ in 0..2 {
            match lab.refused() {
                OpenError::Damaged { next, .. } => assert!(next.contains("no export"), "{next}"),
                OpenError::BelowRecorded { recorded, found, .. } => assert!(recorded == revision && found < revision),
                other => panic!("{other}"),
            }
        }
        assert!(lab.path().join("db/db").exists());
    }
}

#[tokio::test]
async fn an_old_export_is_restored_only_when_the_loss_is_accepted() {
    let (lab, exported) = filled(true).await;
    let store = lab.open();
    for index in 0..7 {
        store.commit(create("configmaps", &format!("late{index}"), json!({})), false).await.unwrap();
    }
    drop(store);
    fs::remove_dir_all(lab.path().join("db")).unwrap();
    let text = lab.refused().to_string();
    assert!(text.contains(&format!("export.jsonl holds revision {exported}")), "{text}");
    let store = lab.open_with(Options { restore_lossy: true, ..Options::default() });
    whole(&store, exported + 8);
    assert!(store.watch("configmaps", exported + 7).is_err(), "who saw the lost writes must list anew");
    still_writes(&store, exported + 8).await;
    drop(store);
    whole(&lab.open(), exported + 10);
}

#[tokio::test]
async fn a_zeroed_page_never_loses_an_object_quietly() {
    let (lab, revision) = filled(true).await;
    let data = lab.path().join("db/db");
    let pristine = lab.path().join("pristine");
    copy(&lab.path().join("db"), &pristine);
    let length = fs::metadata(&data).unwrap().len();
    let pages = length / 4096;
    let steps = std::env::var("MINISVC_DAMAGE_PAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    for step in 0..steps {
        fs::remove_dir_all(lab.path().join("db")).unwrap();
        copy(&pristine, &lab.path().join("db"));
        let page = pages * step / steps;
        File::options().write(true).open(&data).unwrap().write_all_at(&[0; 4096], page * 4096).unwrap();
        // Restored from the export, or unharmed because the page was dead.
        let store = lab.open();
        whole(&store, revision);
    }
}

#[tokio::test]
async fn damage_with_a_damaged_export_is_refused() {
    let (lab, _) = filled(true).await;
    fs::remove_dir_all(lab.path().join("db")).unwrap();
    let export = lab.path().join("export.jsonl");
    let text = fs::read_to_string(&export).unwrap().replacen("2-zz", "2-zy", 1);
    fs::write(&export, text).unwrap();
    assert!(matches!(lab.refused(), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_noticed() {
    let (lab, revision) = filled(false).await;
    let copied = lab.path().join("copy");
    copy(&lab.path().join("db"), &copied);
    let store = lab.open();
    store.commit(create("configmaps", "late", json!({})), false).await.unwrap();
    drop(store);
    fs::remove_dir_all(lab.path().join("db")).unwrap();
    fs::rename(copied, lab.path().join("db")).unwrap();
    match lab.refused() {
        OpenError::BelowRecorded { found, recorded, .. } => assert_eq!((found, recorded), (revision, revision + 1)),
        other => panic!("{other}"),
    }
    let store = lab.open_with(Options { restore_lossy: true, ..Options::default() });
    whole(&store, revision + 2);
}

#[tokio::test]
async fn an_unfinished_swap_is_finished_and_an_unfinished_build_forgotten() {
    let (lab, revision) = filled(false).await;
    fs::rename(lab.path().join("db"), lab.path().join("db.new")).unwrap();
    whole(&lab.open(), revision);
    copy(&lab.path().join("db"), &lab.path().join("db.old"));
    fs::create_dir(lab.path().join("db.new")).unwrap();
    whole(&lab.open(), revision);
    assert!(!lab.path().join("db.new").exists() && !lab.path().join("db.old").exists());
}

#[tokio::test]
async fn a_second_holder_is_refused_by_name() {
    let lab = Lab::new();
    let store = lab.open();
    match lab.refused() {
        OpenError::Held { pid, .. } => assert_eq!(pid, std::process::id()),
        other => panic!("{other}"),
    }
    drop(store);
    lab.open();
}

#[tokio::test]
async fn an_unknown_format_is_refused_untouched() {
    let (lab, revision) = filled(false).await;
    let set = |format: &str| {
        let db = sled::open(lab.path().join("db")).unwrap();
        db.insert(b"f", format.as_bytes()).unwrap();
        db.flush().unwrap();
    };
    set("2");
    match lab.refused() {
        OpenError::Version { found, known, .. } => assert_eq!((&*found, known), ("2", 1)),
        other => panic!("{other}"),
    }
    set("1");
    whole(&lab.open(), revision);
}

#[tokio::test]
async fn a_lost_object_and_a_lost_log_are_noticed() {
    let (lab, revision) = filled(false).await;
    let remove = |prefix: &[u8]| {
        let db = sled::open(lab.path().join("db")).unwrap();
        let (found, _) = db.scan_prefix(prefix).next().unwrap().unwrap();
        db.remove(found).unwrap();
        db.flush().unwrap();
    };
    remove(b"l");
    let store = lab.open();
    whole(&store, revision);
    assert_eq!(store.oldest(), revision, "without the log, watches begin now");
    drop(store);
    assert_eq!(lab.open().oldest(), revision);
    remove(b"o");
    assert!(matches!(lab.refused(), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn allocations_are_known_again_after_a_restart() {
    let lab = Lab::new();
    let store = lab.open();
    let made = store.commit(create("services", "a", json!({})), false).await.unwrap();
    drop(store);
    let store = lab.open();
    let mut value = serde_json::Value::clone(&made.value);
    value["metadata"] = json!({"name": "b"});
    let write = minisvc_store::Write::Create { key: key("services", "b"), value };
    assert!(store.commit(write, false).await.is_err(), "the address is taken");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
