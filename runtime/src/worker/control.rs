//! A worker's thread, and what the gateway tells it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_base::address::ListenerKey;
use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::error;

use crate::request::listener_handle::ListenerHandle;
use crate::request::listener_load::ListenerLoad;
use crate::request::worker::{Shared, Worker};
use crate::worker::accept;
use crate::worker::quic::{QuicListener, WorkerEndpoint};

/// What a worker is told. The gateway alone sends these, a few at each reload, so the queue needs no bound.
pub enum Command {
    /// Listen on this socket.
    Listen {
        /// The key of the listener.
        key: ListenerKey,
        /// The socket of this worker alone.
        socket: ListenerSocket,
        /// The count over all workers.
        load: Arc<ListenerLoad>,
    },
    /// Close this socket; its connections finish their requests, for as long as `drain`.
    Unlisten {
        /// The key of the listener.
        key: ListenerKey,
        /// The time that its connections may take to end.
        drain: Duration,
    },
    /// Look at the policy in service now, so that what only the old one needs is freed.
    Refresh,
    /// Close every socket, finish the requests within the time, and end.
    Drain(Duration),
}

/// A listener's socket of one worker.
pub enum ListenerSocket {
    /// HTTP and HTTPS.
    Tcp(std::net::TcpListener),
    /// QUIC.
    Quic(WorkerEndpoint),
}

/// The gateway's end of a worker.
#[derive(Clone)]
pub struct WorkerHandle {
    commands: UnboundedSender<(Command, mpsc::Sender<()>)>,
}

