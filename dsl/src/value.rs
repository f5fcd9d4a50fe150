//! Values that wear units, and addresses: from text and to text.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::codes::{self, Code};
use crate::diagnostic::quoted;
use crate::plan::StatusRange;

/// The reason why a value cannot be read, and how it would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// The text that is to stand in place of the value, where that needs no thought.
    pub(crate) instead: Option<String>,
}

impl Mistake {
    pub(crate) fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: Some(help.into()), instead: None }
    }

    /// A mistake whose mend is another value in the place of this one.
    fn other(code: Code, message: impl Into<String>, instead: &str) -> Self {
        Self { instead: Some(instead.to_owned()), ..Self::new(code, message, format!("write `{instead}`")) }
    }
}

type Read<T> = Result<T, Mistake>;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// `30s`, `500ms`.
pub(crate) fn duration(text: &str) -> Read<Duration> {
    let (number, unit) = split(text);
    let kind = "a time";
    let Some(count) = digits(number) else {
        return Err(not(text, kind, "15s", &DURATION_UNITS));
    };
    let Some(factor) = factor(&DURATION_UNITS, unit) else {
        let guess = match unit.to_ascii_lowercase().as_str() {
            "" | "sec" | "secs" | "second" | "seconds" | "s" => "s",
            "msec" | "msecs" | "millis" | "ms" | "milliseconds" => "ms",
            "min" | "mins" | "minute" | "minutes" | "m" => "m",
            "hour" | "hours" | "hr" | "hrs" | "h" => "h",
            "day" | "days" | "d" => "d",
            _ => return Err(not(text, kind, "15s", &DURATION_UNITS)),
        };
        return Err(unit_mistake(text, kind, unit, &format!("{count}{guess}")));
    };
    count.checked_mul(factor).map(Duration::from_millis).ok_or_else(|| too_large(text))
}

/// `16MiB`, in bytes.
pub(crate) fn size(text: &str) -> Read<u64> {
    let (number, unit) = split(text);
    let kind = "a size";
    let Some(count) = digits(number) else {
        return Err(not(text, kind, "16MiB", &SIZE_UNITS));
    };
    let Some(factor) = factor(&SIZE_UNITS, unit) else {
        let guess = match unit.to_ascii_lowercase().as_str() {
            "" if count < 1024 => {
                let help = format!("write `{count}KiB` or `{count}MiB`");
                return Err(Mistake::new(codes::UNIT, format!("{} is a size that has no unit", quoted(text)), help));
            }
            "" | "b" | "byte" | "bytes" => "B",
            "m" | "mb" | "mib" => "MiB",
            "k" | "kb" | "kib" => "KiB",
            "g" | "gb" | "gib" => "GiB",
            _ => return Err(not(text, kind, "16MiB", &SIZE_UNITS)),
        };
        return Err(unit_mistake(text, kind, unit, &format!("{count}{guess}")));
    };
    count.checked_mul(factor).ok_or_else(|| too_large(text))
}

/// `50/s`: requests, and the time that they are counted in.
pub(crate) fn rate(text: &str) -> Read<(u32, Duration)> {
    let kind = "a rate";
    let (number, unit) = text.split_once('/').unwrap_or((text, ""));
    let Some(count) = digits(number) else {
        return Err(not(text, kind, "50/s", &RATE_UNITS));
    };
    let Some(seconds) = factor(&RATE_UNITS, unit) else {
        let guess = match unit.to_ascii_lowercase().as_str() {
            "m" | "min" | "minute" => "m",
            "h" | "hour" => "h",
            _ => "s",
        };
        return Err(unit_mistake(text, kind, unit, &format!("{count}/{guess}")));
    };
    match u32::try_from(count) {
        Ok(0) => Err(Mistake::new(codes::OUT_OF_RANGE, "a rate of 0 refuses everything", "write `respond 503`")),
        Ok(count) => Ok((count, Duration::from_secs(seconds))),
        Err(_) => Err(too_large(text)),
    }
}

/// `10%`
pub(crate) fn percent(text: &str) -> Read<u32> {
    let (number, unit) = split(text);
    match (digits(number), unit) {
        (Some(count), "%") => u32::try_from(count).map_err(|_| too_large(text)),
        (Some(count), "") => Err(unit_mistake(text, "a percentage", unit, &format!("{count}%"))),
        _ => Err(Mistake::new(
            codes::WRONG_KIND,
            format!("{} is not a percentage", quoted(text)),
            "a percentage is a whole number and `%`, as `10%`",
        )),
    }
}

/// A whole number without a unit.
pub(crate) fn count(text: &str) -> Read<u64> {
    if let Some(count) = digits(text) {
        return Ok(count);
    }
    let (number, unit) = split(text);
    Err(match digits(number) {
        Some(count) if !unit.is_empty() => {
            Mistake::other(codes::UNIT, format!("{} is a number without a unit here", quoted(text)), &count.to_string())
        }
        _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => too_large(text),
        _ => Mistake {
            code: codes::WRONG_KIND,
            message: format!("{} is not a number", quoted(text)),
            help: None,
            instead: None,
        },
    })
}

