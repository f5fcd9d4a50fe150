//! What the tests of several steps of a request need.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::Request;
use tidegate_dsl::plan::ListenerId;
use tidegate_engine::exchange::Exchange;

use crate::request::context::RequestContext;
use crate::request::log_record::LogRecord;
use crate::request::state::StreamState;

/// A request under way, on a listener that logs or does not.
pub(super) fn context(stream: &Rc<StreamState>, logs: bool) -> Box<RequestContext> {
    let view = stream.worker().view();
    let exchange = Box::new(Exchange::blank());
    let walk = view.snapshot.engine.start(ListenerId(0));
    let record = LogRecord::new(Instant::now(), view, logs, &exchange);
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
