//! Tree to plan: every word is looked up in the vocabulary, every value read, every name resolved.
//!
//! A function that checks something answers `None` after it reported why; then nothing more is said about the same
//! cause. The plan is made only if nothing was wrong.

pub(crate) mod args;
mod certificates;
mod checker;
mod cipher_suites;
mod conditions;
pub(crate) mod config;
mod cors;
mod distinguished_name;
mod doubt;
mod extension;
mod foreign;
mod gathered;
mod group;
mod header;
mod health_check;
mod idle;
mod include;
mod lines;
mod listener;
mod listener_client;
mod listener_limits;
mod listener_tls;
mod location;
mod loops;
mod misread;
mod names;
mod networks;
mod never;
mod observed;
mod outcome;
mod own_headers;
mod policy_test;
mod ports;
mod predicate;
mod process;
mod proof;
mod reach;
mod reach_tls;
mod references;
mod regex;
mod rules;
mod scalars;
mod server;
mod shadow;
mod spelling;
mod spelt;
mod steps;
mod template;
mod texts;
mod tls_policy;
mod way_round;

use std::collections::HashMap;
use std::path::PathBuf;

use self::args::{Args, Line};
use self::checker::Checker;
use self::gathered::Owner;
use self::listener_tls::place_policies;
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, quoted};
use crate::loader::Loader;
use crate::plan::{Listener, ListenerId, Plan, RuleSetId};
use crate::policy_test::PolicyTest;
use crate::source::{Sources, Span};
use crate::tree::{Node, Tree};
use crate::vocabulary::Place;

pub(crate) use self::include::includes;
pub use self::names::Kind;

/// Makes the plan and the tests of a policy: its first file, and those that are included, which are the `whole` of it if
/// each could be read. `None` after an error; the caller also looks at the sink.
pub(crate) fn check<'t>(
    trees: &[Tree<'t>],
    whole: bool,
    sources: &'t Sources,
    loader: &dyn Loader,
    sink: &mut Sink,
    inputs: &mut Vec<PathBuf>,
) -> (Option<Plan>, Vec<PolicyTest>) {
    let mut checker = Checker::new(sources, loader, sink, inputs);
    checker.names.incomplete = !whole;
    let mut lines = Vec::new();
    let mut first = HashMap::new();
    for (at, tree) in trees.iter().enumerate() {
        if at == 0 {
            checker.version(tree);
        }
        checker.doubt(&tree.nodes);
        // Each file may say its version; all else stands once in all of them together.
        first.remove("tidegate");
        lines.extend(checker.lines_of(&tree.nodes, Place::File, &mut first).all);
    }
    checker.declare(&lines);
    let (tests, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.word.name == "test");
    let plan = checker.file(lines);
    // Before the tests are: that something is expected is no use of it.
    if let Some(plan) = &plan
        && !checker.sink.has_errors()
    {
        checker.unused(plan);
    }
    let tests = checker.policy_tests(tests, plan.as_ref());
    (plan, tests)
}

