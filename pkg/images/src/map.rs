//! The image map file: further image names, one `name = target` a line.
//!
//! The target is a built-in program (`builtin:color`), another image name of the catalogue (`image:busybox`), an
//! executable file of the VM (run in the VM's userland), or a directory (used as root; its `/bin/sh` is the command
//! unless more words follow). Words after the target are the command's arguments. `#` starts a comment.

use std::path::{Path, PathBuf};

use crate::catalogue::{Builtin, Catalogue, Extras, Image, Userland};
use crate::reference::Reference;

/// A line of the file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The file itself.
    #[error("read image map {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One line.
    #[error("image map line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Catalogue {
    /// Adds the names of the file at `path`.
    pub fn read_map(&mut self, path: &Path) -> Result<(), MapError> {
        let text = std::fs::read_to_string(path).map_err(|source| MapError::Read { path: path.to_owned(), source })?;
        self.add_map(&text)
    }

    /// Adds the names of `text`. Targets that are paths must exist.
    pub fn add_map(&mut self, text: &str) -> Result<(), MapError> {
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let fail = |reason: String| MapError::Line { line: line_number, reason };
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (name, target) =
                line.split_once('=').ok_or_else(|| fail(format!("expected \"name = target\", found \"{line}\"")))?;
            let name = Reference::parse(name.trim()).map_err(|error| fail(error.to_string()))?.name;
            let image = self.target(target.trim()).map_err(fail)?;
            self.insert(name, image);
        }
        Ok(())
    }

    fn target(&self, target: &str) -> Result<Image, String> {
        let mut words = target.split_whitespace().map(str::to_owned);
        let first = words.next().ok_or("the target is empty")?;
        let rest: Vec<String> = words.collect();
        if let Some(program) = first.strip_prefix("builtin:") {
            if !crate::PROGRAMS.contains(&program) {
                return Err(format!(
                    "no built-in program is called {program}; there are {}",
                    crate::PROGRAMS.join(", ")
                ));
            }
            return Ok(Image::Builtin(Builtin {
                program: program.to_owned(),
                args: rest,
                ports: Vec::new(),
                env: Vec::new(),
                called: vec![program.to_owned()],
                files: Vec::new(),
                set_user_id: false,
                userland: true,
            }));
        }
        if let Some(image) = first.strip_prefix("image:") {
            return self.resolve(image).map(|(_, image)| image.clone()).map_err(|error| error.to_string());
        }
        let path = Path::new(&first);
        if !path.is_absolute() {
            return Err(format!("{first} is neither an absolute path nor builtin:NAME nor image:NAME"));
        }
        let found = path.metadata().map_err(|error| format!("{first}: {error}"))?;
        if found.is_dir() {
            let command = if rest.is_empty() { vec!["/bin/sh".to_owned()] } else { rest };
            return Ok(Image::Userland(Userland {
                entrypoint: Vec::new(),
                command,
                env: Vec::new(),
                root: Some(path.to_owned()),
                extras: Extras::default(),
            }));
        }
        let extras = Extras::default();
        Ok(Image::Userland(Userland { entrypoint: vec![first], command: rest, env: Vec::new(), root: None, extras }))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Image, catalogue};

    #[test]
    fn lines_add_names() {
        let mut all = catalogue();
        all.add_map(
            "# mine\nredis = builtin:pause\n\n acme/tool:v1 = /bin/sh -c true # hi\nroot = /usr\nb2 = image:busybox\n",
        )
        .unwrap();
        let userland = |name: &str| match all.resolve(name).unwrap().1 {
            Image::Userland(found) => found.clone(),
            found => panic!("{name} is {found:?}"),
        };
        assert!(matches!(all.resolve("redis:7").unwrap().1, Image::Builtin(found) if found.program == "pause"));
        assert_eq!(userland("acme/tool:v2").entrypoint, ["/bin/sh"]);
        assert_eq!(userland("acme/tool").command, ["-c", "true"]);
        assert_eq!(userland("root").root.unwrap(), std::path::Path::new("/usr"));
        assert_eq!(userland("b2").command, ["sh"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, words) in [
            ("\nredis", "line 2: expected"),
            ("redis = relative/path", "line 1: relative/path is neither"),
            ("redis = /no/such/thing", "No such file"),
            ("redis = builtin:mysql", "no built-in program is called mysql"),
            ("Redis = /bin/sh", "invalid reference format"),
        ] {
            let error = catalogue().add_map(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
