//! `rules`: rules in order, each with conditions, steps and one outcome; and `on-response`.

use std::collections::HashMap;

use super::args::{Args, Line};
use super::checker::Checker;
use super::proof::{MAX_VALUES, contradict};
use super::regex::Matches;
use super::template::{Moment, Scope};
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Condition, Mirror, OTHERWISE, Outcome, ResponseBlock, Rule, RuleSet, Step};
use crate::source::Span;
use crate::vocabulary::{Place, Role, Word};

/// Mirrors of a rule: each multiplies the requests.
const MAX_MIRRORS: usize = 8;

impl<'t> Checker<'_, 't> {
    /// `rules NAME { … }`
    pub(crate) fn rule_set(&mut self, args: &mut Args<'_, 't>) -> Option<RuleSet> {
        // Before anything can fail: the lists are counted by position.
        let at = self.rule_spans.len();
        self.rule_spans.push(Vec::new());
        let (name, _) = self.new_name(args, "a name for the rules")?;
        let block = self.block(args)?;
        let mut rules: Vec<(Option<Rule>, Span)> = Vec::new();
        let mut names: HashMap<String, Span> = HashMap::new();
        let mut otherwise: Option<Span> = None;
        let lines = self.lines(block, Place::Rules);
        let whole = lines.whole;
        for mut line in lines.all {
            let head = line.args.head;
            if let Some(first) = otherwise {
                self.after_otherwise(&line, first);
            }
            let rule = if line.word.name == OTHERWISE {
                otherwise = otherwise.or(Some(head));
                self.rule(OTHERWISE.to_owned(), &mut line.args)
            } else {
                self.named_rule(&mut line.args, &mut names)
            };
            rules.push((rule, head));
        }
        if otherwise.is_none() {
            self.no_otherwise(args, whole);
        }
        if whole {
            self.check_reach(&rules);
        }
        if let Some(spans) = self.rule_spans.get_mut(at) {
            spans.extend(rules.iter().map(|(_, span)| *span));
        }
        let rules = rules.into_iter().map(|(rule, _)| rule).collect::<Option<Vec<_>>>()?;
        Some(RuleSet { name, rules })
    }

    fn no_otherwise(&mut self, args: &Args<'_, 't>, whole: bool) {
        if whole {
            self.report(
                Diagnostic::new(codes::OTHERWISE, args.span(), "these rules have no `otherwise`")
                    .help("add `otherwise { … }` as the last one: what happens to all other requests"),
            );
        }
    }

    fn after_otherwise(&mut self, line: &Line<'_, 't>, first: Span) {
        let (message, help) = if line.word.name == OTHERWISE {
            ("there are two `otherwise`", "remove one of the two")
        } else {
            ("a rule stands behind `otherwise`", "move it up, before `otherwise`")
        };
        self.report(
            Diagnostic::new(codes::OTHERWISE, line.args.head, message)
                .also(first, "`otherwise` takes every request that comes here")
                .help(help),
        );
    }

    fn named_rule(&mut self, args: &mut Args<'_, 't>, names: &mut HashMap<String, Span>) -> Option<Rule> {
        let (name, span) = self.new_name(args, "a name for the rule")?;
        if name == OTHERWISE {
            self.report(
                Diagnostic::new(codes::BAD_NAME, span, "`otherwise` is not a name for a rule")
                    .help("write `otherwise { … }` for the last rule, or choose another name"),
            );
            return None;
        }
        if let Some(first) = names.get(&name) {
            self.report(
                Diagnostic::new(codes::DUPLICATE_NAME, span, format!("the rule {} stands twice", quoted(&name)))
                    .also(*first, "it stands here first")
                    .help("give one of the two another name"),
            );
        } else {
            names.insert(name.clone(), span);
        }
        self.rule(name, args)
    }

    /// The body of a rule: conditions, then steps, then one outcome.
    fn rule(&mut self, name: String, args: &mut Args<'_, 't>) -> Option<Rule> {
        let block = self.block(args)?;
        let lines = self.lines(block, Place::Rule);
        let whole = lines.whole;
        let mut draft = Draft { right: whole, ..Draft::default() };
        for mut line in lines.all {
            let head = line.args.head;
            match line.word.role {
                Role::Condition => self.rule_condition(&name, &mut line.args, &mut draft),
                Role::Outcome => self.rule_outcome(line.word, &mut line.args, &mut draft),
                Role::WayBack => {
                    let on_response = self.on_response(&mut line.args, &draft.matches);
                    draft.right &= on_response.is_some();
                    draft.on_response.extend(on_response);
                }
                Role::Step | Role::Plain => {
                    if let Some(outcome) = draft.outcome_at {
                        self.after_outcome(line.word, head, outcome);
                    }
                    draft.step_at = draft.step_at.or(Some(head));
                    let step = self.step(
                        line.word,
                        &mut line.args,
                        Scope { moment: Moment::Request, matches: &draft.matches },
                    );
                    draft.right &= step.is_some();
                    draft.steps.extend(step.map(|step| (step, line.args.span())));
                }
            }
        }
        if draft.outcome_at.is_none() {
            self.no_outcome(&name, args, whole);
        }
        let Draft { conditions, steps, outcome, on_response, right, .. } = draft;
        let outcome = outcome?;
        self.check_steps(&conditions, &steps, &outcome);
        self.check_contradiction(&name, &conditions)?;
        let conditions = conditions.into_iter().map(|(condition, _)| condition).collect();
        let steps = steps.into_iter().map(|(step, _)| step).collect();
        right.then_some(Rule { name, conditions, steps, outcome, on_response })
    }

    fn no_outcome(&mut self, name: &str, args: &Args<'_, 't>, whole: bool) {
        if whole {
            self.report(
                Diagnostic::new(codes::NO_OUTCOME, args.span(), format!("{} has no outcome", rule_title(name)))
                    .help("end it with `forward`, `redirect`, `respond` or `close`"),
            );
        }
    }

    fn rule_condition(&mut self, rule: &str, args: &mut Args<'_, 't>, draft: &mut Draft) {
        let (head, word) = (args.head, quoted(args.of.name));
        if rule == OTHERWISE {
            self.report(
                Diagnostic::new(codes::OTHERWISE, head, "`otherwise` has no conditions")
                    .help("write a rule with a name, before `otherwise`"),
            );
            draft.right = false;
            return;
        }
        if let Some(first) = draft.step_at.or(draft.outcome_at) {
            self.report(
                Diagnostic::new(codes::LATE_CONDITION, head, format!("a {word} stands behind a step"))
                    .also(first, "steps begin here")
                    .help("move it up: conditions come first in a rule"),
            );
        }
        let condition = self.condition(args, false, Some(&mut draft.matches));
        draft.right &= condition.is_some();
        draft.conditions.extend(condition.map(|condition| (condition, args.span())));
    }

    fn rule_outcome(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) {
        if let Some(first) = draft.outcome_at {
            self.after_outcome(word, args.head, first);
        }
        draft.outcome_at = draft.outcome_at.or(Some(args.head));
        let outcome = self.outcome(word, args, Scope { moment: Moment::Request, matches: &draft.matches });
        draft.right &= outcome.is_some();
        draft.outcome = outcome;
    }

    /// Reports conditions that no request can meet together, where that is plain.
    fn check_contradiction(&mut self, rule: &str, conditions: &[(Condition, Span)]) -> Option<()> {
        let few = conditions.get(..conditions.len().min(MAX_VALUES)).unwrap_or_default();
        let pairs = few.iter().enumerate().flat_map(|(at, later)| few.iter().take(at).map(move |first| (first, later)));
        let Some((first, later)) = pairs.into_iter().find(|(a, b)| contradict(&a.0, &b.0)) else { return Some(()) };
        self.report(
            Diagnostic::new(codes::UNREACHABLE, later.1, format!("no request can reach {}", rule_title(rule)))
                .also(first.1, "what meets this one cannot meet the other")
                .help("conditions hold together: for alternatives write a list, `[…]`, or `any { … }`"),
        );
        None
    }

    /// Checks of what steps show only beside the conditions and the outcome of their rule.
    fn check_steps(&mut self, conditions: &[(Condition, Span)], steps: &[(Step, Span)], outcome: &Outcome) {
        let mut mirrors = 0;
        for (step, span) in steps {
            match step {
                Step::Cors(_) => self.check_preflight(conditions, *span),
                Step::Mirror(mirror) => {
                    mirrors += 1;
                    if mirrors == MAX_MIRRORS + 1 {
                        self.report(
                            Diagnostic::new(codes::OUT_OF_RANGE, *span, "this rule has too many mirrors")
                                .help(format!("a rule has at most {MAX_MIRRORS}: each is a request more")),
                        );
                    }
                    self.check_mirror(*mirror, *span, outcome);
                }
                _ => {}
            }
        }
    }

    fn check_mirror(&mut self, mirror: Mirror, span: Span, outcome: &Outcome) {
        let Outcome::Forward(forward) = outcome else { return };
        if forward.targets.iter().all(|target| target.group != mirror.group || target.weight == 0) {
            return;
        }
        self.report(
            Diagnostic::new(codes::MIRROR, span, "the copy goes to the group that gets the request, too")
                .help("mirror to another group; the servers of this one would do the work twice"),
        );
    }

    fn after_outcome(&mut self, word: &Word, span: Span, outcome: Span) {
        let word_quoted = quoted(word.name);
        let help = if word.role == Role::Outcome {
            "a rule has exactly one outcome: remove one of the two"
        } else {
            "move it up, before the outcome"
        };
        self.report(
            Diagnostic::new(codes::AFTER_OUTCOME, span, format!("{word_quoted} stands behind the outcome"))
                .also(outcome, "the rule ends here")
                .help(help),
        );
    }

    /// `on-response { … }`; `matches` is what its rule's conditions found.
    pub(crate) fn on_response(&mut self, args: &mut Args<'_, 't>, matches: &Matches) -> Option<ResponseBlock> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let lines = self.lines(block, Place::OnResponse);
        let mut right = lines.whole;
        let mut made = ResponseBlock { conditions: Vec::new(), steps: Vec::new() };
        let mut step_at: Option<Span> = None;
        for mut line in lines.all {
            let head = line.args.head;
            if line.word.role == Role::Condition {
                if let Some(first) = step_at {
                    let word = quoted(line.word.name);
                    self.report(
                        Diagnostic::new(codes::LATE_CONDITION, head, format!("a {word} stands behind a step"))
                            .also(first, "steps begin here")
                            .help("move it up: conditions come first"),
                    );
                }
                let condition = self.condition(&mut line.args, true, None);
                right &= condition.is_some();
                made.conditions.extend(condition);
            } else {
                step_at = step_at.or(Some(head));
                let scope = Scope { moment: Moment::Response, matches };
                let step = self.response_step(line.word, &mut line.args, scope);
                right &= step.is_some();
                made.steps.extend(step);
            }
        }
        right.then_some(made)
    }
}

/// A rule while it is read.
#[derive(Default)]
struct Draft {
    conditions: Vec<(Condition, Span)>,
    matches: Matches,
    steps: Vec<(Step, Span)>,
    outcome: Option<Outcome>,
    on_response: Vec<ResponseBlock>,
    /// The place of the first step.
    step_at: Option<Span>,
    /// The place of the outcome.
    outcome_at: Option<Span>,
    /// Whether nothing was wrong so far.
    right: bool,
}

fn rule_title(name: &str) -> String {
    if name == OTHERWISE { "`otherwise`".to_owned() } else { format!("the rule {}", quoted(name)) }
}
