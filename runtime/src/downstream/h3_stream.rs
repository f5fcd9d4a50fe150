//! One request of an HTTP/3 connection (RFC 9114, 4.1): its head, its answer, and the tunnel that it may become.

use std::convert::identity;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::header::{EXPECT, TE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use tidegate_base::failure::Failure;
use tidegate_base::flight::{Flight, Gathering};
use tidegate_engine::field_names::{self, Class};
use tidegate_http3::body::Http3Body;
use tidegate_http3::field_section;
use tidegate_http3::io::Http3Io;
use tidegate_http3::streams::SendStream;
use tidegate_http3::transport::{Accepted, Stopped};

use crate::downstream::h3::Resolver;
use crate::downstream::response_head::{self, Ready};
use crate::request::client_body::ClientBody;
use crate::request::handler::{Closed, Served};
use crate::request::head::InEarlyData;
use crate::request::response_body::ResponseBody;
use crate::request::serve::serve;
use crate::request::state::{Phase, StreamState};
use crate::request::tunnel::Tunnel;
use crate::request::{fields, grpc};

/// The end of a request.
pub(super) enum Ended {
    /// The client gave it up.
    GivenUp,
    /// The request is over.
    Over,
    /// The answer is on its way, and has arrived when this resolves.
    Answered(Stopped),
}

/// Serves one request.
pub(super) async fn serve_stream(stream: &Rc<StreamState>, resolver: Resolver, accepted: Accepted) -> Ended {
    let Accepted { early, mut stopped, notes } = accepted;
    stream.note_read();
    // What is malformed was refused below (RFC 9114, 4.1.2), and cost the client as much as us.
    let Ok(Ok((mut request, both))) = stream.guard(pin!(resolver.resolve_request())).await else {
        return Ended::GivenUp;
    };
    let (sender, receiver) = both.split();
    let flight = notes.flight.clone();
    let mut answer = ResponseStream { stream: Some(sender), ends: Some(Code::H3_REQUEST_CANCELLED), flight };
    if early {
        request.extensions_mut().insert(InEarlyData);
    }
    let (mut head, ()) = request.into_parts();
    let mut body = Http3Body::new(receiver, fields::content_length(&head.headers), waits(&head.headers));
    if poll_fn(|cx| Poll::Ready(body.look(cx))).await.is_err() || has_connection_fields(&head.headers) {
        answer.ends = Some(Code::H3_MESSAGE_ERROR);
        return Ended::GivenUp;
    }
    let head_only = head.method == Method::HEAD;
    if notes.names_protocol.get()
        && let Some(protocol) = head.headers.remove(field_section::PROTOCOL)
    {
        // A name that is no text is none that we carry.
        head.extensions.insert(h2::ext::Protocol::from(protocol.to_str().unwrap_or_default()));
    }
    let body = if body.is_end_stream() { ClientBody::Empty } else { ClientBody::Http3(Box::new(body)) };
    let worked = {
        let work = pin!(respond(Request::from_parts(head, body), head_only, stream, &mut answer));
        unless_given_up(work, &mut stopped).await
    };
    match worked {
        Some(Ok(Some(mut tunnel))) => {
            if let (ClientBody::Http3(body), Some(sender)) = (tunnel.take_client(), answer.stream.take()) {
                // What a TCP connection says with a reset (RFC 9220, 3).
                notes.ends.set(Some(Code::H3_REQUEST_CANCELLED));
                Box::pin(tunnel.run(Http3Io::new(sender, *body, stopped), Bytes::new(), stream)).await;
            }
            Ended::Over
        }
        Some(Ok(None)) => Ended::Answered(stopped),
        Some(Err(_)) | None => Ended::GivenUp,
    }
}

/// Does a request's work, unless the client gives the request up before: that drops the work, and so ends the request
/// to the backend.
async fn unless_given_up<T>(mut work: Pin<&mut impl Future<Output = T>>, stopped: &mut Stopped) -> Option<T> {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => stopped.as_mut().poll(cx).map(|_| None),
    })
    .await
}

fn waits(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether there are fields that only HTTP/1 has, which makes a request malformed (RFC 9114, 4.2).
fn has_connection_fields(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| match field_names::class(name.as_str()) {
        Some(Class::Connection) => true,
        Some(Class::Hop) if *name == TE => {
            headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers"))
        }
        _ => false,
    })
}

/// The way of the answer to the client. Dropping it before the answer is whole resets the stream, so that what was sent
/// is not taken for all.
struct ResponseStream {
    /// The stream's side to the client; nothing once it has become a tunnel.
    stream: Option<RequestStream<SendStream, Bytes>>,
    /// How the stream ends, if not well.
    ends: Option<Code>,
    /// Small pieces that the client has not acknowledged.
    flight: Flight,
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        if let (Some(code), Some(stream)) = (self.ends, &mut self.stream) {
            stream.stop_stream(code);
        }
    }
}

