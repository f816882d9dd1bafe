//! The user's kubeconfig: merges the lab's cluster, user and context in, and takes them out again. What others wrote stays
//! as it is, comments and all, wherever the file's form allows it; a file nobody else changed meanwhile comes back byte for
//! byte.

mod text;

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a merge did, kept so that it can be undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// The file.
    pub path: PathBuf,
    /// Its text before, or `None` when it did not exist.
    pub before: Option<String>,
    /// Its text after.
    pub after: String,
    /// Folders made for it, outermost first.
    pub folders: Vec<PathBuf>,
    /// The context merged in.
    pub context: String,
}

/// The three things that kubectl needs to know of a cluster.
#[derive(Debug, Clone)]
pub struct Access {
    /// Name of context, cluster and user.
    pub context: String,
    /// `https://127.0.0.1:6443`.
    pub server: String,
    /// PEM of the certificate authority, base64.
    pub ca: String,
    /// PEM of the client certificate, base64.
    pub certificate: String,
    /// PEM of the client key, base64.
    pub key: String,
}

/// Whose kubeconfig it is: path, and owner when that is not the running user (behind sudo).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The file.
    pub path: PathBuf,
    /// uid and gid that files made here shall have.
    pub ids: Option<(u32, u32)>,
}

/// What stands between the file's name and the number of the process that writes it anew.
const DRAFT: &str = ".minisvc-";

/// The lists that clusters, users and contexts are in.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Finds the kubeconfig of the person at the keyboard: of the paths in `KUBECONFIG` the first that exists, else the last
/// (where kubectl would write; client-go `GetDefaultFilename`), else `~/.kube/config` of the user behind sudo, else of this
/// user. `variable` reads the environment; `passwd` is the text of /etc/passwd; `exists` looks for a file.
pub fn locate(
    variable: impl Fn(&str) -> Option<String>,
    passwd: &str,
    exists: impl Fn(&Path) -> bool,
) -> Option<Owner> {
    let uid = variable("SUDO_UID").and_then(|text| text.parse::<u32>().ok()).filter(|uid| *uid != 0);
    let gid = variable("SUDO_GID").and_then(|text| text.parse::<u32>().ok());
    let ids = uid.zip(gid);
    let list = variable("KUBECONFIG").unwrap_or_default();
    let named: Vec<PathBuf> = list.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
    if let Some(path) = named.iter().find(|path| exists(path)).or(named.last()) {
        return Some(Owner { path: path.clone(), ids });
    }
    let home = match uid {
        Some(uid) => passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.nth(2)? == uid.to_string()).then(|| fields.nth(2).map(PathBuf::from)).flatten()
        }),
        None => variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
    }?;
    Some(Owner { path: home.join(".kube/config"), ids })
}

/// A whole kubeconfig that holds only this access.
pub fn alone(access: &Access) -> String {
    let mut config = Map::new();
    insert(&mut config, access);
    render(&Value::Object(config))
}

/// Merges the access into the owner's file, mode 0600, and makes it the current context.
///
/// # Errors
/// When the file cannot be read or written, or is no kubeconfig; it is then left untouched.
pub fn merge(owner: &Owner, access: &Access) -> Result<Merged> {
    let merged = plan(owner, access)?;
    apply(owner, &merged)?;
    Ok(merged)
}

/// What [`merge`] will do, so that it can be noted down first: whoever is ended in between is cleaned up after.
///
/// # Errors
/// When the file cannot be read or is no kubeconfig.
pub fn plan(owner: &Owner, access: &Access) -> Result<Merged> {
    let before = match std::fs::read_to_string(&owner.path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read {}", owner.path.display())),
    };
    let old = before.as_deref().unwrap_or("");
    let mut config = parse(old, &owner.path)?;
    remove(&mut config, &access.context);
    insert(&mut config, access);
    let lean = text::without(old, &access.context);
    let after = text::with(&lean, access)
        .filter(|text| parse(text, &owner.path).is_ok_and(|found| same(&found, &config)))
        .unwrap_or_else(|| render(&Value::Object(config)));
    let folders = missing_folders(owner);
    Ok(Merged { path: owner.path.clone(), before, after, folders, context: access.context.clone() })
}

/// Does what was planned.
///
/// # Errors
/// When the file cannot be written; it is then left untouched.
pub fn apply(owner: &Owner, merged: &Merged) -> Result<()> {
    for folder in &missing_folders(owner) {
        std::fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        own(folder, owner.ids)?;
    }
    write(owner, &merged.after)
}

