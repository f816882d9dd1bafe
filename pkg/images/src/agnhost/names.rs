//! `agnhost dns-suffix`, `dns-server-list`, `etc-hosts`: what the pod's resolver was told.

use std::process::ExitCode;

use super::Mode;
use crate::go;

pub(super) const SUFFIX: Mode = Mode {
    name: "dns-suffix",
    about: "Prints the host's DNS suffix list",
    flags: &[],
    words: Some(0),
    run: |_| line("search"),
};
pub(super) const SERVERS: Mode = Mode {
    name: "dns-server-list",
    about: "Prints the host's DNS Server list",
    flags: &[],
    words: Some(0),
    run: |_| line("nameserver"),
};
pub(super) const HOSTS: Mode = Mode {
    name: "etc-hosts",
    about: "Prints the host's /etc/hosts file",
    flags: &[],
    words: Some(0),
    run: |_| {
        println!("{}", read("/etc/hosts"));
        ExitCode::SUCCESS
    },
};

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        eprintln!("panic: open {path}: {}", go::errno(&error));
        std::process::exit(2)
    })
}

/// The words of the first line that starts so, joined by commas. As in the original only the first such line counts.
fn line(keyword: &str) -> ExitCode {
    match words(&read("/etc/resolv.conf"), keyword) {
        Some(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("panic: Could not find DNS search list!");
            ExitCode::from(2)
        }
    }
}

fn words(file: &str, keyword: &str) -> Option<String> {
    let line = file.lines().find(|line| line.starts_with(keyword))?;
    Some(line.split(' ').skip(1).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let file = "search a.b b\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions ndots:5\n";
        assert_eq!(words(file, "search").unwrap(), "a.b,b");
        assert_eq!(words(file, "nameserver").unwrap(), "1.1.1.1");
        assert_eq!(words("", "search"), None);
    }
}
