//! Holds a value against a schema: the few keywords that `types.rs` writes, and a panic for any other.

use serde_json::Value;

/// The misfits of a value, each with its place; none, if all fits.
pub(crate) fn wrong(schema: &Value, root: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (keyword, told) in schema.as_object().expect("a schema") {
        let list = || told.as_array().expect("a list");
        let fits = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "type" => has_type(told.as_str().expect("a type"), value),
            "const" => told == value,
            "enum" => list().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| Some(number) >= told.as_i64()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= told.as_u64().expect("a number")),
            "required" => value
                .as_object()
                .is_none_or(|object| list().iter().all(|key| object.contains_key(key.as_str().expect("a key")))),
            "oneOf" | "anyOf" => {
                let count = list().iter().filter(|one| self::wrong(one, root, value, place).is_empty()).count();
                count == 1 || keyword == "anyOf" && count > 0
            }
            "$ref" => {
                let target =
                    root.pointer(told.as_str().expect("a reference").trim_start_matches('#')).expect("a definition");
                wrong.extend(self::wrong(target, root, value, place));
                true
            }
            "properties" => {
                for (key, schema) in told.as_object().expect("properties") {
                    if let Some(value) = value.get(key) {
                        wrong.extend(self::wrong(schema, root, value, &format!("{place}/{key}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value.as_object().into_iter().flatten();
                for (key, value) in others.filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key))) {
                    wrong.extend(of_other(told, root, value, &format!("{place}/{key}")));
                }
                true
            }
            "prefixItems" => {
                for (at, (schema, value)) in list().iter().zip(value.as_array().into_iter().flatten()).enumerate() {
                    wrong.extend(self::wrong(schema, root, value, &format!("{place}/{at}")));
                }
                true
            }
            "items" => {
                let before = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (at, value) in value.as_array().into_iter().flatten().enumerate().skip(before) {
                    wrong.extend(of_other(told, root, value, &format!("{place}/{at}")));
                }
                true
            }
            other => panic!("teach `fits.rs` the keyword `{other}`"),
        };
        if !fits {
            let shown: String = value.to_string().chars().take(200).collect();
            wrong.push(format!("{place}: `{keyword}` does not hold for {shown}"));
        }
    }
    wrong
}

/// The misfits of members that the schema does not name: refused, or held against the schema for others.
fn of_other(schema: &Value, root: &Value, value: &Value, place: &str) -> Vec<String> {
    match schema {
        Value::Bool(false) => vec![format!("{place}: nothing may stand here")],
        schema => wrong(schema, root, value, place),
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("teach `fits.rs` the type `{other}`"),
    }
}
