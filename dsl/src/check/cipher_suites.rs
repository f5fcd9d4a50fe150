//! `ciphers [ … ]`: suites by the names of others, those that are carried and those that are not.

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::CipherSuite;
use crate::source::Span;
use crate::suggest;

impl<'t> Checker<'_, 't> {
    /// `ciphers [ … ]`: texts, since suites are named by others.
    pub(crate) fn suites(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<(CipherSuite, Span)>> {
        let mut dropped = Vec::new();
        let mut kept = Vec::new();
        let mut right = true;
        for mut element in self.alternatives(args, "a cipher suite")? {
            let Some((written, span)) = self.text(&mut element, "the name of a cipher suite, in quotes") else {
                right = false;
                continue;
            };
            right &= self.element_done(&mut element).is_some();
            match (CipherSuite::named(&written), why_not_carried(&written)) {
                (Some(suite), _) => right &= self.once(suite, span, &mut kept).is_some(),
                (None, Some(why)) => dropped.push((written, span, why)),
                (None, None) => {
                    self.unknown_suite(&written, span);
                    right = false;
                }
            }
        }
        if !dropped.is_empty() {
            self.report_dropped(&dropped, &kept);
            return None;
        }
        right.then_some(kept)
    }

    fn unknown_suite(&mut self, written: &str, span: Span) {
        let names = || CipherSuite::ALL.iter().flat_map(|suite| [Some(suite.name()), suite.openssl_name()]).flatten();
        let lower: Vec<String> = names().map(str::to_ascii_lowercase).collect();
        let near = suggest::nearest(written, lower.iter().map(String::as_str));
        let meant = names().find(|name| near.is_some_and(|near| near.eq_ignore_ascii_case(name)));
        let report = Diagnostic::new(codes::UNKNOWN_WORD, span, format!("{} is not a cipher suite", quoted(written)));
        self.report(match meant {
            Some(meant) => report.meant(&format!("\"{meant}\"")),
            None => report.help("write a name of IANA or OpenSSL, as `\"TLS_AES_128_GCM_SHA256\"`"),
        });
    }

    /// Reports all suites of a list that are not carried at once: the cause is one, and the mend is one list.
    fn report_dropped(&mut self, dropped: &[(String, Span, &'static str)], kept: &[(CipherSuite, Span)]) {
        let Some(((name, span, why), rest)) = dropped.split_first() else { return };
        let message = match rest.len() {
            0 => format!("the suite {} is not carried", quoted(name)),
            1 => format!("the suite {} and another one are not carried", quoted(name)),
            more => format!("the suite {} and {more} others are not carried", quoted(name)),
        };
        let mut report = Diagnostic::new(codes::NOT_CARRIED, *span, message).here(*why);
        for (_, span, why) in rest {
            report = report.also(*span, *why);
        }
        let list = |suites: &mut dyn Iterator<Item = CipherSuite>| {
            let names = suites.map(|suite| format!("\"{}\"", suite.openssl_name().unwrap_or(suite.name())));
            format!("[{}]", names.collect::<Vec<_>>().join(", "))
        };
        let help = if kept.is_empty() {
            format!("what is carried: `ciphers {}`", list(&mut CipherSuite::ALL.iter().copied()))
        } else {
            format!("what is left: `ciphers {}`", list(&mut kept.iter().map(|(suite, _)| *suite)))
        };
        self.report(report.help(help));
    }
}

/// The reason why a suite is not carried; `None` if the name is not one of a suite.
fn why_not_carried(name: &str) -> Option<&'static str> {
    const PARTS: [&str; 51] = [
        "TLS",
        "SSL",
        "WITH",
        "ECDHE",
        "ECDH",
        "DHE",
        "EDH",
        "DH",
        "ADH",
        "AECDH",
        "ECDSA",
        "RSA",
        "DSS",
        "PSK",
        "SRP",
        "KRB5",
        "ANON",
        "NULL",
        "EXPORT",
        "EXP",
        "AES",
        "AES128",
        "AES256",
        "128",
        "256",
        "40",
        "56",
        "112",
        "GCM",
        "CBC",
        "CBC3",
        "CCM",
        "CCM8",
        "8",
        "SHA",
        "SHA1",
        "SHA256",
        "SHA384",
        "MD5",
        "RC4",
        "RC2",
        "DES",
        "3DES",
        "EDE",
        "IDEA",
        "SEED",
        "CAMELLIA",
        "CAMELLIA128",
        "CAMELLIA256",
        "CHACHA20",
        "POLY1305",
    ];
    let upper = name.to_ascii_uppercase();
    let parts: Vec<&str> = upper.split(['-', '_']).collect();
    if parts.len() < 2 || !parts.iter().all(|part| PARTS.contains(part)) {
        return None;
    }
    let has = |wanted: &[&str]| parts.iter().any(|part| wanted.contains(part));
    Some(if has(&["NULL", "EXPORT", "EXP", "ANON", "ADH", "AECDH"]) {
        "no protection at all"
    } else if has(&["RC4", "RC2", "DES", "3DES", "CBC3", "IDEA", "SEED", "MD5"]) {
        "a broken cipher"
    } else if has(&["CCM", "CCM8"]) {
        "CCM, which nothing but small devices needs"
    } else if has(&["PSK", "SRP", "KRB5"]) {
        "keys without certificates"
    } else if has(&["DHE", "EDH", "DH"]) {
        "a finite-field key exchange; ECDHE has taken its place"
    } else if !has(&["ECDHE"]) {
        "a static key exchange, without forward secrecy"
    } else {
        "CBC mode, without authenticated encryption"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_is_not_carried_is_told_from_a_mistyped_one() {
        let why = |name| why_not_carried(name).unwrap_or("no suite");
        assert!(why("AES128-GCM-SHA256").contains("static"));
        assert!(why("TLS_RSA_WITH_AES_128_CBC_SHA").contains("static"));
        assert!(why("ECDHE-RSA-AES128-SHA256").contains("CBC"));
        assert!(why("DHE-RSA-AES256-GCM-SHA384").contains("finite-field"));
        assert!(why("DES-CBC3-SHA").contains("broken"));
        assert!(why("TLS_AES_128_CCM_8_SHA256").contains("CCM"));
        assert_eq!(why("ECDHE-RSA-AES128-GCM-SHA255"), "no suite");
    }
}
