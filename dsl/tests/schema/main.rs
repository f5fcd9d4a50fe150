//! `docs/plan.schema.json`: what `tidegate print --as json` writes, as a JSON schema.
//!
//! It is made from the source of the plan's types, so that they need nothing but their own definitions and comments.
//! `UPDATE=1 cargo test -p tidegate-dsl --test schema` writes it anew.

#![allow(clippy::disallowed_methods, reason = "policies and the schema are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod fits;
#[path = "../support/mod.rs"]
mod support;
mod types;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::TestLoader;
use tidegate_dsl::{compile, print};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn kept() -> Value {
    serde_json::from_str(&fs::read_to_string(here("../docs/plan.schema.json")).unwrap_or_default()).unwrap_or_default()
}

/// The schema of `Plan`, from every file of a folder.
fn schema(folder: &Path) -> Value {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut types: BTreeMap<String, Value> = files.flat_map(|file| types::definitions(&file)).collect();
    let plan = types.remove("Plan").expect("a plan");
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The plan of a Tidegate policy, as `tidegate print --as json` writes it",
        "$defs": types,
    });
    schema.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
    schema
}

#[test]
fn the_schema_is_made_from_the_types_of_the_plan() {
    let made = schema(&here("src/plan"));
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        return fs::write(here("../docs/plan.schema.json"), text).unwrap();
    }
    let help = "Write it anew: UPDATE=1 cargo test -p tidegate-dsl --test schema";
    assert!(made == kept(), "docs/plan.schema.json is not what the types of the plan say. {help}");
}

#[test]
fn every_plan_fits_the_schema() {
    let schema = kept();
    let mut plans = 0;
    for folder in ["../policies", "tests/cases"] {
        for entry in fs::read_dir(here(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "gate") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let Some(plan) = compile(&path, &TestLoader::new(&path, &text)).plan else {
                assert!(!folder.contains("policies"), "{}", path.display());
                continue;
            };
            let plan: Value = serde_json::from_str(&print::json(&plan)).unwrap();
            let wrong = fits::wrong(&schema, &schema, &plan, "");
            assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
            plans += 1;
        }
    }
    assert!(plans > 20, "{plans}");
}

/// A schema that takes everything would pass, too.
#[test]
fn what_is_no_plan_does_not_fit() {
    let schema = kept();
    let path = Path::new("a.gate");
    let text = "tidegate 1\nserver-group web { server 10.0.0.1:80 }\nlistener http a { port 80; forward web }\n";
    let plan = compile(path, &TestLoader::new(path, text)).plan.unwrap();
    let plan: Value = serde_json::from_str(&print::json(&plan)).unwrap();
    let is_valid = |plan: &Value| fits::wrong(&schema, &schema, plan, "").is_empty();
    assert!(is_valid(&plan));
    for (place, value) in [
        ("/listeners/0/name", json!(5)),
        ("/listeners/0/protocol", json!("gopher")),
        ("/gateway", json!({})),
        ("/groups/0/servers/0/weight", json!(-1)),
        ("/groups", json!(null)),
    ] {
        let mut plan = plan.clone();
        *plan.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}")) = value;
        assert!(!is_valid(&plan), "{place}");
    }
    let mut plan = plan;
    plan["unheard-of"] = json!(1);
    assert!(!is_valid(&plan));
}
