//! Places in texts, and names of files, as editors write them.

use std::path::{Path, PathBuf};

use lsp_types::{Position, Range, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tidegate_dsl::plain_path;

/// The lines of a text. Editors count columns in UTF-16 units.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Finds the lines of a text.
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    /// The place of a byte; one beyond the text is its end.
    pub(super) fn position(&self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.starts.partition_point(|start| *start <= byte) - 1;
        let start = self.starts.get(line).copied().unwrap_or_default();
        let units = self.text.get(start..byte).unwrap_or_default().encode_utf16().count();
        Position { line: small(line), character: small(units) }
    }

    /// The stretch between two bytes.
    pub(super) fn range(&self, start: usize, end: usize) -> Range {
        Range { start: self.position(start), end: self.position(end) }
    }

    /// The whole text.
    pub(super) fn whole(&self) -> Range {
        self.range(0, self.text.len())
    }

    /// The byte at a place; one beyond its line is the line's end, one within a character its start.
    pub(super) fn byte(&self, position: Position) -> usize {
        let line = usize::try_from(position.line).unwrap_or(usize::MAX);
        let Some(start) = self.starts.get(line).copied() else { return self.text.len() };
        let end = self.starts.get(line.saturating_add(1)).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r']);
        let wanted = usize::try_from(position.character).unwrap_or(usize::MAX);
        let mut units = 0;
        for (at, c) in line.char_indices() {
            units += c.len_utf16();
            if units > wanted {
                return start + at;
            }
        }
        start + line.len()
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What stands bare in the path of a `file:` URI.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URI of a file; a relative path counts from the folder of the process.
pub(super) fn uri(path: &Path) -> Option<Uri> {
    let path = plain_path(&std::path::absolute(path).ok()?);
    format!("file://{}", utf8_percent_encode(path.to_str()?, KEPT)).parse().ok()
}

/// The path of a document: its file, or, if it has none, a name that no file has.
pub(super) fn path(uri: &Uri) -> PathBuf {
    let text = uri.as_str();
    match text.strip_prefix("file://") {
        Some(path) => plain_path(Path::new(percent_decode_str(path).decode_utf8_lossy().as_ref())),
        None => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_utf16_units() {
        let text = "a\n\"é𝄞\" x\r\nb";
        let lines = Lines::of(text);
        for (byte, line, character) in [(0, 0, 0), (1, 0, 1), (2, 1, 0), (5, 1, 2), (9, 1, 4), (11, 1, 6), (14, 2, 0)] {
            assert_eq!(lines.position(byte), Position { line, character }, "{byte}");
            assert_eq!(lines.byte(Position { line, character }), byte);
        }
        // Within the two units of a character; beyond a line; beyond the text.
        assert_eq!(lines.byte(Position { line: 1, character: 3 }), 5);
        assert_eq!(lines.byte(Position { line: 1, character: 99 }), 12);
        assert_eq!(lines.byte(Position { line: 99, character: 0 }), text.len());
        assert_eq!(lines.position(99), Position { line: 2, character: 1 });
    }

    #[test]
    fn paths_survive_the_way_there_and_back() {
        let path_of = |written: &str| uri(Path::new(written)).map(|uri| path(&uri));
        for written in ["/a/b.gate", "/with space/ü#?%.gate"] {
            assert_eq!(path_of(written), Some(PathBuf::from(written)));
        }
        assert_eq!(path_of("/a/../b/./c"), Some(PathBuf::from("/b/c")));
    }
}
