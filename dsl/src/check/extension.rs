//! `extension`: a Wasm guest, its configuration, and what it may do.

use std::path::PathBuf;

use super::args::Args;
use super::checker::Checker;
use super::config::Json;
use super::names::Kind;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::module_facts::{ModuleFacts, Need};
use crate::plan::{Abi, Capability, Extension, ExtensionLimits, InstanceMode, OnError, Reach, Reached};
use crate::print::allow_word;
use crate::source::Span;
use crate::tree::{Item, ItemKind};
use crate::vocabulary::{Place, Word};

/// An extension while it is read, and where its words stand.
struct Draft {
    extension: Extension,
    module: Option<Span>,
    /// The place of the word `module`.
    module_head: Option<Span>,
    config: Option<Span>,
    /// The whole line of `allow`.
    allow: Option<Span>,
}

impl<'t> Checker<'_, 't> {
    /// `extension NAME { … }`. Also keeps what is known of its module, for `run`.
    pub(crate) fn extension(&mut self, args: &mut Args<'_, 't>) -> Option<Extension> {
        let (extension, facts) = match self.read_extension(args) {
            Some((extension, facts)) => (Some(extension), facts),
            None => (None, None),
        };
        self.facts.push(facts);
        extension
    }

    fn read_extension(&mut self, args: &mut Args<'_, 't>) -> Option<(Extension, Option<ModuleFacts>)> {
        let (name, name_span) = self.new_name(args, "a name for the extension")?;
        let block = self.block(args)?;
        let mut draft = Draft { extension: defaults(name), module: None, module_head: None, config: None, allow: None };
        let lines = self.lines(block, Place::Extension);
        let (whole, mut right) = (lines.whole, lines.whole);
        let lines = lines.all;
        let has_module = lines.iter().any(|line| line.word.name == "module");
        for mut line in lines {
            right &= self.extension_line(line.word, &mut line.args, &mut draft).is_some();
        }
        if !has_module {
            self.must_have(args, whole, "a `module`", "write `module \"FILE.wasm\"`");
        }
        let module = draft.module?;
        if !right {
            return None;
        }
        let facts = self.module(&draft, module, name_span);
        Some((draft.extension, facts))
    }

    fn extension_line(&mut self, word: &'static Word, args: &mut Args<'_, 't>, draft: &mut Draft) -> Option<()> {
        let head = args.head;
        let extension = &mut draft.extension;
        match word.name {
            "module" => {
                let (path, span) = self.text(args, "the file of the module")?;
                let path = self.not_empty(path, span)?;
                extension.module = self.path(&path, span).to_string_lossy().into_owned();
                draft.module = Some(span);
                draft.module_head = Some(head);
            }
            "abi" => {
                extension.abi = match self.choose(args, Place::Abi)?.name {
                    "proxy-wasm" => Abi::ProxyWasm,
                    "http-wasm" => Abi::HttpWasm,
                    _ => Abi::Tidegate,
                }
            }
            "config" => {
                draft.config = Some(head);
                extension.config = self.extension_config(args)?;
                return Some(());
            }
            "limits" => {
                extension.limits = self.extension_limits(args)?;
                return Some(());
            }
            "instance" => {
                extension.instance = match self.choose(args, Place::Instance)?.name {
                    "fresh" => InstanceMode::Fresh,
                    _ => InstanceMode::Reused,
                }
            }
            "on-error" => extension.on_error = self.on_fault(args, Place::OnError)?,
            "on-pause" => extension.on_pause = self.on_fault(args, Place::OnPause)?,
            _ => {
                (extension.allow, extension.reach) = self.allow(args)?;
                draft.allow = Some(head.to(args.last()));
            }
        }
        self.done(args)
    }

    /// `config { … }` becomes JSON; `config "…"` is handed on as it is.
    fn extension_config(&mut self, args: &mut Args<'_, 't>) -> Option<String> {
        if args.peek().is_some() {
            let (text, _) = self.text(args, "a text or a block")?;
            self.done(args)?;
            return Some(text);
        }
        let block = self.block(args)?;
        self.config(block).map(|config: Json| config.to_string())
    }

    fn extension_limits(&mut self, args: &mut Args<'_, 't>) -> Option<ExtensionLimits> {
        let block = self.block(args)?;
        self.warn_if_empty(args.of.name, block);
        let mut limits = default_limits();
        let lines = self.lines(block, Place::ExtensionLimits);
        let mut right = lines.whole;
        for mut line in lines.all {
            right &= self.extension_limit(line.word, &mut line.args, &mut limits).is_some();
        }
        right.then_some(limits)
    }

    fn extension_limit(
        &mut self,
        word: &'static Word,
        args: &mut Args<'_, 't>,
        limits: &mut ExtensionLimits,
    ) -> Option<()> {
        match word.name {
            "memory" => limits.memory = self.size(args, word)?,
            "time" => limits.time = self.duration(args, word)?,
            _ => limits.instances = self.count(args, word)?,
        }
        self.done(args)
    }

    fn on_fault(&mut self, args: &mut Args<'_, 't>, place: Place) -> Option<OnError> {
        let word = self.choose(args, place)?;
        if word.name == "skip" {
            return Some(OnError::Skip);
        }
        if args.peek().is_none() {
            return Some(default_deny(place));
        }
        Some(OnError::Deny(u16::try_from(self.count(args, word)?).ok()?))
    }

    /// `allow [ … ]`; the list may be empty.
    fn allow(&mut self, args: &mut Args<'_, 't>) -> Option<(Vec<Capability>, Reach)> {
        if args.eat_empty_list() {
            return Some((Vec::new(), Reach::default()));
        }
        let mut allow = Vec::new();
        let (mut route, mut outbound) = (None, None);
        let mut right = true;
        for mut element in self.alternatives(args, "what the guest may do")? {
            let word = self.choose(&mut element, Place::Allow);
            let capability =
                word.and_then(|word| Capability::ALL.into_iter().find(|capability| capability.word() == word.name));
            let named = match capability {
                Some(Capability::Route) => self.reached(&mut element, &mut route),
                Some(Capability::Outbound) => self.reached(&mut element, &mut outbound),
                _ => Some(()),
            };
            match capability {
                Some(capability) if named.is_some() && self.element_done(&mut element).is_some() => {
                    allow.push(capability);
                }
                _ => right = false,
            }
        }
        allow.sort_unstable();
        allow.dedup();
        let reach = Reach { route: route.unwrap_or_default(), outbound: outbound.unwrap_or_default() };
        right.then_some((allow, reach))
    }

    /// The groups behind `route` or `outbound`, beside those that the word had before. Without a list it is every group, so
    /// that both together say two things.
    fn reached(&mut self, element: &mut Args<'_, 't>, known: &mut Option<Reached>) -> Option<()> {
        let (word, every) = (element.last(), element.peek().is_none());
        if known.as_ref().is_some_and(|known| every != (*known == Reached::Every)) {
            let message = format!("`{}` stands with a list and without one", self.sources.slice(word));
            self.report(
                Diagnostic::new(codes::REPEATED_WORD, word, message)
                    .help("keep the list, or keep the word alone, which means every server-group"),
            );
            return None;
        }
        if every {
            self.warn_of_every_group(word);
            *known = Some(Reached::Every);
            return Some(());
        }
        let mut names = match known.take() {
            Some(Reached::These(names)) => names,
            Some(Reached::Every) | None => Vec::new(),
        };
        let mut right = true;
        if !element.eat_empty_list() {
            for mut one in self.alternatives(element, "the name of a server-group")? {
                let written = match one.peek() {
                    Some(Item { kind: ItemKind::Word(name), .. }) => (*name).to_owned(),
                    _ => String::new(),
                };
                let found = self.reference(&mut one, Kind::Group);
                right &= found.is_some() && self.element_done(&mut one).is_some();
                if !names.contains(&written) {
                    names.push(written);
                }
            }
        }
        *known = Some(Reached::These(names));
        right.then_some(())
    }

    /// Warns of a guest that may name every group where there are several: it is hardly meant for all of them, and for
    /// those that come later.
    fn warn_of_every_group(&mut self, word: Span) {
        const SHOWN: usize = 6;
        let groups: Vec<&str> = self.names.all(Kind::Group).collect();
        if groups.len() < 2 {
            return;
        }
        let written = self.sources.slice(word).to_owned();
        let more = if groups.len() > SHOWN { ", …" } else { "" };
        let groups = groups.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        self.report(
            Diagnostic::new(
                codes::EVERY_GROUP,
                word,
                format!("`{written}` without a list lets the guest name every server-group"),
            )
            .help(format!("write those that it is meant for: `{written} [{groups}{more}]`")),
        );
    }

    /// Reads the module and holds it against what is allowed.
    fn module(&mut self, draft: &Draft, module: Span, name: Span) -> Option<ModuleFacts> {
        let extension = &draft.extension;
        self.inputs.push(PathBuf::from(&extension.module));
        let facts = match self.loader.module(extension) {
            Ok(facts) => facts,
            Err(why) => {
                let message = format!("the module {} cannot be used: {why}", quoted(&extension.module));
                self.report(Diagnostic::new(codes::MODULE, module, message));
                return None;
            }
        };
        if let Some(why) = &facts.bound {
            let message = format!("the module {} is more than the gateway compiles: {why}", quoted(&extension.module));
            self.report(Diagnostic::new(codes::MODULE_BOUND, module, message));
            return None;
        }
        if let Some(why) = &facts.uncompiled {
            let message = format!("the module {} cannot be used: {why}", quoted(&extension.module));
            self.report(Diagnostic::new(codes::UNCOMPILED, module, message).help(
                "the machine may be busy: try again; else build the module for size, or take what it does not need out",
            ));
            return None;
        }
        for import in &facts.unknown_imports {
            self.report(
                Diagnostic::new(
                    codes::UNKNOWN_IMPORT,
                    module,
                    format!("the module imports {}, which this gateway does not have", quoted(import)),
                )
                .help("build it against the interfaces of this version"),
            );
        }
        self.not_allowed(&facts.needs, draft, module, name);
        if let Some(why) = &facts.init_error {
            let span = draft.config.unwrap_or(name);
            self.report(
                Diagnostic::new(
                    codes::CONFIG,
                    span,
                    format!("the extension {} refuses its configuration: {why}", quoted(&extension.name)),
                )
                .also(module, "the module is this one"),
            );
        }
        if let Some(why) = &facts.start_error {
            let message = format!("the extension {} does not start: {why}", quoted(&extension.name));
            self.report(Diagnostic::new(codes::START, module, message));
        }
        Some(facts)
    }

    /// Reports all words that are missing in `allow` at once, naming the first import that needs one: the cause is one,
    /// and the mend is one line.
    fn not_allowed(&mut self, needs: &[Need], draft: &Draft, module: Span, name: Span) {
        let allow = &draft.extension.allow;
        let mut missing = needs.iter().filter(|need| !allow.contains(&need.capability));
        let Some(first) = missing.next() else { return };
        let (others, are) = match missing.count() {
            0 => (String::new(), "is"),
            1 => (" and one more".to_owned(), "are"),
            count => (format!(" and {count} more"), "are"),
        };
        let needed = |word: &Capability| allow.contains(word) || needs.iter().any(|need| need.capability == *word);
        // What is held to some groups stays so.
        let word = |capability| allow_word(&draft.extension, capability);
        let words: Vec<String> = Capability::ALL.into_iter().filter(needed).map(word).collect();
        let line = format!("allow [{}]", words.join(", "));
        let message = format!("the module imports {}{others}, which {are} not allowed", quoted(&first.import));
        let report = Diagnostic::new(codes::NOT_ALLOWED, draft.allow.map_or(name, |allow| allow.part(0, 5)), message)
            .help(format!("write `{line}`, if it may do all of that"));
        self.report(match draft.allow {
            Some(allow) => report.edit(allow, line),
            None => {
                let before = self.line_break(draft.module_head.unwrap_or(module));
                report.edit(module.after(), format!("{before}{line}"))
            }
        });
    }
}

fn defaults(name: String) -> Extension {
    Extension {
        name,
        module: String::new(),
        abi: Abi::Tidegate,
        config: "{}".to_owned(),
        limits: default_limits(),
        instance: InstanceMode::Reused,
        on_error: default_deny(Place::OnError),
        on_pause: default_deny(Place::OnPause),
        allow: Vec::new(),
        reach: Reach::default(),
    }
}

fn default_limits() -> ExtensionLimits {
    let number = |name: &str| Place::ExtensionLimits.default_number(name).unwrap_or_default();
    ExtensionLimits {
        memory: number("memory"),
        time: Place::ExtensionLimits.default_duration("time"),
        instances: u32::try_from(number("instances")).unwrap_or(1),
    }
}

fn default_deny(place: Place) -> OnError {
    OnError::Deny(place.default_number("deny").and_then(|n| u16::try_from(n).ok()).unwrap_or(500))
}
