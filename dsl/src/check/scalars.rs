//! Values that a function reads: numbers, times, sizes, switches, each within the range of the table.

use std::time::Duration;

use super::args::Args;
use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::source::Span;
use crate::value::{self, Mistake};
use crate::vocabulary::{Value, Word};

impl<'t> Checker<'_, 't> {
    /// The next item as a bare value that a function reads.
    pub(crate) fn value<T>(
        &mut self,
        args: &mut Args<'_, 't>,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, Mistake>,
    ) -> Option<(T, Span)> {
        let (text, span) = self.bare(args, what)?;
        let value = self.accept(read(text), span)?;
        Some((value, span))
    }

    /// Reports a value that could not be read.
    pub(crate) fn accept<T>(&mut self, read: Result<T, Mistake>, span: Span) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(mistake) => {
                let report = Diagnostic::new(mistake.code, span, mistake.message).maybe_help(mistake.help);
                self.report(match mistake.instead {
                    Some(instead) => report.edit(span, instead),
                    None => report,
                });
                None
            }
        }
    }

    /// The time that a word takes, within the range of the table.
    pub(crate) fn duration(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<Duration> {
        let (duration, span) = self.value(args, "a time", value::duration)?;
        if let Value::Duration { min, max, .. } = word.value
            && !(min..=max).contains(&duration)
        {
            self.out_of_range(word, span, &value::show_duration(min), &value::show_duration(max));
            return None;
        }
        Some(duration)
    }

    /// The time that a word takes, or `off`.
    pub(crate) fn duration_or_off(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<Option<Duration>> {
        if args.eat("off") { Some(None) } else { self.duration(args, word).map(Some) }
    }

    /// The share that a word takes, within the range of the table.
    pub(crate) fn percent(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<u32> {
        let (percent, span) = self.value(args, "a percentage", value::percent)?;
        let (min, max) = match word.value {
            Value::Percent { min, max, .. } => (min, max),
            _ => (1, 100),
        };
        if !(min..=max).contains(&percent) {
            self.out_of_range(word, span, &format!("{min}%"), &format!("{max}%"));
            return None;
        }
        Some(percent)
    }

    /// The number that a word takes, within the range of the table.
    pub(crate) fn count(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<u32> {
        let (count, span) = self.value(args, "a number", value::count)?;
        let (min, max) = match word.value {
            Value::Count { min, max, .. } => (min, max.min(u64::from(u32::MAX))),
            _ => (0, u64::from(u32::MAX)),
        };
        match u32::try_from(count) {
            Ok(count) if (min..=max).contains(&u64::from(count)) => Some(count),
            _ => {
                self.out_of_range(word, span, &min.to_string(), &max.to_string());
                None
            }
        }
    }

    /// The number that a word takes, or `off`.
    pub(crate) fn count_or_off(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<Option<u32>> {
        if args.eat("off") { Some(None) } else { self.count(args, word).map(Some) }
    }

    /// The size that a word takes, within the range of the table.
    pub(crate) fn size(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<u64> {
        let (size, span) = self.value(args, "a size", value::size)?;
        if let Value::Size { min, max, .. } = word.value
            && !(min..=max).contains(&size)
        {
            self.out_of_range(word, span, &value::show_size(min), &value::show_size(max));
            return None;
        }
        Some(size)
    }

    /// The size that a word takes, or `off`.
    pub(crate) fn size_or_off(&mut self, args: &mut Args<'_, 't>, word: &Word) -> Option<Option<u64>> {
        if args.eat("off") { Some(None) } else { self.size(args, word).map(Some) }
    }

    /// `on` or `off`.
    pub(crate) fn switch(&mut self, args: &mut Args<'_, 't>) -> Option<bool> {
        let (word, span) = self.bare(args, "`on` or `off`")?;
        match word {
            "on" => Some(true),
            "off" => Some(false),
            _ => {
                let report =
                    Diagnostic::new(codes::WRONG_KIND, span, format!("{} is neither `on` nor `off`", quoted(word)));
                self.report(match word {
                    "true" | "yes" | "enable" | "enabled" | "1" => report.write("on"),
                    "false" | "no" | "disable" | "disabled" | "0" => report.write("off"),
                    _ => report.help("write `on` or `off`"),
                });
                None
            }
        }
    }

    fn out_of_range(&mut self, word: &Word, span: Span, min: &str, max: &str) {
        let shown = quoted(self.sources.slice(span));
        self.report(
            Diagnostic::new(codes::OUT_OF_RANGE, span, format!("{shown} is out of range for `{}`", word.name))
                .help(format!("`{}` is {min} to {max}", word.name)),
        );
    }
}
