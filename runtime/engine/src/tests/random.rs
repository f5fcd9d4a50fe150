//! Random plans and requests: whatever they are, a walk ends, panics never, and `explain` agrees with it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;
use tidegate_dsl::plan::*;

use super::{MAIN, trap};
use crate::decision::{Decision, Moment, Progress};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::explain::explain;
use crate::explanation::Ending;
use crate::hook::{HookFault, Verdict};
use crate::observer::Silent;
use crate::testing;

/// Makes things from a stream of bytes; 0 when it is used up, so that everything ends.
struct Dice<'b>(std::slice::Iter<'b, u8>);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.roll(most + 1);
        (0..count).map(|_| make(self)).collect()
    }

    fn word(&mut self) -> String {
        self.pick(&["", "a", "x-a", "a.example", "/a", "/a/b", "*", "a?", "é", "1", "/..", "%2f", "\r\n"]).to_owned()
    }

    fn name(&mut self) -> String {
        self.pick(&["x-a", "x-b", "host", "cookie"]).to_owned()
    }

    fn subject(&mut self) -> Subject {
        let name = self.name();
        self.pick(&[
            Subject::Host,
            Subject::Path,
            Subject::Method,
            Subject::Scheme,
            Subject::Header(name.clone()),
            Subject::Query(name.clone()),
            Subject::Cookie(name.clone()),
            Subject::ClientIp,
            Subject::PeerIp,
            Subject::Protocol,
            Subject::Upgrade,
            Subject::Sni,
            Subject::TlsVersion,
            Subject::ClientCert(ClientCertField::Issuer),
            Subject::Var(name.clone()),
            Subject::Status,
            Subject::ResponseHeader(name),
        ])
    }

    fn predicate(&mut self) -> Predicate {
        let words = self.some(3, Self::word);
        let pattern = self.pick(&["", "a", "^/(?<n>[a-z])", "(.)(.)", "x|y"]).to_owned();
        self.pick(&[
            Predicate::Is(words.clone()),
            Predicate::Like(words.clone()),
            Predicate::Under(words),
            Predicate::Matches(vec![pattern]),
            Predicate::In(NetworkSet { lists: vec![ListId(0), ListId(9)], networks: Vec::new() }),
            Predicate::Status(vec![StatusRange { first: 200, last: 599 }]),
            Predicate::Present,
            Predicate::Absent,
        ])
    }

    fn test(&mut self, depth: usize) -> Test {
        match self.roll(if depth == 0 { 1 } else { 4 }) {
            1 => Test::All(self.some(3, |dice| dice.test(depth - 1))),
            2 => Test::Any(self.some(3, |dice| dice.test(depth - 1))),
            _ => Test::Is(self.subject(), self.predicate()),
        }
    }

    fn condition(&mut self) -> Condition {
        Condition { unless: self.roll(2) == 1, test: self.test(2) }
    }

    fn template(&mut self) -> Template {
        Template(self.some(3, |dice| {
            let (word, name, index) = (dice.word(), dice.name(), dice.roll(4));
            dice.pick(&[
                Piece::Text(word),
                Piece::Insert(Insert::Host),
                Piece::Insert(Insert::Path),
                Piece::Insert(Insert::Uri),
                Piece::Insert(Insert::Header(name.clone())),
                Piece::Insert(Insert::QueryParam(name.clone())),
                Piece::Insert(Insert::Cookie(name.clone())),
                Piece::Insert(Insert::Var(name)),
                Piece::Insert(Insert::MatchIndex(index)),
                Piece::Insert(Insert::MatchName("n".into())),
                Piece::Insert(Insert::Status),
                Piece::Insert(Insert::RequestId),
            ])
        }))
    }

    fn header_step(&mut self) -> HeaderStep {
        let name = self.pick(&["x-a", "x-b", "cookie"]).to_owned();
        match self.roll(3) {
            0 => HeaderStep::Set(name, self.template()),
            1 => HeaderStep::Add(name, self.template()),
            _ => HeaderStep::Remove(name),
        }
    }

    fn step(&mut self) -> Step {
        match self.roll(7) {
            0 => Step::Limit(Limit {
                requests: self.pick(&[0, 1, 7, u32::MAX]),
                interval: Duration::from_nanos(self.pick(&[0, 1, 1_000_000_000, u64::MAX])),
                per: {
                    let name = self.name();
                    self.pick(&[
                        LimitKey::All,
                        LimitKey::ClientIp(64),
                        LimitKey::Host,
                        LimitKey::Header(name.clone()),
                        LimitKey::Cookie(name),
                    ])
                },
                burst: self.pick(&[0, 1, u32::MAX]),
                status: 503,
            }),
            1 => Step::Header(self.header_step()),
            2 => Step::Rewrite(self.pick(&[UriPart::Path, UriPart::Host, UriPart::Query]), self.template()),
            3 => Step::SetVar(self.name(), self.template()),
            4 => Step::Run(ExtensionId(self.roll(3))),
            5 => Step::Timeout(Duration::from_secs(1)),
            _ => Step::Log(self.template()),
        }
    }

    fn block(&mut self) -> ResponseBlock {
        ResponseBlock {
            conditions: self.some(2, Self::condition),
            steps: self.some(2, |dice| match dice.roll(3) {
                0 => ResponseStep::Header(dice.header_step()),
                1 => ResponseStep::SetVar(dice.name(), dice.template()),
                _ => ResponseStep::Log(dice.template()),
            }),
        }
    }

    fn targets(&mut self) -> Vec<Target> {
        let weights = [self.roll(3), self.roll(3), 1];
        let targets = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Target { group: GroupId(index % 2), weight: u32::try_from(*weight).unwrap() });
        targets.collect()
    }

    fn outcome(&mut self) -> Outcome {
        match self.roll(4) {
            0 => Outcome::Forward(Forward { targets: self.targets(), sticky: None }),
            1 => Outcome::Redirect(302, self.template()),
            2 => Outcome::Respond(Respond { status: 200, body: self.template(), content_type: self.word() }),
            _ => Outcome::Close,
        }
    }

    fn plan(&mut self) -> Plan {
        let mut rules = self.some(4, |dice| {
            let mut rule = testing::rule("r", Vec::new(), dice.some(4, Self::step), dice.outcome());
            rule.conditions = dice.some(3, Self::condition);
            rule.on_response = dice.some(2, Self::block);
            rule
        });
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("r{index}");
        }
        let mut otherwise = testing::rule(OTHERWISE, Vec::new(), self.some(4, Self::step), self.outcome());
        otherwise.on_response = self.some(2, Self::block);
        rules.push(otherwise);
        let mut plan = testing::plan(rules);
        let listener = &mut plan.listeners[0];
        listener.run = self.some(2, |dice| ExtensionId(dice.roll(3)));
        listener.on_response = self.some(2, Self::block);
        if self.roll(8) == 7 {
            listener.action = ListenerAction::Forward(self.targets());
        }
        plan
    }

    fn exchange(&mut self) -> Box<Exchange> {
        let host = self.pick(&["a.example", "b.example:81", "[::1]", "127.0.0.1"]);
        let target = self.pick(&["/", "/a", "/a/b?x-a=1&x-a=%2e", "/%2F?+", "*", "/ab?"]);
        let mut exchange = testing::exchange(self.pick(&["GET", "PUT", "X"]), host, target);
        for _ in 0..self.roll(4) {
            let name = self.pick(&["x-a", "x-b", "cookie"]);
            let value = self.pick(&[&b"a"[..], b"x-a=1; x-b", b"\xff", b"", b"/.."]);
            let value = HeaderValue::from_bytes(value).unwrap();
            exchange.request.headers.append(name, value);
        }
        exchange
    }

    fn verdict(&mut self) -> Result<Verdict, HookFault> {
        match self.roll(6) {
            0 => Ok(Verdict::Respond(super::reply(201, "body"))),
            1 => Ok(Verdict::Forward("web".into())),
            2 => Ok(Verdict::Forward("none".into())),
            3 => Ok(Verdict::Close),
            4 => Err(trap()),
            _ => Ok(Verdict::Next),
        }
    }
}

