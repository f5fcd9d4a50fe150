//! Blacks out words and card numbers in responses, piece by piece, also where two pieces share one.

use serde::Deserialize;
use tidegate_guest::config::Many;
use tidegate_guest::{
    BodyMode, BodyVerdict, Error, Filter, Interest, Piece, Request, Response, Result, Verdict, export, vars,
};

/// The configuration that a policy writes in `config { … }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Words, of which each letter becomes `*`; in whatever case.
    #[serde(default)]
    words: Many<String>,
    /// Whether card numbers are blacked out, but for their last four digits.
    #[serde(default)]
    cards: bool,
}

/// The extension.
pub struct Redact {
    /// The words in lower case.
    words: Vec<Vec<u8>>,
    cards: bool,
    /// The bytes at the end of each piece that are kept back: all but the last byte of the longest pattern.
    keep: usize,
}

/// The longest text that is looked at as one card number: 19 digits, each but the last with a blank or hyphen behind it.
const CARD_BYTES: usize = 37;

/// The variable that carries what was kept back to the next piece, which another instance may get.
const TAIL: &str = "redact.tail";

impl Filter for Redact {
    type Config = Config;

    fn init(config: Config) -> Result<Self> {
        let words: Vec<Vec<u8>> = config.words.iter().map(|word| word.to_ascii_lowercase().into_bytes()).collect();
        if words.iter().any(|word| word.is_empty() || word.len() > 256) {
            return Err(Error::new("a word is empty, or longer than 256 bytes"));
        }
        if words.is_empty() && !config.cards {
            return Err(Error::new("nothing is ever blacked out: write words, or `cards on`"));
        }
        let longest = words.iter().map(Vec::len).max().unwrap_or_default();
        let keep = if config.cards { longest.saturating_sub(1).max(CARD_BYTES) } else { longest - 1 };
        Ok(Self { words, cards: config.cards, keep })
    }

    fn interest(&self) -> Interest {
        Interest::everything().response_body(BodyMode::Stream(16 * 1024))
    }

    /// The server shall send what can be read: nothing compressed, and no parts that begin in the middle.
    fn on_request(&self, request: &mut Request) -> Verdict {
        request.set_header("accept-encoding", "identity");
        request.remove_header("range");
        Verdict::next()
    }

    fn on_response_body(&self, _: &Request, response: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        if !is_text(response) {
            return BodyVerdict::next();
        }
        let mut text = vars::get(TAIL).map(|tail| from_var(&tail)).unwrap_or_default();
        text.extend_from_slice(piece.data);
        self.black_out(&mut text, piece.last);
        let kept = if piece.last { Vec::new() } else { text.split_off(text.len().saturating_sub(self.keep)) };
        vars::set(TAIL, &into_var(&kept));
        BodyVerdict::replace(text)
    }

    /// Forgets the text that was kept back where a body broke off: it stays out of the access log.
    fn on_log(&self, _: &Request, _: &Response) {
        if vars::get(TAIL).is_some_and(|tail| !tail.is_empty()) {
            vars::set(TAIL, "");
        }
    }
}

export!(Redact: request, response_body, log);

impl Redact {
    /// Blacks text out. A black text stays so, and has the length that it had: it can be cut anywhere.
    fn black_out(&self, text: &mut [u8], last: bool) {
        for word in &self.words {
            let mut at = 0;
            while at + word.len() <= text.len() {
                if text[at..at + word.len()].eq_ignore_ascii_case(word) {
                    text[at..at + word.len()].fill(b'*');
                    at += word.len();
                } else {
                    at += 1;
                }
            }
        }
        if self.cards {
            black_out_cards(text, last);
        }
    }
}

/// A number that more digits may follow is left for the next piece.
fn black_out_cards(text: &mut [u8], last: bool) {
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let part_of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-');
        let end = at + text[at..].iter().take_while(|byte| part_of_number(byte)).count();
        if end == text.len() && !last {
            return;
        }
        let digits: Vec<usize> = (at..end).filter(|at| text[*at].is_ascii_digit()).collect();
        if (13..=19).contains(&digits.len()) && has_luhn_sum(digits.iter().map(|at| text[*at])) {
            digits[..digits.len() - 4].iter().for_each(|at| text[*at] = b'*');
        }
        at = end;
    }
}

/// The check digit of card numbers (ISO/IEC 7812-1, annex B).
fn has_luhn_sum(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let doubled = |(at, digit): (usize, u8)| {
        let value = u32::from(digit - b'0') << (at % 2);
        if value > 9 { value - 9 } else { value }
    };
    digits.rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

/// Whether the body can be read: text or JSON, not compressed.
fn is_text(response: &Response) -> bool {
    let kind = response.header("content-type").map(|kind| kind.to_text().to_ascii_lowercase()).unwrap_or_default();
    let plain = response.header("content-encoding").is_none_or(|coding| coding == "identity");
    plain && (kind.starts_with("text/") || kind.contains("json") || kind.contains("xml") || kind.contains("javascript"))
}

// A variable is text, and a piece may end in the midst of a letter: so each byte becomes a letter of its own.
fn into_var(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn from_var(text: &str) -> Vec<u8> {
    text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_guest::TestHost;

    use super::*;

    const CONFIG: &str = r#"{"words": ["secret", "naïve"], "cards": true}"#;

    fn host() -> TestHost {
        TestHost::new().config(CONFIG).response_header("content-type", "application/json")
    }

    /// The text, cut at every place in turn, always gives the same.
    fn everywhere(text: &str, expected: &str) {
        for cut in 0..=text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            for pieces in [vec![a, b], vec![a, b, b""]] {
                let outcome = host().response_body_pieces(pieces).run::<Redact>();
                assert_eq!(String::from_utf8_lossy(outcome.response_body()), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn words_are_blacked_out_wherever_the_pieces_end() {
        everywhere(
            r#"{"a": "Secret", "b": "secre", "c": "naïve ü"}"#,
            r#"{"a": "******", "b": "secre", "c": "****** ü"}"#,
        );
    }

    #[test]
    fn card_numbers_keep_their_last_digits() {
        everywhere("pay 4111 1111 1111 1111.", "pay **** **** **** 1111.");
        everywhere("5500-0000-0000-0004", "****-****-****-0004");
        everywhere("order 4111111111111112, no card", "order 4111111111111112, no card");
    }

    #[test]
    fn a_body_in_single_bytes() {
        let text = b"a secret of 4111111111111111";
        let outcome = host().response_body_pieces(text.chunks(1)).run::<Redact>();
        assert_eq!(outcome.response_body(), b"a ****** of ************1111");
    }

    #[test]
    fn what_is_no_text_is_left_alone() {
        for (name, value) in [("content-type", "image/png"), ("content-encoding", "gzip")] {
            let host = TestHost::new().config(CONFIG).response_header(name, value).response_body("secret");
            assert_eq!(host.run::<Redact>().response_body(), b"secret");
        }
    }

    #[test]
    fn the_server_is_asked_for_what_can_be_read() {
        let outcome = host().header("accept-encoding", "br").header("range", "bytes=3-").run::<Redact>();
        assert_eq!(outcome.request_header("accept-encoding"), Some("identity"));
        assert_eq!(outcome.request_header("range"), None);
    }

    #[test]
    fn a_bad_configuration_says_what_to_change() {
        let refused = |config: &str| TestHost::new().config(config).try_run::<Redact>().unwrap_err().to_string();
        assert_eq!(refused("{}"), "nothing is ever blacked out: write words, or `cards on`");
        assert_eq!(refused(r#"{"words": ""}"#), "a word is empty, or longer than 256 bytes");
    }
}
