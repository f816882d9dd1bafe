//! A Corefile, read: which zones are answered how. Pure but for the files that it names (hosts, resolv.conf), which the
//! caller reads. Follows CoreDNS' own syntax (coredns.io/manual/configuration); a directive that this program does not
//! know, or an option that would change answers and cannot be honoured, is an error, never a silence.

mod tokens;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::hosts::Hosts;
use tokens::{Directive, blocks};

/// Directives that need nothing here: answers are shuffled and never cached, and a loop is an answer that never comes.
const QUIET: [&str; 7] = ["bufsize", "cache", "cancel", "debug", "errors", "loadbalance", "loop"];

/// How often a file is looked at again where `reload` does not say (CoreDNS' plugin `reload`).
const RELOAD: Duration = Duration::from_secs(30);

/// All server blocks of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corefile {
    /// The blocks in their order.
    pub blocks: Vec<Block>,
    /// The port of all of them.
    pub port: u16,
    /// Where `/health` is answered.
    pub health: Option<SocketAddr>,
    /// Where `/ready` is answered.
    pub ready: Option<SocketAddr>,
    /// Where `/metrics` is answered.
    pub metrics: Option<SocketAddr>,
    /// How often the file is looked at again.
    pub reload: Option<Duration>,
}

/// How the names below some zones are answered: by the plugins in this order, each where the one before falls through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The zones, in lower case and without their last dot; the root is empty.
    pub zones: Vec<String>,
    /// Whether each question is told on standard output.
    pub log: bool,
    /// Names from files and from the Corefile itself.
    pub hosts: Option<Hosts>,
    /// The cluster domain, where the block answers for it.
    pub kubernetes: Option<String>,
    /// Zones and the resolvers that are asked for them.
    pub forward: Vec<(String, Vec<SocketAddr>)>,
}

impl Corefile {
    /// Reads the text of a Corefile; `read` gives the text of files that it names.
    ///
    /// # Errors
    /// `LINE - Error during parsing: …`, as CoreDNS says it.
    pub fn parse(text: &str, read: &dyn Fn(&str) -> std::io::Result<String>) -> anyhow::Result<Self> {
        let mut file = Self::default();
        for server in blocks(text)? {
            let mut block = Block::default();
            for key in &server.keys {
                let (zone, port) = zone_and_port(key)?;
                ensure!(
                    file.port == 0 || file.port == port,
                    "{key}: all zones must be served on one port here, and others are on {}",
                    file.port
                );
                file.port = port;
                block.zones.push(zone);
            }
            for directive in &server.directives {
                file.take(&mut block, directive, read)
                    .with_context(|| format!("{} - Error during parsing", directive.line))?;
            }
            file.blocks.push(block);
        }
        ensure!(!file.blocks.is_empty(), "the Corefile has no server block");
        Ok(file)
    }