/// Serves one request whole. Hooks roll their verdicts from `verdicts`.
fn serve(engine: &Engine, mut exchange: Box<Exchange>, moment: Moment, verdicts: &[u8]) -> (Option<String>, Ending) {
    let mut dice = Dice(verdicts.iter());
    let mut walk = engine.start(MAIN);
    let decision = loop {
        match engine.advance(&mut walk, &mut exchange, moment, &mut Silent) {
            Progress::Done(decision) => break decision,
            Progress::Run(_) => engine.resume(&mut walk, &mut exchange, dice.verdict()),
        }
    };
    let rule = walk.rule_name(engine).map(str::to_owned);
    let body = match decision {
        Decision::Close => return (rule, Ending::Close),
        Decision::Forward(group) => {
            let group = engine.plan().groups[group.0].name.clone();
            assert_eq!(exchange.group.as_deref(), Some(&*group));
            // What a backend would answer: explain stops before it, serving must take it.
            let mut back = Dice(verdicts.iter());
            super::back_with(engine, &mut walk, &mut exchange, 502, |_, _| back.verdict());
            return (rule, Ending::Forward { group, url: String::new() });
        }
        Decision::Reply(reply) => {
            exchange.response = Some(crate::exchange::Response::new(reply.status, reply.headers));
            reply.body
        }
    };
    engine.start_response(&mut walk);
    let body = loop {
        match engine.advance_response(&mut walk, &mut exchange, &mut Silent) {
            Progress::Run(_) => engine.resume_response(&mut walk, &mut exchange, dice.verdict()),
            Progress::Done(crate::decision::ResponseDecision::Close) => return (rule, Ending::Close),
            Progress::Done(crate::decision::ResponseDecision::Pass) => break body,
            Progress::Done(crate::decision::ResponseDecision::Replace(reply)) => break reply.body,
        }
    };
    let response = exchange.response.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ending = Ending::Reply {
        status: response.status.as_u16(),
        headers: response.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(&body),
    };
    (rule, ending)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn a_walk_ends_and_explain_agrees(
        plan in proptest::collection::vec(any::<u8>(), 0..300),
        request in proptest::collection::vec(any::<u8>(), 0..12),
        verdicts in proptest::collection::vec(any::<u8>(), 0..12),
        nanos in any::<u64>(),
        random in any::<u64>(),
    ) {
        let plan = Arc::new(Dice(plan.iter()).plan());
        let moment = Moment { nanos, random };
        // Each on buckets of its own: both take tokens.
        let (one, other) = (Engine::build(Arc::clone(&plan), None), Engine::build(plan, None));
        let (one, other) = (one.unwrap(), other.unwrap());
        let exchange = || Dice(request.iter()).exchange();
        let (rule, ending) = serve(&one, exchange(), moment, &verdicts);
        let mut dice = Dice(verdicts.iter());
        let explained = explain(&other, MAIN, exchange(), moment, &mut |_, _, exchange| (exchange, Some(dice.verdict())));
        prop_assert_eq!(&explained.rule, &rule);
        match (&explained.outcome, &ending) {
            (Ending::Forward { group, .. }, Ending::Forward { group: served, .. }) => prop_assert_eq!(group, served),
            (explained, served) => prop_assert_eq!(explained, served),
        }
        prop_assert!(!explained.to_string().is_empty());
        let target = &explained.exchange.request.target;
        prop_assert!(target.as_str() == "*" || target.as_str().starts_with('/'));
    }
}
