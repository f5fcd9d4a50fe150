//! One check of one server.

use bytes::Bytes;
use h2::client;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tidegate_base::address::address;
use tidegate_base::limits;
use tidegate_dsl::plan::{HttpProbe, Probe};
use tokio::task::spawn_local;

use super::ServerHealth;
use crate::dial::{Address, dial};
use crate::io::ServerIo;
use crate::talk::Talk;
use crate::wire::Wire;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"), " health-check"));

/// Asks a server whether it works.
///
/// # Errors
/// Why it seems not to, as a sentence for the log.
pub(super) async fn probe(health: &ServerHealth) -> Result<(), String> {
    let place = Address { server: &health.server, secure: health.secure.as_ref(), timeout: health.check.timeout };
    ask(dial(place).await.map_err(|(_, reason)| reason)?, health).await
}

/// Asks on a connection that is open.
async fn ask(stream: ServerIo, health: &ServerHealth) -> Result<(), String> {
    match &health.check.probe {
        Probe::Tcp => Ok(()),
        Probe::Http(http) => match &http.host {
            Some(host) => by_http(stream, http, host).await,
            None => by_http(stream, http, &authority(health)).await,
        },
        Probe::Grpc => by_grpc(stream, &authority(health)).await,
    }
}

/// What stands in `Host`: the name that the certificate must have, or the server's own address.
fn authority(health: &ServerHealth) -> String {
    let named = health.secure.as_ref().and_then(|secure| match &secure.name {
        rustls::pki_types::ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    });
    named.unwrap_or_else(|| address(&health.server.host, health.server.port))
}

async fn by_http(stream: ServerIo, probe: &HttpProbe, authority: &str) -> Result<(), String> {
    let wire = Wire::new();
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream.for_http1(&wire)))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with the answer's body, or when the sender is dropped.
    let driver = spawn_local(connection);
    let answer = sender.send_request(request(probe, authority)?).await.map_err(|error| error.to_string());
    driver.abort();
    if wire.is_flooded() {
        return Err("it sends bytes without end, and no answer".to_owned());
    }
    let status = answer?.status();
    if probe.expect.iter().any(|range| (range.first..=range.last).contains(&status.as_u16())) {
        Ok(())
    } else {
        Err(format!("it answered {}", status.as_u16()))
    }
}

