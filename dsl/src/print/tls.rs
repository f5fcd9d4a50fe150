//! TLS, and how a gateway is watched, printed as policy and for people.

use super::policy::show_secret;
use super::words::{Writer, quote};
use crate::plan::{CipherSuite, Endpoints, KeyExchangeGroup, OtlpProtocol, Propagator, TlsPolicy, TlsVersion};

/// `tracing`, `admin` and `metrics`.
pub(super) fn write_process(w: &mut Writer<'_>) {
    let plan = w.plan;
    if let Some(tracing) = &plan.tracing {
        w.block("tracing otlp", |w| {
            w.line(&format!("endpoint {}", quote(&tracing.endpoint)));
            w.line(&format!("protocol {}", otlp_word(tracing.protocol)));
            w.line(&format!("service {}", quote(&tracing.service)));
            for (name, value) in &tracing.headers {
                w.line(&format!("header {} {}", quote(name), quote(value)));
            }
            let forms: Vec<_> = tracing.propagate.iter().map(|form| propagator_word(*form)).collect();
            w.line(&format!("propagate [{}]", forms.join(", ")));
        });
        w.blank();
    }
    if let Some(admin) = &plan.admin {
        w.block("admin", |w| {
            endpoints(w, &admin.at);
            let tokens = [("read-token", &admin.read_token), ("operate-token", &admin.operate_token)];
            for (word, token) in tokens {
                if let Some(token) = token {
                    w.line(&format!("{word} {}", show_secret(token)));
                }
            }
        });
        w.blank();
    }
    if let Some(metrics) = &plan.metrics {
        w.block("metrics", |w| endpoints(w, &metrics.at));
        w.blank();
    }
}

fn endpoints(w: &mut Writer<'_>, at: &Endpoints) {
    if let Some(address) = at.listen {
        w.line(&format!("listen {address}"));
    }
    if let Some(path) = &at.unix {
        w.line(&format!("unix {}", quote(path)));
    }
}

/// Certificates, authorities and policies. What a predefined policy is stands in a comment.
pub(super) fn write_declarations(w: &mut Writer<'_>) {
    let plan = w.plan;
    for certificate in &plan.certificates {
        w.block(&format!("certificate {}", certificate.name), |w| {
            w.line(&format!("chain {}", quote(&certificate.chain)));
            w.line(&format!("key {}", quote(&certificate.key)));
            if let Some(staple) = &certificate.staple {
                w.line(&format!("staple {}", quote(staple)));
            }
        });
        w.blank();
    }
    for authority in &plan.authorities {
        w.block(&format!("ca {}", authority.name), |w| w.line(&format!("bundle {}", quote(&authority.bundle))));
        w.blank();
    }
    for policy in &plan.tls_policies {
        let lines = [
            format!("versions [{}]", versions(policy)),
            format!("ciphers [{}]", suites(policy, true)),
            format!("groups [{}]", groups(policy)),
        ];
        if policy.predefined {
            w.line(&format!("# tls-policy {}, which is predefined, is:", policy.name));
            lines.iter().for_each(|line| w.line(&format!("#     {line}")));
        } else {
            w.block(&format!("tls-policy {}", policy.name), |w| lines.iter().for_each(|line| w.line(line)));
        }
        w.blank();
    }
}

/// Policies for people: exactly what is offered.
pub(super) fn policy_lines(w: &mut Writer<'_>) {
    let plan = w.plan;
    for policy in &plan.tls_policies {
        let kind = if policy.predefined { ", predefined" } else { "" };
        w.line(&format!("{}{kind}: {}", policy.name, versions(policy)));
        w.indented(|w| {
            w.line(&format!("suites {}", suites(policy, false)));
            w.line(&format!("groups {}", groups(policy)));
        });
    }
}

/// Certificates and authorities for people.
pub(super) fn certificate_lines(w: &mut Writer<'_>) {
    let plan = w.plan;
    for certificate in &plan.certificates {
        let staple = certificate.staple.as_ref().map_or(String::new(), |staple| format!(", staple {staple}"));
        w.line(&format!("{}: {}, key {}{staple}", certificate.name, certificate.chain, certificate.key));
    }
}

/// Authorities for people.
pub(super) fn authority_lines(w: &mut Writer<'_>) {
    let plan = w.plan;
    plan.authorities.iter().for_each(|authority| w.line(&format!("{}: {}", authority.name, authority.bundle)));
}

/// The word of a form of context.
const fn propagator_word(form: Propagator) -> &'static str {
    match form {
        Propagator::W3c => "w3c",
        Propagator::B3 => "b3",
    }
}

/// The word of a protocol of OTLP.
pub(super) const fn otlp_word(protocol: OtlpProtocol) -> &'static str {
    match protocol {
        OtlpProtocol::Grpc => "grpc",
        OtlpProtocol::Http => "http",
    }
}

fn versions(policy: &TlsPolicy) -> String {
    joined(policy.versions.iter().copied().map(TlsVersion::word))
}

/// Suites by the name that people know: OpenSSL's for TLS 1.2.
fn suites(policy: &TlsPolicy, quoted: bool) -> String {
    let name = |suite: &CipherSuite| suite.openssl_name().unwrap_or(suite.name());
    if quoted {
        policy.suites.iter().map(|suite| quote(name(suite))).collect::<Vec<_>>().join(", ")
    } else {
        joined(policy.suites.iter().map(name))
    }
}

fn groups(policy: &TlsPolicy) -> String {
    joined(policy.groups.iter().copied().map(KeyExchangeGroup::name))
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