/// A status of RFC 9110, 15: `404`.
pub(crate) fn status(text: &str) -> Read<u16> {
    match text.parse::<u16>() {
        Ok(status) if (100..=599).contains(&status) && text.len() == 3 => Ok(status),
        _ => Err(Mistake::new(
            codes::STATUS,
            format!("{} is not a status", quoted(text)),
            "a status is a number from 100 to 599",
        )),
    }
}

/// `404`, `5xx` or `200..299`.
pub(crate) fn status_range(text: &str) -> Read<StatusRange> {
    if let Some((first, last)) = text.split_once("..") {
        let (first, last) = (status(first)?, status(last)?);
        if first > last {
            return Err(Mistake::other(
                codes::STATUS,
                format!("{} holds no status", quoted(text)),
                &format!("{last}..{first}"),
            ));
        }
        return Ok(StatusRange { first, last });
    }
    if let [class @ b'1'..=b'5', b'x', b'x'] = text.as_bytes() {
        let first = u16::from(class - b'0') * 100;
        return Ok(StatusRange { first, last: first + 99 });
    }
    status(text).map(|only| StatusRange { first: only, last: only }).map_err(|mistake| Mistake {
        help: Some("write a status as `404`, a class as `5xx`, or a range as `200..299`".to_owned()),
        ..mistake
    })
}

/// An address without a prefix and without a port.
pub(crate) fn address(text: &str) -> Read<IpAddr> {
    text.parse().map_err(|_| {
        let message = format!("{} is not an address", quoted(text));
        Mistake::new(codes::NETWORK, message, "an address is written as `192.0.2.1` or `2001:db8::1`, without a port")
    })
}

/// A network or a single address, and whether address bits behind the prefix were cut off.
pub(crate) fn network(text: &str) -> Read<(IpNet, bool)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bad = |help: String| Mistake {
        code: codes::NETWORK,
        message: format!("{} is not a network", quoted(text)),
        help: Some(help),
        instead: None,
    };
    let ip: IpAddr = address.parse().map_err(|_| {
        bad("a network is an address, or an address and a prefix length, as `10.0.0.0/8` or `2001:db8::/32`".to_owned())
    })?;
    let full = if ip.is_ipv4() { 32 } else { 128 };
    let length = match prefix {
        None => full,
        Some(prefix) => digits(prefix).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= full).ok_or_else(|| {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            bad(format!("the prefix length of an {family} network is 0 to {full}"))
        })?,
    };
    let written = IpNet::new(ip, length).map_err(|_| bad(format!("the prefix length is 0 to {full}")))?;
    let network = written.trunc();
    Ok((network, network != written))
}

/// An address and a port: `127.0.0.1:8080`, `[::1]:443`.
pub(crate) fn socket(text: &str) -> Read<SocketAddr> {
    let bad = |help: &str| Mistake::new(codes::NETWORK, format!("{} is not an address and a port", quoted(text)), help);
    if text.parse::<IpAddr>().is_ok() {
        let shown = if text.contains(':') { format!("[{text}]:8080") } else { format!("{text}:8080") };
        return Err(bad(&format!("add the port, as in `{shown}`")));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(Mistake::new(
            codes::OUT_OF_RANGE,
            format!("{} has no port that can be used", quoted(text)),
            "a port is 1 to 65535",
        )),
        Ok(address) => Ok(address),
        Err(_) => Err(bad("write an address and a port, as `127.0.0.1:8080` or `[::1]:8080`")),
    }
}

/// A host name or address, and a port: `web.internal:8080`. Brackets are taken off.
pub(crate) fn server(text: &str) -> Read<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        socket(text)?;
        return Ok((address.ip().to_string(), address.port()));
    }
    let bad = |help: String| {
        Mistake::new(codes::SERVER_ADDRESS, format!("{} is not the address of a server", quoted(text)), help)
    };
    let form = "write a host and a port, as `\"web.internal:8080\"`";
    if let Some((scheme, rest)) = text.split_once("://") {
        let (rest, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = if scheme == "https" { ":443" } else { ":80" };
        let rest = if rest.contains(':') { rest.to_owned() } else { format!("{rest}{port}") };
        let instead = format!("\"{rest}\"");
        let rest = if path.is_empty() { "" } else { ", and `rewrite path \"…\"` in a rule for the path" };
        let mistake = bad(format!("a server is a host and a port: write `{instead}`{rest}"));
        return Err(Mistake { instead: path.is_empty().then_some(instead), ..mistake });
    }
    if text.starts_with("unix:") || text.starts_with('/') {
        return Err(bad(
            "servers are reached over TCP, not by a socket file: let it listen on an address, as `127.0.0.1:8080`"
                .to_owned(),
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(bad(format!("add the port, as in {}", quoted(&format!("{text}:80")))));
    };
    let Some(port) = digits(port).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0) else {
        return Err(bad("a port is 1 to 65535".to_owned()));
    };
    if !is_host_name(host) {
        return Err(bad(form.to_owned()));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// The host of `HOST` or `HOST:PORT`; an address of IPv6 keeps its brackets. `None` if the port is none.
pub(crate) fn host_of(text: &str) -> Option<&str> {
    match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            digits(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).map(|_| host)
        }
        _ => Some(text),
    }
}

/// Whether a text is the name of a host: labels of letters, digits, `-` and `_`.
pub(crate) fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    // What is all digits and dots and no address is a mistyped address, not a name.
    let mistyped = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && !mistyped && name.split('.').all(label)
}

