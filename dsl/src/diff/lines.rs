//! The lines of a declaration that differ.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{Line, Side};

/// The lines that only one of the two has, each behind the lines that open the blocks it stands in. Empty if they are equal.
pub(super) fn differing(old: &[&str], new: &[&str]) -> Vec<Line> {
    let mut page = Page::default();
    for op in capture_diff_slices(Algorithm::Patience, old, new) {
        if let DiffOp::Equal { old_index, len, .. } = op {
            old.iter().skip(old_index).take(len).for_each(|line| page.same(line));
        } else {
            let gone = old.get(op.old_range()).unwrap_or_default();
            let come = new.get(op.new_range()).unwrap_or_default();
            gone.iter().for_each(|line| page.differs(Side::Old, line));
            come.iter().for_each(|line| page.differs(Side::New, line));
        }
    }
    page.lines
}

#[derive(Default)]
struct Page<'t> {
    lines: Vec<Line>,
    /// Lines that open the blocks around the next line, and are in both.
    around: Vec<&'t str>,
    /// The number of lines that were written.
    written: usize,
}

impl<'t> Page<'t> {
    fn same(&mut self, line: &'t str) {
        self.leave(line);
        if line.ends_with(" {") {
            self.around.push(line);
        }
    }

    fn differs(&mut self, side: Side, line: &str) {
        self.leave(line);
        for opening in self.around.iter().skip(self.written) {
            self.lines.push(Line { side: Side::Both, text: (*opening).to_owned() });
        }
        self.written = self.around.len();
        self.lines.push(Line { side, text: line.to_owned() });
    }

    /// A line ends the blocks that are indented as far as it is.
    fn leave(&mut self, line: &str) {
        while self.around.last().is_some_and(|opening| indent(opening) >= indent(line)) {
            self.around.pop();
        }
        self.written = self.written.min(self.around.len());
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
