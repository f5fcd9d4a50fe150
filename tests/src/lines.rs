//! Lines that a process writes, to wait for.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::PATIENCE;

/// The lines that a process has written so far to one of its outputs; a thread reads on.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads an output to its end.
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let ours = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                ours.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            ours.change(|state| state.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// The number of lines so far: a mark to wait from.
    pub fn mark(&self) -> usize {
        self.0.0.lock().unwrap().lines.len()
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// Every line from a mark on.
    pub fn since(&self, mark: usize) -> Vec<String> {
        self.0.0.lock().unwrap().lines[mark..].to_vec()
    }

    /// The first line from a mark on that is wanted, as soon as it is written.
    ///
    /// # Errors
    /// The lines that came instead: the wanted one does not come, or the output ends before.
    pub fn wait<T>(&self, mark: usize, mut wanted: impl FnMut(&str) -> Option<T>) -> Result<T, String> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.0.0.lock().unwrap();
        let mut looked_at = mark;
        loop {
            if let Some(found) = state.lines.iter().skip(looked_at).find_map(|line| wanted(line)) {
                return Ok(found);
            }
            looked_at = state.lines.len().max(mark);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return Err(state.lines[mark.min(state.lines.len())..].join("\n"));
            }
            state = self.0.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the end of the output, and returns everything.
    pub fn whole(&self) -> String {
        let (lock, changed) = &*self.0;
        let waited = changed.wait_timeout_while(lock.lock().unwrap(), PATIENCE, |state| !state.ended);
        waited.unwrap().0.lines.join("\n")
    }
}
