//! Bodies that are compressed on their way, piece by piece.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::write::GzEncoder;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_base::room::Room;
use tidegate_base::room::Share;

use crate::request::body_filter::BodyFilter;
use crate::request::compression::Coding;

/// The encoder for a body of this length, if the length is known; `None` if there is no room for an encoder.
pub(super) fn new(coding: Coding, known: Option<u64>, room: &Room) -> Option<Box<dyn BodyFilter>> {
    Some(match coding {
        Coding::Br => {
            let share = room.take(limits::BROTLI_BYTES)?;
            let writer = CompressorWriter::with_params(Vec::new(), limits::BROTLI_BUFFER, &settings(known));
            Box::new(Encoder::new(writer, known, share))
        }
        Coding::Gzip => {
            let share = room.take(limits::GZIP_BYTES)?;
            let writer = GzEncoder::new(Vec::new(), flate2::Compression::new(limits::GZIP_LEVEL));
            Box::new(Encoder::new(writer, known, share))
        }
    })
}

/// The settings of Brotli for a body of this length.
fn settings(known: Option<u64>) -> BrotliEncoderParams {
    let window = match known {
        // A window of 2 to the power of n holds 16 bytes less than that (RFC 7932, 9.1).
        Some(length) => (limits::BROTLI_LEAST_WINDOW..limits::BROTLI_WINDOW)
            .find(|window| (1_u64 << window) - 16 >= length)
            .unwrap_or(limits::BROTLI_WINDOW),
        None => limits::BROTLI_STREAM_WINDOW,
    };
    BrotliEncoderParams {
        quality: i32::try_from(limits::BROTLI_QUALITY).unwrap_or_default(),
        lgwin: i32::try_from(window).unwrap_or_default(),
        // From a megabyte on, the encoder would take four for its table.
        size_hint: limits::ENCODER_BLOCK,
        ..BrotliEncoderParams::default()
    }
}

/// Looks at a body that nobody reads: the answer to `HEAD`, whose length is that of no body.
pub(super) struct AsItIs;

impl BodyFilter for AsItIs {
    fn piece(&mut self, data: Bytes, _: bool) -> Result<Bytes, Failure> {
        Ok(data)
    }
}

/// Compresses a body piece by piece.
struct Encoder<W> {
    /// `None` after the end. The memory that it may take is given back with it.
    writer: Option<(W, Share)>,
    /// Each piece leaves as it comes: a body whose length nobody knows may be an event stream.
    flush: bool,
    /// Bytes that were taken since something left.
    taken: usize,
}

/// Writes into memory what it makes of what is written to it.
trait Writer: Write {
    fn made(&mut self) -> &mut Vec<u8>;
    fn end(self) -> io::Result<Vec<u8>>;
}

impl Writer for GzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

impl Writer for CompressorWriter<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

impl<W: Writer> Encoder<W> {
    const fn new(writer: W, known: Option<u64>, share: Share) -> Self {
        Self { writer: Some((writer, share)), flush: known.is_none(), taken: 0 }
    }

    fn code(&mut self, data: &[u8], last: bool) -> io::Result<Vec<u8>> {
        let Some((mut writer, share)) = self.writer.take() else { return Ok(Vec::new()) };
        for block in data.chunks(limits::ENCODER_BLOCK) {
            writer.write_all(block)?;
            self.taken += block.len();
            if self.taken >= limits::ENCODER_BLOCK && !last {
                writer.flush()?;
                self.taken = 0;
            }
        }
        if last {
            return writer.end();
        }
        if self.flush && self.taken > 0 {
            writer.flush()?;
            self.taken = 0;
        }
        let made = std::mem::take(writer.made());
        self.writer = Some((writer, share));
        Ok(made)
    }
}

impl<W: Writer> BodyFilter for Encoder<W> {
    fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
        // Memory takes every byte: this cannot fail.
        self.code(&data, last).map(Bytes::from).map_err(|_| Failure::Extension)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        match coding {
            Coding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut decoded).unwrap(),
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut decoded).unwrap(),
        };
        decoded
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for (coding, known) in
            [(Coding::Br, None), (Coding::Br, Some(800_000)), (Coding::Gzip, None), (Coding::Gzip, Some(800_000))]
        {
            let mut encoder = new(coding, known, &Room::new(limits::ENCODERS_BYTES)).unwrap();
            let mut coded = Vec::new();
            for piece in text.chunks(70_000) {
                let out = encoder.piece(Bytes::copy_from_slice(piece), false).unwrap();
                let may_gather = known.is_some() && piece.len() < limits::ENCODER_BLOCK;
                assert!(may_gather || !out.is_empty(), "{coding:?}: it holds no more than a block");
                coded.extend(out);
            }
            coded.extend(encoder.piece(Bytes::new(), true).unwrap());
            assert!(decoded(coding, &coded) == text, "{coding:?} {known:?}");
            assert!(coded.len() < text.len() / 2, "{coding:?} {known:?} {}", coded.len());
        }
    }

    #[test]
    fn the_window_fits_the_body() {
        for (known, window) in [
            (Some(1025), 11),
            (Some(2032), 11),
            (Some(2033), 12),
            (Some(1 << 20), 17),
            (Some(u64::MAX), 17),
            (None, 16),
        ] {
            assert_eq!(settings(known).lgwin, window, "{known:?}");
        }
    }

    #[test]
    fn an_encoder_has_its_room_until_the_end_of_its_body() {
        let room = Room::new(2 * limits::BROTLI_BYTES);
        let mut first = new(Coding::Br, None, &room).unwrap();
        let second = new(Coding::Br, None, &room).unwrap();
        assert!(new(Coding::Br, None, &room).is_none());
        first.piece(Bytes::from_static(b"a"), false).unwrap();
        assert!(new(Coding::Br, None, &room).is_none());
        first.piece(Bytes::new(), true).unwrap();
        let third = new(Coding::Br, None, &room);
        assert!(third.is_some(), "the first has ended");
        assert!(new(Coding::Br, None, &room).is_none());
        drop(second);
        assert!(new(Coding::Br, None, &room).is_some(), "the second was given up");
    }
}
