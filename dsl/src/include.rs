//! `include`: reads every file that a policy is made of.
//!
//! Files are found before anything is checked, so that names may be declared in one file and used in another. What is
//! wrong with an `include` line itself is said when it is checked; here it is passed over.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::check;
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, quoted};
use crate::glob::{Glob, wild};
use crate::loader::Loader;
use crate::parse::{MAX_BYTES, parse};
use crate::source::{SourceId, Sources, Span};

/// Files and patterns of one policy. A pattern over a large folder of other things is a mistake, and each costs a look at
/// the disk.
const MAX_FILES: usize = 1000;

/// Bytes of all files together: each may be as large as [`MAX_BYTES`] allows, but not all of them.
const MAX_TOTAL: usize = 4 * MAX_BYTES;

/// Reads a policy and what it includes. `None` if its first file cannot be read; false if another one cannot, so that what
/// seems missing may be there.
pub(crate) fn read(
    root: &Path,
    loader: &dyn Loader,
    sources: &mut Sources,
    sink: &mut Sink,
    inputs: &mut Vec<PathBuf>,
) -> Option<bool> {
    inputs.push(root.to_path_buf());
    // The first file is the first source: a span by itself is its beginning.
    let text = match loader.text(root) {
        Ok(text) if holds_pem(&text) => Err(pem(root, Span::default())),
        Ok(text) => Ok(text),
        Err(why) => Err(Diagnostic::new(codes::UNREADABLE, Span::default(), format!("the file cannot be read: {why}"))),
    };
    let (text, said) = text.map_or_else(|said| (String::new(), Some(said)), |text| (text, None));
    let id = sources.add(root, text);
    if let Some(said) = said {
        sink.push(said);
        return None;
    }
    let mut reader = Reader { loader, sources, sink, inputs, known: HashMap::new(), asked: 0, total: 0, whole: true };
    reader.known.insert(plain(root), id);
    reader.included_by(id, &mut vec![Step { file: id, by: Span::default() }]);
    Some(reader.whole)
}

/// Whether the name of a file fits a pattern, which is a [`Glob`]. A name that begins with a dot is fitted only by a
/// pattern that does: editors keep their own files there.
pub fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    Glob::new(pattern).matches(name)
}

/// Whether a path names several files: its last part is a pattern.
pub(crate) fn is_glob(path: &Path) -> bool {
    path.file_name().is_some_and(|name| wild(&name.to_string_lossy()))
}

/// A file that is being read, and the `include` that led to it.
struct Step {
    file: SourceId,
    by: Span,
}

struct Reader<'a> {
    loader: &'a dyn Loader,
    sources: &'a mut Sources,
    sink: &'a mut Sink,
    inputs: &'a mut Vec<PathBuf>,
    /// Files that were read.
    known: HashMap<PathBuf, SourceId>,
    /// Files and folders that were asked for.
    asked: usize,
    /// Bytes that were read.
    total: usize,
    /// Whether nothing is missing so far.
    whole: bool,
}

