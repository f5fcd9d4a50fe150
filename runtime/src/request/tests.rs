//! What the tests of several steps of a request need.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

pub(super) mod guest;

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::Request;
use tidegate_dsl::plan::ListenerId;
use tidegate_engine::exchange::Exchange;

use crate::request::context::RequestContext;
use crate::request::handler::{Facts, RequestHandler};
use crate::request::log_record::LogRecord;
use crate::request::state::StreamState;
use crate::request::tests::guest::{Act, filter};
use crate::request::worker_snapshot::WorkerSnapshot;
use crate::telemetry::tap::Chosen;
use crate::tests::{House, forwarding};

/// A request under way, on a listener that logs or does not.
pub(super) fn context(stream: &Rc<StreamState>, logs: bool) -> Box<RequestContext> {
    let view = stream.worker().view();
    let exchange = Box::new(Exchange::blank());
    let walk = view.snapshot.engine.start(ListenerId(0));
    let record = LogRecord::new(Instant::now(), view, (logs, Chosen::default()), &exchange);
    RequestContext::new(exchange, walk, record, stream)
}

/// A body that arrives over HTTP/2, and whoever sends it.
pub(super) async fn body() -> (SendStream<Bytes>, RecvStream) {
    let (client, server) = tokio::io::duplex(1 << 20);
    let accepted = tokio::task::spawn_local(async {
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        tokio::task::spawn_local(async move {
            // The request may be answered as long as the connection is there.
            let _respond = respond;
            while connection.accept().await.is_some() {}
        });
        request.into_body()
    });
    let (sender, connection) = h2::client::handshake(client).await.unwrap();
    tokio::task::spawn_local(connection);
    let request = Request::post("http://a/").body(()).unwrap();
    let (_, stream) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    (stream, accepted.await.unwrap())
}

/// What serves a request on a stream.
pub(super) fn handler<'c>(view: &'c Rc<WorkerSnapshot>, state: &'c Rc<StreamState>) -> RequestHandler<'c> {
    let listener = &view.snapshot.plan().listeners[0];
    RequestHandler { facts: Facts::default(), view, listener, id: ListenerId(0), state }
}

/// The callbacks of a guest, and what it does in them.
pub(super) type Callbacks<'a> = &'a [(&'a str, &'a [Act])];

/// A house whose rule runs these guests, `a`, `b` and so on, each with these words, and then does this. The group `web` has the
/// server at port 1, and the listener compresses.
pub(super) fn guarded(words: &str, guests: &[Callbacks<'_>], then: &str) -> House {
    guarded_as(words, ("compression [gzip]", ""), guests, then)
}

/// A house whose listener has these words, and whose rule runs these guests and answers. `top` is more of the policy.
pub(super) fn guarded_by(listener: &str, top: &str, guests: &[Callbacks<'_>]) -> House {
    guarded_as("", (listener, top), guests, "respond 200")
}

fn guarded_as(words: &str, (listener, top): (&str, &str), guests: &[Callbacks<'_>], then: &str) -> House {
    let names: Vec<_> = ('a'..).take(guests.len()).collect();
    let run: String = names.iter().map(|name| format!("run {name}; ")).collect();
    let mut policy = forwarding("server 127.0.0.1:1", listener, &format!("otherwise {{ {run} {then} }}")) + top;
    for name in &names {
        policy += &format!(
            "extension {name} {{ module \"{name}.wasm\"; abi proxy-wasm; limits {{ time 1s }}; {words}; allow [read-request, \
             write-request-headers, read-response, write-response-headers, respond, body, vars, outbound] }}\n"
        );
    }
    let module = |(name, callbacks): (&char, &Callbacks<'_>)| (format!("{name}.wasm"), filter(callbacks));
    House::with_modules(&policy, &names.iter().zip(guests).map(module).collect::<Vec<_>>())
}
