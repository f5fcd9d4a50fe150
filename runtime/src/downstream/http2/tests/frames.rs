//! A client that sends frames of HTTP/2 as it is told (RFC 9113, 4.1), and sees those that come.

use std::time::Duration;

use h2::Reason;
use tidegate_base::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PREFACE, SECOND};
use crate::tests::{ANSWERS, Client, House, run, settle};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// As SETTINGS: the client takes no byte of a body before it says so.
const SHUT: &[u8] = &[0, 4, 0, 0, 0, 0];
/// As SETTINGS: the client takes as much of each body as there is.
const WIDE: &[u8] = &[0, 4, 0x7f, 0xff, 0xff, 0xff];
/// As `limits::STREAM_SEND_BUFFER` has it, an answer of this length has left its request's task when nobody has read it.
const KEPT: usize = 60_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of a request to `a`: GET is 0x82 (RFC 7541, A).
fn fields(method: u8, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    [&[method, 0x86, 0x01, 1, b'a', 0x04, length], path.as_bytes()].concat()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(0x82, path))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &u32::from(Reason::CANCEL).to_be_bytes())
}

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A gateway with an answer at `/big` that is longer than a window.
fn house(listener: &str, length: usize) -> House {
    House::new(
        listener,
        &format!("rule big {{ when path is \"/big\"; respond 200 \"{}\" }} {ANSWERS}", "x".repeat(length)),
    )
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The number at a place of the payload.
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

struct Frames(Client);

impl Frames {
    /// A client that has said hello with these settings, and heard ours, with so much room for what it does not read.
    async fn connect(house: &House, settings: &[u8], room: usize) -> Self {
        let mut frames = Self(house.client_with(room, |_| {}));
        frames.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings), &frame(SETTINGS, ACK, 0, &[])].concat()).await;
        frames
    }

    /// One that has read our hello.
    async fn new(house: &House, settings: &[u8]) -> Self {
        let mut frames = Self::connect(house, settings, 1 << 18).await;
        frames.seen().await;
        frames
    }

    /// Sends bytes, if there is anybody to take them.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.io.write_all(bytes).await;
        settle().await;
    }

    /// The next frame; nothing if none comes.
    async fn next(&mut self) -> Option<Frame> {
        let frame = async {
            let mut head = [0; 9];
            self.0.io.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.io.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
        };
        tokio::time::timeout(Duration::from_millis(1), frame).await.ok().flatten()
    }

    /// The frames that have come.
    async fn seen(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            all.push(frame);
            settle().await;
        }
        all
    }

    /// Sends bytes; the frames that come then.
    async fn ask(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.send(bytes).await;
        self.seen().await
    }
}

/// Streams with the codes with which they were reset.
fn resets(frames: &[Frame]) -> Vec<(u32, Reason)> {
    frames.iter().filter(|frame| frame.kind == RST_STREAM).map(|frame| (frame.stream, frame.number(0).into())).collect()
}

/// The last stream that is served, and the reason, of each GOAWAY.
fn goodbyes(frames: &[Frame]) -> Vec<(u32, Reason)> {
    frames.iter().filter(|frame| frame.kind == GOAWAY).map(|frame| (frame.number(0), frame.number(4).into())).collect()
}

/// The bytes of a stream's body.
fn body(frames: &[Frame], stream: u32) -> usize {
    let of_body = |frame: &&Frame| frame.kind == DATA && frame.stream == stream;
    frames.iter().filter(of_body).map(|frame| frame.payload.len()).sum()
}

/// The first byte of a stream's head, which is its status: 200 is 0x88 (RFC 7541, A).
fn status(frames: &[Frame], stream: u32) -> Option<u8> {
    frames.iter().find(|frame| frame.kind == HEADERS && frame.stream == stream).map(|frame| frame.payload[0])
}

/// Whether a stream has ended well.
fn is_whole(frames: &[Frame], stream: u32) -> bool {
    let ends = |frame: &Frame| matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
    frames.iter().any(|frame| frame.stream == stream && ends(frame))
}

