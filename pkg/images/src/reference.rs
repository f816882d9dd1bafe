//! Image references: `[registry/]name[:tag][@digest]` taken apart (distribution's reference grammar, loosely).

use std::fmt;

/// An image reference taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Name without Docker Hub's own prefixes, tag and digest: `nginx`, `jpetazzo/color`, `registry.k8s.io/pause`.
    pub name: String,
    /// `latest` where neither tag nor digest was given.
    pub tag: Option<String>,
    /// `sha256:...`.
    pub digest: Option<String>,
}

/// The text is not an image reference at all (kubelet's `InvalidImageName`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name \"{0}\": invalid reference format")]
pub struct InvalidReference(pub String);

impl Reference {
    /// Takes `image` apart. Repository names are lower case, as everywhere.
    pub fn parse(image: &str) -> Result<Reference, InvalidReference> {
        let invalid = || InvalidReference(image.to_owned());
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) if digest.contains(':') => (rest, Some(digest.to_owned())),
            Some(_) => return Err(invalid()),
            None => (image, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(rest[last + colon + 1..].to_owned())),
            None => (rest, digest.is_none().then(|| "latest".to_owned())),
        };
        let tag_is_fine = tag.as_deref().is_none_or(|tag| {
            !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        });
        if !tag_is_fine || !name_is_fine(name) {
            return Err(invalid());
        }
        let mut name = name;
        for prefix in HUB {
            name = name.strip_prefix(prefix).unwrap_or(name);
        }
        Ok(Reference { name: name.to_owned(), tag, digest })
    }
}

/// Docker Hub's own prefixes and those of its mirrors, in the order in which they may stand.
const HUB: [&str; 6] =
    ["docker.io/", "index.docker.io/", "registry-1.docker.io/", "mirror.gcr.io/", "public.ecr.aws/docker/", "library/"];

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn name_is_fine(name: &str) -> bool {
    !name.is_empty()
        && name.split('/').enumerate().all(|(index, part)| {
            // Only the first part may be a registry, with a port.
            let part = match part.split_once(':') {
                Some((host, port)) if index == 0 && port.chars().all(|c| c.is_ascii_digit()) => host,
                Some(_) => return false,
                None => part,
            };
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
        })
}

#[cfg(test)]
mod tests {
    use super::Reference;

    fn name(image: &str) -> String {
        Reference::parse(image).expect(image).name
    }

    #[test]
    fn hub_prefixes_tags_and_digests_are_stripped() {
        assert_eq!(name("nginx"), "nginx");
        assert_eq!(name("docker.io/library/nginx:1.27"), "nginx");
        assert_eq!(name("library/alpine@sha256:0123"), "alpine");
        assert_eq!(name("mirror.gcr.io/library/nginx"), "nginx");
        assert_eq!(name("public.ecr.aws/docker/library/busybox:1.36"), "busybox");
        assert_eq!(name("docker.io/jpetazzo/color:latest@sha256:0123"), "jpetazzo/color");
        assert_eq!(name("localhost:5000/team/app:v1"), "localhost:5000/team/app");
        assert_eq!(name("registry.k8s.io/pause:3.10"), "registry.k8s.io/pause");
    }

    #[test]
    fn the_tag_defaults_to_latest_unless_a_digest_is_given() {
        assert_eq!(Reference::parse("nginx").unwrap().tag.as_deref(), Some("latest"));
        assert_eq!(Reference::parse("nginx@sha256:1").unwrap().tag, None);
        assert_eq!(Reference::parse("nginx:1").unwrap().to_string(), "nginx:1");
    }

    #[test]
    fn nonsense_is_refused() {
        for image in ["", "Nginx", "a b", "nginx:", "nginx@x", "/x", "a//b", "x:y:z", "-a"] {
            assert!(Reference::parse(image).is_err(), "{image:?} was accepted");
        }
    }
}
