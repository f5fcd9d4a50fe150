//! What the language says and this runtime cannot do yet. `check`, `print`, `explain` and `test` take all of it; a policy
//! that needs it is not put in service, so that a gateway never does less than its policy says.
//!
//! A line for each word. Whoever builds one deletes its line.

use std::time::Duration;

use tidegate_dsl::plan::{Plan, Rule, ServerGroup, Step};

use super::prepare::Prepared;

/// Takes a policy out that this runtime cannot serve, and says why.
pub fn refuse(prepared: &mut Prepared) {
    let Some(snapshot) = &prepared.snapshot else { return };
    let missing = unbuilt(snapshot.plan());
    if !missing.is_empty() {
        prepared.refusal = Some(missing.join("\n"));
        prepared.snapshot = None;
    }
}

/// A sentence for each word of the policy that is not built yet.
fn unbuilt(plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |word: &str, place: String| {
        found.push(format!("`{word}` is not built yet ({place}): remove it to run this policy"));
    };
    for group in &plan.groups {
        of_group(group).for_each(|word| note(word, format!("server group `{}`", group.name)));
    }
    for set in &plan.rule_sets {
        for rule in &set.rules {
            of_rule(rule).for_each(|word| note(word, format!("rule `{}` of rules `{}`", rule.name, set.name)));
        }
    }
    found
}

fn of_group(group: &ServerGroup) -> impl Iterator<Item = &'static str> {
    used([
        ("slow-start", !group.slow_start.is_zero()),
        ("drain", group.drain != Duration::from_secs(30)),
        ("max-connections", group.max_connections.is_some()),
    ])
}

fn of_rule(rule: &Rule) -> impl Iterator<Item = &'static str> {
    used([("mirror", rule.steps.iter().any(|step| matches!(step, Step::Mirror(_))))])
}

fn used<const N: usize>(words: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    words.into_iter().filter(|(_, used)| *used).map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{plan, policy};

    #[test]
    fn a_policy_of_words_that_are_built_lacks_nothing() {
        assert!(unbuilt(&plan(&policy("", crate::tests::ANSWERS))).is_empty());
        let group = "server-group web { server 127.0.0.1:1 }\n";
        assert!(unbuilt(&plan(&(policy("", "otherwise { forward web }") + group))).is_empty());
    }

    #[test]
    fn each_word_of_a_group_that_is_not_built_is_told_with_its_place() {
        for (words, word) in
            [("slow-start 10s", "slow-start"), ("drain 5s", "drain"), ("max-connections 10", "max-connections")]
        {
            let group = format!("server-group web {{ server 127.0.0.1:1; {words} }}\n");
            let found = unbuilt(&plan(&(policy("", "otherwise { forward web }") + &group)));
            let expected = format!("`{word}` is not built yet (server group `web`): remove it to run this policy");
            assert_eq!(found, [expected]);
        }
    }
}
