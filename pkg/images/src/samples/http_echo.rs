//! `http-echo`: serves the text that it was started with. Flags in the manner of Go's `flag`: `-text=hi`, `--text hi`.

use std::process::ExitCode;

use http::StatusCode;
use http::header::HeaderName;

use super::site;
use crate::go;
use crate::web;

const VERSION: &str = "1.0.0";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Options {
    port: u16,
    text: String,
    status: StatusCode,
}

/// Why nothing is served: what is said, and the exit code.
type Refused = (String, u8);

/// Serves until killed.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let options = match options(args, std::env::var("ECHO_TEXT").ok()) {
        Ok(options) => options,
        Err((text, code)) => {
            eprintln!("{text}");
            return ExitCode::from(code);
        }
    };
    go::log(format_args!("[INFO] server is listening on :{}", options.port));
    site(options.port, move |asked| {
        let mut answer = match asked.path() {
            "/health" => {
                let mut answer = web::ok("{\"status\":\"ok\"}");
                web::set(&mut answer, http::header::CONTENT_TYPE, "application/json");
                answer
            }
            _ => web::answer(options.status, format!("{}\n", options.text)),
        };
        web::set(&mut answer, HeaderName::from_static("x-app-name"), "http-echo");
        web::set(&mut answer, HeaderName::from_static("x-app-version"), VERSION);
        let host = super::host(&asked.headers);
        let agent = asked.headers.get(http::header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        println!(
            "{} {host} {} \"{} {} HTTP/1.1\" {} {} \"{}\"",
            jiff::Timestamp::now().strftime("%Y/%m/%d %H:%M:%S"),
            asked.peer,
            asked.method,
            asked.uri,
            answer.status().as_u16(),
            options.text.len() + 1,
            agent.unwrap_or_default(),
        );
        std::future::ready(answer)
    })
}

fn options(args: &[String], text: Option<String>) -> Result<Options, Refused> {
    let mut options = Options { port: 5678, text: text.unwrap_or_default(), status: StatusCode::OK };
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|flag| !flag.is_empty())
        else {
            return Err(("Too many arguments!".to_owned(), 127));
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        if name == "version" {
            return Err((format!("http-echo v{VERSION}"), 0));
        }
        if !matches!(name, "listen" | "text" | "status-code") {
            return Err((format!("flag provided but not defined: -{name}"), 2));
        }
        let Some(value) = value.or_else(|| rest.next().cloned()) else {
            return Err((format!("flag needs an argument: -{name}"), 2));
        };
        let invalid = || (format!("invalid value {} for flag -{name}: parse error", go::quote(&value)), 2);
        match name {
            "listen" => {
                let (_, port) = value.rsplit_once(':').ok_or_else(invalid)?;
                options.port = port.parse().map_err(|_| invalid())?;
            }
            "text" => options.text = value,
            _ => {
                let code = value.parse().map_err(|_| invalid())?;
                options.status = StatusCode::from_u16(code).map_err(|_| invalid())?;
            }
        }
    }
    if options.text.is_empty() {
        return Err(("Missing -text option!".to_owned(), 127));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, Refused> {
        options(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), None)
    }

    #[test]
    fn flags_with_one_dash_or_two() {
        let wanted = Options { port: 80, text: "apple".into(), status: StatusCode::IM_A_TEAPOT };
        assert_eq!(parsed("-listen=:80 -text=apple -status-code=418"), Ok(wanted));
        assert_eq!(parsed("--text banana").unwrap().port, 5678);
        assert_eq!(options(&[], Some("from-the-environment".into())).unwrap().text, "from-the-environment");
        assert_eq!(parsed("-listen=:80").unwrap_err(), ("Missing -text option!".to_owned(), 127));
        assert_eq!(parsed("-tex=x").unwrap_err().1, 2);
        assert_eq!(parsed("-text=x -status-code=soon").unwrap_err().1, 2);
        assert_eq!(parsed("-version").unwrap_err().1, 0);
    }
}
