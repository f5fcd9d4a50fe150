//! The words of a plan's pieces, as the language writes them.

use crate::plan::{Capability, Extension, NetworkSet, Piece, Plan, Reached, StatusRange, Template};
use crate::value::show_network;
use crate::vocabulary::Place;

/// Writes nodes, a line each, blocks as they open and close. The layout is the formatter's.
pub(super) struct Writer<'p> {
    pub(super) plan: &'p Plan,
    pub(super) out: String,
    depth: usize,
}

impl<'p> Writer<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, out: String::new(), depth: 0 }
    }

    pub(super) fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("    ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.indented(body);
        self.line("}");
    }

    pub(super) fn indented(&mut self, body: impl FnOnce(&mut Self)) {
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    /// Lists and networks; one alone, several in brackets.
    pub(super) fn networks(&self, set: &NetworkSet) -> String {
        let lists = set.lists.iter().map(|id| name(&self.plan.lists, id.0, |list| &list.name));
        one_or_list(lists.chain(set.networks.iter().map(show_network)).collect())
    }

    pub(super) fn extension(&self, id: usize) -> String {
        name(&self.plan.extensions, id, |extension| &extension.name)
    }
}

/// The name behind an index; a plan's own indices are always right.
pub(super) fn name<T>(all: &[T], at: usize, name: impl FnOnce(&T) -> &String) -> String {
    all.get(at).map(name).cloned().unwrap_or_default()
}

/// `404`, `5xx` or `200..299`.
pub(super) fn status_range(range: &StatusRange) -> String {
    let StatusRange { first, last } = *range;
    match (first, last) {
        (first, last) if first == last => first.to_string(),
        (first, last) if first % 100 == 0 && last == first + 99 => format!("{}xx", first / 100),
        (first, last) => format!("{first}..{last}"),
    }
}

/// A text in quotes.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out
}

/// A template in quotes.
pub(super) fn template(template: &Template) -> String {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => escape(text).replace("${", "$${"),
        Piece::Insert(insert) => format!("${{{}}}", escape(&insert.to_string())),
    });
    format!("\"{}\"", pieces.collect::<String>())
}

/// The words of `allow`, each with the server groups that it is held to.
pub(super) fn allow_words(extension: &Extension) -> Vec<String> {
    extension.allow.iter().map(|capability| allow_word(extension, *capability)).collect()
}

/// A word of `allow` with the server groups that the extension is held to by it.
pub(crate) fn allow_word(extension: &Extension, capability: Capability) -> String {
    match extension.reached(capability) {
        Some(Reached::These(groups)) if extension.allow.contains(&capability) => {
            format!("{} [{}]", capability.word(), groups.join(", "))
        }
        Some(_) | None => capability.word().to_owned(),
    }
}

pub(super) fn texts(values: &[String]) -> String {
    one_or_list(values.iter().map(|value| quote(value)).collect())
}

/// The values as a policy writes them: one alone, several in brackets.
pub(super) fn one_or_list(mut values: Vec<String>) -> String {
    match values.len() {
        1 => values.pop().unwrap_or_default(),
        _ => format!("[{}]", values.join(", ")),
    }
}

/// The words of `forwarded`: the table has them in the order of the plan's switches.
pub(super) fn forwarded_words(forwarded: &crate::plan::Forwarded) -> Vec<String> {
    let on = [
        forwarded.forwarded_for.is_some(),
        forwarded.proto,
        forwarded.port,
        forwarded.client_port,
        forwarded.host,
        forwarded.listener_id,
        forwarded.client_cert,
    ];
    Place::Forwarded.words().iter().zip(on).filter(|(_, on)| *on).map(|(word, _)| word.name.to_owned()).collect()
}
