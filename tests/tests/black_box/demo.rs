//! The first thing that a newcomer runs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_tests::http3::{Http3, quic_client, run, tls_for};
use tidegate_tests::pki::trusting;
use tidegate_tests::secure::Secure;
use tidegate_tests::{Lines, program, tidegate};

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

    /// The path of the policy, as the demo tells it.
    fn policy(&self) -> PathBuf {
        let text = self.stdout.text();
        text.lines().find_map(|line| line.strip_prefix("The policy is ")).unwrap_or_default().into()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A demo that is killed cannot tidy up.
        if let Some(folder) = self.policy().ancestors().nth(2).filter(|folder| folder.starts_with(std::env::temp_dir()))
        {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[test]
fn the_printed_curl_lines_do_what_they_say() {
    let demo = Demo::start();
    let text = demo.stdout.text();
    // What comes over HTTP/3 has a test of its own, because few clients of the command line speak it.
    let commands: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("curl -i ")).collect();
    assert_eq!(commands.len(), 4, "{text}");
    // What each promises stands below it.
    let promise = |command: &str| {
        let below = text.split_once(command).map(|(_, after)| after.trim_start()).unwrap_or_default();
        below.lines().next().unwrap_or_default().to_owned()
    };
    if program("curl").is_none() {
        return;
    }
    let answers: Vec<_> = commands
        .iter()
        .map(|command| {
            let output = Command::new("sh").args(["-c", &format!("{command} -sS")]).output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .collect();
    let [plain, guest, moved, secure] = &answers[..] else { unreachable!("four commands") };

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
fn the_demo_speaks_http3_and_says_so() {
    let demo = Demo::start();
    let text = demo.stdout.text();
    let command = text.lines().map(str::trim).find(|line| line.starts_with("curl --http3-only")).unwrap_or_default();
    let (certificate, url) = command.split_once("--cacert ").and_then(|(_, rest)| rest.split_once(' ')).unwrap();
    let port = url.trim_start_matches("https://127.0.0.1:").trim_end_matches('/').parse().unwrap();
    let tls = tls_for(trusting(&std::fs::read(certificate).unwrap()));
    let told = run(async {
        let mut client = Http3::connect_from(&quic_client(tls.clone()), port).await;
        let response = client.get("/hello").await;
        assert_eq!((response.status, response.header("x-served-by")), (200, Some("tidegate")));
        assert!(response.text().contains("x-forwarded-proto: https"), "{}", response.text());
        let secure = Secure::trusting_roots(trusting(&std::fs::read(certificate).unwrap()));
        let (mut client, _) = secure.connect(port, "localhost").unwrap();
        client.get("/").header("alt-svc").map(str::to_owned)
    });
    assert_eq!(told, Some(format!("h3=\":{port}\"; ma=86400")));
    assert!(text.contains("chromium "), "browsers want options for a certificate that nobody knows: {text}");
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let mut demo = Demo::start();
    let folder = demo.policy().ancestors().nth(2).unwrap().to_owned();
    assert!(folder.join("policies/demo.key").is_file(), "{}", folder.display());
    let stopped = Command::new("kill").args(["-s", "TERM", &demo.child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && demo.child.wait().unwrap().success());
    assert!(!folder.exists(), "{}", folder.display());
}

#[test]
fn the_demo_reloads_its_policy() {
    let demo = Demo::start();
    let said = demo.stdout.text();
    let path = demo.policy();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("respond 200 \"ok\\n\"", "respond 200 \"changed\\n\"")).unwrap();
    demo.stderr.wait(0, |line| line.contains("reloaded generation=2").then_some(())).unwrap();
    let url = said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
    let port = url.trim_start_matches("http://127.0.0.1:").trim_end_matches(|c: char| !c.is_ascii_digit());
    let port = port.split('/').next().unwrap().parse().unwrap();
    assert_eq!(tidegate_tests::Client::connect(port).get("/health").text(), "changed\n");
}
