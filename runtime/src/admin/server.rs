//! The server of `admin` and `metrics`: a thread with an event loop of its own, so that neither a slow reader nor a long answer
//! is felt by a request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use tidegate_base::limits;
use tidegate_base::permits::Permits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tracing::{error, info};

use super::access::Peer;
use super::context::Context;
use super::routes;
use super::sockets::{Opened, Place, Role, Socket, words};

/// The gateway's end of the server; the thread starts with the first address.
pub struct AdminServer {
    context: Arc<Context>,
    /// Sockets to serve. The thread `policy` alone sends these, a few at a reload.
    commands: Option<UnboundedSender<Opened>>,
}

impl AdminServer {
    /// A server without addresses.
    pub fn new(context: Context) -> Self {
        Self { context: Arc::new(context), commands: None }
    }

    /// Serves these sockets from now on, and closes those that are gone.
    ///
    /// # Errors
    /// The system has no thread or no event loop left.
    pub fn serve(&mut self, opened: Opened) -> io::Result<()> {
        if opened.is_empty() {
            return Ok(());
        }
        let commands = match &self.commands {
            Some(commands) => commands,
            None => self.commands.insert(start(Arc::clone(&self.context))?),
        };
        // The thread ends with this sender, and not before.
        let _ = commands.send(opened);
        Ok(())
    }
}

fn start(context: Arc<Context>) -> io::Result<UnboundedSender<Opened>> {
    let (sender, inbox) = unbounded_channel();
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(limits::ADMIN_WORK).build()?;
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, run(context, inbox));
    })?;
    Ok(sender)
}

/// Keeps a task for each address.
async fn run(context: Arc<Context>, mut inbox: UnboundedReceiver<Opened>) {
    let connections = Rc::new(Permits::new(limits::ADMIN_CONNECTIONS));
    let open: RefCell<HashMap<Place, AbortHandle>> = RefCell::default();
    while let Some(Opened { new, gone }) = inbox.recv().await {
        for place in gone {
            if let Some(task) = open.borrow_mut().remove(&place) {
                task.abort();
            }
        }
        for (place, socket) in new {
            info!(at = words(&place.at), role = ?place.role, "watched");
            let accepting = accept(socket, place.role, Arc::clone(&context), Rc::clone(&connections));
            let at = place.at.clone();
            let task = spawn_local(async move {
                if let Err(error) = accepting.await {
                    error!(at = words(&at), %error, "nobody is answered there any more");
                }
            });
            open.borrow_mut().insert(place, task.abort_handle());
        }
    }
}

async fn accept(socket: Socket, role: Role, context: Arc<Context>, connections: Rc<Permits>) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            let socket = TcpListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => connect(stream, Peer::Tcp, role, &context, &connections),
                    Err(error) => pause(&error).await?,
                }
            }
        }
        Socket::Unix(socket, _file) => {
            let socket = UnixListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => {
                        let peer = stream.peer_cred().map_or(Peer::Stranger, |user| owner(user.uid()));
                        connect(stream, peer, role, &context, &connections);
                    }
                    Err(error) => pause(&error).await?,
                }
            }
        }
    }
}

fn owner(user: u32) -> Peer {
    if user == 0 || user == geteuid().as_raw() { Peer::Owner } else { Peer::Stranger }
}

/// Waits after a connection could not be taken, for which there may be no descriptor.
async fn pause(error: &io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::InvalidInput {
        return Err(io::Error::new(error.kind(), error.to_string()));
    }
    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
    Ok(())
}

/// Serves a connection, if there is room for it.
fn connect(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    role: Role,
    context: &Arc<Context>,
    connections: &Rc<Permits>,
) {
    let (context, connections) = (Arc::clone(context), Rc::clone(connections));
    spawn_local(async move {
        let Some(_permit) = connections.enter() else { return };
        let service = service_fn(move |request: http::Request<Incoming>| {
            let context = Arc::clone(&context);
            async move { Ok::<_, Infallible>(routes::answer(&context, role, peer, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::ADMIN_IDLE)
            .max_buf_size(limits::ADMIN_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        // Whoever left, or spoke no HTTP, is nobody's concern.
        let _ = connection.await;
    });
}
