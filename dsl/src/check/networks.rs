//! Lists of networks, and networks where a list may stand.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::args::Args;
use super::checker::Checker;
use super::names::Kind;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{List, ListId, NetworkSet};
use crate::source::Span;
use crate::tree::ItemKind;
use crate::value;

impl<'t> Checker<'_, 't> {
    /// `list NAME [ … ]`
    pub(crate) fn list(&mut self, args: &mut Args<'_, 't>) -> Option<List> {
        let (name, _) = self.new_name(args, "a name for the list")?;
        if args.peek().is_some_and(|item| !matches!(item.kind, ItemKind::List(_) | ItemKind::Word(_))) {
            let item = args.next()?;
            self.wrong_kind(item, "a list of networks", Some("write `list NAME [10.0.0.0/8, …]`".to_owned()), None);
            return None;
        }
        let mut networks = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "a network")? {
            match self.network(&mut element) {
                Some(network) => networks.push(network),
                None => right = false,
            }
        }
        self.done(args)?;
        right.then_some(List { name, networks })
    }

    /// A network, alone in its element.
    fn network(&mut self, args: &mut Args<'_, 't>) -> Option<IpNet> {
        if let Some(item) = args.peek()
            && matches!(item.kind, ItemKind::Text(_) | ItemKind::Word("env"))
        {
            let (text, span) = self.text(args, "a network")?;
            if matches!(item.kind, ItemKind::Text(_)) {
                let help = Some(format!("networks stand without quotes: write {}", quoted(&text)));
                self.wrong_kind(item, "a network", help, value::network(&text).is_ok().then_some(text));
                return None;
            }
            let network = self.read_network(&text, span)?;
            self.element_done(args)?;
            return Some(network);
        }
        let (text, span) = self.bare(args, "a network")?;
        let network = self.read_network(text, span)?;
        self.element_done(args)?;
        Some(network)
    }

    fn read_network(&mut self, text: &str, span: Span) -> Option<IpNet> {
        let (network, cut) = self.accept(value::network(text), span)?;
        if cut {
            let shown = quoted(text);
            self.report(
                Diagnostic::new(codes::HOST_BITS, span, format!("{shown} has address bits behind its prefix"))
                    .write(&value::show_network(&network)),
            );
        }
        Some(network)
    }

    /// Lists and networks: one, or several in brackets.
    pub(crate) fn network_set(&mut self, args: &mut Args<'_, 't>) -> Option<NetworkSet> {
        let mut set = NetworkSet::default();
        let mut right = true;
        for mut element in self.alternatives(args, "a list or a network")? {
            right &= self.member(&mut element, &mut set).is_some();
        }
        right.then_some(set)
    }

    fn member(&mut self, args: &mut Args<'_, 't>, set: &mut NetworkSet) -> Option<()> {
        match args.peek().map(|item| (&item.kind, item.span)) {
            Some((ItemKind::Word(word), span)) if *word != "env" && is_list_name(word) => {
                args.next();
                let id = ListId(self.resolve(word, span, Kind::List)?);
                set.lists.push(id);
                self.element_done(args)
            }
            _ => {
                let network = self.network(args)?;
                set.networks.push(network);
                Some(())
            }
        }
    }
}

/// Whether networks together hold every address of a family that a client can come from. The networks are
/// [`canonical`].
pub(crate) fn hold_everybody(networks: &[IpNet]) -> bool {
    let nobody = NOBODY.iter().filter_map(|network| network.parse().ok());
    let all: Vec<IpNet> = networks.iter().copied().chain(nobody).collect();
    IpNet::aggregate(&all).iter().any(|network| network.prefix_len() == 0)
}

/// Networks that no client comes from: "this network", loopback, multicast and reserved IPv4 addresses (RFC 6890), and
/// all but the global unicast addresses of IPv6 (RFC 4291, 2.4).
const NOBODY: [&str; 6] = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/3", "4000::/2", "8000::/1"];

/// A network in its own family: one of IPv4 that is mapped into IPv6 (RFC 4291, 2.5.5.2) is one of IPv4.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    let mapped = network.prefix_len().checked_sub(96).zip(match network.network().to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    match (network, mapped) {
        (IpNet::V6(_), Some((prefix, address))) => Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

/// Names begin with a letter and hold no `:`, `.` or `/`; addresses hold one of these.
fn is_list_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic()) && !word.contains([':', '/', '.'])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_held_by_unions_too() {
        for (networks, everybody) in [
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("0.0.0.0/1 128.0.0.0/1", true),
            ("0.0.0.0/2 64.0.0.0/2 128.0.0.0/2 192.0.0.0/2", true),
            ("1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/5 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/2 192.0.0.0/3", true),
            ("::ffff:0:0/96", true),
            ("::ffff:0.0.0.0/97 128.0.0.0/1", true),
            ("::/1 8000::/1", true),
            ("2000::/3", true),
            ("2000::/4 3000::/4", true),
            ("", false),
            ("0.0.0.0/1", false),
            ("0.0.0.0/1 128.0.0.0/2", false),
            ("0.0.0.0/1 ::/3 8000::/1", false),
            ("10.0.0.0/8 192.168.0.0/16 fc00::/7 ::1/128", false),
            ("::/1", true),
            ("2000::/4", false),
        ] {
            let networks = networks.split_whitespace().map(|network| canonical(network.parse().unwrap()));
            let networks: Vec<IpNet> = networks.collect();
            assert_eq!(hold_everybody(&networks), everybody, "{networks:?}");
        }
    }
}