#[test]
fn the_client_is_told_the_limits() {
    run(async {
        let house = House::answering("limits { streams 7; header-bytes 9KiB }");
        let mut client = Frames::connect(&house, &[], 1 << 18).await;
        let frames = client.seen().await;
        let setting = |id: u8| {
            let mut settings = frames[0].payload.chunks(6);
            settings
                .find(|setting| setting[1] == id)
                .map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
        };
        assert_eq!(frames[0].kind, SETTINGS);
        // Streams, the window of one, the bytes of a head, extended CONNECT.
        assert_eq!([3, 4, 6, 8].map(setting), [Some(7), Some(limits::STREAM_WINDOW), Some(9 * 1024), Some(1)]);
        let more = frames.iter().find(|frame| frame.kind == WINDOW_UPDATE).unwrap();
        assert_eq!((more.stream, more.number(0)), (0, limits::CONNECTION_WINDOW - 65_535));
    });
}

#[test]
fn a_stream_too_many_is_refused_and_one_that_ends_makes_room() {
    run(async {
        let house = House::answering("limits { streams 2 }");
        let mut client = Frames::new(&house, SHUT).await;
        let frames = client.ask(&[get(1, "/"), get(3, "/"), get(5, "/")].concat()).await;
        assert_eq!(resets(&frames), [(5, Reason::REFUSED_STREAM)]);
        assert_eq!([1, 3].map(|stream| status(&frames, stream)), [Some(0x88); 2]);
        let frames = client.ask(&[reset(1), get(7, "/")].concat()).await;
        assert_eq!((resets(&frames), status(&frames, 7)), (vec![], Some(0x88)));
        assert!(!client.0.is_over());
    });
}

#[test]
fn no_more_is_sent_than_the_client_takes_and_others_do_not_wait_for_it() {
    run(async {
        let house = house("", 100_000);
        let mut client = Frames::new(&house, SHUT).await;
        let frames = client.ask(&[get(1, "/big"), window(1, 10)].concat()).await;
        assert_eq!((body(&frames, 1), is_whole(&frames, 1)), (10, false));
        assert!(is_whole(&client.ask(&get(3, "/nothing")).await, 3));
        assert_eq!(body(&client.ask(&window(1, 65_535)).await, 1), 65_525, "the connection's window is shared");
        let frames = client.ask(&[window(0, 65_535), window(1, 65_535)].concat()).await;
        assert_eq!((body(&frames, 1), is_whole(&frames, 1)), (34_465, true));
    });
}

#[test]
fn an_answer_that_the_client_does_not_take_in_time_ends_alone() {
    run(async {
        let house = house("request-timeout 2s", 100_000);
        let mut client = Frames::new(&house, SHUT).await;
        client.ask(&[get(1, "/big"), window(1, 10)].concat()).await;
        house.pass(SECOND * 3 / 2).await;
        assert_eq!(body(&client.ask(&window(1, 10)).await, 1), 10, "this puts it off");
        house.pass(SECOND * 3 / 2).await;
        assert_eq!(resets(&client.seen().await), []);
        house.pass(SECOND).await;
        assert_eq!(resets(&client.seen().await), [(1, Reason::CANCEL)]);
        assert!(is_whole(&client.ask(&get(3, "/nothing")).await, 3));
    });
}

#[test]
fn answers_in_a_full_socket_are_not_kept_by_frames_that_come() {
    run(async {
        let house = house("request-timeout 2s; idle-timeout 60s", KEPT);
        let mut client = Frames::connect(&house, WIDE, 4096).await;
        client.send(&[window(0, 1 << 30), get(1, "/big"), get(3, "/big")].concat()).await;
        for _ in 0..3 {
            assert!(!client.0.is_over());
            house.pass(SECOND * 7 / 10).await;
            // What asks for no answer.
            client.send(&frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])).await;
        }
        house.pass(SECOND / 2).await;
        assert!(client.0.is_over() && !house.worker.has_connections());
    });
}

#[test]
fn a_client_that_gives_up_what_has_begun_too_often_is_sent_away() {
    run(async {
        let house = house("", 100_000);
        let mut client = Frames::new(&house, SHUT).await;
        let streams = (1..).step_by(2).take(limits::RESET_REQUESTS as usize);
        for stream in streams {
            client.send(&get(stream, "/big")).await;
            client.send(&reset(stream)).await;
        }
        assert!(goodbyes(&client.seen().await).is_empty() && !client.0.is_over());
        let next = 2 * limits::RESET_REQUESTS + 1;
        client.send(&get(next, "/big")).await;
        assert_eq!(goodbyes(&client.ask(&reset(next)).await), [(next, Reason::ENHANCE_YOUR_CALM)]);
        assert!(client.0.is_over() && !house.worker.has_connections());
    });
}

