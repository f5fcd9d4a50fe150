//! The arrows between the files of a crate, read from their paths: who names whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files of a crate, each by its module path (`request::body`, the root is empty), with the modules that it names.
#[derive(Debug, Default)]
pub struct Arrows(BTreeMap<String, BTreeSet<String>>);

impl Arrows {
    /// Reads the sources of a crate, from its `src` folder. Tests do not count, be they inside of files or apart.
    pub fn of_crate(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_folder(src, "", &mut files);
        Self::of_files(&files)
    }

    /// Reads files by their module paths.
    pub fn of_files(files: &BTreeMap<String, String>) -> Self {
        let given: Given = files.iter().map(|(module, text)| (module.clone(), given_on(text))).collect();
        let arrows = |(module, text): (&String, &String)| {
            let named = paths(text).into_iter().filter_map(|path| follow(module, path, files, &given));
            (module.clone(), named.filter(|named| named != module).collect())
        };
        Self(files.iter().map(arrows).collect())
    }

    /// Every arrow between two layers that does not run down, or along one layer. A layer is the first part of a module path;
    /// `order` has them from the top, those side by side together. Files outside of the layers, such as `lib.rs`, may name and be named.
    pub fn upward(&self, order: &[&[&str]]) -> Vec<String> {
        let layer = |module: &str| {
            order.iter().position(|side| side.iter().any(|layer| module.split("::").next() == Some(layer)))
        };
        let all = self.0.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        let up = all.filter(|(from, to)| layer(from).zip(layer(to)).is_some_and(|(from, to)| to < from));
        up.map(|(from, to)| format!("{from} -> {to}")).collect()
    }

    /// The names of the layers that the crate has: its folders and files at the top.
    pub fn layers(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|module| module.split("::").next()).filter(|layer| !layer.is_empty()).collect()
    }

    /// The largest sets of files of which each reaches each other, the largest first.
    pub fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self.0.keys().map(|from| (&**from, self.reached(from))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (from, reached) in &reach {
            if reached.contains(from) && !circles.iter().any(|circle| circle.contains(from)) {
                let both = |to: &&&str| reach.get(**to).is_some_and(|back| back.contains(from));
                circles.push(reached.iter().filter(both).copied().collect());
            }
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = self.0.get(from).into_iter().flatten().map(|to| &**to).collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(self.0.get(module).into_iter().flatten().map(|to| &**to));
            }
        }
        reached
    }
}

fn read_folder(folder: &Path, module: &str, files: &mut BTreeMap<String, String>) {
    let below = |name: &str| if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        if entry.is_dir() && matches!(name, "tests" | "testing") {
            continue;
        }
        if entry.is_dir() {
            read_folder(&entry, &below(name), files);
        } else if entry.extension().is_some_and(|extension| extension == "rs")
            && !matches!(name, "main" | "tests" | "testing")
        {
            let module = if matches!(name, "mod" | "lib") { module.to_owned() } else { below(name) };
            files.insert(module, fs::read_to_string(&entry).unwrap());
        }
    }
}

/// The paths that each file gives on with `pub use`, by the names that it gives them.
type Given = BTreeMap<String, BTreeMap<String, String>>;

fn given_on(text: &str) -> BTreeMap<String, String> {
    let code = code_of(text);
    let mut found = Vec::new();
    for (at, word) in code.match_indices("pub use ").chain(code.match_indices("pub(crate) use ")) {
        let tree = code[at + word.len()..].split(';').next().unwrap_or_default();
        expand(tree, "", &mut found);
    }
    let named = |path: String| Some((path.rsplit("::").next()?.to_owned(), path));
    found.into_iter().filter_map(named).collect()
}

/// The file where the thing stands that a path names: a file that only gives it on is not it.
fn follow(from: &str, path: String, files: &BTreeMap<String, String>, given: &Given) -> Option<String> {
    let (mut from, mut path) = (from.to_owned(), path);
    // As many steps as anybody takes; a path that leads round in a circle ends here.
    for _ in 0..8 {
        let (module, rest) = resolve(&from, &path, files)?;
        let next = rest.as_ref().and_then(|name| given.get(&module)?.get(name));
        match next {
            Some(next) => (from, path) = (module, next.clone()),
            None => return Some(module),
        }
    }
    None
}

/// The file that a path leads to from a file: the one with the longest module path that the path begins with, and the name
/// in it.
fn resolve(from: &str, path: &str, files: &BTreeMap<String, String>) -> Option<(String, Option<String>)> {
    let mut at: Vec<&str> = from.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts = path.split("::").peekable();
    match parts.peek() {
        Some(&"crate") => at.clear(),
        Some(&"self" | &"super") => {}
        // A child of this file, or another crate.
        Some(child) => {
            let child = at.iter().copied().chain([*child]).collect::<Vec<_>>().join("::");
            if !files.contains_key(&child) {
                return None;
            }
        }
        None => return None,
    }
    for part in parts {
        match part {
            "crate" | "self" => {}
            "super" => {
                at.pop();
            }
            part => at.push(part),
        }
    }
    let mut rest = None;
    while !at.is_empty() {
        let module = at.join("::");
        if files.contains_key(&module) {
            return Some((module, rest));
        }
        rest = at.pop().map(str::to_owned);
    }
    // What stands in `lib.rs` itself.
    path.starts_with("crate").then(|| (String::new(), rest))
}

/// The paths in a text: those of its `use` lines, and those that begin with `crate` or `super` in between.
fn paths(text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut found = Vec::new();
    let mut rest = &*code;
    while let Some(at) = next_use(rest) {
        let (before, after) = rest.split_at(at);
        inline_paths(before, &mut found);
        let end = after.find(';').unwrap_or(after.len());
        let (tree, next) = after.split_at(end);
        expand(tree, "", &mut found);
        rest = next;
    }
    inline_paths(rest, &mut found);
    found
}

/// The place behind the next word `use`.
fn next_use(code: &str) -> Option<usize> {
    let is_word = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    code.match_indices("use ").find(|(at, _)| is_word(*at)).map(|(at, word)| at + word.len())
}

/// The paths of a tree of `use`: `a::{b, c::{d, self}}`.
fn expand(tree: &str, before: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim().trim_end_matches("::*");
        let path = if path == "self" { "" } else { path };
        found.push(format!("{before}{path}").trim_end_matches("::").to_owned());
        return;
    };
    let before = format!("{before}{}", head.trim());
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut depth, mut start) = (0, 0);
    for (at, char) in inner.char_indices().chain([(inner.len(), ',')]) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&inner[start..at], &before, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn inline_paths(code: &str, found: &mut Vec<String>) {
    let path_char = |char: char| char.is_alphanumeric() || matches!(char, '_' | ':');
    for word in code.split(|char| !path_char(char)) {
        if (word.starts_with("crate::") || word.starts_with("super::")) && !word.contains(":::") {
            found.push(word.trim_end_matches(':').to_owned());
        }
    }
}

/// A text without comments, strings, and the tests at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let line =
        |line: &str| line.split("//").next().unwrap_or_default().split('"').step_by(2).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
