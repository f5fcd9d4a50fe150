//! Versions of HTTP in words: those of policies and guests, and those of the access log.

use http::Version;
use tidegate_dsl::HttpVersion;

/// The word that policies and guests have for a version: `h1`, `h2` or `h3`.
pub fn word(version: Version) -> &'static str {
    let version = match version {
        Version::HTTP_2 => HttpVersion::H2,
        Version::HTTP_3 => HttpVersion::H3,
        _ => HttpVersion::H1,
    };
    version.word()
}

/// The name of a version in the access log: its word, but for HTTP/1, of which it tells the versions apart.
pub fn log_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "http/0.9",
        Version::HTTP_10 => "http/1.0",
        Version::HTTP_2 | Version::HTTP_3 => word(version),
        _ => "http/1.1",
    }
}