impl<'t> Checker<'_, 't> {
    /// The first node is `tidegate 1`.
    fn version(&mut self, tree: &Tree<'t>) {
        let Some(first) = tree.nodes.first() else {
            if !tree.broken {
                self.missing_version(Span::default());
            }
            return;
        };
        if first.word() != Some("tidegate") && !first.broken {
            self.missing_version(Span { end: first.span.start, ..first.span });
        }
    }

    fn missing_version(&mut self, span: Span) {
        self.report(
            Diagnostic::new(codes::VERSION, span, "the file does not begin with the version of the language")
                .help("write `tidegate 1` on its first line")
                .edit(Span { end: 0, start: 0, ..span }, "tidegate 1\n\n"),
        );
    }

    /// Checks every declaration. References go from the names that were collected before.
    fn file(&mut self, lines: Vec<Line<'_, 't>>) -> Option<Plan> {
        let mut gateway = Some(process::default_gateway());
        let mut access_log = Some(process::default_access_log());
        let (mut lists, mut extensions, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut rule_sets = Vec::new();
        let mut listeners: Vec<Option<(Listener, Span)>> = Vec::new();
        let (mut certificates, mut authorities, mut policies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tracing, mut admin, mut metrics) = (Some(None), Some(None), Some(None));
        let mut waiting = Vec::new();
        self.gathered.tracing_declared = lines.iter().any(|line| line.word.name == "tracing");
        // Extensions, lists and what TLS needs first: what is known of them is asked where they are used.
        for mut line in lines {
            match line.word.name {
                "extension" => extensions.push(self.extension(&mut line.args)),
                "list" => {
                    let list = self.list(&mut line.args);
                    self.listed.push(list.as_ref().map(|list| list.networks.clone()).unwrap_or_default());
                    lists.push(list);
                }
                "certificate" => certificates.push(self.certificate(&mut line.args)),
                "ca" => authorities.push(self.authority(&mut line.args)),
                "tls-policy" => policies.push(line),
                _ => waiting.push(line),
            }
        }
        let declared = policies.len();
        let policies = self.tls_policies(policies);
        for mut line in waiting {
            let args = &mut line.args;
            match line.word.name {
                "tidegate" => _ = self.version_number(args),
                "gateway" => gateway = self.gateway(args),
                "access-log" => access_log = self.access_log(args),
                "server-group" => groups.push(self.group(args)),
                "tracing" => tracing = self.tracing(args).map(|tracing| Some((tracing, args.head))),
                "admin" => admin = self.admin(args).map(Some),
                "metrics" => metrics = self.metrics(args).map(Some),
                "rules" => {
                    let from = self.gathered.asked.len();
                    rule_sets.push(self.rule_set(args));
                    self.own_asked(from, Owner::Rules(RuleSetId(rule_sets.len() - 1)));
                }
                "listener" => {
                    let from = self.gathered.asked.len();
                    listeners.push(self.listener(args));
                    self.own_asked(from, Owner::Listener(ListenerId(listeners.len() - 1)));
                }
                "include" => _ = self.include(args),
                _ => {}
            }
        }
        let listeners: Option<Vec<(Listener, Span)>> = listeners.into_iter().collect();
        let listeners = listeners.map(|listeners| {
            self.check_listeners(&listeners);
            self.check_upgrades(&listeners);
            let admin = admin.iter().flatten().map(|(admin, span)| (&admin.at, *span, "the admin API"));
            let metrics = metrics.iter().flatten().map(|(metrics, span)| (&metrics.at, *span, "`metrics`"));
            self.check_watched_ports(admin.chain(metrics), &listeners);
            listeners.into_iter().unzip::<_, _, Vec<_>, Vec<_>>()
        });
        let (mut listeners, binds) = listeners?;
        let (tracing, tracing_at) = tracing?.unzip();
        let tls_policies = place_policies(&mut listeners, policies?, declared);
        let plan = Plan {
            gateway: gateway?,
            access_log: access_log?,
            tracing,
            admin: admin?.map(|(admin, _)| admin),
            metrics: metrics?.map(|(metrics, _)| metrics),
            lists: lists.into_iter().collect::<Option<_>>()?,
            certificates: certificates.into_iter().collect::<Option<_>>()?,
            authorities: authorities.into_iter().collect::<Option<_>>()?,
            tls_policies,
            extensions: extensions.into_iter().collect::<Option<_>>()?,
            groups: groups.into_iter().collect::<Option<_>>()?,
            rule_sets: rule_sets.into_iter().collect::<Option<_>>()?,
            listeners,
        };
        if !self.sink.has_errors() {
            self.check_client_limits(&plan);
            self.doubt_own_headers(&plan);
            self.check_loops(&plan, &binds);
            self.doubt_redirects(&plan, &binds);
            self.check_tls(&plan);
            self.check_ways_round(&plan);
            self.check_tracing(&plan, tracing_at);
        }
        Some(plan)
    }

    fn version_number(&mut self, args: &mut Args<'_, 't>) -> Option<()> {
        let (version, span) = self.bare(args, "the version of the language")?;
        if version != "1" {
            self.report(
                Diagnostic::new(
                    codes::VERSION,
                    span,
                    format!("there is no version {} of the language", quoted(version)),
                )
                .help("write `tidegate 1`")
                .edit(span, "1"),
            );
            return None;
        }
        self.done(args)
    }

    /// Collects names of declarations that cannot be read: to report each use of them would report one cause twice.
    fn doubt(&mut self, nodes: &[Node<'t>]) {
        for node in nodes {
            let known = node.word().and_then(|word| Place::File.find(word)).is_some();
            if node.broken || !known {
                self.names.doubt(node.items.iter());
            }
        }
    }

    /// Collects the names that are declared.
    fn declare(&mut self, lines: &[Line<'_, 't>]) {
        for line in lines {
            if let Some(kind) = Kind::of(line.word.name) {
                self.declare_name(kind, &line.args);
            }
        }
    }
}
