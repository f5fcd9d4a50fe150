//! The console: one page for people, which asks the API what it shows. It needs nothing but itself, and says so to the browser.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, StatusCode};

use super::answer::Answer;

/// The page without its style and its program, which stand in for these two words.
const PAGE: &str = include_str!("index.html");
const STYLE_HERE: &str = "/*console.css*/";
const PROGRAM_HERE: &str = "/*console.js*/";

const STYLE: &str = include_str!("console.css");

/// The program, in the order in which its parts need each other.
const PROGRAM: &str = concat!(
    include_str!("console.js"),
    include_str!("api.js"),
    include_str!("words.js"),
    include_str!("charts.js"),
    include_str!("policy.js"),
    include_str!("tables.js"),
    include_str!("requests.js"),
    include_str!("orders.js"),
    include_str!("start.js"),
);

/// What a browser is told beside: nobody learns from here where its user was, or puts the page into another window's hands.
static BESIDE: [(HeaderName, &str); 4] = [
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

struct Ready {
    page: Bytes,
    policy: HeaderValue,
}

static READY: LazyLock<Option<Ready>> = LazyLock::new(|| {
    let policy = HeaderValue::from_str(&content_security_policy()).ok()?;
    Some(Ready { page: Bytes::from(assemble()), policy })
});

/// `GET /`
pub fn page() -> Answer {
    let Some(Ready { page, policy }) = &*READY else {
        return Answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be put together");
    };
    let answer = Answer::text("text/html", page.clone()).with(CONTENT_SECURITY_POLICY, policy.clone());
    BESIDE.iter().fold(answer, |answer, (name, value)| answer.with(name.clone(), HeaderValue::from_static(value)))
}

fn assemble() -> String {
    PAGE.replacen(STYLE_HERE, STYLE, 1).replacen(PROGRAM_HERE, PROGRAM, 1)
}

/// This style and this program and no other (CSP 3), one place to ask, and no text that becomes markup (Trusted Types).
fn content_security_policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())));
    let (style, program) = (hash(STYLE), hash(PROGRAM));
    format!(
        "default-src 'none'; script-src {program}; style-src {style}; img-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_small() {
        let page = assemble();
        assert!(!page.contains(STYLE_HERE) && !page.contains(PROGRAM_HERE));
        assert!(page.len() < 100 * 1024, "{} bytes", page.len());
        // What would end the element that it stands in.
        assert!(!STYLE.contains("</") && !PROGRAM.contains("</script") && !PROGRAM.contains("<!--"));
    }

    #[test]
    fn nothing_in_it_leads_elsewhere_or_makes_markup_of_text() {
        let page = assemble().replace("http://www.w3.org/2000/svg", "");
        for word in
            ["http://", "src=", "@import", "url(", "innerHTML", "outerHTML", "HTML(", "eval(", "style=", "onclick"]
        {
            assert!(!page.contains(word), "{word}");
        }
    }
}
