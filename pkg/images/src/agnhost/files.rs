//! `agnhost test-webserver`: the container's files over HTTP, as Go's file server shows them; and the update demo's images,
//! which serve one file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LAST_MODIFIED};

use super::Mode;
use crate::flags::Flag;
use crate::go;
use crate::serve::Answer;
use crate::web::{self, Asked};

pub(super) const MODE: Mode = Mode {
    name: "test-webserver",
    about: "Starts a simple HTTP fileserver",
    flags: &[Flag::int("port", "80")],
    words: Some(0),
    run: |flags| {
        super::block_on(async {
            let Some(port) = flags.port("port") else {
                go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int("port")));
            };
            let listener = super::listen(port);
            web::serve_forever(listener, None, |asked| std::future::ready(answer(Path::new("/"), &asked))).await;
            ExitCode::SUCCESS
        })
    },
};

/// The file that the update demo's image `name` serves.
pub(crate) fn data(name: &str) -> String {
    format!("{{\n\t\"image\": \"{name}.jpg\"\n}}\n")
}

/// The images `nautilus` and `kitten`: a picture's name in `/data.json`, on port 80. The picture itself is not here.
pub(super) fn update_demo(name: &str) -> ExitCode {
    let data = data(name);
    super::block_on(async {
        let listener = super::listen(80);
        web::serve_forever(listener, None, move |asked| {
            let mut answer = match asked.path() {
                "/data.json" => web::ok(data.clone()),
                _ => web::not_found(),
            };
            if answer.status() == StatusCode::OK {
                web::set(&mut answer, CONTENT_TYPE, "application/json");
            }
            std::future::ready(answer)
        })
        .await;
        ExitCode::SUCCESS
    })
}

fn answer(root: &Path, asked: &Asked) -> Answer {
    let mut answer = file(root, asked);
    for (name, value) in [
        (CACHE_CONTROL, "private"),
        (HeaderName::from_static("access-control-allow-origin"), "*"),
        (HeaderName::from_static("access-control-allow-credentials"), "true"),
        (HeaderName::from_static("access-control-allow-methods"), "GET, POST, OPTIONS"),
        (
            HeaderName::from_static("access-control-allow-headers"),
            "DNT,X-Mx-ReqToken,Keep-Alive,User-Agent,X-Requested-With,Cache-Control,Content-Type",
        ),
    ] {
        web::set(&mut answer, name, value);
    }
    answer
}

fn file(root: &Path, asked: &Asked) -> Answer {
    let path = percent_encoding::percent_decode_str(asked.path()).decode_utf8_lossy().into_owned();
    let mut place = PathBuf::from(root);
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => {
                if place != root {
                    place.pop();
                }
            }
            part => place.push(part),
        }
    }
    if path.ends_with("/index.html") {
        return local_redirect("./");
    }
    let found = match std::fs::metadata(&place) {
        Ok(found) => found,
        Err(error) => return refused(&error),
    };
    match (found.is_dir(), path.ends_with('/')) {
        (true, false) => {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            return local_redirect(&format!("{name}/"));
        }
        (false, true) => {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            return local_redirect(&format!("../{name}"));
        }
        _ => {}
    }
    let index = place.join("index.html");
    match found.is_dir() {
        true if index.is_file() => content(&index),
        true => listing(&place),
        false if found.is_file() => content(&place),
        // A device or a socket has no end that could be sent.
        false => web::failure(StatusCode::FORBIDDEN, "403 Forbidden"),
    }
}

fn refused(error: &std::io::Error) -> Answer {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => web::not_found(),
        std::io::ErrorKind::PermissionDenied => web::failure(StatusCode::FORBIDDEN, "403 Forbidden"),
        _ => web::failure(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
    }
}

fn local_redirect(to: &str) -> Answer {
    let mut answer = web::answer(StatusCode::MOVED_PERMANENTLY, "");
    web::set(&mut answer, http::header::LOCATION, to);
    answer
}

fn content(path: &Path) -> Answer {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return refused(&error),
    };
    let mut answer = web::ok(bytes);
    let kind = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => Some("text/html; charset=utf-8"),
        Some("css") => Some("text/css; charset=utf-8"),
        Some("js") => Some("text/javascript; charset=utf-8"),
        Some("json") => Some("application/json"),
        Some("png") => Some("image/png"),
        Some("txt") => Some("text/plain; charset=utf-8"),
        _ => None,
    };
    if let Some(kind) = kind {
        web::set(&mut answer, CONTENT_TYPE, kind);
    }
    web::set(&mut answer, ACCEPT_RANGES, "bytes");
    let modified = path.metadata().and_then(|found| found.modified()).ok();
    if let Some(modified) = modified.and_then(|time| jiff::Timestamp::try_from(time).ok()) {
        web::set(&mut answer, LAST_MODIFIED, &modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    answer
}

fn listing(folder: &Path) -> Answer {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(_) => return web::failure(StatusCode::INTERNAL_SERVER_ERROR, "Error reading directory"),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) { name + "/" } else { name }
        })
        .collect();
    names.sort();
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let mut page = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        let link = percent_encoding::utf8_percent_encode(&name, LINK).to_string();
        page.push_str(&format!("<a href=\"{link}\">{}</a>\n", escape(&name)));
    }
    page.push_str("</pre>\n");
    let mut answer = web::ok(page);
    web::set(&mut answer, CONTENT_TYPE, "text/html; charset=utf-8");
    answer
}

/// What is escaped in a link's path.
const LINK: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'%').add(b'?').add(b'#');

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_update_demo_serves_its_picture() {
        minisvc_testkit::isolated(|| {
            std::thread::spawn(|| update_demo("nautilus"));
            let end = Instant::now() + Duration::from_secs(10);
            let mut stream = loop {
                match TcpStream::connect("127.0.0.1:80") {
                    Ok(stream) => break stream,
                    Err(error) => assert!(Instant::now() < end, "{error}"),
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            stream.write_all(b"GET /data.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.ends_with(&data("nautilus")) && text.contains("application/json"), "{text}");
        });
    }

    #[test]
    fn files_folders_and_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("results")).unwrap();
        std::fs::write(folder.path().join("results/udp@a.b"), "OK\n").unwrap();
        let get = |path: &str| {
            let asked = Asked {
                method: http::Method::GET,
                uri: path.parse().unwrap(),
                headers: http::HeaderMap::new(),
                body: Bytes::new(),
                peer: "10.0.0.1:1".parse().unwrap(),
            };
            answer(folder.path(), &asked)
        };
        let file = get("/results/udp@a.b");
        assert_eq!((file.status().as_u16(), file.headers()["content-length"].to_str().unwrap()), (200, "3"));
        assert_eq!(file.headers()["access-control-allow-origin"], "*");
        assert_eq!(get("/results/udp%40a.b").status(), 200);
        assert_eq!(get("/none").status(), 404);
        assert_eq!(
            (get("/results").status().as_u16(), get("/results").headers()["location"].as_bytes()),
            (301, &b"results/"[..])
        );
        assert_eq!(get("/results/").headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(get("/../../results/udp@a.b").status(), 200);
    }
}