#[test]
fn a_client_that_takes_other_answers_may_give_up_as_often_as_it_likes() {
    run(async {
        let house = house("", 100_000);
        let mut client = Frames::new(&house, SHUT).await;
        for stream in (1..).step_by(4).take(2 * limits::RESET_REQUESTS as usize) {
            client.send(&get(stream, "/big")).await;
            client.send(&reset(stream)).await;
            assert!(is_whole(&client.ask(&get(stream + 2, "/nothing")).await, stream + 2), "{stream}");
        }
    });
}

#[test]
fn requests_that_are_given_up_before_anybody_saw_them_are_few() {
    for (count, ends) in [(limits::RESET_UNSEEN, false), (limits::RESET_UNSEEN + 1, true)] {
        run(async {
            let house = House::answering("");
            let mut client = Frames::new(&house, &[]).await;
            let all: Vec<_> =
                (1..).step_by(2).take(count).flat_map(|stream| [get(stream, "/"), reset(stream)]).collect();
            let reasons: Vec<_> = goodbyes(&client.ask(&all.concat()).await).iter().map(|goodbye| goodbye.1).collect();
            assert_eq!(reasons.contains(&Reason::ENHANCE_YOUR_CALM), ends, "{count}: {reasons:?}");
            assert_eq!(client.0.is_over(), ends);
        });
    }
}

#[test]
fn mistakes_for_which_streams_are_reset_have_an_end() {
    run(async {
        let house = House::answering("");
        let mut client = Frames::new(&house, &[]).await;
        // A field of HTTP/1 (RFC 9113, 8.2.2).
        let wrong = [&fields(0x82, "/")[..], &[0, 10], b"connection", &[1, b'x']].concat();
        let mut mistakes = 0;
        for stream in (1..).step_by(2).take(limits::RESET_MISTAKES + 2) {
            let frames = client.ask(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &wrong)).await;
            if client.0.is_over() {
                assert_eq!(goodbyes(&frames).last().unwrap().1, Reason::ENHANCE_YOUR_CALM);
                break;
            }
            assert_eq!(resets(&frames), [(stream, Reason::PROTOCOL_ERROR)]);
            mistakes += 1;
        }
        assert!((limits::RESET_MISTAKES / 2..=limits::RESET_MISTAKES).contains(&mistakes), "{mistakes}");
        assert!(house.log().is_empty());
    });
}

#[test]
fn a_head_in_endless_pieces_ends_the_connection() {
    // Of no field, or of many in a byte each: `accept-encoding`.
    for piece in [&[][..], &[0x90; 1000]] {
        run(async {
            let house = House::answering("limits { header-bytes 16KiB }");
            let mut client = Frames::new(&house, &[]).await;
            client.send(&frame(HEADERS, END_STREAM, 1, &fields(0x82, "/"))).await;
            let mut pieces = 0;
            while !client.0.is_over() {
                client.send(&frame(CONTINUATION, 0, 1, piece)).await;
                pieces += 1;
                assert!(pieces < 100, "of {} bytes", piece.len());
            }
            assert_eq!(goodbyes(&client.seen().await).last().unwrap().1, Reason::ENHANCE_YOUR_CALM);
        });
    }
}

#[test]
fn pings_are_answered_and_do_not_hold_a_connection_without_requests() {
    run(async {
        let house = House::answering("idle-timeout 5s; request-timeout 60s");
        let mut client = Frames::new(&house, &[]).await;
        for at in 0..5 {
            let frames = client.ask(&frame(PING, 0, 0, &[at; 8])).await;
            let pong = Frame { kind: PING, flags: ACK, stream: 0, payload: vec![at; 8] };
            assert_eq!(frames, [pong]);
            house.pass(SECOND).await;
        }
        house.pass(SECOND / 5).await;
        assert_eq!(goodbyes(&client.seen().await), [(0, Reason::NO_ERROR)]);
        assert!(client.0.is_over());
    });
}

