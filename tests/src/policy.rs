//! A small language for the policies of tests.

use std::fmt::Write;

use crate::Backend;

/// A policy with one listener, `main`, on the gateway's port, and one rule list.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    top: String,
    listener: String,
    secure: bool,
    rules: String,
    otherwise: Option<String>,
}

impl Policy {
    /// A policy whose requests go to the group `web`: this backend.
    pub fn to(backend: &Backend) -> Self {
        Self::new().group("web", &format!("server {}", backend.address()))
    }

    /// A policy without groups, whose requests go to a group `web` that is yet to be declared.
    pub fn new() -> Self {
        Self::default()
    }

    /// A policy whose every answer is this text.
    pub fn saying(text: &str) -> Self {
        Self::new().otherwise(&format!("respond 200 \"{text}\""))
    }

    /// Declares something.
    #[must_use]
    pub fn top(mut self, text: &str) -> Self {
        let _ = writeln!(self.top, "{text}");
        self
    }

    /// Declares a group.
    #[must_use]
    pub fn group(self, name: &str, body: &str) -> Self {
        self.top(&format!("server-group {name} {{ {body} }}"))
    }

    /// Declares a group with one server.
    #[must_use]
    pub fn backend(self, name: &str, backend: &Backend) -> Self {
        self.group(name, &format!("server {}", backend.address()))
    }

    /// Lines of the listener.
    #[must_use]
    pub fn listener(mut self, text: &str) -> Self {
        let _ = writeln!(self.listener, "    {text}");
        self
    }

    /// The listener speaks TLS, with the certificate `main` from `main.pem` and `main.key`.
    #[must_use]
    pub fn https(self) -> Self {
        self.https_from("main.pem", "main.key")
    }

    /// The listener speaks TLS, with the certificate `main` from these files.
    #[must_use]
    pub fn https_from(mut self, chain: &str, key: &str) -> Self {
        self = self.top(&format!("certificate main {{ chain \"{chain}\"; key \"{key}\" }}"));
        self.https_listener()
    }

    /// The listener speaks TLS, with the certificate `main` that is declared elsewhere.
    #[must_use]
    pub fn https_listener(mut self) -> Self {
        self.secure = true;
        self.listener("certificate main")
    }

    /// A QUIC listener, `fast`, on the port of the other one, with these lines and the certificate `site` from `site.pem` and
    /// `site.key`.
    #[must_use]
    pub fn quic(self, lines: &str) -> Self {
        self.top("certificate site { chain \"site.pem\"; key \"site.key\" }").top(&format!(
            "listener quic fast {{\n    address 127.0.0.1:@port\n    certificate site\n    rules main\n    {lines}\n}}"
        ))
    }

    /// A rule, before `otherwise`.
    #[must_use]
    pub fn rule(mut self, name: &str, body: &str) -> Self {
        let _ = writeln!(self.rules, "    rule {name} {{\n{body}\n}}");
        self
    }

    /// The body of the last rule; `forward web` if it is left out.
    #[must_use]
    pub fn otherwise(mut self, body: &str) -> Self {
        self.otherwise = Some(body.to_owned());
        self
    }

    /// The text. `@port` stands for the gateway's port.
    pub fn text(&self) -> String {
        let Self { top, listener, secure, rules, otherwise } = self;
        let protocol = if *secure { "https" } else { "http" };
        let otherwise = otherwise.as_deref().unwrap_or("forward web");
        format!(
            "tidegate 1\n\n{top}\nlistener {protocol} main {{\n    address 127.0.0.1:@port\n{listener}    rules main\n}}\n\n\
             rules main {{\n{rules}    otherwise {{\n{otherwise}\n}}\n}}\n"
        )
    }
}