impl WorkerHandle {
    /// Starts a worker's thread, which ends with its last command.
    ///
    /// # Errors
    /// The system has no thread, or no event queue, to give.
    pub fn start(index: u16, shared: Arc<Shared>) -> io::Result<(Self, JoinHandle<()>)> {
        let (commands, inbox) = unbounded_channel();
        // The event loop stays on the thread that builds it; the first word from there says whether that worked.
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let built = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(limits::RESOLVER_THREADS)
                .build_local(tokio::runtime::LocalOptions::default());
            match built {
                Ok(runtime) => {
                    let _ = ready.send(Ok(()));
                    runtime.block_on(run(Worker::new(index, shared), inbox));
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok((Self { commands }, thread))
    }

    /// Gives a command; the receiver hears when it was carried out.
    pub fn send(&self, command: Command) -> mpsc::Receiver<()> {
        let (done, heard) = mpsc::channel();
        if self.commands.send((command, done)).is_err() {
            error!("a worker is gone");
        }
        heard
    }
}

/// The listeners of one worker.
type Listening = RefCell<HashMap<ListenerKey, (Rc<ListenerHandle>, Option<Rc<QuicListener>>)>>;

async fn run(worker: Rc<Worker>, mut inbox: UnboundedReceiver<(Command, mpsc::Sender<()>)>) {
    let listening = Listening::default();
    let mut tick = tokio::time::interval(limits::TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let drain = loop {
        tokio::select! {
            due = tick.tick() => worker.tick(due.elapsed()).await,
            command = inbox.recv() => match command {
                Some((Command::Drain(drain), _)) => break drain,
                Some((command, done)) => {
                    let closes = matches!(command, Command::Unlisten { .. });
                    obey(command, &listening, &worker);
                    if closes {
                        // The accept loop runs once more: whoever hears that this is done finds the socket closed.
                        tokio::task::yield_now().await;
                        tokio::task::yield_now().await;
                    }
                    let _ = done.send(());
                }
                None => break Duration::ZERO,
            },
        }
    };
    for (handle, _) in listening.borrow().values() {
        handle.close();
    }
    // The accept loops run once more, to take what the kernel had accepted.
    tokio::task::yield_now().await;
    drain_all(&worker, drain, &mut tick).await;
}

fn obey(command: Command, listening: &Listening, worker: &Rc<Worker>) {
    match command {
        Command::Listen { key, socket, load } => {
            let Some(handle) = ListenerHandle::new(key, load, worker.view()).map(Rc::new) else { return };
            match listen(socket, &handle, worker) {
                Ok(quic) => {
                    listening.borrow_mut().insert(key, (handle, quic));
                }
                Err(error) => error!(bind = ?key.bind, %error, "a worker cannot watch its socket"),
            }
        }
        Command::Unlisten { key, drain } => {
            if let Some((handle, _)) = listening.borrow_mut().remove(&key) {
                handle.close();
                tokio::task::spawn_local(drain_listener(handle, Rc::clone(worker), drain));
            }
        }
        Command::Refresh | Command::Drain(_) => {
            for (handle, quic) in listening.borrow().values() {
                handle.view(worker);
                if let Some(quic) = quic {
                    quic.adopt(handle, worker);
                }
            }
            worker.pools.retain_used();
            tokio::task::spawn_local(dismiss(Rc::clone(worker)));
        }
    }
}

/// Begins to take connections.
fn listen(
    socket: ListenerSocket,
    handle: &Rc<ListenerHandle>,
    worker: &Rc<Worker>,
) -> io::Result<Option<Rc<QuicListener>>> {
    match socket {
        ListenerSocket::Tcp(socket) => {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tokio::task::spawn_local(accept::run(socket, Rc::clone(handle), Rc::clone(worker)));
            Ok(None)
        }
        ListenerSocket::Quic(endpoint) => QuicListener::start(endpoint, handle, worker).map(Some),
    }
}

/// Lets the connections of a closed handle finish their requests, then ends those that are left.
async fn drain_listener(handle: Rc<ListenerHandle>, worker: Rc<Worker>, drain: Duration) {
    tokio::task::yield_now().await;
    worker.each_connection(|connection| {
        if Arc::ptr_eq(connection.load(), &handle.load) {
            connection.finish();
        }
    });
    tokio::time::sleep(drain).await;
    worker.each_connection(|connection| {
        if Arc::ptr_eq(connection.load(), &handle.load) {
            connection.abort();
        }
    });
}

/// Lets the connections that the policy in service would not have let in finish their requests, then ends those that are left.
async fn dismiss(worker: Rc<Worker>) {
    let mut dismissed = Vec::new();
    in_turns(worker.open_connections(), |connection| {
        if !connection.is_finishing() && !connection.is_admitted() {
            Bound::Dismissed.met();
            connection.finish();
            dismissed.push(Rc::downgrade(&connection));
        }
    })
    .await;
    if dismissed.is_empty() {
        return;
    }
    tokio::time::sleep(worker.view().snapshot.plan().gateway.drain).await;
    dismissed.iter().filter_map(Weak::upgrade).for_each(|connection| connection.abort());
}

/// Does something to all of these. After each [`READMISSIONS`](limits::READMISSIONS) others have their turn.
async fn in_turns<T>(all: Vec<T>, mut act: impl FnMut(T)) {
    for (at, one) in all.into_iter().enumerate() {
        if at > 0 && at % limits::READMISSIONS == 0 {
            tokio::task::yield_now().await;
        }
        act(one);
    }
}

/// Lets every connection finish its requests, then ends those that are left.
async fn drain_all(worker: &Rc<Worker>, drain: Duration, tick: &mut tokio::time::Interval) {
    let end = tokio::time::Instant::now() + drain;
    worker.each_connection(|connection| connection.finish());
    while worker.has_connections() && tokio::time::Instant::now() < end {
        tokio::select! {
            due = tick.tick() => worker.tick(due.elapsed()).await,
            () = worker.emptied.notified() => {}
        }
    }
    worker.each_connection(|connection| connection.abort());
    // The connections' tasks end, and then those below them have the last word to send (QUIC).
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    worker.access_log.flush();
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::tests::{ANSWERS, Client, House, policy, run, run_with_sockets, settle};

    /// The number of others that have their turn while so many are done, and the number done.
    fn turns(count: usize) -> (usize, usize) {
        let done = RefCell::new(0);
        let turns = RefCell::new(0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let work = in_turns(vec![(); count], |()| *done.borrow_mut() += 1);
            let others = async {
                loop {
                    *turns.borrow_mut() += 1;
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = work => {}
                () = others => {}
            }
        });
        (*turns.borrow(), *done.borrow())
    }

    #[test]
    fn others_have_their_turn_after_each_few_connections() {
        const FEW: usize = limits::READMISSIONS;
        for (count, others) in [(0, 0), (FEW - 1, 0), (FEW, 0), (FEW + 1, 1), (2 * FEW, 1), (2 * FEW + 1, 2)] {
            assert_eq!(turns(count), (others, count));
        }
    }
    /// A connection that ends only when it is told to at once.
    async fn held(house: &House) -> Client {
        let mut client = house.client();
        // Its request has begun, and the rest of it does not come.
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n").await;
        client
    }

    #[test]
    fn a_drain_ends_when_the_last_connection_has_ended() {
        run(async {
            let house = House::answering("");
            let client = house.client();
            settle().await;
            let began = tokio::time::Instant::now();
            drain_all(&house.worker, Duration::from_secs(60), &mut tokio::time::interval(limits::TICK)).await;
            assert!(began.elapsed() < Duration::from_secs(1) && client.is_over());
        });
    }

    #[test]
    fn a_drain_waits_for_a_request_as_long_as_it_may_and_no_longer() {
        run(async {
            let house = House::answering("");
            let client = held(&house).await;
            let began = tokio::time::Instant::now();
            drain_all(&house.worker, Duration::from_secs(5), &mut tokio::time::interval(limits::TICK)).await;
            assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() < Duration::from_secs(6));
            settle().await;
            assert!(client.is_over() && !house.worker.has_connections());
        });
    }

    #[test]
    fn a_listener_that_goes_takes_its_own_connections_along() {
        run(async {
            let (house, other) = (House::answering(""), House::answering(""));
            let (mine, idle) = (held(&house).await, house.client());
            settle().await;
            // As if it were of another listener.
            let drained = drain_listener(Rc::clone(&other.handle), Rc::clone(&house.worker), Duration::from_secs(1));
            drained.await;
            settle().await;
            assert!(!mine.is_over() && !idle.is_over());
            let drained = drain_listener(Rc::clone(&house.handle), Rc::clone(&house.worker), Duration::from_secs(1));
            let task = tokio::task::spawn_local(drained);
            settle().await;
            assert!(idle.is_over() && !mine.is_over(), "its request may still end");
            task.await.unwrap();
            settle().await;
            assert!(mine.is_over());
        });
    }

    #[test]
    fn a_reload_dismisses_whom_it_would_not_let_in() {
        run(async {
            let house = House::answering("");
            let (mine, idle) = (held(&house).await, house.client());
            settle().await;
            dismiss(Rc::clone(&house.worker)).await;
            assert!(!mine.is_over() && !idle.is_over(), "the policy lets them in");
            let gateway = "gateway { drain 3s }\n";
            house.reload(&(policy("deny-from 192.0.2.1", ANSWERS) + gateway));
            let began = tokio::time::Instant::now();
            let dismissal = tokio::task::spawn_local(dismiss(Rc::clone(&house.worker)));
            settle().await;
            assert!(idle.is_over() && !mine.is_over());
            dismissal.await.unwrap();
            assert!(began.elapsed() >= Duration::from_secs(3));
            settle().await;
            assert!(mine.is_over());
        });
    }

    /// A listener's socket, and where it is.
    fn socket() -> (ListenerSocket, std::net::SocketAddr) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (ListenerSocket::Tcp(socket), address)
    }

    fn listen_on(house: &House, socket: ListenerSocket) -> Command {
        Command::Listen { key: house.handle.key, socket, load: Arc::clone(&house.handle.load) }
    }

    /// What a client is answered; nothing if nobody is there.
    async fn asked(address: std::net::SocketAddr) -> Option<String> {
        let mut client = TcpStream::connect(address).await.ok()?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        all.lines().next().map(str::to_owned)
    }

    /// Waits until the listener has so many connections.
    async fn counted(load: &ListenerLoad, connections: u32) {
        while load.connections() != connections {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn listeners_come_and_go_and_come_again() {
        run_with_sockets(async {
            let (house, listening) = (House::answering(""), Listening::default());
            for _ in 0..2 {
                let (socket, address) = socket();
                let load = Arc::<ListenerLoad>::default();
                let listen = Command::Listen { key: house.handle.key, socket, load: Arc::clone(&load) };
                obey(listen, &listening, &house.worker);
                assert_eq!(asked(address).await.as_deref(), Some("HTTP/1.1 200 OK"));
                counted(&load, 0).await;
                let mut idle = TcpStream::connect(address).await.unwrap();
                counted(&load, 1).await;
                settle().await;
                let unlisten = || Command::Unlisten { key: house.handle.key, drain: Duration::ZERO };
                obey(unlisten(), &listening, &house.worker);
                assert!(listening.borrow().is_empty());
                // Once more is once too often, and does no harm.
                obey(unlisten(), &listening, &house.worker);
                assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0, "it had asked for nothing");
                assert_eq!(asked(address).await, None);
                counted(&load, 0).await;
            }
        });
    }

    #[test]
    fn a_listener_that_no_policy_has_is_not_listened_for() {
        run_with_sockets(async {
            let (house, listening) = (House::answering(""), Listening::default());
            house.reload(&policy("", ANSWERS).replace("port 8080", "port 9090"));
            house.worker.view();
            let (socket, address) = socket();
            obey(listen_on(&house, socket), &listening, &house.worker);
            assert!(listening.borrow().is_empty());
            assert_eq!(asked(address).await, None, "its socket is closed");
        });
    }

    #[test]
    fn a_refresh_lets_go_of_the_old_policy_and_dismisses() {
        run_with_sockets(async {
            let (house, listening) = (House::answering(""), Listening::default());
            let client = house.client();
            let (socket, _) = socket();
            obey(listen_on(&house, socket), &listening, &house.worker);
            settle().await;
            let old = Arc::downgrade(&house.worker.shared.snapshot());
            house.reload(&policy("deny-from 192.0.2.1", ANSWERS));
            assert!(old.upgrade().is_some() && !client.is_over());
            obey(Command::Refresh, &listening, &house.worker);
            // The handle of the house itself is none that the worker knows of.
            house.handle.view(&house.worker);
            settle().await;
            assert!(client.is_over(), "the new policy would not let it in");
            assert!(old.upgrade().is_none());
        });
    }

    /// A client outside of the worker's thread.
    fn status(address: std::net::SocketAddr) -> Option<String> {
        let mut client = std::net::TcpStream::connect(address).ok()?;
        io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
        let text = io::read_to_string(client).ok()?;
        text.lines().next().map(str::to_owned)
    }

    #[test]
    fn a_worker_says_when_it_has_done_what_it_was_told_and_ends_with_the_drain() {
        let house = House::answering("");
        let (worker, thread) = WorkerHandle::start(1, Arc::clone(&house.worker.shared)).unwrap();
        let (socket, address) = socket();
        worker.send(listen_on(&house, socket)).recv().unwrap();
        assert_eq!(status(address).as_deref(), Some("HTTP/1.1 200 OK"));
        house.reload(&policy("", "otherwise { respond 404 }"));
        worker.send(Command::Refresh).recv().unwrap();
        assert_eq!(status(address).as_deref(), Some("HTTP/1.1 404 Not Found"));
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let (idle, mut asks, mut holds) = (connect(), connect(), connect());
        io::Write::write_all(&mut asks, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        io::Write::write_all(&mut holds, b"GET / HTTP/1.1\r\n").unwrap();
        let heard = worker.send(Command::Drain(Duration::from_secs(60)));
        assert!(io::read_to_string(asks).unwrap().starts_with("HTTP/1.1 404 "), "what had come is served");
        assert_eq!(io::read_to_string(idle).unwrap_or_default(), "");
        assert_eq!(status(address), None, "nobody is let in while a request holds it up");
        assert!(!thread.is_finished());
        drop(holds);
        thread.join().unwrap();
        assert!(heard.recv().is_err(), "nothing comes after it");
        assert!(worker.send(Command::Refresh).recv().is_err(), "nobody is there");
    }

    #[test]
    fn a_worker_without_a_gateway_ends() {
        let house = House::answering("");
        let (worker, thread) = WorkerHandle::start(1, Arc::clone(&house.worker.shared)).unwrap();
        let (socket, address) = socket();
        worker.send(listen_on(&house, socket)).recv().unwrap();
        drop(worker);
        thread.join().unwrap();
        assert_eq!(status(address), None);
    }
}
