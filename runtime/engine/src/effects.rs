//! Steps that requests and responses share.

use std::borrow::Cow;

use crate::bounds::MAX_LOG_LINES;
use crate::exchange::Exchange;
use crate::observer::StepResult;

/// `set-var`.
pub(crate) fn set_var(exchange: &mut Exchange, name: &str, value: &str) -> StepResult {
    match exchange.vars.set(name, value) {
        Ok(()) => StepResult::Done,
        Err(_) => StepResult::Unchanged("the request has too many or too large variables"),
    }
}

/// `log`: control characters become spaces, so that a line stays one.
pub(crate) fn log(exchange: &mut Exchange, line: Cow<'_, str>) -> StepResult {
    if exchange.log_lines.len() >= MAX_LOG_LINES {
        return StepResult::Unchanged("the request has written too many lines");
    }
    let line = if line.contains(char::is_control) { line.replace(char::is_control, " ") } else { line.into_owned() };
    exchange.log_lines.push(line);
    StepResult::Done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn lines_stay_lines_and_are_bounded() {
        let mut exchange = testing::exchange("GET", "a", "/");
        assert_eq!(log(&mut exchange, "a\r\nb\u{85}c".into()), StepResult::Done);
        assert_eq!(exchange.log_lines, ["a  b c"]);
        for _ in 1..MAX_LOG_LINES {
            assert_eq!(log(&mut exchange, "x".into()), StepResult::Done);
        }
        assert!(matches!(log(&mut exchange, "x".into()), StepResult::Unchanged(_)));
        assert_eq!(exchange.log_lines.len(), MAX_LOG_LINES);
    }
}
