//! Reads types off their source, and says how `serde` writes them. It knows what the plan's types use, and fails on the rest,
//! so that nothing is said wrongly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use syn::parse::ParseStream;
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

/// The schema of `Plan`, from every file of a folder.
pub(crate) fn schema(folder: &Path) -> Value {
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for item in syn::parse_file(&text).unwrap().items {
            match item {
                Item::Struct(item) if writes(&item.attrs) => {
                    types.insert(item.ident.to_string(), with_comment(fields(&item.fields), &item.attrs));
                }
                Item::Enum(item) if writes(&item.attrs) => {
                    types.insert(item.ident.to_string(), enumeration(&item));
                }
                Item::Macro(item) if item.ident.is_none() => types.extend([named(&item.mac)]),
                _ => {}
            }
        }
    }
    let plan = types.remove("Plan").expect("a plan");
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The plan of a Tidegate policy, as `tidegate print --as json` writes it",
        "$defs": types,
    });
    schema.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
    schema
}

/// Whether `serde` writes a type as its definition says.
fn writes(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("derive") && list.tokens.to_string().contains("Serialize")
    })
}

fn fields(fields: &Fields) -> Value {
    match fields {
        Fields::Named(named) => {
            let mut properties = Map::new();
            for field in &named.named {
                assert!(setting(&field.attrs, "rename").is_none(), "teach `types.rs` to rename fields");
                let name = field.ident.as_ref().unwrap().to_string();
                properties.insert(name, with_comment(of_type(&field.ty), &field.attrs));
            }
            let required: Vec<&String> = properties.keys().collect();
            json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
        }
        Fields::Unnamed(unnamed) => match unnamed.unnamed.iter().collect::<Vec<_>>().as_slice() {
            [one] => of_type(&one.ty),
            several => tuple(several.iter().map(|field| &field.ty)),
        },
        Fields::Unit => json!({ "type": "null" }),
    }
}

/// Unit variants are their names; others are objects with the name as the only key.
fn enumeration(item: &syn::ItemEnum) -> Value {
    let case = setting(&item.attrs, "rename_all");
    assert!(matches!(case.as_deref(), None | Some("kebab-case")), "teach `types.rs` {case:?}");
    let variants = item.variants.iter().map(|variant| {
        let plain = variant.ident.to_string();
        let name = setting(&variant.attrs, "rename");
        let name = name.unwrap_or_else(|| if case.is_some() { kebab(&plain) } else { plain });
        let written = match &variant.fields {
            Fields::Unit => json!({ "const": name }),
            other => json!({
                "type": "object", "required": [name], "properties": { &name: fields(other) }, "additionalProperties": false
            }),
        };
        with_comment(written, &variant.attrs)
    });
    with_comment(json!({ "oneOf": variants.collect::<Vec<_>>() }), &item.attrs)
}

/// `Type { Entry "NAME" "OTHER SPELLING", … }`: the form of the macro that makes enums of registered names.
fn named(made: &syn::Macro) -> (String, Value) {
    let parsed = made.parse_body_with(|input: ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_outer)?;
        let name: syn::Ident = input.parse()?;
        let body;
        syn::braced!(body in input);
        let mut names = Vec::new();
        while !body.is_empty() {
            body.call(Attribute::parse_outer)?;
            body.parse::<syn::Ident>()?;
            names.push(body.parse::<syn::LitStr>()?.value());
            body.parse::<Option<syn::LitStr>>()?;
            body.parse::<Option<syn::Token![,]>>()?;
        }
        Ok((name.to_string(), with_comment(json!({ "enum": names }), &attributes)))
    });
    parsed.expect("a macro that `types.rs` knows")
}

fn of_type(given: &Type) -> Value {
    let path = match given {
        Type::Path(path) => path.path.segments.last().unwrap(),
        Type::Tuple(several) => return tuple(several.elems.iter()),
        _ => panic!("teach `types.rs` this type"),
    };
    let inner: Vec<&Type> = match &path.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| if let GenericArgument::Type(inner) = argument { Some(inner) } else { None })
            .collect(),
        _ => Vec::new(),
    };
    match (path.ident.to_string().as_str(), inner.as_slice()) {
        ("Option", [inner]) => json!({ "anyOf": [of_type(inner), { "type": "null" }] }),
        ("Box" | "Arc", [inner]) => of_type(inner),
        ("Vec", [inner]) => json!({ "type": "array", "items": of_type(inner) }),
        ("BTreeMap", [_, inner]) => json!({ "type": "object", "additionalProperties": of_type(inner) }),
        ("String" | "PathBuf" | "IpNet" | "IpAddr" | "SocketAddr", []) => json!({ "type": "string" }),
        ("bool", []) => json!({ "type": "boolean" }),
        ("u8" | "u16" | "u32" | "u64" | "usize", []) => json!({ "type": "integer", "minimum": 0 }),
        ("Value", []) => json!({}),
        ("Duration", []) => {
            let number = json!({ "type": "integer", "minimum": 0 });
            json!({
                "type": "object", "required": ["secs", "nanos"],
                "properties": { "secs": number, "nanos": number }, "additionalProperties": false
            })
        }
        (name, []) => json!({ "$ref": format!("#/$defs/{name}") }),
        (name, _) => panic!("teach `types.rs` the type `{name}`"),
    }
}

fn tuple<'t>(types: impl Iterator<Item = &'t Type>) -> Value {
    let items: Vec<Value> = types.map(of_type).collect();
    json!({ "type": "array", "prefixItems": items, "items": false, "minItems": items.len() })
}

/// The value of a setting of `serde`. Those that are not known here would make the schema wrong.
fn setting(attributes: &[Attribute], wanted: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let known = attribute.parse_nested_meta(|meta| {
            let value: syn::LitStr = meta.value()?.parse()?;
            assert!(meta.path.is_ident("rename") || meta.path.is_ident("rename_all"), "teach `types.rs` a setting");
            if meta.path.is_ident(wanted) {
                found = Some(value.value());
            }
            Ok(())
        });
        known.expect("a setting of `serde` that `types.rs` knows");
    }
    found
}

/// Adds the comment of a definition.
fn with_comment(mut schema: Value, attributes: &[Attribute]) -> Value {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        let Lit::Str(text) = &literal.lit else { return None };
        pair.path.is_ident("doc").then(|| text.value().trim().to_owned())
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    if !text.is_empty() {
        schema["description"] = json!(text);
    }
    schema
}

/// `LeastRequests` as `least-requests`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
