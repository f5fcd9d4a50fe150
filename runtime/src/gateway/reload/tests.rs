//! A gateway of one worker, whose files change.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::admin::orders;
use crate::gateway::sockets::tests::free;
use crate::gateway::{NotStarted, Serving};
use crate::policy::prepare::tests::Files;
use crate::tls::tests::Authority;

pub(crate) const RULES: &str = "rules site { otherwise { respond 204 } }\n";

/// A policy with a listener at each of these addresses, and more.
pub(crate) fn policy(addresses: &[SocketAddr], more: &str) -> String {
    let mut text = "tidegate 1\ngateway { workers 1 }\n".to_owned();
    for (at, address) in addresses.iter().enumerate() {
        text += &format!("listener http l{at} {{ address {address}; rules site }}\n");
    }
    text + more
}

pub(crate) struct World {
    files: Files,
    /// `None` once it has ended.
    serving: Option<Serving>,
    pub(crate) reloader: Reloader,
}

impl World {
    fn start(files: Files) -> Self {
        match start(&files) {
            Ok((reloader, serving)) => Self { files, serving: Some(serving), reloader },
            Err(why) => panic!("{why:?}"),
        }
    }

    pub(crate) fn of(policy: &str) -> Self {
        Self::start(Files::new(policy))
    }

    /// Writes a file, and looks for changes as the thread does.
    pub(crate) fn change(&mut self, name: &str, text: &str) {
        self.files.write(name, text);
        self.reloader.reload_if_changed();
    }

    pub(crate) fn generation(&self) -> u64 {
        self.reloader.shared.snapshot().generation
    }

    fn watches(&self, name: &str) -> bool {
        self.reloader.inputs.contains(&self.files.path(name))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Serving { workers, threads, log, .. } = self.serving.take().unwrap();
        workers.iter().for_each(|worker| drop(worker.send(Command::Drain(Duration::ZERO))));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        log.finish();
    }
}

fn start(files: &Files) -> Result<(Reloader, Serving), NotStarted> {
    Reloader::start(files.root(), Arc::clone(&files.host), channel().0, Arc::default())
}

pub(crate) fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_mistake_leaves_the_old_policy_in_service_until_it_is_mended() {
    let address = free();
    let files = Files::new(&policy(&[address], "include \"site.gate\"\n"));
    files.write("site.gate", RULES);
    let mut world = World::start(files);
    world.reloader.reload_if_changed();
    assert_eq!((world.generation(), world.reloader.refused), (1, false));
    // A file that is broken hides what it includes.
    world.change("main.gate", "tidegate 1\nlistener http main {");
    assert_eq!((world.generation(), world.reloader.refused), (1, true));
    assert!(world.watches("main.gate") && world.watches("site.gate"));
    assert!(accepts(address));
    world.change("site.gate", "rules site { otherwise { respond 404 } }\n");
    assert_eq!(world.generation(), 1);
    world.change("main.gate", &policy(&[address], "include \"site.gate\"\n# mended\n"));
    assert_eq!((world.generation(), world.reloader.refused), (2, false));
    // What nothing includes any more is not watched.
    world.change("main.gate", &policy(&[address], RULES));
    assert_eq!((world.generation(), world.watches("site.gate")), (3, false));
}

#[test]
fn a_policy_that_means_the_same_is_not_put_in_service_again() {
    let address = free();
    let mut world = World::of(&policy(&[address], RULES));
    world.change("main.gate", &policy(&[address], &format!("# a remark\n{RULES}")));
    world.reloader.reload(Cause::Told);
    assert_eq!((world.generation(), world.reloader.refused), (1, false));
    assert!(world.reloader.seen.changed().is_empty());
}

#[test]
fn listeners_come_and_go_once_all_that_a_policy_needs_is_there() {
    let (first, second) = (free(), free());
    let mut world = World::of(&policy(&[first], RULES));
    let neighbour = TcpListener::bind(second).unwrap();
    world.change("main.gate", &policy(&[first, second], RULES));
    assert_eq!((world.generation(), world.reloader.refused), (1, true));
    let said = format!("listener `l1` cannot listen on address {second}: another process listens there");
    assert!(world.reloader.again.has_said(&said) && world.reloader.again.is_due(), "it is tried again");
    world.reloader.reload_if_changed();
    assert!(!world.reloader.again.is_due(), "and then after a while");
    assert!(world.generation() == 1 && accepts(first));
    drop(neighbour);
    world.reloader.reload(Cause::Again);
    assert_eq!((world.generation(), world.reloader.refused), (2, false));
    assert!(!world.reloader.again.has_said(&said));
    assert!(accepts(first) && accepts(second));
    world.change("main.gate", &policy(&[second], &format!("{RULES}# the second alone\n")));
    assert_eq!(world.generation(), 3);
    let began = Instant::now();
    while TcpListener::bind(first).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "a worker closes it");
        std::thread::yield_now();
    }
    assert!(accepts(second));
}

