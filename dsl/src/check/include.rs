//! `include "FILES"`: the line itself. What it names is read before anything is checked.

use std::path::{Path, PathBuf};

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, quoted};
use crate::glob::wild;
use crate::loader::Loader;
use crate::source::{Sources, Span};
use crate::tree::Tree;
use crate::vocabulary::Place;

/// The paths of the `include` lines of a file, relative to the process. Lines with a mistake are passed over.
pub(crate) fn includes(tree: &Tree<'_>, sources: &Sources, loader: &dyn Loader) -> Vec<(PathBuf, Span)> {
    let (mut unheard, mut inputs) = (Sink::default(), Vec::new());
    let mut checker = Checker::new(sources, loader, &mut unheard, &mut inputs);
    let Some(word) = Place::File.find("include") else { return Vec::new() };
    let nodes = tree.nodes.iter().filter(|node| !node.broken && node.word() == Some(word.name));
    nodes.filter_map(|node| checker.include(&mut Args::new(word, &node.items, node.block.as_ref(), node))).collect()
}

impl<'t> Checker<'_, 't> {
    /// `include "FILES"`: the path, relative to the process.
    pub(crate) fn include(&mut self, args: &mut Args<'_, 't>) -> Option<(PathBuf, Span)> {
        let (written, span) = self.text(args, "the path of a file, or a pattern")?;
        let written = self.not_empty(written, span)?;
        self.done(args)?;
        let folder = Path::new(&written).parent();
        if folder.is_some_and(|folder| wild(&folder.to_string_lossy())) {
            let message = format!("{} has a pattern for a folder", quoted(&written));
            self.report(
                Diagnostic::new(codes::BAD_TEXT, span, message)
                    .help("`*` and `?` stand in the name of the file only: write one `include` for each folder"),
            );
            return None;
        }
        Some((self.path(&written, span), span))
    }
}