/// Has the request served, and sends the answer; returns what the stream becomes, if it goes on after it.
///
/// # Errors
/// The client wants no more of it, or the connection is gone.
async fn respond(
    request: Request<ClientBody>,
    head_only: bool,
    stream: &Rc<StreamState>,
    answer: &mut ResponseStream,
) -> Result<Option<Tunnel>, StreamError> {
    let Some(sender) = &mut answer.stream else { return Ok(None) };
    let mut serving = pin!(serve(stream, request, None, identity));
    let served = loop {
        let polled = poll_fn(|cx| {
            stream.register(cx.waker());
            match serving.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if stream.take_continue() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        match polled.await {
            Some(Ok(response)) => break response,
            Some(Err(Closed)) => return Ok(None),
            None => {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                sender.send_response(interim).await?;
            }
        }
    };
    let response = match served {
        Served::Response(response) => response,
        Served::Tunnel(head, tunnel) => {
            sender.send_response(response_head::of_tunnel(head, stream)).await?;
            answer.ends = None;
            return Ok(Some(*tunnel));
        }
    };
    let Ready { head, body, ends, errors_in_trailers } = Ready::of(response, head_only, stream);
    sender.send_response(Response::from_parts(head, ())).await?;
    if !ends && let Err((failure, code)) = send_body(Gathering::by(body, answer.flight.clone()), stream, sender).await?
    {
        if !errors_in_trailers || failure == Failure::ClientTimeout {
            answer.ends = Some(code);
            return Ok(None);
        }
        // Clients of gRPC look for a status there.
        sender.send_trailers(grpc::trailers(failure)).await?;
    }
    sender.finish().await?;
    answer.ends = None;
    Ok(None)
}

/// Sends an answer's body, at the pace of the client. The inner error says why it ended before its time, and with which
/// code that is said to the client.
///
/// # Errors
/// The client wants no more of it, or the connection is gone.
async fn send_body(
    body: Gathering<ResponseBody>,
    stream: &Rc<StreamState>,
    sender: &mut RequestStream<SendStream, Bytes>,
) -> Result<Result<(), (Failure, Code)>, StreamError> {
    let mut body = pin!(body);
    while !body.is_end_stream() {
        let frame = pin!(poll_fn(|cx| body.as_mut().poll_frame(cx)));
        let frame = match stream.guard(frame).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => {
                return Ok(Err((stream.ending().unwrap_or(Failure::UpstreamBody), Code::H3_INTERNAL_ERROR)));
            }
            Err(failure) => {
                stream.set_ending(failure);
                return Ok(Err((failure, Code::H3_INTERNAL_ERROR)));
            }
        };
        // The body's end is not the answer's: some of it still waits for the client.
        if stream.phase() == Phase::Idle {
            stream.begin_response();
        }
        let sent = match frame.into_data() {
            Ok(data) => written(stream, sender.send_data(data)).await,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => written(stream, sender.send_trailers(trailers)).await,
                Err(_) => Ok(Ok(())),
            },
        };
        match sent {
            Ok(sent) => sent?,
            Err(failure) => return Ok(Err((failure, Code::H3_REQUEST_CANCELLED))),
        }
    }
    Ok(Ok(()))
}

/// Writes at the pace of the client, who may not be silent for longer than its time.
///
/// # Errors
/// The reason why it is over before the client has taken it.
async fn written<T>(stream: &StreamState, writing: impl Future<Output = T>) -> Result<T, Failure> {
    let mut writing = pin!(writing);
    let noted = pin!(poll_fn(|cx| {
        let polled = writing.as_mut().poll(cx);
        stream.note_write(polled.is_pending());
        polled
    }));
    stream.guard(noted).await.inspect_err(|failure| stream.set_ending(*failure))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "literals")]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn fields_of_http_1_make_a_request_malformed() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
            ("te", ""),
        ] {
            assert!(has_connection_fields(&fields(&[("x", "y"), (name, value)])), "{name}: {value}");
        }
        assert!(has_connection_fields(&fields(&[("te", "trailers"), ("te", "gzip")])), "one of two");
        for (name, value) in [("te", "trailers"), ("te", "Trailers"), ("trailer", "x"), ("x-connection", "close")] {
            assert!(!has_connection_fields(&fields(&[(name, value)])), "{name}: {value}");
        }
    }

    #[test]
    fn a_client_waits_if_it_says_so_in_any_case() {
        assert!(waits(&fields(&[("expect", "100-Continue")])));
        assert!(!waits(&fields(&[("expect", "100-continue-or-not")])) && !waits(&fields(&[])));
    }
}