#[test]
fn certificates_are_renewed_whatever_the_policy_says() {
    let (authority, address) = (Authority::new("ours"), free());
    let secure = |more: &str| {
        let listener = format!("listener https main {{ address {address}; certificate shop; rules site }}\n");
        let certificate = "certificate shop { chain \"shop.pem\"; key \"shop.key\" }\n";
        policy(&[], &format!("{certificate}{listener}{RULES}{more}"))
    };
    let files = Files::new(&secure(""));
    let renew = |files: &Files| {
        let (chain, key) = authority.files("shop.test");
        files.write("shop.pem", &chain);
        files.write("shop.key", &key);
    };
    renew(&files);
    let mut world = World::start(files);
    let shown = |world: &World| world.reloader.shared.snapshot().tls.certificates.chains[0].key.cert.clone();
    let old = shown(&world);
    world.change("main.gate", &secure("a mistake\n"));
    renew(&world.files);
    world.reloader.reload_if_changed();
    let new = shown(&world);
    assert_eq!((world.generation(), world.reloader.refused, new == old), (2, true, false));
    // A file that is gone is no certificate: the one in service stays, and the policy is not read for its sake.
    std::fs::remove_file(world.files.path("shop.key")).unwrap();
    world.reloader.reload_if_changed();
    assert_eq!((world.generation(), shown(&world) == new), (2, true));
    assert!(world.reloader.seen.changed().is_empty(), "until it comes back, there is nothing to do");
    world.change("main.gate", &secure("# without the mistake\n"));
    assert_eq!((world.generation(), world.reloader.refused), (2, true), "a whole policy needs its key");
    renew(&world.files);
    world.reloader.reload_if_changed();
    assert!(!world.reloader.refused && world.generation() > 2 && shown(&world) != new);
}

#[test]
fn a_gateway_that_drains_puts_nothing_in_service() {
    let mut world = World::of(&policy(&[free()], RULES));
    world.reloader.signs.ending.store(true, Ordering::Release);
    world.change("main.gate", &policy(&[free(), free()], RULES));
    assert_eq!((world.generation(), world.reloader.shared.snapshot().plan().listeners.len()), (1, 1));
}

#[test]
fn what_cannot_be_served_is_not_started() {
    let taken = TcpListener::bind("127.53.7.1:0").unwrap();
    let own = free();
    for wrong in [
        "tidegate 1\na mistake\n".to_owned(),
        policy(&[own], &format!("{RULES}server-group web {{ server 127.0.0.1:1; slow-start 10s }}\n")),
        policy(&[own], &format!("{RULES}admin {{ listen {} }}\n", taken.local_addr().unwrap())),
        policy(&[own, taken.local_addr().unwrap()], RULES),
    ] {
        assert!(matches!(start(&Files::new(&wrong)), Err(NotStarted::Refused)), "{wrong}");
        assert!(TcpListener::bind(own).is_ok(), "nothing is left of it");
    }
    let files = Files::new("");
    let gone = Reloader::start(Path::new("/none").to_owned(), files.host, channel().0, Arc::default());
    assert!(matches!(gone, Err(NotStarted::Refused)));
}

#[test]
fn the_last_change_says_how_long_to_wait_and_an_operator_does_not() {
    let (long, short) = (Duration::from_secs(3600), Duration::from_millis(1));
    let changed = |quiet| Order::Changed(Changed(quiet));
    for (orders, told) in [
        (vec![], false),
        (vec![changed(short)], false),
        (vec![changed(long), changed(short)], false),
        (vec![Order::Read, changed(long)], true),
        (vec![changed(long), Order::Read], true),
    ] {
        let (sender, inbox) = channel();
        let first = if orders.is_empty() { short } else { long };
        orders.into_iter().for_each(|order| sender.send(order).unwrap());
        let began = Instant::now();
        assert_eq!(settle(&inbox, Changed(first), &mut VecDeque::new()), told);
        assert!(began.elapsed() < limits::SETTLE_MAX);
    }
}

#[test]
fn an_order_that_comes_while_files_settle_waits_and_is_not_lost() {
    let (sender, inbox) = channel();
    let (reply, mut outcome) = tokio::sync::oneshot::channel();
    let order = orders::Order::Start { listener: "main".into() };
    sender.send(Order::Asked(Asked { order, reply })).unwrap();
    let mut waiting = VecDeque::new();
    assert!(!settle(&inbox, Changed(Duration::from_millis(1)), &mut waiting));
    assert!(waiting.len() == 1 && outcome.try_recv().is_err(), "whoever asked still waits");
}

#[test]
fn there_is_a_worker_whatever_the_policy_says() {
    assert_eq!((worker_count(Some(3)), worker_count(Some(0))), (3, 1));
    assert!(worker_count(None) >= 1);
}
