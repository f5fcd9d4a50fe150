//! `/v1/log`: lines of the access log as requests end, of those that fit a condition of the language.

use std::fmt::Write;
use std::path::Path;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use tidegate_base::limits;
use tidegate_dsl::plan::Plan;
use tidegate_dsl::{OneText, Severity, compile, print};
use tidegate_engine::Selection;

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::stream::{Events, Reply};
use crate::telemetry::tap::Watch;

/// `GET /v1/log`, with `?when=CONDITION`.
pub fn answer(context: &Context, query: &str) -> Reply {
    let selection = match condition(query).map(|condition| select(context.snapshot().plan(), &condition)).transpose() {
        Ok(selection) => selection,
        Err(why) => return Reply::Whole(Answer::problem(StatusCode::BAD_REQUEST, why)),
    };
    let Some(watch) = context.shared.tap.watch(selection) else {
        let detail = format!("{} watch already; close one, or ask again later", limits::WATCHERS);
        return Reply::Whole(Answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    Events::stream(context, |events| pass(watch, events))
}

/// Passes lines on until nobody reads any more.
async fn pass(mut watch: Watch, mut events: Events) {
    // The head of the answer leaves with the first event.
    if events.send(Some("watching"), "{}").await.is_err() {
        return;
    }
    while let Some(line) = watch.lines.recv().await {
        let skipped = watch.take_skipped();
        if skipped > 0 && events.send(Some("skipped"), &format!("{{\"count\":{skipped}}}")).await.is_err() {
            return;
        }
        if events.send(None, &line).await.is_err() {
            return;
        }
    }
}

/// The condition of a query; nothing if it has none.
fn condition(query: &str) -> Option<String> {
    let written = query.split('&').find_map(|pair| pair.strip_prefix("when="))?;
    let condition = percent_decode_str(&written.replace('+', " ")).decode_utf8_lossy().into_owned();
    (!condition.trim().is_empty()).then_some(condition)
}

/// The requests that a condition chooses; it may name the lists of the policy.
///
/// # Errors
/// The condition has a mistake: what it is, and the mend.
fn select(plan: &Plan, condition: &str) -> Result<Selection, String> {
    if condition.len() > limits::WATCHED_CONDITION_BYTES {
        return Err(format!("a condition has at most {} bytes", limits::WATCHED_CONDITION_BYTES));
    }
    let mut text = "tidegate 1\n".to_owned();
    for line in print::policy(plan).lines().filter(|line| line.starts_with("list ")) {
        text.push_str(line);
        text.push('\n');
    }
    // Writing into memory cannot fail.
    let _ = write!(
        text,
        "listener http watched {{\nport 1\nrules watched\n}}\nrules watched {{\nrule chosen {{\nwhen {condition}\n\
         respond 204\n}}\notherwise {{ respond 204 }}\n}}\n"
    );
    let compiled = compile(Path::new("condition.gate"), &OneText(text));
    let Some(plan) = compiled.plan else {
        let mistake = compiled.diagnostics.iter().find(|said| said.severity == Severity::Error);
        let said = mistake.map(|said| {
            let help = said.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            format!("{}{help}", said.message)
        });
        return Err(format!("the condition has a mistake: {}", said.unwrap_or_default()));
    };
    Selection::of_first_rule(&plan).map_err(|error| error.to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::{ANSWERS, plan, policy};

    #[test]
    fn a_condition_is_that_of_a_rule_and_may_name_lists() {
        let plan = plan(&(policy("", ANSWERS) + "list office [10.0.0.0/8]\n"));
        for condition in ["path under \"/api\"", "client-ip in office", "any { method is GET; header \"x\" present }"] {
            assert!(select(&plan, condition).is_ok(), "{condition}: {:?}", select(&plan, condition).err());
        }
        for (condition, said) in [
            ("path undr \"/api\"", "did you mean `under`"),
            ("client-ip in offce", "offce"),
            ("path under \"/a\"\n respond 500 }", "mistake"),
        ] {
            let why = select(&plan, condition).err().unwrap();
            assert!(why.contains(said), "{condition}: {why}");
        }
        assert!(select(&plan, &"x".repeat(limits::WATCHED_CONDITION_BYTES + 1)).is_err());
    }

    #[test]
    fn a_query_may_have_a_condition() {
        assert_eq!(condition("when=path%20under+%22/a%22&x=y").as_deref(), Some("path under \"/a\""));
        assert_eq!((condition(""), condition("when="), condition("once")), (None, None, None));
    }
}
