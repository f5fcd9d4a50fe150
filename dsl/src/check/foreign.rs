//! Words that people bring along from other gateways, and what says the same here.

use crate::vocabulary::Place;

/// A word of nginx, HAProxy, Caddy, Traefik or Envoy, and its mend.
const WORDS: &[(&str, &str)] = &[
    // Blocks.
    ("server", "`listener http NAME { … }` accepts connections; `server-group NAME { … }` holds backends"),
    ("upstream", "write `server-group NAME { server 127.0.0.1:8081 }`"),
    ("backend", "write `server-group NAME { server 127.0.0.1:8081 }`"),
    ("cluster", "write `server-group NAME { server 127.0.0.1:8081 }`"),
    ("frontend", "write `listener http NAME { port 80; rules NAME }`"),
    ("location", "write `rule NAME { when path under \"/…\" … }`, in `rules`"),
    ("route", "write `rule NAME { … }`, in `rules`"),
    ("handle", "write `rule NAME { when path under \"/…\" … }`, in `rules`"),
    ("if", "write a rule of its own with `when …`, or `when` in `on-response`"),
    ("match", "write `when …`"),
    ("default", "write `otherwise { … }`"),
    ("default_backend", "write `otherwise { forward NAME }`, in `rules`"),
    // Listeners.
    ("listen", "write `port 80`, or `address 127.0.0.1:80`"),
    ("bind", "write `port 80`, or `address 127.0.0.1:80`"),
    ("server_name", "write `when host is \"…\"` in a rule"),
    ("ssl_certificate", "write `certificate NAME`, and declare it: `certificate NAME { chain \"…\"; key \"…\" }`"),
    ("client_max_body_size", "write `limits { body-bytes 10MiB }` in the listener"),
    ("keepalive_timeout", "write `idle-timeout 15s` in the listener"),
    ("gzip", "write `compression [gzip]` in the listener"),
    ("encode", "write `compression [br, gzip]` in the listener"),
    ("real_ip_header", "write `client-ip x-forwarded-for trusted LIST` in the listener"),
    ("set_real_ip_from", "write `client-ip x-forwarded-for trusted LIST` in the listener"),
    ("trusted_proxies", "write `client-ip x-forwarded-for trusted LIST` in the listener"),
    // Rules.
    ("proxy_pass", "write `forward NAME`, the name of a `server-group`; the path is changed by `rewrite path \"…\"`"),
    ("reverse_proxy", "write `forward NAME`, the name of a `server-group`"),
    ("use_backend", "write `forward NAME`, the name of a `server-group`, as the last line of a rule"),
    ("return", "write `respond 404 \"…\"`, or `redirect 308 \"https://…\"`"),
    ("redir", "write `redirect 308 \"https://…\"`"),
    ("deny", "write `respond 403`, in a rule with `when client-ip in …`"),
    ("allow", "write `unless client-ip in …`, before `respond 403`"),
    ("try_files", "files are not served here: forward to a server that does"),
    ("root", "files are not served here: forward to a server that does"),
    ("file_server", "files are not served here: forward to a server that does"),
    ("limit_req", "write `limit 20/s per client-ip`"),
    ("rate_limit", "write `limit 20/s per client-ip`"),
    ("handle_path", "write `when path under \"/…\"` and `rewrite path \"…\"`"),
    ("strip_prefix", "write `when path matches \"^/prefix(/.*)?$\"` and `rewrite path \"/${match.1}\"`"),
    ("uri", "write `rewrite path \"…\"`"),
    ("proxy_set_header", "write `set-header \"NAME\" \"VALUE\"`; for `Host`, `rewrite host \"…\"`"),
    ("request_header", "write `set-header \"NAME\" \"VALUE\"`"),
    ("header_up", "write `set-header \"NAME\" \"VALUE\"`"),
    ("add_header", "write `on-response { add-header \"NAME\" \"VALUE\" }`"),
    ("header_down", "write `on-response { set-header \"NAME\" \"VALUE\" }`"),
    ("proxy_read_timeout", "write `timeout 60s` in the rule, or `request-timeout 60s` in the listener"),
    ("proxy_connect_timeout", "write `connect-timeout 5s` in the server group"),
    // Server groups.
    ("least_conn", "write `balance least-requests`"),
    ("leastconn", "write `least-requests`"),
    ("least-connections", "write `least-requests`"),
    ("ip_hash", "write `balance hash client-ip`"),
    ("ip-hash", "write `hash client-ip`"),
    ("roundrobin", "write `round-robin`"),
    ("source", "write `hash client-ip`"),
    ("random", "write `random-two`"),
    ("lb_policy", "write `balance round-robin`"),
    ("down", "write `state stopped`"),
    ("disabled", "write `state stopped`"),
    ("check", "write `health-check http { path \"/healthz\" }` in the server group"),
    ("health_uri", "write `health-check http { path \"/healthz\" }`"),
    ("health_check", "write `health-check http { path \"/healthz\" }`"),
    ("max_fails", "write `health-check http { unhealthy 3 }` in the server group"),
    ("fail_timeout", "write `health-check http { every 5s }` in the server group"),
    ("max_conns", "write `max-connections 100` in the server group"),
    ("h2c", "write `grpc`: HTTP/2 in clear text"),
    ("insecure_skip_verify", "write `verify off`"),
    ("tls_insecure_skip_verify", "write `verify off`"),
    ("proxy_next_upstream", "write `retries 2 on [connect-failure, 502..504]` in the server group"),
];

/// The mend for a word of another gateway.
pub(super) fn mend(word: &str, place: Place) -> Option<&'static str> {
    let (_, mend) = WORDS.iter().find(|(other, _)| *other == word)?;
    // A word that stands elsewhere in the language is meant as that one, but where the other gateway has it.
    let ours = Place::BLOCKS.iter().any(|block| block.find(word).is_some());
    let theirs = match word {
        "listen" => place == Place::Listener,
        "allow" => matches!(place, Place::Listener | Place::Rules | Place::Rule),
        _ => place == Place::File,
    };
    (!ours || theirs).then_some(*mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_once() {
        let mut seen = std::collections::HashSet::new();
        for (word, mend) in WORDS {
            assert!(seen.insert(word), "`{word}` stands twice");
            assert!(!mend.is_empty() && !mend.ends_with('.'), "{word}");
        }
    }
}
