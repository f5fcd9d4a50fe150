//! The gateway's own log: a line for each thing that an operator should know, on standard error.

use std::io::{self, IsTerminal, Write};

use tidegate_engine::escape::is_hidden;
use tracing::level_filters::LevelFilter;

/// Starts it. `TIDEGATE_LOG` chooses the level: `error`, `warn`, `info` (the default), `debug`, `trace`.
pub fn start() {
    let level = std::env::var("TIDEGATE_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_writer(move || Visible { to: io::stderr(), colours })
        .with_ansi(colours)
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_target(false)
        .init();
}

/// Writes events of which each is one line and shows what it is, whatever bytes of a peer it quotes.
struct Visible<W> {
    to: W,
    /// Escape characters are those of colours; the subscriber takes them out of values.
    colours: bool,
}

impl<W: Write> Write for Visible<W> {
    /// An event comes whole, with its line's end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let allowed = |c: char| c == '\t' || c == '\x1b' && self.colours;
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        match std::str::from_utf8(line) {
            Ok(text) if !text.contains(|c| is_hidden(c) && !allowed(c)) => self.to.write_all(event)?,
            _ => {
                let mut shown = String::with_capacity(event.len() + 16);
                for c in String::from_utf8_lossy(line).chars() {
                    if is_hidden(c) && !allowed(c) {
                        shown.extend(c.escape_default());
                    } else {
                        shown.push(c);
                    }
                }
                if line.len() < event.len() {
                    shown.push('\n');
                }
                self.to.write_all(shown.as_bytes())?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_hides_nothing() {
        for (event, expected) in [
            ("plain caf\u{e9}\n", "plain caf\u{e9}\n"),
            ("a\nINFO forged\n", "a\\nINFO forged\n"),
            ("\u{9b}2J \u{202e}abc\x1b[2J\n", "\\u{9b}2J \\u{202e}abc\\u{1b}[2J\n"),
            ("no end", "no end"),
        ] {
            let mut writer = Visible { to: Vec::new(), colours: false };
            assert!(writer.write_all(event.as_bytes()).is_ok());
            assert_eq!(String::from_utf8_lossy(&writer.to), expected);
        }
    }
}
