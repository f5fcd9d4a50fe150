//! Blocks by which a gateway is watched: `tracing`, `admin`, `metrics`.

use super::args::{Args, Line};
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Admin, Endpoints, Metrics, OtlpProtocol, Piece, Plan, Propagator, Template, Tracing};
use crate::source::Span;
use crate::value;
use crate::vocabulary::{Place, Word};

/// Bytes that a token has at least: it stands between strangers and the gateway.
const TOKEN_BYTES: usize = 16;

/// Bytes that the path of a Unix socket has at most: what the system has room for, and the end of it.
const SOCKET_PATH_BYTES: usize = 107;

/// Fields of a request to the collector at most: each is sent with every request.
const COLLECTOR_FIELDS: usize = 16;

/// Fields that a request to the collector has whatever the policy says.
const OTLP_FIELDS: [&str; 7] =
    ["connection", "content-length", "content-type", "host", "te", "transfer-encoding", "user-agent"];

impl<'t> Checker<'_, 't> {
    /// `tracing otlp { … }`
    pub(crate) fn tracing(&mut self, args: &mut Args<'_, 't>) -> Option<Tracing> {
        self.choose(args, Place::TracingKind)?;
        let block = self.block(args)?;
        let mut tracing = Tracing {
            endpoint: String::new(),
            protocol: OtlpProtocol::Grpc,
            service: "tidegate".to_owned(),
            headers: Vec::new(),
            propagate: vec![Propagator::W3c],
        };
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
            "header" => {
                let field = self.collector_field(args, &tracing.headers)?;
                tracing.headers.push(field);
            }
            "propagate" => tracing.propagate = self.propagate(args)?,
            _ => {
                let (name, span) = self.text(args, "the name of the service")?;
                tracing.service = self.not_empty(name, span)?;
            }
        }
        self.done(args)
    }

    /// `header "NAME" "VALUE"`: a field that every request to the collector bears, beside those that are OTLP's own.
    fn collector_field(&mut self, args: &mut Args<'_, 't>, known: &[(String, String)]) -> Option<(String, String)> {
        let (written, span) = self.text(args, "the name of a header")?;
        self.check_header_name(&written, span)?;
        let name = written.to_ascii_lowercase();
        let (value, value_span) = self.text(args, "its value")?;
        self.check_header_value(&Template(vec![Piece::Text(value.clone())]), value_span)?;
        let message = if OTLP_FIELDS.contains(&name.as_str()) {
            format!("{} is written by the gateway", quoted(&name))
        } else if known.iter().any(|(other, _)| *other == name) {
            format!("{} stands twice", quoted(&name))
        } else if known.len() == COLLECTOR_FIELDS {
            format!("there are more than {COLLECTOR_FIELDS} headers for the collector")
        } else {
            return Some((name, value));
        };
        self.report(Diagnostic::new(codes::BAD_TEXT, span, message).help("leave it out"));
        None
    }

    /// `propagate [w3c, b3]`; that of W3C is always there.
    fn propagate(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<Propagator>> {
        let mut forms = vec![Propagator::W3c];
        let mut right = true;
        for mut element in self.alternatives(args, "`w3c` or `b3`")? {
            let Some(word) = self.choose(&mut element, Place::Propagate) else {
                right = false;
                continue;
            };
            let form = if word.name == "b3" { Propagator::B3 } else { Propagator::W3c };
            forms.push(form);
            right &= self.element_done(&mut element).is_some();
        }
        forms.sort_unstable();
        forms.dedup();
        right.then_some(forms)
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

    /// `admin { … }`, and where it stands.
    pub(crate) fn admin(&mut self, args: &mut Args<'_, 't>) -> Option<(Admin, Span)> {
        let mut admin = Admin { at: Endpoints::default(), read_token: None, operate_token: None };
        let place = self.endpoints(args, Place::Admin, &mut admin.at, |checker, line| {
            let token = checker.secret(&mut line.args, TOKEN_BYTES)?;
            match line.word.name {
                "read-token" => admin.read_token = Some(token),
                _ => admin.operate_token = Some(token),
            }
            Some(())
        })?;
        if let Some(address) = admin.at.listen.filter(|address| !address.ip().is_loopback())
            && admin.read_token.is_none()
        {
            let message = format!("other machines may reach the admin API at {}", quoted(&address.to_string()));
            self.report(
                Diagnostic::new(codes::OPEN_ADMIN, place, message).help(
                    "add `read-token env \"TIDEGATE_READ\"`, or write `listen 127.0.0.1:9901`, or `unix \"FILE\"`",
                ),
            );
            return None;
        }
        Some((admin, place))
    }

    /// `metrics { … }`, and where its address stands.
    pub(crate) fn metrics(&mut self, args: &mut Args<'_, 't>) -> Option<(Metrics, Span)> {
        let mut at = Endpoints::default();
        let place = self.endpoints(args, Place::Metrics, &mut at, |_, _| Some(()))?;
        Some((Metrics { at }, place))
    }

    /// The lines of a block that says where something listens, and of its other words; the place of the address.
    fn endpoints<'n>(
        &mut self,
        args: &mut Args<'n, 't>,
        place: Place,
        at: &mut Endpoints,
        mut other: impl FnMut(&mut Self, &mut Line<'n, 't>) -> Option<()>,
    ) -> Option<Span> {
        let block = self.block(args)?;
        let lines = self.lines(block, place);
        let (whole, mut right, mut span) = (lines.whole, lines.whole, args.head);
        let listens = |line: &Line<'_, '_>| matches!(line.word.name, "listen" | "unix");
        if !lines.all.iter().any(listens) {
            let port = if place == Place::Admin { 9901 } else { 9902 };
            self.must_have(
                args,
                whole,
                "its `listen`",
                &format!("write `listen 127.0.0.1:{port}`, or `unix \"FILE\"`"),
            );
            right = false;
        }
        for mut line in lines.all {
            right &= match line.word.name {
                "listen" => self.listen(&mut line.args, at).map(|place| span = place).is_some(),
                "unix" => self.socket_file(&mut line.args, at).is_some(),
                _ => other(self, &mut line).is_some(),
            };
        }
        right.then_some(span)
    }

    /// `listen ADDRESS|unix "FILE"`, and where the address stands.
    fn listen(&mut self, args: &mut Args<'_, 't>, at: &mut Endpoints) -> Option<Span> {
        let span = args.last();
        if args.eat("unix") {
            self.socket_file(args, at)?;
            return Some(span);
        }
        let (address, span) = self.value(args, "an address and a port, or `unix`", value::socket)?;
        self.done(args)?;
        at.listen = Some(address);
        Some(span)
    }

    /// `"FILE"`: a Unix socket.
    fn socket_file(&mut self, args: &mut Args<'_, 't>, at: &mut Endpoints) -> Option<()> {
        let (path, span) = self.file_path(args)?;
        self.done(args)?;
        if path.len() > SOCKET_PATH_BYTES {
            let message =
                format!("the path of a Unix socket has at most {SOCKET_PATH_BYTES} bytes, and this has {}", path.len());
            self.report(
                Diagnostic::new(codes::BAD_TEXT, span, message)
                    .help("choose a shorter one, such as `/run/tidegate/admin.sock`"),
            );
            return None;
        }
        if at.unix.is_some() {
            let message = "there are two Unix sockets";
            self.report(Diagnostic::new(codes::REPEATED_WORD, span, message).help("remove one of the two"));
            return None;
        }
        at.unix = Some(path);
        Some(())
    }
}
