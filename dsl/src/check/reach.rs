//! Rules that no request can reach, where the proof is plain: an earlier rule takes everything that they would.

use super::checker::Checker;
use super::shadow::Above;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{OTHERWISE, Rule};
use crate::source::Span;

impl Checker<'_, '_> {
    /// Reports unreachable rules, each with the first rule above it that takes its requests.
    pub(crate) fn check_reach(&mut self, rules: &[(Option<Rule>, Span)]) {
        let readable = rules.iter().filter_map(|(rule, _)| rule.as_ref());
        let mut above = Above::new(readable.map(|rule| rule.conditions.as_slice()));
        for (at, (rule, span)) in rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let shadow = above.shadow_of(&rule.conditions);
            above.add(at, &rule.conditions);
            let Some((Some(earlier), earlier_span)) = shadow.and_then(|at| rules.get(at)) else { continue };
            if earlier.name == OTHERWISE {
                continue;
            }
            let title = if rule.name == OTHERWISE {
                "`otherwise`".to_owned()
            } else {
                format!("the rule {}", quoted(&rule.name))
            };
            let why = if earlier.conditions.is_empty() {
                format!("{} has no conditions and takes every request", quoted(&earlier.name))
            } else {
                format!("{} takes every request that would come here", quoted(&earlier.name))
            };
            self.report(
                Diagnostic::new(codes::UNREACHABLE, *span, format!("no request can reach {title}"))
                    .also(*earlier_span, why)
                    .help(if earlier.conditions.is_empty() {
                        "give it a condition, or put its steps into `otherwise`"
                    } else {
                        "remove one of the two, move the narrower one up, or change the conditions"
                    }),
            );
            if earlier.conditions.is_empty() {
                // All that follows has the same cause.
                return;
            }
        }
    }
}
