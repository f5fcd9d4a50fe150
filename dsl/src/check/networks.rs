//! Lists of networks, and networks where a list may stand.

use ipnet::IpNet;

use super::Checker;
use super::args::Args;
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

    /// One network, alone in its element.
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

/// Whether networks hold every address of a family.
pub(crate) fn holds_everybody(networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.prefix_len() == 0)
}

/// Names begin with a letter and hold no `:`, `.` or `/`; addresses hold one of these.
fn is_list_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic()) && !word.contains([':', '/', '.'])
}