#[test]
fn a_client_that_does_not_read_what_it_asks_for_is_read_no_more() {
    for one in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])] {
        run(async {
            let house = House::answering("idle-timeout 5s; request-timeout 60s");
            let mut client = Frames::connect(&house, &[], 4096).await;
            let flood = one.repeat(100);
            let mut taken = 0;
            let blocked = async {
                loop {
                    client.0.io.write_all(&flood).await.unwrap();
                    taken += 100;
                    assert!(taken < 20_000, "so many answers are kept");
                }
            };
            assert!(tokio::time::timeout(SECOND, blocked).await.is_err());
            // As many come as were taken, once they are read.
            let acks = client.seen().await.iter().filter(|frame| frame.flags & ACK != 0).count();
            assert!(acks >= taken, "{acks} of {taken}");
            assert!(!client.0.is_over());
        });
    }
}

#[test]
fn a_request_that_the_goodbye_crosses_is_served_and_what_has_begun_ends() {
    run(async {
        let house = house("", 100);
        let mut client = Frames::new(&house, SHUT).await;
        client.ask(&get(1, "/big")).await;
        house.worker.each_connection(|connection| connection.finish());
        settle().await;
        let frames = client.seen().await;
        assert_eq!(goodbyes(&frames), [((1 << 31) - 1, Reason::NO_ERROR)], "RFC 9113, 6.8");
        let ping = frames.iter().find(|frame| frame.kind == PING).unwrap();
        // The client had begun another one before it heard that.
        let frames = client.ask(&[get(3, "/nothing"), frame(PING, ACK, 0, &ping.payload)].concat()).await;
        assert!(is_whole(&frames, 3));
        assert_eq!(goodbyes(&frames), [(3, Reason::NO_ERROR)]);
        assert!(!client.0.is_over(), "an answer is under way");
        let frames = client.ask(&window(1, 100)).await;
        assert_eq!((body(&frames, 1), is_whole(&frames, 1)), (100, true));
        assert!(client.0.is_over() && !house.worker.has_connections());
    });
}

#[test]
fn a_request_that_arrives_with_the_drain_is_served() {
    run(async {
        let house = House::answering("");
        let mut client = Frames(house.client());
        settle().await;
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(1, "/nothing")].concat();
        client.0.io.write_all(&hello).await.unwrap();
        house.worker.each_connection(|connection| connection.finish());
        assert!(is_whole(&client.seen().await, 1));
    });
}

#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    for expect in [false, true] {
        run(async {
            let house = House::answering("");
            let mut client = Frames::new(&house, &[]).await;
            let mut head = fields(0x83, "/");
            if expect {
                head.extend_from_slice(&[&[0x0f, 0x14, 12][..], b"100-continue"].concat());
            }
            let frames = client.ask(&frame(HEADERS, END_HEADERS, 1, &head)).await;
            let heads = frames.iter().filter(|frame| frame.kind == HEADERS).count();
            assert_eq!((heads, status(&frames, 1)), (1, Some(0x88)), "nobody tells it to go on");
            assert!(is_whole(&frames, 1));
            assert_eq!(resets(&frames), [(1, Reason::NO_ERROR)], "RFC 9113, 8.1");
            // It may have sent some meanwhile.
            let frames = client.ask(&[frame(DATA, END_STREAM, 1, b"late"), get(3, "/")].concat()).await;
            assert_eq!((goodbyes(&frames), status(&frames, 3)), (vec![], Some(0x88)));
        });
    }
}

#[test]
fn a_connection_that_ends_takes_its_requests_along() {
    for last in [Some(frame(PING, 0, 1, &[0; 8])), Some(frame(GOAWAY, 0, 0, &[0; 8])), None] {
        run(async {
            let house = house("", 100_000);
            let mut client = Frames::new(&house, SHUT).await;
            client.ask(&[get(1, "/big"), get(3, "/big")].concat()).await;
            let orderly = last.as_ref().is_some_and(|last| last[3] == GOAWAY);
            match last {
                Some(last) => client.send(&last).await,
                None => client.0.end().await,
            }
            if orderly {
                assert!(!client.0.is_over(), "the client will open no more, and waits for its answers");
                client.send(&[reset(1), reset(3)].concat()).await;
            }
            settle().await;
            assert!(client.0.is_over() && !house.worker.has_connections());
        });
    }
}