impl Reader<'_> {
    /// Reads what a file includes. `chain` leads from the first file to this one.
    fn included_by(&mut self, id: SourceId, chain: &mut Vec<Step>) {
        for (pattern, span) in self.includes(id) {
            for path in self.files(&pattern, span) {
                self.file(&path, span, chain);
            }
        }
    }

    /// The paths of a file's `include` lines.
    fn includes(&self, id: SourceId) -> Vec<(PathBuf, Span)> {
        match self.sources.get(id) {
            // Most policies are one file: they are not read twice.
            Some(source) if source.text.contains("include") => {
                // Mistakes are reported when the file is checked.
                let mut unheard = Sink::default();
                let tree = parse(id, source, &mut unheard);
                check::includes(&tree, self.sources, self.loader)
            }
            _ => Vec::new(),
        }
    }

    /// The files that an `include` names.
    fn files(&mut self, path: &Path, span: Span) -> Vec<PathBuf> {
        if !is_glob(path) {
            return vec![path.to_path_buf()];
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !self.room(span, 0) {
            return Vec::new();
        }
        // A file that comes to fit the pattern changes its folder.
        self.input(folder);
        match self.loader.glob(path) {
            Ok(mut files) => {
                files.sort();
                if files.is_empty() {
                    let shown = quoted(&path.to_string_lossy());
                    self.sink.push(
                        Diagnostic::new(codes::NO_FILES, span, format!("no file fits {shown}"))
                            .help("write what fits your files, or remove the line"),
                    );
                }
                files
            }
            Err(why) => {
                let shown = quoted(&folder.to_string_lossy());
                self.sink.push(Diagnostic::new(
                    codes::UNREADABLE,
                    span,
                    format!("the folder {shown} cannot be read: {why}"),
                ));
                self.whole = false;
                Vec::new()
            }
        }
    }

    /// Reads a file, unless it was read: declarations are added once, whoever includes them.
    fn file(&mut self, path: &Path, by: Span, chain: &mut Vec<Step>) {
        if let Some(known) = self.known.get(&plain(path)) {
            if let Some(at) = chain.iter().position(|step| step.file == *known) {
                self.cycle(path, by, chain.get(at + 1).map(|step| step.by));
            }
            return;
        }
        if !self.room(by, 0) {
            return;
        }
        self.input(path);
        let text = match self.loader.text(path) {
            Ok(text) => text,
            Err(why) => {
                let shown = quoted(&path.to_string_lossy());
                self.sink.push(
                    Diagnostic::new(codes::UNREADABLE, by, format!("the file {shown} cannot be read: {why}"))
                        .help("paths are relative to the file that names them"),
                );
                self.whole = false;
                return;
            }
        };
        if holds_pem(&text) {
            self.sink.push(pem(path, by));
            self.whole = false;
            return;
        }
        if !self.room(by, text.len()) {
            return;
        }
        let id = self.sources.add(path, text);
        self.known.insert(plain(path), id);
        chain.push(Step { file: id, by });
        self.included_by(id, chain);
        chain.pop();
    }

    /// Whether `bytes` more may be read. Says once that they may not.
    fn room(&mut self, by: Span, bytes: usize) -> bool {
        let had = self.asked <= MAX_FILES && self.total <= MAX_TOTAL;
        self.asked += usize::from(bytes == 0);
        self.total = self.total.saturating_add(bytes);
        let has = self.asked <= MAX_FILES && self.total <= MAX_TOTAL;
        if had && !has {
            self.whole = false;
            let mib = MAX_TOTAL / (1024 * 1024);
            self.sink.push(
                Diagnostic::new(codes::TOO_LARGE, by, "this policy includes too much")
                    .help(format!("a policy is at most {MAX_FILES} files of {mib} MiB together")),
            );
        }
        has
    }

    fn cycle(&mut self, path: &Path, by: Span, onward: Option<Span>) {
        let shown = quoted(&path.to_string_lossy());
        let mut report =
            Diagnostic::new(codes::CYCLE, by, format!("{shown} includes itself")).help("remove one of the `include`s");
        match onward {
            Some(onward) => report = report.here("this leads back to it").also(onward, "from it, this leads here"),
            None => report = report.here("this is the file that it stands in").help("remove it, or name other files"),
        }
        self.sink.push(report);
    }

    fn input(&mut self, path: &Path) {
        if !self.inputs.iter().any(|input| input == path) {
            self.inputs.push(path.to_path_buf());
        }
    }
}

/// Whether a text is made of certificates or keys (RFC 7468): no line of a policy begins so. Such a text must not be
/// shown.
fn holds_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
        && text.lines().any(|line| line.trim_start_matches(begins_line).starts_with("-----BEGIN "))
}

fn begins_line(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

fn pem(path: &Path, by: Span) -> Diagnostic {
    let shown = quoted(&path.to_string_lossy());
    let message = format!("the file {shown} holds certificates or keys, and is no policy");
    Diagnostic::new(codes::PEM, by, message).help("name a policy, or include no other files than those: `*.gate`")
}

/// A path without `.` and, where that is plain, without `..`: what two spellings of one file have in common.
pub fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, wanted) in [
            ("*.gate", "shop.gate", true),
            ("*.gate", ".gate", false),
            ("*.gate", ".shop.gate", false),
            (".*.gate", ".shop.gate", true),
            ("*.gate", "shop.gate.fmt", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "é", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-cd", false),
            ("**x", "xx", true),
            ("sh?p.gate", "shop.gate", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!fits(&format!("{}b", "*a".repeat(100)), &"a".repeat(5000)));
    }

    #[test]
    fn spellings_of_one_path_are_equal() {
        assert_eq!(plain(Path::new("a/./b/../c")), Path::new("a/c"));
        assert_eq!(plain(Path::new("../a")), Path::new("../a"));
        assert_eq!(plain(Path::new("../../a")), Path::new("../../a"));
        assert_eq!(plain(Path::new("/a/../b")), Path::new("/b"));
    }
}