/// Takes the access out again: restores the old bytes when nobody changed the file since, else removes only the lab's
/// entries. Folders made by the merge go when they are empty.
///
/// # Errors
/// When the file cannot be read or written.
pub fn unmerge(merged: &Merged) -> Result<()> {
    sweep(&merged.path);
    match std::fs::read_to_string(&merged.path) {
        Ok(now) => take_out(merged, &now)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", merged.path.display())),
    }
    for folder in merged.folders.iter().rev() {
        // Not empty: somebody else uses it by now, so it stays.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

fn take_out(merged: &Merged, now: &str) -> Result<()> {
    if merged.before.as_deref() == Some(now) {
        // Noted down, and never written.
        return Ok(());
    }
    let ids = std::fs::metadata(&merged.path).ok().map(|data| (data.uid(), data.gid()));
    let owner = Owner { path: merged.path.clone(), ids };
    if now == merged.after {
        match &merged.before {
            Some(text) => write(&owner, text)?,
            None => std::fs::remove_file(&merged.path).with_context(|| format!("remove {}", merged.path.display()))?,
        }
    } else {
        let mut config = parse(now, &merged.path)?;
        remove(&mut config, &merged.context);
        let lean = text::without(now, &merged.context);
        let kept = parse(&lean, &merged.path).is_ok_and(|found| {
            // The context that was current before the lab came, where the text still tells it.
            if let Some(current) = found.get("current-context").filter(|current| **current != merged.context) {
                config.insert("current-context".to_owned(), current.clone());
            }
            same(&found, &config)
        });
        write(&owner, &if kept { lean } else { render(&Value::Object(config)) })?;
    }
    Ok(())
}

fn parse(text: &str, path: &Path) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let value: Value = serde_saphyr::from_str(text).with_context(|| format!("{} is not YAML", path.display()))?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => bail!("{} is not a kubeconfig", path.display()),
    }
}

/// Whether two say the same: the order of entries does not matter, nor does an empty list or name.
fn same(one: &Map<String, Value>, two: &Map<String, Value>) -> bool {
    let plain = |config: &Map<String, Value>| {
        let mut config = config.clone();
        for list in LISTS {
            if let Some(Value::Array(entries)) = config.get_mut(list) {
                entries.sort_by_key(Value::to_string);
            }
        }
        config.retain(|_, value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!(""));
        config
    };
    plain(one) == plain(two)
}

fn render(config: &Value) -> String {
    serde_saphyr::to_string(config).expect("a kubeconfig serialises")
}

fn insert(config: &mut Map<String, Value>, access: &Access) {
    let name = &access.context;
    config.entry("apiVersion").or_insert(json!("v1"));
    config.entry("kind").or_insert(json!("Config"));
    config.entry("preferences").or_insert(json!({}));
    push(
        config,
        "clusters",
        json!({"name": name, "cluster": {
        "server": access.server, "certificate-authority-data": access.ca}}),
    );
    push(
        config,
        "users",
        json!({"name": name, "user": {
        "client-certificate-data": access.certificate, "client-key-data": access.key}}),
    );
    push(config, "contexts", json!({"name": name, "context": {"cluster": name, "user": name}}));
    config.insert("current-context".to_owned(), json!(name));
}

fn push(config: &mut Map<String, Value>, list: &str, entry: Value) {
    match config.entry(list).or_insert_with(|| json!([])) {
        Value::Array(entries) => entries.push(entry),
        other => *other = json!([entry]),
    }
}

fn remove(config: &mut Map<String, Value>, name: &str) {
    for list in LISTS {
        if let Some(Value::Array(entries)) = config.get_mut(list) {
            entries.retain(|entry| entry["name"] != name);
        }
    }
    if config.get("current-context").is_some_and(|current| current == name) {
        config.insert("current-context".to_owned(), json!(""));
    }
}

/// The folders that the file needs and that are not there, outermost first.
fn missing_folders(owner: &Owner) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> =
        owner.path.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    missing.retain(|folder| !folder.as_os_str().is_empty());
    missing.reverse();
    missing
}

/// Removes drafts of [`write`] whose writer was ended before it could rename them.
fn sweep(path: &Path) {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let start = format!("{}{DRAFT}", name.to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let draft = entry.file_name();
        let Some(writer) = draft.to_str().and_then(|name| name.strip_prefix(&start)?.parse::<u32>().ok()) else {
            continue;
        };
        let alive = std::fs::read_to_string(format!("/proc/{writer}/comm")).is_ok_and(|name| name.trim() == "minisvc");
        if !alive && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Writes beside and renames, so that a reader never sees half a file; a symlink is followed and stays one.
fn write(owner: &Owner, text: &str) -> Result<()> {
    let path = std::fs::canonicalize(&owner.path).unwrap_or_else(|_| owner.path.clone());
    let mode = std::fs::metadata(&path).map_or(0o600, |data| data.permissions().mode() & 0o777);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!("{DRAFT}{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let attempt = || -> Result<()> {
        // Never through something that was laid there: the folder is somebody else's.
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
        own(&beside, owner.ids)?;
        std::fs::rename(&beside, &path)?;
        Ok(())
    };
    attempt().with_context(|| format!("write {}", path.display())).inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

fn own(path: &Path, ids: Option<(u32, u32)>) -> Result<()> {
    if let Some((uid, gid)) = ids {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).with_context(|| format!("chown {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
