//! `src/admin/openapi.json`: the description of the admin API, which a gateway gives out at `/v1/openapi.json`.
//!
//! The schemas are made from the source of the types that are written and read; its paths stand here.
//! `UPDATE=1 cargo test -p tidegate --test openapi` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod paths;
#[path = "../../../dsl/tests/schema/types.rs"]
mod types;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Files whose types are those of the API, beside all views.
const FILES: [&str; 5] = [
    "src/admin/answer.rs",
    "src/admin/lifecycle.rs",
    "src/admin/orders.rs",
    "src/telemetry/failed_request.rs",
    "../dsl/src/diff/mod.rs",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn schemas() -> Value {
    let views = fs::read_dir(here("src/admin/views")).unwrap().map(|entry| entry.unwrap().path());
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for file in views.chain(FILES.map(here)) {
        for (name, schema) in types::definitions(&file) {
            assert!(types.insert(name.clone(), schema).is_none(), "there are two types `{name}`");
        }
    }
    let explanation = "As `tidegate explain --json` writes it.";
    types.insert("Explanation".to_owned(), json!({ "type": "object", "description": explanation }));
    let text = serde_json::to_string(&types).unwrap().replace("#/$defs/", "#/components/schemas/");
    serde_json::from_str(&text).unwrap()
}

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The admin API of Tidegate",
            "version": "1",
            "description": "Watches and changes a running gateway. GET never changes anything.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "security": [{ "token": [] }],
        "paths": paths::all(),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Over TCP: `read-token` of `admin` to read, where there is one; `operate-token` to change anything."
                }
            }
        }
    })
}

#[test]
fn the_description_is_made_from_the_types_of_the_api() {
    let (made, file) = (document(), here("src/admin/openapi.json"));
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let help = "Write it anew: UPDATE=1 cargo test -p tidegate --test openapi";
    assert!(made == kept, "src/admin/openapi.json is not what the types of the API say. {help}");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let text = document.to_string();
    let names: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
    let used: Vec<&str> =
        text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for name in &used {
        assert!(names.iter().any(|known| known == name), "there is no schema `{name}`");
    }
    for name in names {
        assert!(used.contains(&name.as_str()), "nothing is written as `{name}`");
    }
}
