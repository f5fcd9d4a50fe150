//! Orders to a gateway of one worker.

use std::net::TcpListener;

use super::*;
use crate::admin::lifecycle::State;
use crate::gateway::reload::tests::{RULES, World, accepts, policy};
use crate::gateway::sockets::tests::free;
use crate::policy::overrides::ServerChange;

const GROUP: &str = "server-group web { server 127.0.0.1:1; server 127.0.0.1:2 weight 3 }\n";

fn stop(listener: &str) -> Order {
    Order::Stop { listener: listener.to_owned(), drain: false }
}

fn start(listener: &str) -> Order {
    Order::Start { listener: listener.to_owned() }
}

fn state(world: &World, listener: &str) -> Option<State> {
    world.reloader.facts.lifecycle(|lifecycle| lifecycle.of(listener).map(|life| life.state))
}

#[test]
fn a_listener_is_stopped_and_started_and_others_do_not_notice() {
    let (one, other) = (free(), free());
    let mut world = World::of(&policy(&[one, other], RULES));
    let done = world.reloader.carry_out(&stop("l0"));
    assert_eq!(done, Ok(Done { changed: true, generation: 2 }));
    assert!(!accepts(one) && accepts(other));
    assert_eq!((state(&world, "l0"), state(&world, "l1")), (Some(State::Stopped), Some(State::Running)));
    assert_eq!(world.reloader.carry_out(&stop("l0")), Ok(Done { changed: false, generation: 2 }));
    assert_eq!(world.reloader.carry_out(&start("l0")), Ok(Done { changed: true, generation: 3 }));
    assert!(accepts(one) && state(&world, "l0") == Some(State::Running));
}

#[test]
fn what_was_stopped_stays_so_over_reloads_until_the_files_say_that_it_is() {
    let address = free();
    let mut world = World::of(&policy(&[address], RULES));
    assert!(world.reloader.carry_out(&stop("l0")).is_ok());
    world.change("main.gate", &policy(&[address], "rules site { otherwise { respond 404 } }\n"));
    assert!(world.generation() == 3 && !accepts(address));
    let with =
        |state: &str| policy(&[address], RULES).replace("rules site }", &format!("rules site; state {state} }}"));
    world.change("main.gate", &with("stopped"));
    world.change("main.gate", &with("running"));
    assert!(accepts(address), "its state changed in the file");
}

#[test]
fn a_listener_whose_address_is_taken_meanwhile_is_not_started_and_nothing_is_lost() {
    let address = free();
    let mut world = World::of(&policy(&[address], RULES));
    assert!(world.reloader.carry_out(&stop("l0")).is_ok());
    let taken = TcpListener::bind(address);
    assert!(taken.is_ok());
    let refused = world.reloader.carry_out(&start("l0"));
    assert!(matches!(&refused, Err(Refusal::Cannot(why)) if why.contains("listener `l0`")), "{refused:?}");
    assert_eq!((world.generation(), state(&world, "l0")), (2, Some(State::Stopped)));
    drop(taken);
    assert!(world.reloader.carry_out(&start("l0")).is_ok_and(|done| done.changed) && accepts(address));
}

#[test]
fn an_order_changes_what_serves_and_not_a_policy_that_was_refused() {
    let (address, taken) = (free(), TcpListener::bind("127.53.7.1:0"));
    let taken = taken.and_then(|taken| Ok((taken.local_addr()?, taken)));
    let mut world = World::of(&policy(&[address], RULES));
    if let Ok((other, _)) = &taken {
        world.change("main.gate", &policy(&[address, *other], RULES));
    }
    assert!(taken.is_ok() && world.generation() == 1, "its port is taken");
    assert!(world.reloader.carry_out(&stop("l0")).is_ok_and(|done| done.changed));
    let snapshot = world.reloader.shared.snapshot();
    assert_eq!((snapshot.generation, snapshot.plan().listeners.len()), (2, 1));
}

#[test]
fn a_server_is_drained_until_the_next_reload() {
    let address = free();
    let mut world = World::of(&policy(&[address], &format!("{RULES}{GROUP}")));
    let weights = |world: &World| {
        let snapshot = world.reloader.shared.snapshot();
        snapshot.plan().groups[0].servers.iter().map(|server| server.weight).collect::<Vec<_>>()
    };
    let change = ServerChange { state: ServerState::Draining, weight: None, until_reload: true };
    let order = Order::Server { group: "web".to_owned(), server: "127.0.0.1:2".to_owned(), change };
    assert_eq!(world.reloader.carry_out(&order), Ok(Done { changed: true, generation: 2 }));
    assert_eq!(weights(&world), [1, 0]);
    world.change("main.gate", &policy(&[address], &format!("# touched\n{RULES}{GROUP}")));
    assert_eq!((weights(&world), world.generation()), (vec![1, 3], 3));
}

#[test]
fn what_is_not_there_and_what_comes_too_late_is_refused() {
    let mut world = World::of(&policy(&[free()], RULES));
    assert!(matches!(world.reloader.carry_out(&stop("other")), Err(Refusal::Unknown(_))));
    world.reloader.signs.ending.store(true, Ordering::Release);
    assert!(matches!(world.reloader.carry_out(&stop("l0")), Err(Refusal::Cannot(_))));
    assert_eq!(world.generation(), 1);
}
