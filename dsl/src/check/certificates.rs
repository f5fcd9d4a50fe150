//! `certificate` and `ca`: files that are read while the policy compiles, and what is said about them.

use super::args::Args;
use super::checker::Checker;
use crate::certificate_facts::{CertificateFacts, CertificateFile, CertificateProblem};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Ca, Certificate};
use crate::source::Span;
use crate::vocabulary::Place;

const DAY: i64 = 24 * 3600;

/// Seconds before its end from which a certificate is doubtful: renewals are due a month before.
const NEAR_END: i64 = 30 * DAY;

/// The places where the files of a certificate are named.
struct FileSpots {
    chain: Span,
    key: Span,
    staple: Option<Span>,
}

impl<'t> Checker<'_, 't> {
    /// `certificate NAME { … }`. Also keeps what is known of it, for the listeners that name it.
    pub(crate) fn certificate(&mut self, args: &mut Args<'_, 't>) -> Option<Certificate> {
        let read = self.read_certificate(args);
        let facts = read.as_ref().and_then(|(certificate, spots)| self.certificate_facts(certificate, spots));
        self.gathered.certificates.push(facts);
        read.map(|(certificate, _)| certificate)
    }

    fn read_certificate(&mut self, args: &mut Args<'_, 't>) -> Option<(Certificate, FileSpots)> {
        let (name, _) = self.new_name(args, "a name for the certificate")?;
        let block = self.block(args)?;
        let (mut chain, mut key, mut staple) = (None, None, None);
        let lines = self.lines(block, Place::Certificate);
        let (whole, mut right) = (lines.whole, lines.whole);
        let mut missing = vec!["chain", "key"];
        for mut line in lines.all {
            missing.retain(|word| *word != line.word.name);
            let file = self.file_of(&mut line.args);
            right &= file.is_some();
            match line.word.name {
                "chain" => chain = file,
                "key" => key = file,
                _ => staple = file,
            }
        }
        for word in missing {
            let (what, help) = match word {
                "chain" => ("its `chain`", "write `chain \"FILE.pem\"`: the certificate and its issuers"),
                _ => ("its `key`", "write `key \"FILE.key\"`: the private key"),
            };
            self.must_have(args, whole, what, help);
        }
        let ((chain, chain_at), (key, key_at)) = (chain?, key?);
        let (staple, staple_at) = staple.unzip();
        let spots = FileSpots { chain: chain_at, key: key_at, staple: staple_at };
        right.then_some((Certificate { name, chain, key, staple }, spots))
    }

    /// Reads the files, and says what is wrong with them.
    fn certificate_facts(&mut self, certificate: &Certificate, spots: &FileSpots) -> Option<CertificateFacts> {
        let files = [Some(&certificate.chain), Some(&certificate.key), certificate.staple.as_ref()];
        self.inputs.extend(files.into_iter().flatten().map(Into::into));
        match self.loader.certificate(certificate) {
            Ok(facts) => {
                self.certificate_doubts(&certificate.name, &facts, spots);
                Some(facts)
            }
            Err(problem) => {
                self.report(certificate_problem(&certificate.name, problem, spots));
                None
            }
        }
    }

    fn certificate_doubts(&mut self, name: &str, facts: &CertificateFacts, spots: &FileSpots) {
        let what = format!("the certificate {}", quoted(name));
        self.warn_of_end(&what, facts.seconds_left, spots.chain);
        if facts.seconds_to_begin > 0 {
            let when = days(facts.seconds_to_begin);
            self.report(
                Diagnostic::new(codes::EXPIRY, spots.chain, format!("{what} is not valid yet, for {when}"))
                    .help("clients refuse it until then; look at the clock of this machine, too"),
            );
        }
        if let Some(at) = facts.gap {
            let message = format!("the chain of {what} is not in order: certificate {} did not issue {at}", at + 1);
            self.report(
                Diagnostic::new(codes::CHAIN_ORDER, spots.chain, message)
                    .help("put each certificate behind the one that it issued, and leave out what issued none of them"),
            );
        }
        if let (Some(left), Some(span)) = (facts.staple_seconds_left, spots.staple)
            && left <= 0
        {
            self.report(
                Diagnostic::new(codes::EXPIRY, span, format!("the OCSP response of {what} has run out"))
                    .help("fetch a new one, or remove `staple`"),
            );
        }
    }

    fn warn_of_end(&mut self, what: &str, seconds_left: i64, span: Span) {
        let message = if seconds_left <= 0 {
            format!("{what} expired {} ago", days(-seconds_left))
        } else if seconds_left < NEAR_END {
            format!("{what} expires in {}", days(seconds_left))
        } else {
            return;
        };
        self.report(
            Diagnostic::new(codes::EXPIRY, span, message)
                .help("renew it; a running gateway takes the new file over by itself"),
        );
    }

    /// `ca NAME { bundle … }`
    pub(crate) fn authority(&mut self, args: &mut Args<'_, 't>) -> Option<Ca> {
        let (name, _) = self.new_name(args, "a name for the authority")?;
        let block = self.block(args)?;
        let lines = self.lines(block, Place::Ca);
        if lines.all.is_empty() {
            self.must_have(args, lines.whole, "its `bundle`", "write `bundle \"FILE.pem\"`: the trusted certificates");
            return None;
        }
        let mut bundle = None;
        for mut line in lines.all {
            bundle = Some(self.file_of(&mut line.args)?);
        }
        let (bundle, span) = bundle.filter(|_| lines.whole)?;
        let authority = Ca { name, bundle };
        self.inputs.push((&authority.bundle).into());
        let what = format!("the authority {}", quoted(&authority.name));
        match self.loader.authority(&authority) {
            Ok(facts) => self.warn_of_end(&what, facts.seconds_left, span),
            Err(reason) => {
                self.report(
                    Diagnostic::new(codes::CERTIFICATE, span, format!("the bundle of {what} cannot be used: {reason}"))
                        .help("a bundle is a PEM file of one or more certificates; its path is relative to this file"),
                );
            }
        }
        Some(authority)
    }

    /// The file that a word names, alone in its line.
    fn file_of(&mut self, args: &mut Args<'_, 't>) -> Option<(String, Span)> {
        let file = self.file_path(args)?;
        self.done(args)?;
        Some(file)
    }

    /// The next item as the path of a file, relative to the process.
    pub(crate) fn file_path(&mut self, args: &mut Args<'_, 't>) -> Option<(String, Span)> {
        let (path, span) = self.text(args, "the path of the file")?;
        let path = self.not_empty(path, span)?;
        Some((self.path(&path, span).to_string_lossy().into_owned(), span))
    }
}

