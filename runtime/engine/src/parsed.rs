//! Query parameters and cookies, taken apart once for all the tests that ask for them.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, header};

use crate::bounds::FEW_PAIR_BYTES;
use crate::fields;

/// A text that was taken apart, and its pairs.
type Memo<Of> = RefCell<Option<Box<(Of, Pairs)>>>;

/// The findings of tests about a request that other tests need again. They are made anew once the request has changed.
#[derive(Debug, Default)]
pub struct Parsed {
    query: Memo<PathAndQuery>,
    cookies: Memo<Vec<HeaderValue>>,
    gave_up: Cell<bool>,
}

impl Parsed {
    /// Notes that a test could not be decided within its bounds.
    pub(crate) fn give_up(&self) {
        self.gave_up.set(true);
    }

    /// Whether a test could not be decided.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    /// Whether a test could not be decided; says so once.
    pub(crate) fn take_gave_up(&self) -> bool {
        self.gave_up.replace(false)
    }

    /// Gives back the memory of the pairs: rules are done with them.
    pub(crate) fn forget(&self) {
        self.query.take();
        self.cookies.take();
        self.gave_up.set(false);
    }

    /// Whether one of the values of a query parameter meets `meets`.
    pub(crate) fn query(&self, target: &PathAndQuery, name: &str, mut meets: impl FnMut(&str) -> bool) -> bool {
        let Some(query) = target.query() else { return false };
        if query.len() <= FEW_PAIR_BYTES {
            return fields::query(query, name).any(|value| meets(&value));
        }
        let mut known = self.query.borrow_mut();
        if !known.as_ref().is_some_and(|known| is_same(known.0.as_str(), target.as_str())) {
            *known = Some(Box::new((target.clone(), Pairs::new(fields::parameters(query)))));
        }
        known.as_ref().is_some_and(|known| known.1.values(name).any(meets))
    }

    /// Whether one of the values of a cookie meets `meets`.
    pub(crate) fn cookie(&self, headers: &HeaderMap, name: &str, mut meets: impl FnMut(&str) -> bool) -> bool {
        let lines = || headers.get_all(header::COOKIE).into_iter();
        if lines().map(HeaderValue::len).sum::<usize>() <= FEW_PAIR_BYTES {
            return fields::cookie(headers, name).any(|value| meets(&value));
        }
        let mut known = self.cookies.borrow_mut();
        let is_known = known.as_ref().is_some_and(|known| {
            let same = |(known, line): (&HeaderValue, &HeaderValue)| is_same(known.as_bytes(), line.as_bytes());
            known.0.len() == lines().count() && known.0.iter().zip(lines()).all(same)
        });
        if !is_known {
            let pairs = Pairs::new(fields::cookies(headers));
            *known = Some(Box::new((lines().cloned().collect(), pairs)));
        }
        known.as_ref().is_some_and(|known| known.1.values(name).any(meets))
    }
}

/// Whether two texts are the same bytes in memory. What is kept holds them, so that no other text can have come to
/// their place.
fn is_same<T: AsRef<[u8]> + ?Sized>(known: &T, now: &T) -> bool {
    std::ptr::eq(known.as_ref(), now.as_ref())
}

/// Names with their values, decoded; found by name.
#[derive(Debug, Default)]
struct Pairs {
    /// All names and values, one after the other.
    text: String,
    /// The pairs by name; those of the same name in the order they came.
    sorted: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    name: Range<u32>,
    value: Range<u32>,
}

impl Pairs {
    fn new<'p>(pairs: impl Iterator<Item = (impl AsRef<str> + 'p, impl AsRef<str> + 'p)>) -> Self {
        let mut made = Self::default();
        for (name, value) in pairs {
            let (name, value) = (made.add(name.as_ref()), made.add(value.as_ref()));
            made.sorted.push(Pair { name, value });
        }
        let text = &made.text;
        made.sorted.sort_by(|one, other| part(text, &one.name).cmp(part(text, &other.name)));
        made
    }

    fn add(&mut self, text: &str) -> Range<u32> {
        let end = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let begin = end(&self.text);
        self.text.push_str(text);
        begin..end(&self.text)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let first = self.sorted.partition_point(|pair| part(&self.text, &pair.name) < name);
        let from_there = self.sorted.get(first..).unwrap_or_default().iter();
        from_there
            .take_while(move |pair| part(&self.text, &pair.name) == name)
            .map(|pair| part(&self.text, &pair.value))
    }
}

fn part<'t>(text: &'t str, range: &Range<u32>) -> &'t str {
    text.get(range.start as usize..range.end as usize).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(text: &str) -> String {
        format!("{text}&{}", "x".repeat(FEW_PAIR_BYTES))
    }

    fn query(parsed: &Parsed, target: &PathAndQuery, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        parsed.query(target, name, |value| {
            values.push(value.to_owned());
            false
        });
        values
    }

    #[test]
    fn a_changed_target_is_noticed() {
        let parsed = Parsed::default();
        let first: PathAndQuery = format!("/?{}", long("a=1&b=2&%61=3&a")).parse().unwrap();
        assert_eq!(query(&parsed, &first, "a"), ["1", "3", ""]);
        assert_eq!(query(&parsed, &first, "b"), ["2"]);
        // As long, and perhaps where the first one was.
        let second: PathAndQuery = first.as_str().replace("a=1", "a=7").parse().unwrap();
        drop(first);
        assert_eq!(query(&parsed, &second, "a"), ["7", "3", ""]);
        let short = PathAndQuery::from_static("/?a=5");
        assert_eq!(query(&parsed, &short, "a"), ["5"]);
        assert!(query(&parsed, &PathAndQuery::from_static("/"), "a").is_empty());
    }

    #[test]
    fn changed_cookies_are_noticed() {
        let parsed = Parsed::default();
        let mut headers = HeaderMap::new();
        let values = |headers: &HeaderMap| {
            let mut values = Vec::new();
            parsed.cookie(headers, "a", |value| {
                values.push(value.to_owned());
                false
            });
            values
        };
        let line = format!("a=1; {}; a=\"2\"", "x".repeat(FEW_PAIR_BYTES));
        headers.append(header::COOKIE, line.parse().unwrap());
        assert_eq!(values(&headers), ["1", "2"]);
        headers.append(header::COOKIE, HeaderValue::from_static("a=3"));
        assert_eq!(values(&headers), ["1", "2", "3"]);
        headers.remove(header::COOKIE);
        assert!(values(&headers).is_empty());
    }

    proptest! {
        #[test]
        fn long_and_short_queries_are_read_alike(text in "([ab=&%+]|%[0-9a-f]{2}){0,40}", name in "[ab%+ ]{0,3}") {
            if let Ok(target) = format!("/?{}", long(&text)).parse::<PathAndQuery>() {
                let plain: Vec<_> = fields::query(target.query().unwrap(), &name).map(String::from).collect();
                prop_assert_eq!(query(&Parsed::default(), &target, &name), plain);
            }
        }

        #[test]
        fn long_and_short_cookies_are_read_alike(line in "[ab=; \"]{0,40}", name in "[ab]{0,2}") {
            let padded = format!("{line}; {}", "x".repeat(FEW_PAIR_BYTES));
            let headers = HeaderMap::from_iter([(header::COOKIE, padded.parse::<HeaderValue>().unwrap())]);
            let plain: Vec<_> = fields::cookie(&headers, &name).map(String::from).collect();
            let mut values = Vec::new();
            Parsed::default().cookie(&headers, &name, |value| { values.push(value.to_owned()); false });
            prop_assert_eq!(values, plain);
        }
    }
}
