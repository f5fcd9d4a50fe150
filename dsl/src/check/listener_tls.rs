//! The words of a listener about TLS, HTTP/2 and QUIC, and what its protocol allows.

use super::args::Args;
use super::checker::Checker;
use super::gathered::ListenerSpots;
use super::names::Kind;
use super::tls_policy::{predefined, predefined_policy};
use super::way_round::way_round;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{
    CaId, CertificateId, ClientCa, Listener, ListenerId, ListenerTls, Protocol, QuicUpgrade, TlsPolicy, TlsPolicyId,
};
use crate::source::Span;
use crate::vocabulary::{DEFAULT_POLICY, Fit, Place, Word, fit};

/// Certificates of one listener: what a table of names may hold, and far more than one policy names.
const MAX_CERTIFICATES: usize = 1000;

/// The protocol of a listener, and the place of the word that says it.
pub(crate) type Speaks = (Protocol, Span);

/// The words of a listener about TLS, while they are read.
pub(crate) struct TlsDraft {
    pub(crate) speaks: Speaks,
    certificates: Vec<(CertificateId, Span)>,
    /// Whether a certificate was named, however wrongly.
    named: bool,
    policy: Option<(TlsPolicyId, Span)>,
    client_ca: Option<ClientCa>,
    client_ca_at: Option<Span>,
    http2: Option<(bool, Span)>,
    early_data: Option<(bool, Span)>,
    pub(crate) upgrade: Option<QuicUpgrade>,
    upgrade_at: Option<Span>,
}

impl TlsDraft {
    pub(crate) fn new(speaks: Speaks) -> Self {
        Self {
            speaks,
            certificates: Vec::new(),
            named: false,
            policy: None,
            client_ca: None,
            client_ca_at: None,
            http2: None,
            early_data: None,
            upgrade: None,
            upgrade_at: None,
        }
    }
}

