//! What the edge tells the rest of the lab: who it is, and where the place outside is. Written by the edge once its
//! inside stands; a note of a dead edge counts as none.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use minisvc_kernel as kernel;
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::private;

/// The note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeNote {
    /// The edge's pid.
    pub pid: i32,
    /// Its start time, so that a reused pid is not mistaken for it.
    pub start_time: u64,
    /// A path that opens the network namespace outside, held by the edge.
    pub outside: PathBuf,
}

// === impl EdgeNote ===

impl EdgeNote {
    /// The note of the living edge, if there is one.
    pub fn of_living(places: &Places) -> Option<EdgeNote> {
        let bytes = std::fs::read(places.edge()).ok()?;
        let note: EdgeNote = serde_json::from_slice(&bytes).ok()?;
        kernel::alive(note.pid, note.start_time).then_some(note)
    }

    /// The calling process' own note; `outside` is a descriptor that it keeps open.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn mine(outside: i32) -> Result<EdgeNote> {
        let pid = i32::try_from(std::process::id()).context("own pid")?;
        let start_time = kernel::start_time(pid).context("read own start time")?;
        Ok(EdgeNote { pid, start_time, outside: format!("/proc/{pid}/fd/{outside}").into() })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the run directory cannot be written.
    pub fn save(&self, places: &Places) -> Result<()> {
        let path = places.edge();
        private::write(&path, &serde_json::to_vec(self)?).with_context(|| format!("write {}", path.display()))
    }
}