/// A time as the language writes it: in the largest unit that leaves no rest.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units: &[(&str, u64)] = &DURATION_UNITS[..4];
    show(millis, units)
}

/// A size as the language writes it.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS)
}

/// A rate as the language writes it.
pub(crate) fn show_rate(requests: u32, interval: Duration) -> String {
    let unit = RATE_UNITS.iter().find(|(_, seconds)| *seconds == interval.as_secs()).map_or("s", |(unit, _)| unit);
    format!("{requests}/{unit}")
}

/// A network as the language writes it: a single address without its prefix length.
pub(crate) fn show_network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

fn show(count: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().rev().find(|(_, factor)| count >= *factor && count.is_multiple_of(*factor));
    match unit.or(units.first()) {
        Some((unit, factor)) => format!("{}{unit}", count / factor),
        None => count.to_string(),
    }
}

/// Digits, and what follows them.
fn split(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

/// A number of digits only: no sign, no point.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

fn unit_mistake(text: &str, kind: &str, unit: &str, mend: &str) -> Mistake {
    let what = if unit.is_empty() { "has no unit" } else { "has an unknown unit" };
    Mistake::other(codes::UNIT, format!("{} is {kind} that {what}", quoted(text)), mend)
}

fn not(text: &str, kind: &str, example: &str, units: &[(&str, u64)]) -> Mistake {
    let units: Vec<String> = units.iter().map(|(unit, _)| format!("`{unit}`")).collect();
    Mistake::new(
        codes::WRONG_KIND,
        format!("{} is not {kind}", quoted(text)),
        format!("{kind} is a whole number and a unit, as `{example}`; the units are {}", units.join(", ")),
    )
}

fn too_large(text: &str) -> Mistake {
    Mistake { code: codes::OUT_OF_RANGE, message: format!("{} is too large", quoted(text)), help: None, instead: None }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn help<T: std::fmt::Debug>(read: Read<T>) -> String {
        read.expect_err("a mistake").help.unwrap_or_default()
    }

    #[test]
    fn times_are_read_and_shown() {
        for (text, millis) in [("500ms", 500), ("15s", 15_000), ("2m", 120_000), ("1h", 3_600_000)] {
            let read = duration(text).expect("a time");
            assert_eq!(read, Duration::from_millis(millis));
            assert_eq!(show_duration(read), text);
        }
        assert_eq!(show_duration(Duration::ZERO), "0ms");
        assert_eq!(help(duration("15")), "write `15s`");
        assert_eq!(help(duration("15sec")), "write `15s`");
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615d").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn sizes_and_rates_are_read_and_shown() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(show_size(16 << 20), "16MiB");
        assert_eq!(show_size(1500), "1500B");
        assert_eq!(help(size("16MB")), "write `16MiB`");
        assert_eq!(rate("600/m"), Ok((600, Duration::from_secs(60))));
        assert_eq!(show_rate(600, Duration::from_secs(60)), "600/m");
        assert_eq!(help(rate("50")), "write `50/s`");
    }

    #[test]
    fn networks_are_cut_to_their_prefix() {
        let (network, cut) = network("10.1.2.3/8").expect("a network");
        assert_eq!((show_network(&network).as_str(), cut), ("10.0.0.0/8", true));
        assert_eq!(help(super::network("10.0.0.0/33")), "the prefix length of an IPv4 network is 0 to 32");
        assert!(super::network("300.0.0.0/8").is_err());
        assert!(super::network("::1").is_ok());
    }

    #[test]
    fn servers_are_hosts_with_ports() {
        assert_eq!(server("Web.Internal:8080"), Ok(("web.internal".to_owned(), 8080)));
        assert_eq!(server("[::1]:80"), Ok(("::1".to_owned(), 80)));
        assert!(server("300.1.1.1:80").is_err());
        assert!(server("web internal:80").is_err());
        assert_eq!(
            help(server("https://web.internal/")),
            "a server is a host and a port: write `\"web.internal:443\"`"
        );
    }

    #[test]
    fn statuses_are_classes_and_ranges() {
        assert_eq!(status_range("5xx"), Ok(StatusRange { first: 500, last: 599 }));
        assert_eq!(status_range("200..299"), Ok(StatusRange { first: 200, last: 299 }));
        assert!(status_range("6xx").is_err());
        assert!(status_range("299..200").is_err());
        assert!(status("+404").is_err());
    }
}
