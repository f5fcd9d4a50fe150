//! The cases of Autobahn's test suite for WebSocket servers, groups 1 to 7, 9 and 10, by its numbers.

use tidegate_tests::websocket::{Talk, close, frame};

/// A step of a client.
enum Step {
    /// Sends these bytes, so many at a time.
    Send(Vec<u8>, usize),
    /// Reads so many frames.
    Read(usize),
}

/// A case: what the client does before it says goodbye.
pub(crate) struct Case {
    /// Autobahn's number.
    pub(crate) name: String,
    steps: Vec<Step>,
}

impl Case {
    /// Every frame that the server sends, to the end of the connection.
    pub(crate) fn run(&self, mut talk: Talk) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        for step in &self.steps {
            match step {
                Step::Send(bytes, at_once) => {
                    // The server may have ended it already, which is what the case is about.
                    let _ = bytes.chunks(*at_once).all(|piece| talk.send(piece));
                }
                Step::Read(count) => frames.extend((0..*count).map_while(|_| talk.receive())),
            }
        }
        talk.send(&close(1000, b""));
        frames.extend(std::iter::from_fn(|| talk.receive()));
        frames
    }
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = Cases::default();
    framing(&mut all);
    pings(&mut all);
    reserved(&mut all);
    fragments(&mut all);
    utf8(&mut all);
    closing(&mut all);
    sizes(&mut all);
    all.0
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    /// Frames that are sent as they are, together.
    fn send(&mut self, name: impl Into<String>, frames: &[Vec<u8>]) {
        self.chopped(name, frames, usize::MAX);
    }

    /// Frames that are sent so many bytes at a time.
    fn chopped(&mut self, name: impl Into<String>, frames: &[Vec<u8>], at_once: usize) {
        self.0.push(Case { name: name.into(), steps: vec![Step::Send(frames.concat(), at_once)] });
    }

    fn steps(&mut self, name: impl Into<String>, steps: Vec<Step>) {
        self.0.push(Case { name: name.into(), steps });
    }
}

fn whole(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | opcode, payload.as_ref())
}

fn part(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(opcode, payload.as_ref())
}

fn framing(all: &mut Cases) {
    for (group, opcode, byte) in [("1.1", TEXT, b'*'), ("1.2", BINARY, 0xfe)] {
        for (number, size) in [0, 125, 126, 127, 128, 65535, 65536].into_iter().enumerate() {
            all.send(format!("{group}.{}", number + 1), &[whole(opcode, vec![byte; size])]);
        }
        all.chopped(format!("{group}.8"), &[whole(opcode, vec![byte; 65536])], 997);
    }
}

fn pings(all: &mut Cases) {
    all.send("2.1", &[whole(PING, "")]);
    all.send("2.2", &[whole(PING, "Hello, world!")]);
    all.send("2.3", &[whole(PING, [0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff])]);
    all.send("2.4", &[whole(PING, [0xfe; 125])]);
    all.send("2.5", &[whole(PING, [0xfe; 126])]);
    all.chopped("2.6", &[whole(PING, [0xfe; 125])], 1);
    all.send("2.7", &[whole(PONG, "")]);
    all.send("2.8", &[whole(PONG, "unsolicited pong payload")]);
    all.send("2.9", &[whole(PONG, "unsolicited pong payload"), whole(PING, "ping payload")]);
    let ten: Vec<_> = (0..10).map(|number| whole(PING, format!("payload-{number}"))).collect();
    let one_by_one = ten.iter().flat_map(|ping| [Step::Send(ping.clone(), usize::MAX), Step::Read(1)]).collect();
    all.steps("2.10", one_by_one);
    let chopped = ten.iter().flat_map(|ping| [Step::Send(ping.clone(), 1), Step::Read(1)]).collect();
    all.steps("2.11", chopped);
}

