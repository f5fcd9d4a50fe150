//! Attributes of distinguished names: `client-cert subject "O"`.

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, one_of, quoted};
use crate::plan::ClientCertField;
use crate::source::Span;
use crate::suggest;

/// The names of attributes that have one (RFC 4514, 3).
const ATTRIBUTES: [&str; 9] = ["CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID"];

impl<'t> Checker<'_, 't> {
    /// The name of an attribute, in capitals.
    pub(super) fn attribute(&mut self, args: &mut Args<'_, 't>) -> Option<String> {
        let (written, span) = self.text(args, "the name of an attribute")?;
        let name = written.to_ascii_uppercase();
        if ATTRIBUTES.contains(&name.as_str()) {
            return Some(name);
        }
        let meant = long_form(&written).or_else(|| suggest::nearest(&name, ATTRIBUTES));
        let help = match meant {
            Some(meant) => format!("did you mean `\"{meant}\"`?"),
            None => format!("the attributes are {}; test others in the whole name", one_of(ATTRIBUTES)),
        };
        let message = format!("{} is not the name of an attribute", quoted(&written));
        self.report(Diagnostic::new(codes::ATTRIBUTE, span, message).help(help));
        None
    }

    /// Warns of a pattern for a whole name that looks for one attribute of it.
    pub(super) fn doubt_name_glob(&mut self, field: ClientCertField, pattern: &str, span: Span) {
        let Some((name, value)) = sought(pattern) else { return };
        let meant = if pattern.starts_with('*') { value.trim_end_matches('*') } else { value };
        let test = match meant {
            "" | "*" => "present".to_owned(),
            meant if meant.contains(['*', '?']) => format!("like \"{meant}\""),
            meant => format!("is \"{meant}\""),
        };
        let mend = quoted(&format!("client-cert {} \"{name}\" {test}", field.word()));
        let message =
            format!("this looks for the attribute {} in the whole name, where other values fit, too", quoted(name));
        self.report(Diagnostic::new(codes::WHOLE_NAME, span, message).help(format!("write {mend}")));
    }
}

/// The attribute that a pattern with a `*` looks for, and what it wants of it.
fn sought(pattern: &str) -> Option<(&'static str, &str)> {
    if !pattern.contains('*') {
        return None;
    }
    let starts = std::iter::once(0).chain(pattern.match_indices(['*', ',', '+']).map(|(at, _)| at + 1));
    starts.into_iter().find_map(|at| {
        let (name, rest) = pattern.get(at..)?.split_once('=')?;
        let name = ATTRIBUTES.into_iter().find(|attribute| attribute.eq_ignore_ascii_case(name.trim()))?;
        // A backslash before a comma makes it a part of the value.
        let end = rest.match_indices(',').find(|(at, _)| !rest.get(..*at).is_some_and(|before| before.ends_with('\\')));
        Some((name, end.and_then(|(end, _)| rest.get(..end)).unwrap_or(rest)))
    })
}

/// The short name of what is written out.
fn long_form(written: &str) -> Option<&'static str> {
    let plain = written.to_ascii_lowercase().replace(['-', '_', ' '], "");
    Some(match plain.as_str() {
        "commonname" => "CN",
        "organization" | "organisation" | "organizationname" => "O",
        "organizationalunit" | "organizationalunitname" => "OU",
        "country" | "countryname" => "C",
        "state" | "stateorprovincename" | "s" => "ST",
        "locality" | "localityname" | "city" => "L",
        "domaincomponent" => "DC",
        "userid" | "user" => "UID",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_look_for_an_attribute() {
        for (pattern, expected) in [
            ("*O=Acme*", Some(("O", "Acme*"))),
            ("CN=*,O=Acme", Some(("CN", "*"))),
            ("*,ou=Sales,O=Acme", Some(("OU", "Sales"))),
            ("CN=till*", Some(("CN", "till*"))),
            ("*O=Acme\\, Inc.,C=DE", Some(("O", "Acme\\, Inc."))),
            ("CN=till,O=Acme", None),
            ("*Acme*", None),
            ("*GO=Acme*", None),
            ("", None),
        ] {
            assert_eq!(sought(pattern), expected, "{pattern}");
        }
    }
}
