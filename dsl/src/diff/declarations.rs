//! A printed policy, cut into its declarations.

/// A declaration, or a rule of `rules`.
#[derive(Debug, Clone)]
pub(super) struct Declaration<'t> {
    /// The word that declares it.
    pub(super) kind: &'t str,
    /// The name of the declaration; empty for one that has none.
    pub(super) name: &'t str,
    /// The first line of the declaration, without the brace.
    head: &'t str,
    /// The lines of its block, or the entries of its list; indented as they stand there.
    pub(super) body: Vec<&'t str>,
}

/// Every declaration of a text that [`crate::print::lines`] wrote: a node a line, four spaces for each block.
pub(super) fn declarations(text: &str) -> Vec<Declaration<'_>> {
    // The version of the language is no part of what it means.
    cut(text.lines()).filter(|declaration| declaration.kind != "tidegate").collect()
}

impl<'t> Declaration<'t> {
    /// Tells it from all others beside it.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The declarations in the block of this one: the rules of `rules`.
    pub(super) fn inner(&self) -> Vec<Self> {
        cut(self.body.iter().copied()).collect()
    }

    /// Every line of it.
    pub(super) fn lines(&self) -> Vec<&'t str> {
        std::iter::once(self.head).chain(self.body.iter().copied()).collect()
    }

    fn new(line: &'t str) -> Self {
        let head = line.strip_suffix(" {").unwrap_or(line);
        let mut words = head.split(' ');
        let kind = words.next().unwrap_or_default();
        let name = match kind {
            // Of these there is one, or none.
            "gateway" | "access-log" | "tracing" | "admin" | "metrics" => "",
            // The protocol stands between.
            "listener" => words.nth(1).unwrap_or_default(),
            _ => words.next().unwrap_or_default(),
        };
        match head.split_once(" [") {
            Some((head, entries)) if kind == "list" => {
                let entries = entries.trim_end_matches(']').split(", ").filter(|entry| !entry.is_empty());
                Self { kind, name, head, body: entries.collect() }
            }
            _ => Self { kind, name, head, body: Vec::new() },
        }
    }
}

fn cut<'t>(lines: impl Iterator<Item = &'t str>) -> impl Iterator<Item = Declaration<'t>> {
    let mut lines = lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')).peekable();
    std::iter::from_fn(move || {
        let mut declaration = Declaration::new(lines.next()?);
        // Only a block is indented, and only its brace is not.
        while let Some(line) = lines.next_if(|line| line.starts_with(' ') || *line == "}") {
            declaration.body.extend(line.strip_prefix("    "));
        }
        Some(declaration)
    })
}
