//! The difference that a reload would make: two plans, held against each other declaration by declaration.
//!
//! A declaration is known by its kind and name, never by its place, and it is compared as [`crate::print`] writes it: every
//! default filled in, every reference by name. So what differs can be shown in the words of the policy.

mod declarations;
mod effects;
mod lines;
mod open_connections;
mod order;

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use self::declarations::{Declaration, declarations};
use crate::plan::Plan;

/// The changes that a reload from one plan to another would make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The changes: first of declarations that are dropped, then the rest in the order of the new plan.
    pub changes: Vec<Change>,
}

/// A change of one declaration, or of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The way in which it changes.
    pub how: How,
    /// The word that declares it: `listener`, `server-group`, `rule`.
    pub kind: String,
    /// The name of the declaration; empty for one that has none, such as `gateway`.
    pub name: String,
    /// The name of the `rules` that a changed rule is in.
    pub of: Option<String>,
    /// The lines that differ, as `tidegate print` writes them; all of a rule that is added. Other declarations that come
    /// or go whole are not repeated here.
    pub lines: Vec<Line>,
    /// The effects on a running gateway, where they are more than the lines say.
    pub effects: Vec<String>,
    /// The connections that it ends.
    pub ends: Vec<String>,
}

/// The way in which a declaration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The declaration is new.
    Add,
    /// The declaration changes in place.
    Change,
    /// The rule is tried earlier or later, and is else the same.
    Move,
    /// The listener opens its socket.
    Start,
    /// The listener closes its socket, and stays in the policy.
    Stop,
    /// The declaration cannot change in place: the old one ends, and a new one begins.
    Replace,
    /// The declaration is gone.
    Drop,
}

/// A line of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The plan that has the line.
    pub side: Side,
    /// The line, indented as it stands in its declaration.
    pub text: String,
}

/// The plan, of two, that has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The old one alone.
    Old,
    /// The new one alone.
    New,
    /// Both plans: the line opens the block of a line that differs.
    Both,
}

/// The changes that a reload from `old` to `new` would make; none, if they mean the same.
pub fn diff(old: &Plan, new: &Plan) -> Changes {
    let (old_text, new_text) = (crate::print::lines(old), crate::print::lines(new));
    let mut changes = Vec::new();
    for pair in pairs(declarations(&old_text), declarations(&new_text)) {
        match &pair {
            Pair { old: Some(old), new: Some(new) } if new.kind == "rules" => changes.extend(rules(old, new)),
            pair => changes.extend(pair.change()),
        }
    }
    for change in &mut changes {
        effects::tell(change, old, new);
    }
    Changes { changes }
}

impl Changes {
    /// Whether a reload would do nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// The changes between two `rules` of one name: each rule by its own name.
fn rules(old: &Declaration<'_>, new: &Declaration<'_>) -> Vec<Change> {
    let (before, after) = (old.inner(), new.inner());
    let place = |rules: &[Declaration<'_>]| -> HashMap<String, usize> {
        rules.iter().enumerate().map(|(at, rule)| (rule.key(), at)).collect()
    };
    let (old_places, new_places) = (place(&before), place(&after));
    let kept: Vec<usize> = after.iter().filter_map(|rule| old_places.get(&rule.key()).copied()).collect();
    let moved = order::moved(&kept);
    let mut changes = Vec::new();
    for pair in pairs(before, after) {
        let key = pair.new.as_ref().map(Declaration::key).unwrap_or_default();
        let places = old_places.get(&key).zip(new_places.get(&key)).filter(|(was, _)| moved.contains(was));
        let mut change = pair.change();
        if let (Some((was, is)), Some(rule)) = (places, &pair.new) {
            let change = change.get_or_insert_with(|| Change::new(How::Move, rule, Vec::new()));
            change.effects.push(format!("it is tried as number {}, and was number {}", is + 1, was + 1));
        }
        if let (Some(change), None, Some(added)) = (&mut change, &pair.old, &pair.new) {
            let line = |text: &&str| Line { side: Side::New, text: (*text).to_owned() };
            change.lines = added.body.iter().map(line).collect();
        }
        changes.extend(change.map(|change| Change { of: Some(new.name.to_owned()), ..change }));
    }
    changes
}

/// A declaration before and after; one of the two is there at least.
struct Pair<'t> {
    old: Option<Declaration<'t>>,
    new: Option<Declaration<'t>>,
}

/// The declarations of both plans, paired by kind and name: first those that are gone, then the rest, in its order.
fn pairs<'t>(old: Vec<Declaration<'t>>, new: Vec<Declaration<'t>>) -> Vec<Pair<'t>> {
    let mut before: HashMap<String, Declaration<'t>> = HashMap::new();
    let mut names = Vec::with_capacity(old.len());
    for declaration in old {
        names.push(declaration.key());
        before.insert(declaration.key(), declaration);
    }
    let kept: Vec<Pair<'t>> =
        new.into_iter().map(|new| Pair { old: before.remove(&new.key()), new: Some(new) }).collect();
    let gone = names.iter().filter_map(|name| before.remove(name)).map(|old| Pair { old: Some(old), new: None });
    gone.chain(kept).collect()
}

impl Pair<'_> {
    fn change(&self) -> Option<Change> {
        match (&self.old, &self.new) {
            (Some(old), None) => Some(Change::new(How::Drop, old, Vec::new())),
            (None, Some(new)) => Some(Change::new(How::Add, new, Vec::new())),
            (Some(old), Some(new)) => {
                let lines = lines::differing(&old.lines(), &new.lines());
                (!lines.is_empty()).then(|| Change::new(How::Change, new, lines))
            }
            (None, None) => None,
        }
    }
}

impl Change {
    fn new(how: How, declaration: &Declaration<'_>, lines: Vec<Line>) -> Self {
        let (kind, name) = (declaration.kind.to_owned(), declaration.name.to_owned());
        Self { how, kind, name, of: None, lines, effects: Vec::new(), ends: Vec::new() }
    }
}

// === for people ===

impl Display for Changes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no difference: a reload would change nothing");
        }
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        let hows = [How::Add, How::Change, How::Move, How::Start, How::Stop, How::Replace, How::Drop];
        let count = |how: How| self.changes.iter().filter(|change| change.how == how).count();
        let counts = hows.into_iter().map(|how| (how, count(how))).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(how, count)| format!("{count} to {}", how.word())).collect();
        let ends = if self.changes.iter().all(|change| change.ends.is_empty()) {
            "no connection ends"
        } else {
            "connections end"
        };
        writeln!(f, "{}; {ends}", counts.join(", "))
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { how, kind, name, of, .. } = self;
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        let of = of.as_ref().map(|rules| format!(" of rules {rules}")).unwrap_or_default();
        writeln!(f, "{} {kind}{name}{of}", how.word())?;
        for line in &self.lines {
            writeln!(f, "    {} {}", line.side.sign(), line.text)?;
        }
        for effect in &self.effects {
            writeln!(f, "    {effect}")?;
        }
        for connections in &self.ends {
            writeln!(f, "    ends {connections}")?;
        }
        Ok(())
    }
}

impl How {
    /// The verb for the change.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::Move => "move",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Replace => "replace",
            Self::Drop => "drop",
        }
    }
}

impl Side {
    const fn sign(self) -> char {
        match self {
            Self::Old => '-',
            Self::New => '+',
            Self::Both => ' ',
        }
    }
}
