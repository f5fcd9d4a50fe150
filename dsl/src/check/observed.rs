//! Blocks by which a gateway is watched: `tracing`, `admin`.

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Admin, AdminListen, OtlpProtocol, Plan, Tracing};
use crate::source::Span;
use crate::value;
use crate::vocabulary::{Place, Word};

impl<'t> Checker<'_, 't> {
    /// `tracing otlp { … }`
    pub(crate) fn tracing(&mut self, args: &mut Args<'_, 't>) -> Option<Tracing> {
        self.choose(args, Place::TracingKind)?;
        let block = self.block(args)?;
        let mut tracing =
            Tracing { endpoint: String::new(), protocol: OtlpProtocol::Grpc, service: "tidegate".to_owned() };
        let lines = self.lines(block, Place::Tracing);
        let (whole, mut right) = (lines.whole, lines.whole);
        if !lines.all.iter().any(|line| line.word.name == "endpoint") {
            self.must_have(args, whole, "its `endpoint`", "write `endpoint \"http://127.0.0.1:4317\"`: the collector");
            right = false;
        }
        for mut line in lines.all {
            right &= self.tracing_line(line.word, &mut line.args, &mut tracing).is_some();
        }
        right.then_some(tracing)
    }

    fn tracing_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, tracing: &mut Tracing) -> Option<()> {
        match word.name {
            "endpoint" => {
                let (url, span) = self.text(args, "the URL of the collector")?;
                tracing.endpoint = self.endpoint(url, span)?;
            }
            "protocol" => {
                tracing.protocol = match self.choose(args, Place::OtlpProtocol)?.name {
                    "http" => OtlpProtocol::Http,
                    _ => OtlpProtocol::Grpc,
                }
            }
            _ => {
                let (name, span) = self.text(args, "the name of the service")?;
                tracing.service = self.not_empty(name, span)?;
            }
        }
        self.done(args)
    }

    /// Warns of a collector that no listener sends to.
    pub(crate) fn check_tracing(&mut self, plan: &Plan, declared: Option<Span>) {
        let Some(span) = declared else { return };
        if plan.listeners.iter().all(|listener| listener.tracing.is_none()) {
            self.report(
                Diagnostic::new(codes::UNUSED, span, "no listener is traced, so nothing is sent to the collector")
                    .help("write `tracing 10%` in a listener, or remove this"),
            );
        }
    }

    /// A URL of `http` or `https` with a host.
    fn endpoint(&mut self, url: String, span: Span) -> Option<String> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '#' | '?');
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if !host.is_empty() && !host.starts_with(':') && !url.contains(odd) {
            return Some(url);
        }
        let message = format!("{} is not the URL of a collector", quoted(&url));
        let report = Diagnostic::new(codes::BAD_TEXT, span, message);
        self.report(if url.contains("://") || url.is_empty() || url.contains(odd) || url.starts_with([':', '/']) {
            report.help(
                "write `\"http://HOST:PORT\"`, or `https`; collectors listen on 4317 for gRPC and on 4318 for HTTP",
            )
        } else {
            report.write(&format!("\"http://{url}\""))
        });
        None
    }

    /// `admin { listen … }`, and where its address stands.
    pub(crate) fn admin(&mut self, args: &mut Args<'_, 't>) -> Option<(Admin, Span)> {
        let block = self.block(args)?;
        let lines = self.lines(block, Place::Admin);
        let mut admin = None;
        if lines.all.is_empty() {
            self.must_have(
                args,
                lines.whole,
                "its `listen`",
                "write `listen 127.0.0.1:9901`, or `listen unix \"FILE\"`",
            );
        }
        for mut line in lines.all {
            admin = self.admin_listen(&mut line.args);
        }
        admin.filter(|_| lines.whole)
    }

    fn admin_listen(&mut self, args: &mut Args<'_, 't>) -> Option<(Admin, Span)> {
        if args.eat("unix") {
            let (path, span) = self.file_path(args)?;
            self.done(args)?;
            return Some((Admin { listen: AdminListen::Unix(path) }, span));
        }
        let (address, span) = self.value(args, "an address and a port, or `unix`", value::socket)?;
        self.done(args)?;
        if !address.ip().is_loopback() {
            let message = format!("other machines may reach the admin API at {}", quoted(&address.to_string()));
            self.report(
                Diagnostic::new(codes::OPEN_ADMIN, span, message)
                    .help("whoever reaches it can stop listeners: write `127.0.0.1:9901`, or `unix \"FILE\"`"),
            );
        }
        Some((Admin { listen: AdminListen::Address(address) }, span))
    }
}
