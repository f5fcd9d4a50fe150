//! The trace that a request belongs to, as the client says it (W3C Trace Context).

use http::{HeaderName, HeaderValue};

/// The name of the field that carries it (W3C Trace Context, 3.2).
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ids in a `traceparent`, in lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'v> {
    /// The trace: 32 digits.
    pub trace_id: &'v str,
    /// The span of the client, which is the parent of what happens here: 16 digits.
    pub parent_id: &'v str,
}

/// Reads a `traceparent` (W3C Trace Context, 3.2.2); `None` if it is not well-formed. A later version may have more behind
/// the four fields of the first.
pub fn read(value: &HeaderValue) -> Option<TraceContext<'_>> {
    let value = value.to_str().ok()?;
    let mut fields = value.split('-');
    let (version, trace_id, parent_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let named = |id: &str| id.bytes().any(|byte| byte != b'0');
    let well_formed = hex(version, 2) && hex(trace_id, 32) && hex(parent_id, 16) && hex(flags, 2);
    let first = version == "00" && fields.next().is_some();
    (well_formed && named(trace_id) && named(parent_id) && version != "ff" && !first)
        .then_some(TraceContext { trace_id, parent_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_well_formed_counts() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let value = HeaderValue::from_static(good);
        let context = read(&value).map(|context| (context.trace_id, context.parent_id));
        assert_eq!(context, Some(("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")));
        assert!(
            read(&HeaderValue::from_static("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")).is_some()
        );
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(&HeaderValue::from_static(bad)), None, "{bad}");
        }
    }
}
