//! `Via`: which gateways a message has passed (RFC 9110, 7.6.3), and whether a request has come back to this one.

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};
use tidegate_dsl::plan;

/// The name of a process whose policy gives it none: another one for each, so that a chain of gateways is no loop.
static OF_THIS_PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("tidegate-{:06x}", RandomState::new().hash_one(()) >> 40));

/// The names that policies have given so far, and their lines. They stay for good, because a value that is shared between threads
/// would be counted by each request; there are as many as an operator thinks up.
static GIVEN: Mutex<Vec<Via>> = Mutex::new(Vec::new());

/// The name of this gateway in `Via`, and the lines that say it.
#[derive(Clone)]
pub struct Via {
    name: &'static str,
    /// For messages that came by HTTP/1.0, HTTP/1.1, HTTP/2 and HTTP/3.
    lines: [HeaderValue; 4],
}

impl Via {
    /// The line that a policy asks for; `None` where it is off.
    pub fn of(plan: &plan::Via) -> Option<Self> {
        let name = match plan {
            plan::Via::Off => return None,
            plan::Via::On => OF_THIS_PROCESS.clone(),
            plan::Via::Name(name) => name.clone(),
        };
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = given.iter().find(|via| via.name == name) {
            return Some(known.clone());
        }
        let line = |version: &str| {
            let line: &'static str = format!("{version} {name}").leak();
            // A name is a token, so that this is a field's value.
            HeaderValue::try_from(line).ok().map(|_| HeaderValue::from_static(line))
        };
        let lines = [line("1.0")?, line("1.1")?, line("2.0")?, line("3.0")?];
        let via = Self { name: name.leak(), lines };
        given.push(via.clone());
        Some(via)
    }

    /// Says that a message which came in this version passed here.
    pub fn add(&self, headers: &mut HeaderMap, version: Version) {
        let [http10, http11, http2, http3] = &self.lines;
        let line = match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            Version::HTTP_3 => http3,
            _ => http11,
        };
        // A head that can hold no more fields goes without.
        let _ = headers.try_append(VIA, line.clone());
    }

    /// Whether a request has passed here before.
    pub fn is_among(&self, headers: &HeaderMap) -> bool {
        let members = headers.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        members.into_iter().any(|member| {
            let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(self.name.as_bytes()))
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn via(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (VIA, line.parse().unwrap())).collect()
    }

    #[test]
    fn a_process_has_a_name_of_its_own() {
        let (first, second) = (Via::of(&plan::Via::On).unwrap(), Via::of(&plan::Via::On).unwrap());
        assert_eq!(first.name, second.name);
        let digits = first.name.strip_prefix("tidegate-").unwrap();
        assert!(digits.len() == 6 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        assert!(Via::of(&plan::Via::Off).is_none());
    }

    #[test]
    fn its_own_name_is_found_among_others() {
        let edge = Via::of(&plan::Via::Name("edge".to_owned())).unwrap();
        for lines in [
            &["1.1 edge"][..],
            &["1.0 fred, 1.1 edge"],
            &["1.0 fred", "2.0\tEDGE (comment), 1.1 other"],
            &["HTTP/1.1  edge"],
        ] {
            assert!(edge.is_among(&via(lines)), "{lines:?}");
        }
        for lines in [&[][..], &["edge"], &["1.1 edge2"], &["1.1 other (edge)"], &["1.1 edge:80"], &[",,"], &[""]] {
            assert!(!edge.is_among(&via(lines)), "{lines:?}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_message_that_came() {
        let edge = Via::of(&plan::Via::Name("edge".to_owned())).unwrap();
        let mut headers = via(&["1.0 fred"]);
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
            edge.add(&mut headers, version);
        }
        let lines: Vec<_> = headers.get_all(VIA).iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines, ["1.0 fred", "1.0 edge", "1.1 edge", "2.0 edge", "3.0 edge"]);
    }
}