    fn take(
        &mut self,
        block: &mut Block,
        directive: &Directive,
        read: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> anyhow::Result<()> {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let address = |default: SocketAddr| match arguments.first() {
            Some(text) => listen_address(text),
            None => Ok(default),
        };
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        match directive.name.as_str() {
            "log" => block.log = true,
            "health" => self.health = Some(address(any(8080))?),
            "ready" => self.ready = Some(address(any(8181))?),
            "prometheus" => self.metrics = Some(address(SocketAddr::from((Ipv4Addr::LOCALHOST, 9153)))?),
            "reload" => self.reload = Some(arguments.first().map_or(Ok(RELOAD), |text| interval(text))?),
            "hosts" => block.hosts = Some(hosts(directive, read)?),
            "kubernetes" => block.kubernetes = Some(kubernetes(directive, block)?),
            "forward" => block.forward.push(forward(directive, read)?),
            name if QUIET.contains(&name) => {}
            name => bail!("Unknown directive '{name}'"),
        }
        Ok(())
    }

    /// The block that answers a name in lower case: the one with the longest zone that the name is in.
    pub fn block_of(&self, name: &str) -> Option<&Block> {
        let name = name.trim_end_matches('.');
        let zones = self.blocks.iter().flat_map(|block| block.zones.iter().map(move |zone| (zone, block)));
        let inside = zones.filter(|(zone, _)| within(name, zone));
        inside.max_by_key(|(zone, _)| zone.len()).map(|(_, block)| block)
    }

    /// Whether another file can take this one's place while the server runs: it listens at the same places and follows the
    /// same domain.
    pub(crate) fn can_become(&self, other: &Self) -> bool {
        let places = |file: &Self| (file.port, file.health, file.ready, file.metrics);
        places(self) == places(other) && self.domain() == other.domain()
    }

    /// The cluster domain that some block answers for.
    pub fn domain(&self) -> Option<&str> {
        self.blocks.iter().find_map(|block| block.kubernetes.as_deref())
    }

    /// Whether every name of the cluster domain is answered from the cluster's zone alone, so that answers may be written
    /// without asking the other plugins.
    pub fn is_plain(&self) -> bool {
        let Some(domain) = self.domain() else { return false };
        let deeper = self.blocks.iter().flat_map(|block| &block.zones);
        let deeper = deeper.filter(|zone| zone.len() > domain.len() && within(zone, domain)).count();
        let block = self.block_of(domain);
        deeper == 0 && block.is_some_and(|b| b.kubernetes.is_some() && b.hosts.is_none() && !b.log)
    }
}

impl Block {
    /// Whom to ask for a name in lower case: the resolvers of the longest zone that it is in.
    pub fn resolvers(&self, name: &str) -> Option<&[SocketAddr]> {
        let name = name.trim_end_matches('.');
        let inside = self.forward.iter().filter(|(zone, _)| within(name, zone));
        inside.max_by_key(|(zone, _)| zone.len()).map(|(_, resolvers)| resolvers.as_slice())
    }
}

/// Whether a name is a zone's own or below it.
pub(crate) fn within(name: &str, zone: &str) -> bool {
    zone.is_empty() || name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn zone(text: &str) -> String {
    text.trim_matches('.').to_ascii_lowercase()
}

/// `.:53`, `acme.local`, `dns://example.org:5353`, `10.0.0.0/24`.
fn zone_and_port(key: &str) -> anyhow::Result<(String, u16)> {
    let text = match key.split_once("://") {
        None => key,
        Some(("dns", rest)) => rest,
        Some((scheme, _)) => bail!("{key}: {scheme} is not spoken here, only plain DNS"),
    };
    ensure!(!text.contains('/'), "{key}: write reverse zones as names under in-addr.arpa");
    match text.rsplit_once(':') {
        None => Ok((zone(text), 53)),
        Some((name, port)) => Ok((zone(name), port.parse().with_context(|| format!("{key}: invalid port"))?)),
    }
}

/// `:8080`, `localhost:8080` or an address with a port.
fn listen_address(text: &str) -> anyhow::Result<SocketAddr> {
    let (host, port) = text.rsplit_once(':').with_context(|| format!("{text}: missing port in address"))?;
    let host = match host {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().with_context(|| format!("{text}: invalid address"))?,
    };
    Ok(SocketAddr::new(host, port.parse().with_context(|| format!("{text}: invalid port"))?))
}

/// Seconds or minutes as Go writes them, 2 s at least.
fn interval(text: &str) -> anyhow::Result<Duration> {
    let seconds = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => number.parse::<f64>().ok(),
        (_, Some(number)) => number.parse::<f64>().ok().map(|minutes| minutes * 60.0),
        _ => None,
    };
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let interval = interval.with_context(|| format!("reload: invalid duration '{text}'"))?;
    ensure!(interval >= Duration::from_secs(2), "reload: interval value must be greater or equal to 2s");
    Ok(interval)
}

fn hosts(directive: &Directive, read: &dyn Fn(&str) -> std::io::Result<String>) -> anyhow::Result<Hosts> {
    let path = directive.arguments.first().map_or("/etc/hosts", String::as_str);
    ensure!(directive.arguments.len() < 2, "hosts: zones of its own are not supported, give the names a server block");
    let mut hosts = Hosts::default();
    // A file that is not there (yet) has no names.
    hosts.add(&read(path).unwrap_or_default());
    for option in &directive.body {
        let words: Vec<&str> = option.iter().map(String::as_str).collect();
        match words[..] {
            ["fallthrough"] => hosts.fall_through(&[""]),
            ["fallthrough", ref zones @ ..] => hosts.fall_through(zones),
            ["ttl", seconds] => hosts.ttl = seconds.parse().context("hosts: invalid ttl")?,
            ["no_reverse"] => hosts.forget_reverse(),
            ["reload", _] => {}
            [address, _, ..] if address.parse::<IpAddr>().is_ok() => hosts.add(&words.join(" ")),
            _ => bail!("hosts: unknown property '{}'", words.join(" ")),
        }
    }
    Ok(hosts)
}

fn kubernetes(directive: &Directive, block: &Block) -> anyhow::Result<String> {
    let own = directive.arguments.first().map(|text| zone(text)).or_else(|| block.zones.first().cloned());
    let domain = own.filter(|domain| !domain.is_empty()).context("kubernetes: needs the cluster's domain")?;
    let reverse = |text: &String| zone(text).ends_with("in-addr.arpa") || zone(text).ends_with("ip6.arpa");
    ensure!(
        directive.arguments.iter().skip(1).all(reverse),
        "kubernetes: one cluster domain is served here, besides reverse zones"
    );
    for option in &directive.body {
        let words: Vec<&str> = option.iter().map(String::as_str).collect();
        match words[..] {
            // What is no address of the cluster always goes on to the next plugin, and pods' records are made from names.
            ["pods", "insecure"] | ["fallthrough", ..] | ["ttl", "30"] | ["endpoint_pod_names"] => {}
            _ => bail!("kubernetes: '{}' is not supported", words.join(" ")),
        }
    }
    Ok(domain)
}

fn forward(
    directive: &Directive,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> anyhow::Result<(String, Vec<SocketAddr>)> {
    let (from, to) =
        directive.arguments.split_first().context("forward: Wrong argument count or unexpected line ending")?;
    let mut resolvers = Vec::new();
    for text in to {
        if text.starts_with('/') {
            let file = read(text).with_context(|| format!("forward: {text}"))?;
            let servers = file.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
            resolvers.extend(servers.map(|server: IpAddr| SocketAddr::new(server, 53)));
            continue;
        }
        let plain = match text.split_once("://") {
            None => text.as_str(),
            Some(("dns", rest)) => rest,
            Some((scheme, _)) => bail!("forward: {scheme} is not spoken here, only plain DNS"),
        };
        resolvers.extend(
            crate::parse_upstreams(plain).with_context(|| format!("forward: not an IP address or file: {text:?}"))?,
        );
    }
    ensure!(!to.is_empty(), "forward: Wrong argument count or unexpected line ending");
    for option in &directive.body {
        match option.first().map(String::as_str) {
            // How resolvers are taken in turn; they are asked in their order here.
            Some("expire" | "health_check" | "max_concurrent" | "max_fails" | "policy" | "prefer_udp") => {}
            _ => bail!("forward: unknown property '{}'", option.join(" ")),
        }
    }
    Ok((zone(from), resolvers))
}

#[cfg(test)]
mod tests;
