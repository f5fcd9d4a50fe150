//! The mock of the SDK says what the gateway does: one table of cases, run in both. A difference fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod alike;
mod common;

use std::fmt::Write;
use std::sync::Once;

use alike::given::Given;
use alike::in_host::InHost;
use alike::outcome::counted;
use alike::{Case, in_host, in_mock};

/// In the mock a stopped call is a panic: what that would print is in the outcome. Others are printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let stops = panic.payload_as_str().is_some_and(|text| text.starts_with("the gateway stops this call ("));
            let guest = panic.location().is_some_and(|at| at.file().contains("scripted"));
            if !stops && !guest {
                print(panic);
            }
        }));
    });
}

#[test]
fn the_mock_and_the_host_answer_alike() {
    let update = std::env::var_os("UPDATE").is_some();
    let (mut count, mut wrong) = (0, String::new());
    let host = InHost::new();
    quiet();
    for file in alike::table() {
        let mut text = String::new();
        for (case, head) in file.cases.iter().zip(&file.texts) {
            count += 1;
            let (agreed, said) = compared(case, &host, update);
            wrong.push_str(&said);
            let outcome: String = agreed.iter().map(|line| format!("{line}\n")).collect();
            writeln!(text, "{head}{outcome}").unwrap();
        }
        if update {
            std::fs::write(file.path, text.trim_end().to_owned() + "\n").unwrap();
        }
    }
    assert!(count >= 40, "the table has {count} cases");
    assert!(wrong.is_empty(), "{wrong}");
}

/// The outcome that the two sides agree on, and what is to be said of the case if they do not, or if it is not what is expected.
fn compared(case: &Case, side: &InHost, update: bool) -> (Vec<String>, String) {
    let mock = counted(&in_mock::run(&case.given));
    let host = counted(&in_host::run(side, &case.given, false));
    let component = counted(&in_host::run(side, &case.given, true));
    let mut said = String::new();
    let mut tell = |which: &str, lines: &[String]| writeln!(said, "  {which}:\n    {}", lines.join("\n    ")).unwrap();
    if mock != host || component != host || !update && host != case.expected {
        tell("expected", &case.expected);
        tell("the mock", &mock);
        tell("the host, a module", &host);
        tell("the host, a component", &component);
        said = format!("case `{}`:\n{said}\n", case.name);
    }
    (host, said)
}

/// Texts of letters that mean something to those who read targets and hosts, the same in each run.
fn texts(letters: &str, most: usize) -> impl Iterator<Item = String> {
    let letters: Vec<char> = letters.chars().collect();
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    (0..400).map(move |_| (0..next(most)).map(|_| letters[next(letters.len())]).collect())
}

#[test]
fn the_mock_and_the_host_spell_alike() {
    let host = InHost::new();
    quiet();
    let mut wrong = String::new();
    let acts = [
        ("path /", "/..%2eE5cC~aZ\\{|<é;=\"^`+", 12),
        ("query ", "a?=&%\"<>[]{|^`é\\'", 6),
        ("authority ", "aZ.:0789[]%@-_!", 9),
    ];
    for (act, letters, most) in acts {
        for text in texts(letters, most) {
            let line = format!("request> request.{act}{text}");
            let given = Given::read(std::iter::once(line.clone()));
            let (mock, host) = (in_mock::run(&given), in_host::run(&host, &given, false));
            if mock != host {
                writeln!(wrong, "{line}\n  the mock: {mock:?}\n  the host: {host:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
