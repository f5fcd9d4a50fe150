//! Who may ask what: tokens over TCP, the user behind a Unix socket, and no page of another site.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, StatusCode};
use tidegate_base::token::Tokens;

use super::answer::Answer;

/// The permission that a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it tells nothing.
    Nothing,
    /// To be told.
    Read,
    /// To change something.
    Operate,
}

/// The client of the API, as far as it matters who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody over TCP, whom a token may tell.
    Tcp,
    /// A process on this machine, of the gateway's own user or of root.
    Owner,
    /// A process on this machine, of another user.
    Stranger,
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request may be answered.
///
/// # Errors
/// The answer to one that may not.
pub fn check(peer: Peer, needs: Needs, headers: &HeaderMap, tokens: &Tokens) -> Result<(), Answer> {
    // What needs nothing tells nothing: a link on another site may lead to the console, whose own questions are asked from here.
    if needs != Needs::Nothing && is_foreign(headers) {
        return Err(Answer::problem(StatusCode::FORBIDDEN, "pages of other sites may not ask here"));
    }
    match (peer, needs) {
        (Peer::Owner, _) | (_, Needs::Nothing) => return Ok(()),
        (Peer::Stranger, _) => {
            let detail = "only the user whom the gateway runs as, and root, may ask on this socket";
            return Err(Answer::problem(StatusCode::FORBIDDEN, detail));
        }
        (Peer::Tcp, _) => {}
    }
    let shown = bearer(headers);
    if needs == Needs::Operate && tokens.operate.is_none() {
        let detail = "nothing can be changed over TCP: add `operate-token` to `admin`, or use its Unix socket";
        return Err(Answer::problem(StatusCode::FORBIDDEN, detail));
    }
    let allowed = if needs == Needs::Operate { tokens.may_operate(shown) } else { tokens.may_read(shown) };
    if !allowed {
        let word = if needs == Needs::Operate { "operate-token" } else { "read-token" };
        return Err(Answer::unauthorized(&match shown {
            None => format!("send the `{word}` of `admin` as `authorization: Bearer TOKEN`"),
            Some(_) => format!("this is not the `{word}` of `admin`"),
        }));
    }
    // Without a token, a page could be sent here under a name of its own that leads to this address (DNS rebinding).
    if tokens.read.is_none() && needs == Needs::Read && !names_this_machine(headers) {
        let detail = "ask by the address or as `localhost`: another name may be a page's trick";
        return Err(Answer::problem(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    Ok(())
}

/// The token that is shown (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// Whether a browser says that a page of another site asks.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return true;
    }
    let host = headers.get(HOST).map(|host| host.as_bytes());
    headers.get_all(ORIGIN).iter().any(|origin| {
        let origin = origin.as_bytes();
        let own = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        own.is_none() || own != host
    })
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_base::token::Token;

    use super::*;

    fn asked(peer: Peer, needs: Needs, fields: &str, tokens: &Tokens) -> u16 {
        let mut headers = HeaderMap::new();
        for field in fields.split("; ").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(": ").unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        check(peer, needs, &headers, tokens).map_or_else(|answer| answer.status.as_u16(), |()| 200)
    }

    fn tokens() -> Tokens {
        Tokens { read: Some(Token::new(b"the reader's word")), operate: Some(Token::new(b"the operator's word")) }
    }

    #[test]
    fn tokens_are_asked_for_over_tcp() {
        let (read, operate) = ("authorization: Bearer the reader's word", "authorization: bEaReR the operator's word");
        for (needs, fields, status) in [
            (Needs::Nothing, "", 200),
            (Needs::Read, "", 401),
            (Needs::Read, read, 200),
            (Needs::Read, operate, 200),
            (Needs::Read, "authorization: Bearer ", 401),
            (Needs::Read, "authorization: Basic the reader's word", 401),
            (Needs::Operate, "", 401),
            (Needs::Operate, read, 401),
            (Needs::Operate, operate, 200),
        ] {
            assert_eq!(asked(Peer::Tcp, needs, fields, &tokens()), status, "{needs:?} with `{fields}`");
        }
    }

    #[test]
    fn nothing_is_changed_over_tcp_without_a_token_for_it() {
        let tokens = Tokens { operate: None, ..tokens() };
        assert_eq!(asked(Peer::Tcp, Needs::Operate, "authorization: Bearer the reader's word", &tokens), 403);
        assert_eq!(asked(Peer::Tcp, Needs::Operate, "host: localhost", &Tokens::default()), 403);
    }

    #[test]
    fn the_owner_of_a_unix_socket_needs_no_token_and_nobody_else_gets_in() {
        for needs in [Needs::Read, Needs::Operate] {
            assert_eq!(asked(Peer::Owner, needs, "", &tokens()), 200);
            let fields = "authorization: Bearer the operator's word";
            assert_eq!(asked(Peer::Stranger, needs, fields, &tokens()), 403);
        }
    }

    #[test]
    fn pages_of_other_sites_may_not_ask() {
        let host = "host: 127.0.0.1:9901";
        for (fields, status) in [
            ("origin: http://127.0.0.1:9901", 200),
            ("origin: https://127.0.0.1:9901", 200),
            ("origin: http://127.0.0.1:9902", 403),
            ("origin: http://evil.example", 403),
            ("origin: null", 403),
            ("origin: 127.0.0.1:9901", 403),
            ("origin: http://127.0.0.1:9901; origin: http://evil.example", 403),
            ("sec-fetch-site: same-origin", 200),
            ("sec-fetch-site: none", 200),
            ("sec-fetch-site: same-site", 403),
            ("sec-fetch-site: cross-site", 403),
        ] {
            for peer in [Peer::Tcp, Peer::Owner] {
                let all = format!("{host}; {fields}");
                assert_eq!(asked(peer, Needs::Read, &all, &Tokens::default()), status, "{fields}");
                assert_eq!(asked(peer, Needs::Nothing, &all, &Tokens::default()), 200, "{fields}");
            }
        }
    }

    #[test]
    fn without_a_token_only_this_machine_is_named() {
        for (host, status) in [
            ("localhost:9901", 200),
            ("LOCALHOST", 200),
            ("127.0.0.1", 200),
            ("[::1]:9901", 200),
            ("localhost.evil.example:9901", 421),
            ("evil.example", 421),
        ] {
            assert_eq!(asked(Peer::Tcp, Needs::Read, &format!("host: {host}"), &Tokens::default()), status, "{host}");
        }
        let fields = "host: edge.example; authorization: Bearer the reader's word";
        assert_eq!(asked(Peer::Tcp, Needs::Read, fields, &tokens()), 200, "a token tells them apart");
    }
}
