//! What the lab changed outside its own directories, written down before it is done, so that `down` undoes it after any
//! crash.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::kubeconfig::{self, Merged};
use crate::places::Places;
use crate::private;

/// The record, one file in the run directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// The merge into the user's kubeconfig.
    pub kubeconfig: Option<Merged>,
    /// Symlinks that give namespaces a name for `ip netns`.
    pub names: Vec<PathBuf>,
    /// Directories made for those names or for the lab itself, outermost first.
    pub folders: Vec<PathBuf>,
}

// === impl Footprint ===

impl Footprint {
    /// The record of a lab; empty when there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn load(places: &Places) -> Result<Footprint> {
        let path = places.footprint();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Footprint::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes the record, for its owner only: it holds the user's kubeconfig, keys and all.
    ///
    /// # Errors
    /// When the run directory cannot be written.
    pub fn save(&self, places: &Places) -> Result<()> {
        let path = places.footprint();
        let text = serde_json::to_vec_pretty(self).context("serialise the footprint")?;
        private::write(&path, &text).with_context(|| format!("write {}", path.display()))
    }

    /// Makes a directory with all its parents, remembering those that were not there.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn make_folder(&mut self, folder: &Path) -> Result<()> {
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|f| !f.exists()).collect();
        missing.reverse();
        for folder in missing {
            std::fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
            if !self.folders.iter().any(|known| known == folder) {
                self.folders.push(folder.to_owned());
            }
        }
        Ok(())
    }

    /// Gives a namespace a name: a symlink that `ip netns` understands. A dead link of that name is replaced; a living
    /// one that is not ours is left alone and reported.
    ///
    /// # Errors
    /// When the name is taken by something else, or cannot be made.
    pub fn name_namespace(&mut self, name: &Path, target: &Path) -> Result<()> {
        if std::fs::symlink_metadata(name).is_ok() {
            let ours = self.names.iter().any(|known| known == name);
            let dead = !name.exists();
            anyhow::ensure!(ours || dead, "{} exists already and is not this lab's", name.display());
            std::fs::remove_file(name).with_context(|| format!("remove {}", name.display()))?;
        }
        std::os::unix::fs::symlink(target, name).with_context(|| format!("make {}", name.display()))?;
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        Ok(())
    }

    /// Undoes everything, going on after errors and answering them all.
    pub fn undo(&self) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        if let Some(merged) = &self.kubeconfig
            && let Err(error) = kubeconfig::unmerge(merged)
        {
            errors.push(error);
        }
        for name in &self.names {
            match std::fs::remove_file(name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    errors.push(anyhow::Error::new(error).context(format!("remove {}", name.display())));
                }
                _ => {}
            }
        }
        errors
    }

    /// Removes the directories that were made, innermost first; one that others use by now stays.
    pub fn remove_folders(&self) {
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_made_is_unmade() {
        let scratch = tempfile::tempdir().unwrap();
        let places = Places::new(&scratch.path().join("s"), &scratch.path().join("a/run")).unwrap();
        let mut footprint = Footprint::default();
        footprint.make_folder(&places.run).unwrap();
        let names = scratch.path().join("netns");
        footprint.make_folder(&names).unwrap();
        footprint.name_namespace(&names.join("node1"), Path::new("/proc/1/ns/net")).unwrap();
        footprint.name_namespace(&names.join("node1"), Path::new("/proc/2/ns/net")).unwrap();
        footprint.save(&places).unwrap();
        assert_eq!(Footprint::load(&places).unwrap(), footprint);
        assert!(footprint.undo().is_empty());
        std::fs::remove_file(places.footprint()).unwrap();
        footprint.remove_folders();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_strangers_name_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let name = scratch.path().join("node1");
        std::fs::write(&name, "theirs").unwrap();
        let mut footprint = Footprint::default();
        let error = footprint.name_namespace(&name, Path::new("/proc/1/ns/net")).unwrap_err();
        assert!(error.to_string().contains("not this lab's"));
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "theirs");
    }
}
