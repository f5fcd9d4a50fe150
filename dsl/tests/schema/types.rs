//! Reads types off their source, and says how `serde` writes and reads them. It knows what the plan's types and those of the
//! admin API use, and fails on the rest, so that nothing is said wrongly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use syn::parse::ParseStream;
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};

/// The schema of each type in a file that `serde` writes or reads, by its name.
pub(crate) fn definitions(file: &Path) -> BTreeMap<String, Value> {
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for item in syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap().items {
        match item {
            Item::Struct(item) if derives(&item.attrs, "Serialize") => {
                types.insert(item.ident.to_string(), with_comment(fields(&item.fields), &item.attrs));
            }
            Item::Struct(item) if derives(&item.attrs, "Deserialize") => {
                types.insert(item.ident.to_string(), with_comment(read_fields(&item.fields), &item.attrs));
            }
            Item::Enum(item) if derives(&item.attrs, "Serialize") || derives(&item.attrs, "Deserialize") => {
                types.insert(item.ident.to_string(), enumeration(&item));
            }
            Item::Macro(item) if item.ident.is_none() => types.extend(named(&item.mac)),
            _ => {}
        }
    }
    types
}

/// Whether `serde` writes or reads a type as its definition says.
fn derives(attributes: &[Attribute], wanted: &str) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let is_wanted = |token: &str| token.trim() == wanted;
        list.path.is_ident("derive") && list.tokens.to_string().split(',').any(is_wanted)
    })
}

/// The fields of a struct that is read: those with a default, and options, may be left out.
fn read_fields(fields: &Fields) -> Value {
    let mut schema = self::fields(fields);
    let may_be_left_out = |field: &&syn::Field| {
        let Type::Path(path) = &field.ty else { return false };
        let is_option = path.path.segments.last().is_some_and(|segment| segment.ident == "Option");
        is_option
            || path.path.is_ident("bool")
            || field.attrs.iter().any(|attribute| attribute.path().is_ident("serde"))
    };
    let required = fields.iter().filter(|field| !may_be_left_out(field));
    schema["required"] = required.map(|field| field.ident.as_ref().unwrap().to_string()).collect();
    schema
}

fn fields(fields: &Fields) -> Value {
    match fields {
        Fields::Named(named) => {
            let mut properties = Map::new();
            for field in &named.named {
                assert!(setting(&field.attrs, "rename").is_none(), "teach `types.rs` to rename fields");
                let name = field.ident.as_ref().unwrap().to_string().trim_start_matches("r#").to_owned();
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
fn named(made: &syn::Macro) -> Option<(String, Value)> {
    if made.path.is_ident("thread_local") {
        return None;
    }
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
    Some(parsed.expect("a macro that `types.rs` knows"))
}

fn of_type(given: &Type) -> Value {
    let path = match given {
        Type::Path(path) => path.path.segments.last().unwrap(),
        Type::Tuple(several) => return tuple(several.elems.iter()),
        Type::Reference(to) => return of_type(&to.elem),
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
        ("String" | "str" | "PathBuf" | "IpNet" | "IpAddr" | "SocketAddr", []) => json!({ "type": "string" }),
        ("f64", []) => json!({ "type": "number" }),
        ("i64", []) => json!({ "type": "integer" }),
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
            if meta.path.is_ident("deny_unknown_fields") || meta.path.is_ident("default") {
                return Ok(());
            }
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
