//! Addresses, ranges and URLs (apiserver `pkg/cel/library/ip.go`, `cidr.go`, `urls.go`).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::super::cost::tenth;
use super::super::eval::{Error, Run};
use super::super::value::Val;
use super::url::Url;
use super::{Answer, paid};

fn address(text: &str) -> Result<IpAddr, Error> {
    let wrong =
        |why: &str| Error::failed(format!("IP Address {text:?} parse error during conversion from string: {why}"));
    if text.contains('%') {
        return Err(wrong("IP address with zone value is not allowed"));
    }
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(wrong("IPv4-mapped IPv6 address is not allowed"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(wrong("unable to parse IP")),
    }
}

fn range(text: &str) -> Result<IpNet, Error> {
    let wrong = || {
        Error::failed(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): not a range"
        ))
    };
    let range: IpNet = text.parse().map_err(|_| wrong())?;
    // `010` and the like are no lengths.
    let length = text.rsplit('/').next().unwrap_or_default();
    if length.len() > 1 && length.starts_with('0') { Err(wrong()) } else { Ok(range) }
}

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match args {
        [Val::Str(text)] => {
            let cost = tenth(text.len() as u64);
            match name {
                "ip" => paid(run, cost, || address(text).map(Val::Ip)),
                "isIP" => paid(run, cost, || Ok(Val::Bool(address(text).is_ok()))),
                "ip.isCanonical" => {
                    paid(run, cost, || address(text).map(|found| Val::Bool(found.to_string() == **text)))
                }
                "cidr" => paid(run, cost, || range(text).map(Val::Cidr)),
                "isCIDR" => paid(run, cost, || Ok(Val::Bool(range(text).is_ok()))),
                "url" => paid(run, cost, || {
                    let parsed = Url::parse(text);
                    parsed.map(|url| Val::Url(Arc::new(url))).ok_or_else(|| {
                        Error::failed(format!(
                            "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
                        ))
                    })
                }),
                "isURL" => paid(run, cost, || Ok(Val::Bool(Url::parse(text).is_some()))),
                _ => None,
            }
        }
        [Val::Ip(address)] => {
            let value = match name {
                "family" => Val::Int(if address.is_ipv4() { 4 } else { 6 }),
                "isUnspecified" => Val::Bool(address.is_unspecified()),
                "isLoopback" => Val::Bool(address.is_loopback()),
                "isLinkLocalMulticast" => Val::Bool(match address {
                    IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
                    IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
                }),
                "isLinkLocalUnicast" => Val::Bool(is_link_local(*address)),
                "isGlobalUnicast" => {
                    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
                    let other = address.is_unspecified() || address.is_loopback() || address.is_multicast();
                    Val::Bool(!broadcast && !other && !is_link_local(*address))
                }
                _ => return None,
            };
            paid(run, 1, || Ok(value))
        }
        [Val::Cidr(range), rest @ ..] => ranges(run, name, range, rest),
        [Val::Url(url)] => {
            let value = match name {
                "getScheme" => Val::text(&url.scheme),
                "getHost" => Val::text(&url.host),
                "getHostname" => Val::text(url.hostname()),
                "getPort" => Val::text(url.port()),
                "getEscapedPath" => Val::text(&url.path),
                "getQuery" => url.queries(),
                _ => return None,
            };
            paid(run, tenth(url.text.len() as u64), || Ok(value))
        }
        _ => None,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn ranges(run: &mut Run<'_>, name: &str, own: &IpNet, rest: &[Val]) -> Answer {
    let holds = |other: IpNet| {
        own.addr().is_ipv4() == other.addr().is_ipv4()
            && own.prefix_len() <= other.prefix_len()
            && own.contains(&other.addr())
    };
    match (name, rest) {
        ("containsIP", [Val::Ip(other)]) => paid(run, 1, || Ok(Val::Bool(own.contains(other)))),
        ("containsIP", [Val::Str(text)]) => {
            paid(run, tenth(text.len() as u64), || address(text).map(|other| Val::Bool(own.contains(&other))))
        }
        ("containsCIDR", [Val::Cidr(other)]) => paid(run, 1, || Ok(Val::Bool(holds(*other)))),
        ("containsCIDR", [Val::Str(text)]) => {
            paid(run, tenth(text.len() as u64), || range(text).map(|other| Val::Bool(holds(other))))
        }
        ("ip", []) => paid(run, 1, || Ok(Val::Ip(own.addr()))),
        ("masked", []) => paid(run, 1, || Ok(Val::Cidr(own.trunc()))),
        ("prefixLength", []) => paid(run, 1, || Ok(Val::Int(i64::from(own.prefix_len())))),
        _ => None,
    }
}
