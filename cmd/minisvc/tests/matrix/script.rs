//! Scripts and their transcripts. A script (`NAME.sh` in the family's folder) is lines of shell: `$ LINE` is run and what it prints and its exit
//! code are compared; `% LINE` is repeated quietly until it succeeds, at most 40 s; `> ` continues either; `#hide PATTERN => TEXT`
//! replaces more than the usual; `#versions A B` runs with these only; other lines are for the reader.
//! The golden is `NAME.txt`, or, where versions really differ, `NAME.FROM-TO.txt` for each range of versions.

use std::time::{Duration, Instant};

use regex::Regex;

use super::client::Client;
use super::{Family, normal, passed, testdata};
use crate::lab::Lab;

enum Step {
    Compare(String),
    Settle(String),
}

struct Script {
    family: &'static Family,
    name: String,
    steps: Vec<Step>,
    hide: Vec<(Regex, String)>,
    versions: Vec<&'static str>,
}

impl Script {
    fn read(family: &'static Family, name: &str) -> Script {
        let path = testdata(&format!("{}/{name}.sh", family.program));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut script =
            Script { family, name: name.to_owned(), steps: vec![], hide: vec![], versions: family.versions.to_vec() };
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("$ ") {
                script.steps.push(Step::Compare(line.to_owned()));
            } else if let Some(line) = line.strip_prefix("% ") {
                script.steps.push(Step::Settle(line.to_owned()));
            } else if let Some(more) = line.strip_prefix("> ") {
                let (Step::Compare(last) | Step::Settle(last)) = script.steps.last_mut().expect("a line to continue");
                *last += "\n";
                *last += more;
            } else if let Some(rule) = line.strip_prefix("#hide ") {
                let (pattern, text) = rule.split_once(" => ").unwrap_or((rule, ""));
                script.hide.push((Regex::new(pattern).expect("a pattern"), text.to_owned()));
            } else if let Some(versions) = line.strip_prefix("#versions ") {
                let named: Vec<&str> = versions.split_whitespace().collect();
                script.versions.retain(|version| named.contains(version));
                assert_eq!(script.versions.len(), named.len(), "{name}: unknown versions in {versions}");
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "{name}: what is {line:?}?");
            }
        }
        assert!(script.steps.iter().any(|step| matches!(step, Step::Compare(_))), "{name} compares nothing");
        script
    }

    /// What the client says, normalised, with the lines before it; and how many lines were compared.
    fn run(&self, client: &Client<'_>) -> String {
        let mut transcript = String::new();
        for step in &self.steps {
            match step {
                Step::Settle(line) => {
                    let begin = Instant::now();
                    loop {
                        let said = client.sh(line);
                        if said.code == 0 {
                            break;
                        }
                        if begin.elapsed() > Duration::from_secs(90) {
                            transcript += &format!("% {line}\n[never; last said:]\n{}\n", said.out);
                            return transcript;
                        }
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                Step::Compare(line) => {
                    let said = client.sh(&format!("(\n{line}\n)"));
                    transcript += &format!("$ {}\n", line.replace('\n', "\n> "));
                    let text = normal::form(&said.out, client, &self.hide);
                    transcript += &text;
                    if !text.is_empty() && !text.ends_with('\n') {
                        transcript += "[no newline]\n";
                    }
                    if said.code != 0 {
                        transcript += &format!("[exit {}]\n", said.code);
                    }
                }
            }
        }
        transcript
    }

    fn checks(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Compare(_))).count()
    }

    /// The golden that holds for a version: the file whose range covers it.
    fn golden(&self, version: &str) -> Option<std::path::PathBuf> {
        let folder = testdata(self.family.program);
        let place = |v: &str| self.family.versions.iter().position(|known| *known == v);
        let own = place(version)?;
        for entry in std::fs::read_dir(&folder).expect("the goldens' folder") {
            let file = entry.expect("entry").file_name().to_string_lossy().into_owned();
            let Some(range) = file.strip_prefix(&format!("{}.", self.name)).and_then(|rest| rest.strip_suffix(".txt"))
            else {
                continue;
            };
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let (Some(from), Some(to)) = (place(from), place(to)) else { panic!("{file}: which versions?") };
            if (from..=to).contains(&own) {
                return Some(folder.join(file));
            }
        }
        Some(folder.join(format!("{}.txt", self.name))).filter(|path| path.exists())
    }

    /// Writes the transcripts as goldens: one file when all are equal, else one for each range of equal ones.
    fn write(&self, transcripts: &[(&'static str, String)]) {
        let folder = testdata(self.family.program);
        for (version, _) in transcripts {
            while let Some(old) = self.golden(version) {
                std::fs::remove_file(old).expect("remove the old golden");
            }
        }
        let runs: Vec<&[(&str, String)]> = transcripts.chunk_by(|a, b| a.1 == b.1).collect();
        for run in &runs {
            let (from, to) = (run[0].0, run[run.len() - 1].0);
            let range = match (runs.len(), from == to) {
                (1, _) => String::new(),
                (_, true) => format!(".{from}"),
                (_, false) => format!(".{from}-{to}"),
            };
            std::fs::write(folder.join(format!("{}{range}.txt", self.name)), &run[0].1).expect("write the golden");
        }
    }
}

/// Runs each script with every version of it, the versions side by side, and compares.
///
/// # Panics
/// When a transcript differs from its golden; the message has every difference of every script.
pub fn compare(lab: &Lab, family: &'static Family, names: &[&str]) {
    run(lab, family, names, true);
}

/// As [`compare`], but one version after the other: for scripts that touch what all share.
pub fn compare_in_turn(lab: &Lab, family: &'static Family, names: &[&str]) {
    run(lab, family, names, false);
}

fn run(lab: &Lab, family: &'static Family, names: &[&str], together: bool) {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some_and(|v| v == "1");
    let mut faults = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let script = Script::read(family, name);
        // Both ways may be gone in one lab, with namespaces of their own.
        let first = if together { b'a' } else { b'n' };
        let letter = char::from(first + u8::try_from(number).expect("few scripts"));
        let one = |version: &'static str| {
            let client = Client::new(lab, family, version, letter);
            (version, script.run(&client))
        };
        let transcripts: Vec<(&'static str, String)> = if together {
            std::thread::scope(|scope| {
                let tasks: Vec<_> = script.versions.iter().map(|version| scope.spawn(|| one(version))).collect();
                tasks.into_iter().map(|task| task.join().expect("a client's thread")).collect()
            })
        } else {
            script.versions.iter().map(|version| one(version)).collect()
        };
        if update {
            script.write(&transcripts);
            continue;
        }
        for (version, transcript) in &transcripts {
            let golden = script.golden(version);
            let expected = golden.as_ref().map(|path| std::fs::read_to_string(path).expect("the golden"));
            match expected {
                Some(expected) if expected == *transcript => {
                    passed(&format!("{} {version}", family.program), name, script.checks())
                }
                Some(expected) => faults.push(difference(name, version, &expected, transcript)),
                None => faults.push(format!("{name}: no golden for {version}; run with UPDATE_GOLDENS=1 and review")),
            }
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), lab.logs());
}

/// The blocks (a line of shell and what it printed) that differ.
fn difference(name: &str, version: &str, expected: &str, actual: &str) -> String {
    let blocks = |text: &str| -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        for line in text.lines() {
            if line.starts_with("$ ") || line.starts_with("% ") || blocks.is_empty() {
                blocks.push(String::new());
            }
            let last = blocks.last_mut().expect("a block");
            *last += line;
            *last += "\n";
        }
        blocks
    };
    let (expected, actual) = (blocks(expected), blocks(actual));
    let mut said = format!("=== {name} with version {version}\n");
    for at in 0..expected.len().max(actual.len()) {
        let (old, new) = (expected.get(at), actual.get(at));
        if old != new {
            let absent = "(nothing)\n".to_owned();
            said += &format!("--- expected\n{}--- actual\n{}", old.unwrap_or(&absent), new.unwrap_or(&absent));
        }
    }
    said
}
