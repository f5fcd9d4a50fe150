//! A path without the parameters of its segments.

/// The path as tests of a policy see it: each segment ends before its first `;` (RFC 3986, 3.3), and what is empty then is none.
pub(crate) fn without_parameters(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() || segments.peek().is_none() {
            bare.push('/');
            bare.push_str(name);
        }
    }
    bare
}
