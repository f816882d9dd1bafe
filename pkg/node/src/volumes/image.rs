//! Volumes made of images (KEP-4639): the files that an image brings, read-only. An image that the machine's own programs
//! play has no files of its own, and is refused.

use std::fs;
use std::path::{Path, PathBuf};

use minisvc_images::{Catalogue, Image, Userland};

/// The folder with the files of the image `reference`, made in `home` where the image is no folder itself, and that it is
/// read-only.
pub(crate) fn make(catalogue: &Catalogue, reference: &str, home: &Path) -> Result<(PathBuf, bool), String> {
    let (_, image) = catalogue.resolve(reference).map_err(|error| error.to_string())?;
    let files = match image {
        Image::Userland(Userland { root: Some(root), .. }) => return Ok((root.clone(), true)),
        Image::Builtin(builtin) if !builtin.files.is_empty() => &builtin.files,
        other => {
            let player = other.describe();
            return Err(format!("image {reference} is played by {player} and has no files of its own to mount"));
        }
    };
    for (path, content) in files {
        let file = home.join(path.trim_start_matches('/'));
        let folder = file.parent().unwrap_or(home);
        let text = |error: std::io::Error| format!("{path}: {error}");
        fs::create_dir_all(folder).and_then(|()| fs::write(&file, content)).map_err(text)?;
    }
    Ok((home.to_owned(), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "ImageVolume should succeed with pod and pull policy of Always".
    #[test]
    fn an_images_files_are_laid_out() {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = minisvc_images::catalogue();
        let kitten = "registry.k8s.io/e2e-test-images/kitten:1.8";
        let (place, read_only) = make(&catalogue, kitten, folder.path()).unwrap();
        let read = |path: &str| fs::read_to_string(place.join(path)).unwrap();
        assert!(read("data.json").contains("kitten.jpg") && read("etc/os-release").contains("Alpine Linux"));
        assert!(read_only);
        let refused = make(&catalogue, "alpine", folder.path()).unwrap_err();
        assert!(refused.contains("has no files of its own"), "{refused}");
    }
}
