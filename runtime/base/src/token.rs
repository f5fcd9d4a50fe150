//! Tokens that programs show before they are told or obeyed.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// A token, kept as its digest: the comparison takes as long whatever was shown, and what is kept tells nobody anything.
#[derive(Clone)]
pub struct Token(Digest);

impl Token {
    /// The token with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(digest(&SHA256, bytes))
    }

    /// Whether these bytes are the token.
    pub fn is(&self, shown: &[u8]) -> bool {
        *self == Self::new(shown)
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }
}

/// The tokens of the admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// What is asked for before anything is shown.
    pub read: Option<Token>,
    /// What is asked for before anything is changed. Whoever has it may read, too.
    pub operate: Option<Token>,
}

impl Tokens {
    /// Whether somebody who shows this may be told.
    pub fn may_read(&self, shown: Option<&[u8]>) -> bool {
        self.read.is_none()
            || shown.is_some_and(|shown| [&self.read, &self.operate].into_iter().flatten().any(|token| token.is(shown)))
    }

    /// Whether somebody who shows this is obeyed.
    pub fn may_operate(&self, shown: Option<&[u8]>) -> bool {
        self.operate.as_ref().zip(shown).is_some_and(|(token, shown)| token.is(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_does_not_operate_and_who_operates_reads() {
        let tokens = Tokens { read: Some(Token::new(b"read me")), operate: Some(Token::new(b"operate")) };
        for (shown, read, operate) in [
            (None, false, false),
            (Some("read me"), true, false),
            (Some("operate"), true, true),
            (Some("read m"), false, false),
            (Some("operate "), false, false),
            (Some(""), false, false),
        ] {
            let shown = shown.map(str::as_bytes);
            assert_eq!((tokens.may_read(shown), tokens.may_operate(shown)), (read, operate), "{shown:?}");
        }
    }

    #[test]
    fn without_a_token_anybody_reads_and_nobody_operates() {
        for tokens in [Tokens::default(), Tokens { operate: Some(Token::new(b"operate")), ..Tokens::default() }] {
            assert!(tokens.may_read(None) && tokens.may_read(Some(b"anything")));
            assert!(!tokens.may_operate(None) && !tokens.may_operate(Some(b"anything")));
        }
        assert!(!Tokens::default().may_operate(Some(b"operate")));
    }

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(format!("{:?}", Token::new(b"secret")), "a token");
    }
}