fn reserved(all: &mut Cases) {
    let hello = || whole(TEXT, "Hello, world!");
    let rsv = |bits: u8, opcode: u8, payload: &str| frame(FIN | bits << 4 | opcode, payload.as_bytes());
    all.send("3.1", &[rsv(1, TEXT, "Hello, world!")]);
    all.send("3.2", &[hello(), rsv(2, TEXT, "Hello, world!"), whole(PING, "")]);
    all.chopped("3.3", &[hello(), rsv(3, TEXT, "Hello, world!"), whole(PING, "")], 997);
    all.chopped("3.4", &[hello(), rsv(4, TEXT, "Hello, world!"), whole(PING, "")], 1);
    all.send("3.5", &[rsv(5, BINARY, "\u{0}\u{1}")]);
    all.send("3.6", &[rsv(6, PING, "Hello, world!")]);
    all.send("3.7", &[rsv(7, CLOSE, "")]);
    for (group, opcodes) in [("4.1", 3..=7), ("4.2", 11..=15)] {
        for (number, opcode) in (1..).zip(opcodes) {
            let mut frames = vec![whole(opcode, if number % 2 == 0 { "reserved opcode payload" } else { "" })];
            if number > 2 {
                frames.insert(0, hello());
                frames.push(whole(PING, ""));
            }
            all.chopped(format!("{group}.{number}"), &frames, if number == 5 { 1 } else { usize::MAX });
        }
    }
}

fn fragments(all: &mut Cases) {
    all.send("5.1", &[part(PING, "fragment1"), whole(0, "fragment2")]);
    all.send("5.2", &[part(PONG, "fragment1"), whole(0, "fragment2")]);
    let two = [part(TEXT, "fragment1"), whole(0, "fragment2")];
    let with_ping = [part(TEXT, "fragment1"), whole(PING, "ping payload"), whole(0, "fragment2")];
    for (number, frames, at_once) in [
        (3, &two[..], usize::MAX),
        (4, &two, 997),
        (5, &two, 1),
        (6, &with_ping, usize::MAX),
        (7, &with_ping, 997),
        (8, &with_ping, 1),
    ] {
        all.chopped(format!("5.{number}"), frames, at_once);
    }
    for (number, last) in [(9, FIN), (12, 0)] {
        let frames = [frame(last, b"non-continuation payload"), whole(TEXT, "Hello, world!")];
        all.send(format!("5.{number}"), &frames);
        all.chopped(format!("5.{}", number + 1), &frames, 997);
        all.chopped(format!("5.{}", number + 2), &frames, 1);
    }
    all.send("5.15", &[part(TEXT, "fragment1"), whole(0, "fragment2"), part(0, "fragment3"), whole(TEXT, "fragment4")]);
    for (number, opcode) in [(16, 0), (17, FIN)] {
        let again = [frame(opcode, b"fragment1"), part(TEXT, "fragment2"), whole(0, "fragment3")];
        all.send(format!("5.{number}"), &[&again[..], &again].concat());
    }
    all.send("5.18", &[part(TEXT, "fragment1"), whole(TEXT, "fragment2")]);
    let first = [part(TEXT, "fragment1"), part(0, "fragment2"), whole(PING, "pongme 1!")];
    let second = [part(0, "fragment3"), part(0, "fragment4"), whole(PING, "pongme 2!"), whole(0, "fragment5")];
    all.steps(
        "5.19",
        vec![Step::Send(first.concat(), usize::MAX), Step::Read(1), Step::Send(second.concat(), usize::MAX)],
    );
    all.steps("5.20", vec![Step::Send(first.concat(), 1), Step::Read(1), Step::Send(second.concat(), 1)]);
}

