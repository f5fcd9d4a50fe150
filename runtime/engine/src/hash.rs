//! A hash that stays: the same on every machine, in every version, after every start. Cookies and the choice of servers hang
//! on it.
//!
//! FNV-1a, and the last steps of `SplitMix64` to spread what it gives over all bits. It keeps nobody from choosing keys that
//! meet: what hangs on it may only be balance, never safety.

/// The hash of bytes.
pub fn of_bytes(bytes: &[u8]) -> u64 {
    mixed(fnv(OFFSET, bytes))
}

/// The hash of several names, told apart from the same letters in other names.
pub(crate) fn of_names<const N: usize>(names: [&str; N]) -> u64 {
    mixed(names.iter().fold(OFFSET, |hash, name| fnv(fnv(hash, name.as_bytes()), &[0])))
}

/// The hash of two hashes together.
pub fn both(a: u64, b: u64) -> u64 {
    mixed(a.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_what_it_is() {
        // Written down, so that no change of this file moves clients to other servers unnoticed.
        assert_eq!(of_bytes(b"a"), 0x02c0_bdbf_4814_20f8);
        assert_ne!(of_names(["a", "bc"]), of_names(["ab", "c"]));
        assert_ne!(both(1, 2), both(2, 1));
    }
}
