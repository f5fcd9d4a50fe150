//! Whole lines for a target that may fail in the middle of one.

use std::io::{self, ErrorKind};

/// The end of a line whose beginning was written. It goes first as soon as there is room again, so that no line is cut.
#[derive(Debug, Default)]
pub struct Carry(Vec<u8>);

impl Carry {
    /// Writes lines; each ends with a line feed.
    ///
    /// # Errors
    /// The target's reason, and how many lines are lost.
    pub fn write(
        &mut self,
        lines: &[u8],
        mut to: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(), (io::Error, u64)> {
        let (written, failed) = fill(&self.0, &mut to);
        self.0.drain(..written);
        if let Some(error) = failed {
            return Err((error, count(lines)));
        }
        let (written, failed) = fill(lines, &mut to);
        let Some(error) = failed else { return Ok(()) };
        let (before, mut left) = lines.split_at(written);
        if !before.is_empty() && !before.ends_with(b"\n") {
            let end = left.iter().position(|byte| *byte == b'\n').map_or(left.len(), |at| at + 1);
            let (rest, lost) = left.split_at(end);
            self.0 = rest.to_vec();
            left = lost;
        }
        Err((error, count(left)))
    }

    /// Whether a line is cut.
    pub fn is_waiting(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Lines in a text.
pub fn count(lines: &[u8]) -> u64 {
    u64::try_from(lines.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Writes as many bytes as the target takes: their number, and why it is not all.
fn fill(bytes: &[u8], to: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while let Some(left) = bytes.get(written..).filter(|left| !left.is_empty()) {
        match to(left) {
            Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A disk with so many bytes of room.
    struct Disk {
        held: Vec<u8>,
        room: usize,
    }

    impl Disk {
        fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (self.room - self.held.len()).min(bytes.len());
            self.held.extend(bytes.get(..room).unwrap_or_default());
            if room == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(room) }
        }
    }

    #[test]
    fn no_line_is_cut_wherever_the_room_ends() {
        let lines = b"one\ntwo\nthree\n";
        for room in 0..=lines.len() {
            let (mut carry, mut disk) = (Carry::default(), Disk { held: Vec::new(), room });
            let lost = carry.write(lines, |bytes| disk.take(bytes)).err().map_or(0, |(_, lost)| lost);
            let more = carry.write(b"four\n", |bytes| disk.take(bytes)).err().map_or(0, |(_, lost)| lost);
            disk.room = 100;
            carry.write(b"five\n", |bytes| disk.take(bytes)).unwrap();
            let held = String::from_utf8(disk.held).unwrap();
            assert!(held.lines().all(|line| ["one", "two", "three", "four", "five"].contains(&line)), "{room}: {held}");
            assert!(held.ends_with("\nfive\n") || held == "five\n", "{room}: {held}");
            assert_eq!(count(held.as_bytes()) + lost + more, 5, "{room}: {held}");
            assert!(!carry.is_waiting());
        }
    }
}