fn utf8(all: &mut Cases) {
    all.send("6.1.1", &[whole(TEXT, "")]);
    all.send("6.1.2", &[part(TEXT, ""), part(0, ""), whole(0, "")]);
    all.send("6.1.3", &[part(TEXT, ""), part(0, "middle frame payload"), whole(0, "")]);
    let text = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!".as_bytes();
    all.send("6.2.1", &[whole(TEXT, text)]);
    all.send("6.2.2", &[part(TEXT, &text[..12]), whole(0, &text[12..])]);
    let pieces = |text: &[u8]| {
        let mut frames: Vec<_> =
            text.iter().enumerate().map(|(at, byte)| frame(if at == 0 { TEXT } else { 0 }, &[*byte])).collect();
        frames.push(whole(0, ""));
        frames
    };
    all.send("6.2.3", &pieces(text));
    let greek = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes();
    all.send("6.2.4", &pieces(greek));
    let broken = [greek, b"\xed\xa0\x80edited"].concat();
    all.send("6.3.1", &[whole(TEXT, &broken)]);
    all.send("6.3.2", &pieces(&broken));
    let over = [greek, b"\xf4\x90\x80\x80"].concat();
    all.send("6.4.1", &[part(TEXT, greek), part(0, b"\xf4\x90\x80\x80"), whole(0, "edited")]);
    all.send("6.4.2", &[part(TEXT, [greek, b"\xf4"].concat()), part(0, b"\x90"), whole(0, "")]);
    all.chopped("6.4.3", &[whole(TEXT, &over)], 11);
    all.chopped("6.4.4", &[whole(TEXT, &over)], 1);
    for (number, length) in (1..=5).zip([2, 4, 6, 8, 11]) {
        all.send(format!("6.5.{number}"), &[whole(TEXT, &greek[..length.min(greek.len())])]);
    }
    for length in 1..=greek.len() {
        all.send(format!("6.6.{length}"), &[whole(TEXT, &greek[..length])]);
    }
    // By group: the first and last of each length, impossible bytes, lonely continuations, sequences that are cut,
    // overlong ones, surrogates, and what is no character.
    let groups: [(u8, &[&[u8]]); 17] = [
        (7, &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        (8, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        (9, &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        (10, &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        (11, &[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"]),
        (12, &[b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80"]),
        (13, &[b"\xc0 \xc1 \xc2 ", b"\xe0 \xe1 ", b"\xf0 \xf1 ", b"\xf8 \xf9 ", b"\xfc "]),
        (
            14,
            &[
                b"\xc0",
                b"\xe0\x80",
                b"\xf0\x80\x80",
                b"\xf8\x80\x80\x80",
                b"\xfc\x80\x80\x80\x80",
                b"\xdf",
                b"\xef\xbf",
                b"\xf7\xbf\xbf",
            ],
        ),
        (15, &[b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf"]),
        (16, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        (
            17,
            &[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"],
        ),
        (
            18,
            &[b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"],
        ),
        (
            19,
            &[b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"],
        ),
        (
            20,
            &[
                b"\xed\xa0\x80",
                b"\xed\xad\xbf",
                b"\xed\xae\x80",
                b"\xed\xaf\xbf",
                b"\xed\xb0\x80",
                b"\xed\xbe\x80",
                b"\xed\xbf\xbf",
            ],
        ),
        (
            21,
            &[
                b"\xed\xa0\x80\xed\xb0\x80",
                b"\xed\xa0\x80\xed\xbf\xbf",
                b"\xed\xad\xbf\xed\xb0\x80",
                b"\xed\xad\xbf\xed\xbf\xbf",
                b"\xed\xae\x80\xed\xb0\x80",
                b"\xed\xae\x80\xed\xbf\xbf",
                b"\xed\xaf\xbf\xed\xb0\x80",
                b"\xed\xaf\xbf\xed\xbf\xbf",
            ],
        ),
        (
            22,
            &[
                b"\xef\xbf\xbe",
                b"\xef\xbf\xbf",
                b"\xf0\x9f\xbf\xbe",
                b"\xf0\x9f\xbf\xbf",
                b"\xf1\xaf\xbf\xbe",
                b"\xf4\x8f\xbf\xbe",
                b"\xf4\x8f\xbf\xbf",
            ],
        ),
        (
            23,
            &[
                b"\xef\xbf\xb9",
                b"\xef\xbf\xba",
                b"\xef\xbf\xbb",
                b"\xef\xbf\xbc",
                b"\xef\xbf\xbd",
                b"\xef\xbf\xbe",
                b"\xef\xbf\xbf",
            ],
        ),
    ];
    for (group, texts) in groups {
        for (number, text) in (1..).zip(texts) {
            all.send(format!("6.{group}.{number}"), &[whole(TEXT, text)]);
        }
    }
}

fn closing(all: &mut Cases) {
    let bye = || close(1000, b"");
    all.send("7.1.1", &[whole(TEXT, "Hello World!"), bye()]);
    all.send("7.1.2", &[bye(), bye()]);
    all.send("7.1.3", &[bye(), whole(PING, "")]);
    all.send("7.1.4", &[bye(), whole(TEXT, "Hello World!")]);
    all.send("7.1.5", &[part(TEXT, "fragment1"), bye(), whole(0, "fragment2")]);
    all.send("7.1.6", &[whole(TEXT, vec![b'B'; 256 * 1024]), whole(TEXT, "Hello World!"), bye(), whole(PING, "")]);
    all.send("7.3.1", &[whole(CLOSE, "")]);
    all.send("7.3.2", &[whole(CLOSE, "a")]);
    all.send("7.3.3", &[bye()]);
    all.send("7.3.4", &[close(1000, b"Hello World!")]);
    all.send("7.3.5", &[close(1000, &[b'*'; 123])]);
    all.send("7.3.6", &[close(1000, &[b'*'; 124])]);
    all.send("7.5.1", &[close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")]);
    for (number, code) in (1..).zip([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
        all.send(format!("7.7.{number}"), &[close(code, b"")]);
    }
    for (number, code) in (1..).zip([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]) {
        all.send(format!("7.9.{number}"), &[close(code, b"")]);
    }
    for (number, code) in (1..).zip([5000, 65535]) {
        all.send(format!("7.13.{number}"), &[close(code, b"")]);
    }
}

fn sizes(all: &mut Cases) {
    const KIB: usize = 1024;
    for (group, opcode) in [(1, TEXT), (2, BINARY)] {
        for (number, size) in (1..).zip([64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB]) {
            all.send(format!("9.{group}.{number}"), &[whole(opcode, vec![b'*'; size])]);
        }
    }
    for (group, opcode) in [(3, TEXT), (4, BINARY)] {
        for (number, size) in (1..).zip([64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB]) {
            let count = 1024 * KIB / size;
            let frames: Vec<_> = (0..count)
                .map(|at| {
                    frame(if at == 0 { opcode } else { 0 } | if at + 1 == count { FIN } else { 0 }, &vec![b'*'; size])
                })
                .collect();
            all.send(format!("9.{group}.{number}"), &frames);
        }
    }
    for (group, opcode) in [(5, TEXT), (6, BINARY)] {
        for (number, at_once) in (1..).zip([64, 128, 256, 512, KIB, 2 * KIB]) {
            all.chopped(format!("9.{group}.{number}"), &[whole(opcode, vec![b'*'; 256 * KIB])], at_once);
        }
    }
    for (group, opcode) in [(7, TEXT), (8, BINARY)] {
        for (number, size) in (1..).zip([0, 16, 64, 256, KIB, 4 * KIB]) {
            let message = whole(opcode, vec![b'*'; size]);
            let steps = (0..100).flat_map(|_| [Step::Send(message.clone(), usize::MAX), Step::Read(1)]).collect();
            all.steps(format!("9.{group}.{number}"), steps);
        }
    }
    let pieces: Vec<_> = vec![b'*'; 64 * KIB].chunks(1300).map(<[u8]>::to_vec).collect();
    let last = pieces.len() - 1;
    let frames: Vec<_> = (0..)
        .zip(&pieces)
        .map(|(at, piece)| frame(if at == 0 { TEXT } else { 0 } | if at == last { FIN } else { 0 }, piece))
        .collect();
    all.send("10.1.1", &frames);
}
