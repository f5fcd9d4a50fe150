//! Clients that ask all the time, while something is done to the gateway.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::Client;

/// The body that every answer must have.
const STEADY: &str = "steady";

/// Clients that ask all the time, and how often they have.
#[derive(Debug, Default)]
pub struct Load {
    stopped: AtomicBool,
    served: AtomicUsize,
}

impl Load {
    /// Asks on one connection until it is stopped; how often it was answered.
    ///
    /// # Errors
    /// An answer was not 200 with the body `steady`, or there was none.
    pub fn keep_asking(&self, port: u16) -> Result<usize, String> {
        let (mut client, mut served) = (Client::connect(port), 0);
        while !self.stopped.load(Ordering::Relaxed) {
            self.ask(&mut client)?;
            served += 1;
        }
        Ok(served)
    }

    /// Asks on a new connection for each request until it is stopped; how often it was answered.
    ///
    /// # Errors
    /// As with [`Self::keep_asking`]; or there was no connection.
    pub fn keep_coming(&self, port: u16) -> Result<usize, String> {
        let mut served = 0;
        while !self.stopped.load(Ordering::Relaxed) {
            self.ask(&mut Client::try_connect(port).map_err(|error| format!("no connection: {error}"))?)?;
            served += 1;
        }
        Ok(served)
    }

    /// How often the clients have asked.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Stops the clients.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Stops the clients when this is dropped, also where the test fails, so that it fails at once.
    pub const fn stopped_at_the_end(&self) -> StopOnDrop<'_> {
        StopOnDrop(self)
    }

    fn ask(&self, client: &mut Client) -> Result<(), String> {
        let served = self.served.fetch_add(1, Ordering::Relaxed);
        let answer = client.try_get("/").map_err(|error| format!("request {served}: {error}"))?;
        // A pace, so that the load does not take the machine from what is tested.
        std::thread::sleep(Duration::from_millis(1));
        if (answer.status, answer.text().as_str()) == (200, STEADY) {
            Ok(())
        } else {
            Err(format!("request {served}: {} {}", answer.status, answer.text()))
        }
    }
}

/// The end of a load.
#[derive(Debug)]
pub struct StopOnDrop<'l>(&'l Load);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