fn certificate_problem(name: &str, problem: CertificateProblem, spots: &FileSpots) -> Diagnostic {
    let name = quoted(name);
    match problem {
        CertificateProblem::File(file, reason) => {
            let (what, span, help) = match file {
                CertificateFile::Chain => {
                    ("chain", spots.chain, "a chain is a PEM file: the certificate, then its issuers")
                }
                CertificateFile::Key => ("key", spots.key, "a key is a PEM file that this user may read"),
                CertificateFile::Staple => {
                    ("staple", spots.staple.unwrap_or(spots.chain), "a staple is an OCSP response in DER, without PEM")
                }
            };
            let message = format!("the {what} of the certificate {name} cannot be used: {reason}");
            Diagnostic::new(codes::CERTIFICATE, span, message)
                .help(format!("{help}; its path is relative to this file"))
        }
        CertificateProblem::KeyMismatch { belongs_to } => {
            let message = format!("this key does not belong to the certificate {name}");
            let help = match belongs_to {
                Some(at) => format!("it belongs to certificate {at} of the chain: put that one first"),
                None => "name the key that the certificate was made for, or the certificate of this key".to_owned(),
            };
            Diagnostic::new(codes::KEY_MISMATCH, spots.key, message)
                .also(spots.chain, "the first certificate here has another public key")
                .help(help)
        }
    }
}

/// A time in days, for people.
fn days(seconds: i64) -> String {
    match seconds / DAY {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
