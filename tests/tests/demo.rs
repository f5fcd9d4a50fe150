//! The first thing that a newcomer runs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_tests::{Lines, tidegate};

/// A demo; ended with the test. One at a time: they look for free ports, and two would be in each other's way.
struct Demo {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    /// Starts, and waits until it says how to end it.
    fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child =
            Command::new(tidegate()).arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let demo = Self { child, stdout, stderr, _alone: alone };
        let up = demo.stdout.wait(0, |line| line.contains("Ctrl-C").then_some(()));
        up.unwrap_or_else(|seen| panic!("no demo: {seen}\n{}", demo.stderr.text()));
        demo
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_printed_curl_lines_do_what_they_say() {
    let demo = Demo::start();
    let text = demo.stdout.text();
    let commands: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 4, "{text}");
    // What each promises stands below it.
    let promise = |command: &str| {
        let below = text.split_once(command).map(|(_, after)| after.trim_start()).unwrap_or_default();
        below.lines().next().unwrap_or_default().to_owned()
    };
    let answers: Vec<_> = commands
        .iter()
        .map_while(|command| {
            let output = Command::new("sh").args(["-c", &format!("{command} -sS")]).output().unwrap();
            if output.status.code() == Some(127) {
                return None;
            }
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        })
        .collect();
    let [plain, guest, moved, secure] = &answers[..] else {
        return eprintln!("SKIPPED: no curl here");
    };

    assert!(promise(commands[0]).contains("backend"), "{}", promise(commands[0]));
    assert!(plain.starts_with("HTTP/1.1 200") && plain.contains("x-forwarded-for: 127.0.0.1"), "{plain}");
    assert!(!plain.contains("x-client-ip"), "{plain}");

    let said = promise(commands[1]);
    assert!(said.contains("Wasm") && said.contains("x-client-ip") && said.contains("x-served-by"), "{said}");
    let (head, body) = guest.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-served-by: tidegate"), "{guest}");
    assert!(body.contains("x-client-ip: 127.0.0.1"), "{guest}");

    let said = promise(commands[2]);
    assert!(moved.starts_with("HTTP/1.1 308"), "{moved}");
    let location = moved.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    assert!(secure.contains("x-forwarded-proto: https"), "{secure}");
    assert!(promise(commands[3]).contains("x-forwarded-proto: https"), "{}", promise(commands[3]));
    assert!(said.contains("308") && !location.is_empty() && said.contains(location), "{said}: {location}");
}

#[test]
fn the_demo_reloads_its_policy() {
    let demo = Demo::start();
    let said = demo.stdout.text();
    let path = said.lines().find_map(|line| line.strip_prefix("The policy is ")).unwrap_or_default();
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace("respond 200 \"ok\\n\"", "respond 200 \"changed\\n\"")).unwrap();
    demo.stderr.wait(0, |line| line.contains("reloaded generation=2").then_some(())).unwrap();
    let url = said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
    let port = url.trim_start_matches("http://127.0.0.1:").trim_end_matches(|c: char| !c.is_ascii_digit());
    let port = port.split('/').next().unwrap().parse().unwrap();
    assert_eq!(tidegate_tests::Client::connect(port).get("/health").text(), "changed\n");
}
