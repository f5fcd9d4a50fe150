//! The outcomes of a rule: `forward`, `redirect`, `respond`, `close`.

use std::time::Duration;

use super::args::Args;
use super::checker::Checker;
use super::names::Kind;
use super::template::Scope;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Forward, GroupId, Outcome, Piece, Respond, Target, Template};
use crate::source::Span;
use crate::tree::ItemKind;
use crate::value;
use crate::vocabulary::{Place, Word};

/// Groups of a `forward`: each is looked at for every request.
const MAX_TARGETS: usize = 100;

/// The time for which a client stays on its group, and the place of the word that says it.
type Sticky = (Duration, Span);

impl<'t> Checker<'_, 't> {
    /// An outcome of a rule.
    pub(crate) fn outcome(
        &mut self,
        word: &'static Word,
        args: &mut Args<'_, 't>,
        scope: Scope<'_>,
    ) -> Option<Outcome> {
        let outcome = match word.name {
            "forward" => Outcome::Forward(self.forward(args)?),
            "redirect" => self.redirect(args, scope)?,
            "respond" => Outcome::Respond(self.respond(args, scope)?),
            _ => Outcome::Close,
        };
        self.done(args)?;
        Some(outcome)
    }

    /// `forward GROUP` or `forward A weight N, B weight N [sticky D]`
    fn forward(&mut self, args: &mut Args<'_, 't>) -> Option<Forward> {
        let (targets, sticky) = self.split(args)?;
        let Some((sticky, span)) = sticky else { return Some(Forward { targets, sticky: None }) };
        if let [_] = targets.as_slice() {
            self.report(
                Diagnostic::new(codes::STICKY, span, "there is only one group to stay on")
                    .help("remove `sticky`; to keep a client on its server, write `sticky` in the server group"),
            );
        }
        Some(Forward { targets, sticky: Some(sticky) })
    }

    /// The groups of a listener's own `forward`.
    pub(crate) fn targets(&mut self, args: &mut Args<'_, 't>) -> Option<Vec<Target>> {
        let (targets, sticky) = self.split(args)?;
        if let Some((_, span)) = sticky {
            self.report(
                Diagnostic::new(codes::STICKY_PLACE, span, "`sticky` belongs to the `forward` of a rule")
                    .help("write `rules { otherwise { forward … sticky … } }`, and name these rules in the listener"),
            );
            return None;
        }
        Some(targets)
    }

    /// Groups with their weights, and how long a client stays on its group.
    fn split(&mut self, args: &mut Args<'_, 't>) -> Option<(Vec<Target>, Option<Sticky>)> {
        let mut targets: Vec<(Target, Span)> = Vec::new();
        let mut sticky: Option<Sticky> = None;
        loop {
            let (group, span) = self.reference(args, Kind::Group)?;
            if let Some((_, first)) = sticky {
                self.report(
                    Diagnostic::new(
                        codes::STICKY_PLACE,
                        first,
                        "`sticky` is about all groups of a `forward`, and stands last",
                    )
                    .also(span, "another group comes here")
                    .help("move it behind the last group"),
                );
                return None;
            }
            let mut target = Target { group: GroupId(group), weight: 1 };
            let mut seen = Vec::new();
            while args.peek().is_some_and(|item| !matches!(item.kind, ItemKind::Comma(_))) {
                let option = self.option(args, Place::Target, &mut seen)?;
                let head = args.last();
                match option.name {
                    "weight" => target.weight = self.count(args, option)?,
                    _ => sticky = Some((self.duration(args, option)?, head.to(args.last()))),
                }
            }
            self.check_target(&targets, target, span)?;
            targets.push((target, span));
            if !args.eat_comma() {
                break;
            }
        }
        if targets.iter().all(|(target, _)| target.weight == 0) {
            self.report(
                Diagnostic::new(codes::ZERO_WEIGHTS, args.span(), "every weight of this `forward` is 0")
                    .help("give one of the groups a weight above 0"),
            );
            return None;
        }
        Some((targets.into_iter().map(|(target, _)| target).collect(), sticky))
    }

    fn check_target(&mut self, before: &[(Target, Span)], target: Target, span: Span) -> Option<()> {
        if let Some((_, first)) = before.iter().find(|(other, _)| other.group == target.group) {
            let name = quoted(self.sources.slice(span));
            self.report(
                Diagnostic::new(codes::REPEATED_TARGET, span, format!("{name} stands twice in this `forward`"))
                    .also(*first, "it stands here first")
                    .help("write it once, with the sum of the weights"),
            );
            return None;
        }
        if before.len() >= MAX_TARGETS {
            self.report(
                Diagnostic::new(codes::OUT_OF_RANGE, span, "this `forward` has too many groups")
                    .help(format!("a `forward` has at most {MAX_TARGETS}")),
            );
            return None;
        }
        Some(())
    }

    /// `redirect STATUS "LOCATION"`
    fn redirect(&mut self, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<Outcome> {
        let (status, span) = self.value(args, "a status", value::status)?;
        if ![301, 302, 303, 307, 308].contains(&status) {
            self.report(
                Diagnostic::new(codes::STATUS, span, format!("`{status}` is not the status of a redirection"))
                    .help("write `301` or `308` for one that lasts, `302`, `303` or `307` for one that does not"),
            );
            return None;
        }
        let (location, span) = self.template(args, "the location", scope)?;
        if location.0.is_empty() {
            self.report(Diagnostic::new(codes::BAD_TEXT, span, "the location is empty").help("write where to go"));
            return None;
        }
        self.check_header_value(&location, span)?;
        self.check_location(&location, scope, span)?;
        Some(Outcome::Redirect(status, location))
    }

    /// `respond STATUS ["BODY"] [type "…"]`
    fn respond(&mut self, args: &mut Args<'_, 't>, scope: Scope<'_>) -> Option<Respond> {
        let (status, span) = self.value(args, "a status", value::status)?;
        if status < 200 {
            self.report(
                Diagnostic::new(codes::STATUS, span, format!("`{status}` does not end a request"))
                    .help("write a status from 200 to 599"),
            );
            return None;
        }
        let mut respond = Respond {
            status,
            body: Template::default(),
            content_type: Place::Respond.find("type").and_then(|word| word.default).unwrap_or_default().to_owned(),
        };
        if args.peek().is_some_and(|item| !matches!(item.kind, ItemKind::Word(word) if word != "env")) {
            let (body, span) = self.template(args, "the body", scope)?;
            if matches!(status, 204 | 205 | 304) && !body.0.is_empty() {
                self.report(
                    Diagnostic::new(codes::STATUS, span, format!("a response with status {status} has no body"))
                        .help("remove the body, or write another status"),
                );
                return None;
            }
            respond.body = body;
        }
        if args.peek().is_some() {
            self.choose(args, Place::Respond)?;
            let (content_type, span) = self.text(args, "a media type")?;
            self.check_header_value(&Template(vec![Piece::Text(content_type.clone())]), span)?;
            respond.content_type = self.not_empty(content_type, span)?;
        }
        Some(respond)
    }
}
