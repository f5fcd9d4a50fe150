//! Calls of imports with whatever numbers chance gives, past every check of the SDK.
#![allow(unsafe_code, reason = "the imports are declared by hand; what they get is memory of the guest's own sandbox")]

use tidegate_guest::Request;

/// There is no host to call but in Wasm.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn calls(_: &mut Request) {}

/// As many calls as `x-rounds` says, from the seed `x-seed`.
#[cfg(target_arch = "wasm32")]
pub(crate) fn calls(request: &mut Request) {
    let number = |name| request.header(name).and_then(|value| value.to_text().parse().ok()).unwrap_or(1_u64);
    let mut random = Random(number("x-seed") | 1);
    for _ in 0..number("x-rounds") {
        random.call();
    }
}

#[cfg(target_arch = "wasm32")]
struct Random(u64);

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "tidegate:extension/read-request@0.1.0")]
    unsafe extern "C" {
        #[link_name = "get"]
        pub(super) fn get(at: u32, length: u32, to: u32);
        #[link_name = "all"]
        pub(super) fn all(to: u32);
    }
    #[link(wasm_import_module = "tidegate:extension/write-request-headers@0.1.0")]
    unsafe extern "C" {
        #[link_name = "set"]
        pub(super) fn set(name: u32, length: u32, value: u32, value_length: u32);
    }
    #[link(wasm_import_module = "tidegate:extension/log@0.1.0")]
    unsafe extern "C" {
        #[link_name = "write"]
        pub(super) fn write(level: u32, at: u32, length: u32);
    }
    #[link(wasm_import_module = "tidegate:extension/store@0.1.0")]
    unsafe extern "C" {
        #[link_name = "incr"]
        pub(super) fn incr(key: u32, length: u32, by: u64, ttl: u32, to: u32);
        #[link_name = "set"]
        pub(super) fn store(key: u32, length: u32, value: u32, value_length: u32, ttl: u32) -> u32;
    }
    #[link(wasm_import_module = "tidegate:extension/metrics@0.1.0")]
    unsafe extern "C" {
        #[link_name = "define"]
        pub(super) fn define(name: u32, length: u32, kind: u32) -> u32;
    }
}

#[cfg(target_arch = "wasm32")]
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    /// An address or a length: small, at an edge of the memory, or anything.
    fn number(&mut self) -> u32 {
        let memory = (core::arch::wasm32::memory_size(0) as u32).wrapping_mul(65_536);
        let near = (self.next() % 16) as u32;
        match self.next() % 8 {
            0 => near,
            1 => memory.wrapping_sub(near),
            2 => memory.wrapping_add(near),
            3 => u32::MAX - near,
            4 => i32::MAX as u32 + near,
            5 => (self.next() as u32) % memory,
            _ => self.next() as u32,
        }
    }

    fn call(&mut self) {
        let (a, b, c, d, e) = (self.number(), self.number(), self.number(), self.number(), self.number());
        // SAFETY: the host writes into this guest's own memory at the worst, which is what the test is for: whatever the guest
        // then does is its own affair.
        unsafe {
            match self.next() % 7 {
                0 => imports::get(a, b, c),
                1 => imports::all(a),
                2 => imports::set(a, b, c, d),
                3 => imports::write(a % 5, b, c),
                4 => imports::incr(a, b, self.next(), c, d),
                5 => _ = imports::store(a, b, c, d, e),
                _ => _ = imports::define(a, b, c % 4),
            }
        }
    }
}
