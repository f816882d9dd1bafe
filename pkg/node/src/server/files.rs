//! `/logs/`: what a kubelet shows of `/var/log`, folders as pages of links and files as they are. Here that is `pods/`, and
//! in it only what belongs to this node's pods; nothing else of the machine can be named.

use std::collections::BTreeSet;
use std::path::Path;

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};

use super::{Body, Refusal, text};

/// A page, a file, or a better address.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Page(String),
    File(Vec<u8>),
    /// A folder's address ends in a slash.
    Folder,
}

/// Answers `GET /logs/…` with `rest` behind the slash, where `folders` are those of this node's pods in `root`.
pub(super) async fn answer(root: &Path, folders: BTreeSet<String>, rest: &str) -> Result<Response<Body>, Refusal> {
    let (root, path) = (root.to_owned(), rest.to_owned());
    let last = rest.rsplit('/').next().unwrap_or_default().to_owned();
    let looking = tokio::task::spawn_blocking(move || find(&root, &folders, &path));
    let found = looking.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    match found.ok_or_else(|| (StatusCode::NOT_FOUND, "404 page not found".to_owned()))? {
        Found::Page(page) => {
            let mut response = text(StatusCode::OK, page);
            let html = header::HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
            Ok(response)
        }
        Found::File(bytes) => {
            let mut response = text(StatusCode::OK, String::new());
            *response.body_mut() = Full::from(bytes).map_err(|never| match never {}).boxed_unsync();
            Ok(response)
        }
        Found::Folder => {
            let mut response = text(StatusCode::MOVED_PERMANENTLY, String::new());
            if let Ok(better) = header::HeaderValue::from_str(&format!("{last}/")) {
                response.headers_mut().insert(header::LOCATION, better);
            }
            Ok(response)
        }
    }
}

fn find(root: &Path, folders: &BTreeSet<String>, path: &str) -> Option<Found> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let slash = parts.last() == Some(&"");
    if slash {
        parts.pop();
    }
    if parts.iter().any(|part| ["", ".", ".."].contains(part)) {
        return None;
    }
    match parts[..] {
        [] => Some(Found::Page(page(["pods/".to_owned()]))),
        ["pods"] if slash => Some(Found::Page(page(folders.iter().map(|folder| format!("{folder}/"))))),
        ["pods"] => Some(Found::Folder),
        ["pods", folder, ..] if folders.contains(folder) => {
            let path = parts[1..].iter().fold(root.to_owned(), |path, part| path.join(part));
            // What a name leads to elsewhere is not a log.
            let kind = std::fs::symlink_metadata(&path).ok()?.file_type();
            if kind.is_file() && !slash {
                return Some(Found::File(std::fs::read(path).ok()?));
            }
            if !kind.is_dir() {
                return None;
            }
            if !slash {
                return Some(Found::Folder);
            }
            let entry = |entry: std::fs::DirEntry| {
                let kind = entry.file_type().ok()?;
                let name = entry.file_name().into_string().ok()?;
                (kind.is_dir() || kind.is_file()).then(|| if kind.is_dir() { format!("{name}/") } else { name })
            };
            let names: BTreeSet<String> = std::fs::read_dir(path).ok()?.filter_map(|e| entry(e.ok()?)).collect();
            Some(Found::Page(page(names)))
        }
        _ => None,
    }
}

/// A folder as Go's file server shows it. Names of pods and containers hold nothing that HTML reads.
fn page(names: impl IntoIterator<Item = String>) -> String {
    let links: String = names.into_iter().map(|name| format!("<a href=\"{name}\">{name}</a>\n")).collect();
    format!("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{links}</pre>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_of_own_pods_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("default_web_u1/c");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(folder.path().join("default_other_u2")).unwrap();
        std::fs::write(own.join("0.log"), "line\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", own.join("1.log")).unwrap();
        let folders = BTreeSet::from(["default_web_u1".to_owned()]);
        let found = |path: &str| find(folder.path(), &folders, path);
        let links = |path: &str| match found(path) {
            Some(Found::Page(page)) => page
                .lines()
                .filter_map(|l| l.strip_prefix("<a href=\"")?.split('"').next())
                .map(str::to_owned)
                .collect(),
            other => vec![format!("{other:?}")],
        };
        assert_eq!(links(""), ["pods/"]);
        assert_eq!(links("pods/"), ["default_web_u1/"]);
        assert_eq!(links("pods/default_web_u1/"), ["c/"]);
        assert_eq!(links("pods/default_web_u1/c/"), ["0.log"]);
        assert_eq!(found("pods/default_web_u1/c/0.log"), Some(Found::File(b"line\n".to_vec())));
        assert_eq!((found("pods"), found("pods/default_web_u1/c")), (Some(Found::Folder), Some(Found::Folder)));
        for path in [
            "pods/default_other_u2/",
            "pods/default_web_u1/c/1.log",
            "pods/default_web_u1/c/0.log/",
            "pods/default_web_u1/../default_other_u2/",
            "pods/default_web_u1/./c/",
            "pods//",
            "/",
            "syslog",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