/// The request of an HTTP check. A policy may say another user agent.
fn request(probe: &HttpProbe, authority: &str) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::from_bytes(probe.method.as_bytes()).map_err(|error| error.to_string())?;
    *request.uri_mut() = probe.path.parse().map_err(|_| "the path of the check cannot be asked for".to_owned())?;
    let headers = request.headers_mut();
    let field = |text: &str| HeaderValue::from_str(text);
    headers.insert(HOST, field(authority).map_err(|_| "the server's name cannot be a host".to_owned())?);
    for (name, value) in &probe.headers {
        let value = field(value).map_err(|_| format!("the value of its header `{name}` cannot be sent"))?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?, value);
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// A call of `grpc.health.v1.Health/Check` for the whole server.
async fn by_grpc(stream: ServerIo, authority: &str) -> Result<(), String> {
    /// An empty message: no compression, no bytes.
    const WHOLE_SERVER: [u8; 5] = [0; 5];
    /// `status: SERVING`.
    const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];
    let talk = Talk::new();
    talk.begin();
    let broken = |error: h2::Error| error.to_string();
    let (sender, connection) = client::handshake(stream.for_http2(&talk)).await.map_err(broken)?;
    let driver = spawn_local(connection);
    let asked = async {
        let mut sender = sender.ready().await.map_err(broken)?;
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{authority}/grpc.health.v1.Health/Check"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, AGENT)
            .body(())
            .map_err(|error| error.to_string())?;
        let (answer, mut body) = sender.send_request(request, false).map_err(broken)?;
        body.send_data(Bytes::from_static(&WHOLE_SERVER), true).map_err(broken)?;
        let answer = answer.await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status().as_u16()));
        }
        let status = answer.headers().get("grpc-status").cloned();
        let mut body = answer.into_body();
        let mut message = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(broken)?;
            message.extend_from_slice(&data);
            if message.len() > limits::HEALTH_ANSWER {
                return Err("its answer is no health status".to_owned());
            }
            // What is gone from the window was read: nothing is left to fail.
            let _ = body.flow_control().release_capacity(data.len());
        }
        let trailers = body.trailers().await.map_err(broken)?;
        let status = status.or_else(|| trailers?.get("grpc-status").cloned());
        match status.as_ref().map(HeaderValue::as_bytes) {
            Some(b"0") if message == SERVING => Ok(()),
            Some(b"0") => Err("it says that it does not serve".to_owned()),
            Some(other) => Err(format!("it answered grpc-status {}", String::from_utf8_lossy(other))),
            None => Err("its answer has no grpc-status".to_owned()),
        }
    };
    let answer = asked.await;
    driver.abort();
    if talk.is_flooded() {
        return Err("it sends frames without end that move nothing".to_owned());
    }
    answer
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::{HeaderMap, Response};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::tests::world::{policy, run};

    /// A server that is checked as these words say.
    fn checked(words: &str) -> ServerHealth {
        let check = policy(&format!("server 10.0.0.1:8080; health-check {words}")).groups.remove(0).health_check;
        ServerHealth::at("10.0.0.1", 8080, check.unwrap())
    }

    /// What the check says of a server that does this with its end.
    async fn told<S>(health: &ServerHealth, server: impl FnOnce(DuplexStream) -> S) -> Result<(), String>
    where
        S: Future<Output = ()> + 'static,
    {
        let (ours, theirs) = duplex(64 * 1024);
        let serving = spawn_local(server(theirs));
        let told = ask(ServerIo::memory(ours), health).await;
        serving.abort();
        told
    }

    /// Reads a request's head, which is to have these lines, and answers.
    async fn answer(mut stream: DuplexStream, lines: &'static [&'static str], response: &'static str) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(lines.iter().all(|line| head.split("\r\n").any(|said| said == *line)), "{lines:?}: {head}");
        stream.write_all(response.as_bytes()).await.unwrap();
    }

    #[test]
    fn http_servers_are_judged_by_their_status() {
        run(async {
            const LINES: &[&str] = &["GET /up HTTP/1.1", "host: 10.0.0.1:8080", "connection: close"];
            let health = checked("http { path \"/up\" }");
            for (response, expected) in [
                ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
                ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
                ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Err("it answered 503".to_owned())),
            ] {
                assert_eq!(told(&health, |stream| answer(stream, LINES, response)).await, expected);
            }
            for nonsense in ["", "HTTP/1.1 2", "220 smtp.example\r\n\r\n"] {
                assert!(told(&health, |stream| answer(stream, LINES, nonsense)).await.is_err(), "{nonsense:?}");
            }
        });
    }

    #[test]
    fn a_check_asks_as_the_policy_says() {
        run(async {
            const LINES: &[&str] = &["HEAD /up?now HTTP/1.1", "host: health.test", "x-why: check", "user-agent: own"];
            let health = checked(
                "http { path \"/up?now\"; method HEAD; host \"health.test\"; header \"x-why\" \"check\"; \
                 header \"user-agent\" \"own\"; expect [302] }",
            );
            let found = "HTTP/1.1 302 Found\r\ncontent-length: 9\r\n\r\n";
            assert_eq!(told(&health, |stream| answer(stream, LINES, found)).await, Ok(()));
            let ok = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
            assert_eq!(told(&health, |stream| answer(stream, LINES, ok)).await, Err("it answered 200".to_owned()));
        });
    }

    #[test]
    fn a_flood_is_no_answer() {
        run(async {
            let http = checked("http { path \"/\" }");
            let interim = async |mut stream: DuplexStream| {
                stream.read_u8().await.unwrap();
                while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {}
            };
            assert_eq!(told(&http, interim).await.unwrap_err(), "it sends bytes without end, and no answer");
            let grpc = checked("grpc { }");
            let pings = async |mut stream: DuplexStream| {
                stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
                while stream.write_all(&[0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.is_ok() {}
            };
            assert_eq!(told(&grpc, pings).await.unwrap_err(), "it sends frames without end that move nothing");
        });
    }

    #[test]
    fn a_connection_is_all_that_tcp_asks_for() {
        run(async {
            assert_eq!(told(&checked("tcp { }"), async |_| {}).await, Ok(()));
        });
    }

    /// Answers calls with this message and status.
    async fn serve(stream: DuplexStream, message: &'static [u8], status: &'static str) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data(Bytes::from_static(message), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            send.send_trailers(trailers).unwrap();
        }
    }

    #[test]
    fn grpc_servers_say_how_they_are() {
        run(async {
            let health = checked("grpc { }");
            for (message, status, expected) in [
                (&[0, 0, 0, 0, 2, 8, 1][..], "0", Ok(())),
                (&[0, 0, 0, 0, 2, 8, 2], "0", Err("it says that it does not serve")),
                (&[], "12", Err("it answered grpc-status 12")),
                (&[7; 100], "0", Err("its answer is no health status")),
            ] {
                let told = told(&health, |stream| serve(stream, message, status)).await;
                assert_eq!(told, expected.map_err(str::to_owned));
            }
        });
    }
}