impl<'t> Checker<'_, 't> {
    /// Reports a word that does not stand in a listener of this protocol.
    pub(crate) fn fits(&mut self, place: Place, word: &str, span: Span, speaks: Speaks) -> Option<()> {
        let (protocol, said) = speaks;
        let Fit::Never(mend) = fit(place, word, protocol) else { return Some(()) };
        self.report(
            Diagnostic::new(
                codes::PROTOCOL,
                span,
                format!("{} does not stand in a listener of `{}`", quoted(word), protocol.word()),
            )
            .also(said, "what the listener speaks")
            .help(mend),
        );
        None
    }

    pub(crate) fn tls_line(
        &mut self,
        word: &'static Word,
        args: &mut Args<'_, 't>,
        draft: &mut TlsDraft,
    ) -> Option<()> {
        let head = args.head;
        match word.name {
            "certificate" => {
                draft.named = true;
                let (id, span) = self.reference(args, Kind::Certificate)?;
                self.once(CertificateId(id), span, &mut draft.certificates)?;
                if draft.certificates.len() > MAX_CERTIFICATES {
                    let report = Diagnostic::new(codes::OUT_OF_RANGE, span, "the listener has too many certificates");
                    self.report(report.help(format!("a listener has at most {MAX_CERTIFICATES}")));
                    return None;
                }
            }
            "client-ca" => {
                let (ca, _) = self.reference(args, Kind::Ca)?;
                let required = args.peek().is_none() || self.choose(args, Place::ClientCa)?.name == "required";
                draft.client_ca = Some(ClientCa { ca: CaId(ca), required });
                draft.client_ca_at = Some(head.to(args.last()));
            }
            "tls-policy" => draft.policy = Some(self.policy_reference(args)?),
            "http2" => draft.http2 = Some((self.switch(args)?, head)),
            "early-data" => draft.early_data = Some((self.switch(args)?, head)),
            _ => {
                let (id, span) = self.reference(args, Kind::Listener)?;
                let upgrade = self.quic_upgrade(args, ListenerId(id))?;
                (draft.upgrade, draft.upgrade_at) = (Some(upgrade), Some(span));
            }
        }
        Some(())
    }

    /// `[port N] [max-age D]` behind the listener.
    fn quic_upgrade(&mut self, args: &mut Args<'_, 't>, listener: ListenerId) -> Option<QuicUpgrade> {
        let max_age = Place::QuicUpgrade.default_duration("max-age");
        let mut upgrade = QuicUpgrade { listener, port: None, max_age };
        let mut seen = Vec::new();
        while args.peek().is_some() {
            let option = self.option(args, Place::QuicUpgrade, &mut seen)?;
            match option.name {
                "port" => upgrade.port = Some(u16::try_from(self.count(args, option)?).ok()?),
                _ => upgrade.max_age = self.duration(args, option)?,
            }
        }
        Some(upgrade)
    }

    /// A listener of TLS or QUIC has a certificate.
    pub(crate) fn has_certificate(&mut self, args: &Args<'_, 't>, draft: &TlsDraft, name: &str) -> Option<()> {
        let (protocol, _) = draft.speaks;
        if fit(Place::Listener, "certificate", protocol) != Fit::Required || draft.named {
            return Some(());
        }
        self.report(
            Diagnostic::new(
                codes::MISSING_WORD,
                args.span(),
                format!("the {} listener {name} lacks a `certificate`", protocol.word()),
            )
            .help("write `certificate NAME`, and declare it: `certificate NAME { chain \"…\"; key \"…\" }`"),
        );
        None
    }

    /// The TLS of a listener: what was said, with defaults where nothing was said.
    pub(crate) fn listener_tls(&self, draft: TlsDraft, spots: &mut ListenerSpots) -> Option<ListenerTls> {
        let (protocol, _) = draft.speaks;
        spots.policy = draft.policy.map(|(_, span)| span);
        spots.http2 = draft.http2.map(|(_, span)| span);
        spots.early_data = draft.early_data.map(|(_, span)| span);
        spots.upgrade = draft.upgrade_at;
        spots.client_ca = draft.client_ca_at;
        let (certificates, certificate_spots) = draft.certificates.into_iter().unzip();
        spots.certificates = certificate_spots;
        if protocol == Protocol::Http {
            return None;
        }
        let https = protocol == Protocol::Https;
        let default = || predefined(DEFAULT_POLICY).map(|at| self.predefined_id(at));
        let switch =
            |said: Option<(bool, Span)>, word| said.map_or_else(|| Place::Listener.default_switch(word), |(on, _)| on);
        Some(ListenerTls {
            certificates,
            policy: if https { draft.policy.map(|(id, _)| id).or_else(default) } else { None },
            client_ca: draft.client_ca,
            http2: https && switch(draft.http2, "http2"),
            early_data: switch(draft.early_data, "early-data"),
        })
    }

    /// `quic-upgrade` names a QUIC listener, and each is named once.
    pub(crate) fn check_upgrades(&mut self, listeners: &[(Listener, Span)]) {
        let mut taken: Vec<(ListenerId, Span)> = Vec::new();
        for (at, (listener, _)) in listeners.iter().enumerate() {
            let Some(QuicUpgrade { listener: id, .. }) = listener.quic_upgrade else { continue };
            let spot = |at: usize| self.gathered.spots.get(at);
            let Some(span) = spot(at).and_then(|spots| spots.upgrade) else { continue };
            let Some((target, _)) = listeners.get(id.0) else { continue };
            let name = quoted(&target.name);
            let report = if target.protocol != Protocol::Quic {
                let declared = spot(id.0).map(|spots| spots.name).unwrap_or_default();
                Diagnostic::new(codes::UPGRADE, span, format!("{name} is no QUIC listener"))
                    .also(declared, format!("it speaks `{}`", target.protocol.word()))
                    .help("name a `listener quic`: clients are told of HTTP/3")
            } else if let Some((_, first)) = taken.iter().find(|(other, _)| *other == id) {
                Diagnostic::new(
                    codes::UPGRADE,
                    span,
                    format!("the QUIC listener {name} already belongs to another listener"),
                )
                .also(*first, "it is named here first")
                .help("give each `https` listener a QUIC listener of its own")
            } else {
                taken.push((id, span));
                let asks = listener.tls.as_ref().and_then(|tls| tls.client_ca);
                let Some(client_ca) = asks else { continue };
                let at = spot(at).and_then(|spots| spots.client_ca).unwrap_or(span);
                way_round(client_ca, span, at, &name)
            };
            self.report(report);
        }
    }
}

/// Puts the predefined policies that listeners use behind the declared ones, in the order of the table, and gives them
/// their ids.
pub(crate) fn place_policies(
    listeners: &mut [Listener],
    mut policies: Vec<TlsPolicy>,
    declared: usize,
) -> Vec<TlsPolicy> {
    let mut used: Vec<usize> = listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref()?.policy)
        .filter_map(|id| id.0.checked_sub(declared))
        .collect();
    used.sort_unstable();
    used.dedup();
    for listener in listeners {
        if let Some(policy) = listener.tls.as_mut().and_then(|tls| tls.policy.as_mut())
            && let Some(place) = policy.0.checked_sub(declared)
            && let Ok(at) = used.binary_search(&place)
        {
            *policy = TlsPolicyId(declared + at);
        }
    }
    policies.extend(used.into_iter().filter_map(predefined_policy));
    policies
}
