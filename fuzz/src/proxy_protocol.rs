//! What must hold for everything that a trusted peer begins with.

use tidegate_base::limits::PROXY_HEADER_BYTES;
use tidegate_base::proxy_protocol::{Parsed, parse};

/// A header is whole with its last byte and not before, wherever the bytes were cut on their way; what is none stays none; and
/// nobody is asked for more than a header may have.
pub fn parsed(input: &[u8]) {
    let last = parse(input);
    let steps = (0..input.len()).map(|end| (end, parse(&input[..end])));
    for (end, step) in steps {
        match (step, last) {
            (Ok(Parsed::More(more)), Ok(Parsed::Whole(_, length))) => {
                assert!(end < length && (1..=length - end).contains(&more), "{more} more behind {end} of {length}");
            }
            (Ok(Parsed::More(more)), Ok(Parsed::More(rest))) => {
                assert!(more >= 1 && end + more <= input.len() + rest, "{more} more behind {end}");
            }
            (Ok(Parsed::More(more)), Err(_)) => assert!(more >= 1),
            (step, last) => assert_eq!(step, last, "more bytes change nothing"),
        }
    }
    match last {
        Ok(Parsed::Whole(_, length)) => assert!(length <= input.len() && length <= PROXY_HEADER_BYTES + 16),
        Ok(Parsed::More(more)) => assert!(input.len() + more <= PROXY_HEADER_BYTES + 16),
        Err(_) => {}
    }
}
