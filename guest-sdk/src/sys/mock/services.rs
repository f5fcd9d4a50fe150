//! `vars` and `log`.

use super::call;
use super::current::{CURRENT, on};
use super::permissions::needs;
use super::stop::{Fault, one_line, shown, stop};
use crate::bounds::{LOG_LINE_BYTES, VAR_BYTES_PER_REQUEST, VARS_PER_REQUEST};
use crate::log::level::Level;

const VARS: (&str, &str) = ("vars", "vars");

pub(crate) fn var_get(name: &str) -> Option<String> {
    on(VARS, "get", |x| x.vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

pub(crate) fn var_set(name: &str, value: &str) {
    needs(VARS.0, VARS.1);
    call::transfer([name.len(), value.len()]);
    on(VARS, "set", |x| {
        let known = x.vars.iter().position(|(key, _)| key == name);
        let others = x.vars.iter().filter(|(key, _)| key != name);
        let bytes = others.map(|(key, value)| key.len() + value.len()).sum::<usize>() + name.len() + value.len();
        if known.is_none() && x.vars.len() >= VARS_PER_REQUEST || bytes > VAR_BYTES_PER_REQUEST {
            let most =
                format!("a request holds at most {VARS_PER_REQUEST} variables, {VAR_BYTES_PER_REQUEST} bytes together");
            stop(Fault::TooMuch, format!("variable `{}` was not set: {most}", shown(name)));
        }
        match known.and_then(|at| x.vars.get_mut(at)) {
            Some((_, known)) => value.clone_into(known),
            None => x.vars.push((name.to_owned(), value.to_owned())),
        }
    });
}

/// The gateway keeps lines from `info` up.
pub(crate) fn log_enabled(level: Level) -> bool {
    needs("log", "log");
    level >= Level::Info
}

/// Lines of `init` and of ticks, where there is no exchange, go to standard error: tests show it where they fail.
pub(crate) fn log_write(level: Level, message: &str) {
    let kept = log_enabled(level);
    call::transfer([message.len()]);
    if !kept || !call::count_line() {
        return;
    }
    let line = one_line(message, LOG_LINE_BYTES);
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => exchange.log.push((level, line)),
        None => eprintln!("{level:?}: {line}"),
    });
}
