//! The language server, as an editor uses it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_tests::{Editor, eventually, guest, shipped, ticks_of};

const POLICY: &str = "tidegate 1

server-group web { server 127.0.0.1:8081 }

listener http main {
    prot 8080
    rules site
}

rules site {
    rule api {
        when header \"x-name\" is \"ü𝄞\"; forward wbe
    }
    otherwise { forward web }
}
";

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Line and UTF-16 column of the first place of a piece of a text.
fn place(text: &str, piece: &str) -> Value {
    let at = text.find(piece).unwrap();
    let before = &text[..at];
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().encode_utf16().count();
    json!({ "line": line, "character": column })
}

fn at(uri: &str, text: &str, piece: &str) -> Value {
    json!({ "textDocument": { "uri": uri }, "position": place(text, piece) })
}

fn labels(items: &Value) -> Vec<String> {
    items.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_mistake_is_underlined_completed_hovered_mended_and_gone() {
    let folder = tempfile::tempdir().unwrap();
    let uri = uri(&folder.path().join("policy.gate"));
    let mut editor = Editor::start(folder.path());
    editor.open(&uri, POLICY);

    // Underlined: the very words, with their codes, counted in the editor's columns.
    let said = editor.underlined(&uri);
    let codes: Vec<_> = said.iter().map(|said| said["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["E0201", "E0301"], "{said:?}");
    for (said, wrong) in said.iter().zip(["prot", "wbe"]) {
        assert_eq!(said["range"]["start"], place(POLICY, wrong), "{said}");
        let width =
            said["range"]["end"]["character"].as_u64().unwrap() - said["range"]["start"]["character"].as_u64().unwrap();
        assert_eq!(usize::try_from(width).unwrap(), wrong.len());
        assert_eq!((said["severity"].as_u64(), said["source"].as_str()), (Some(1), Some("tidegate")));
        assert!(said["message"].as_str().unwrap().contains("help: did you mean"), "{said}");
    }

    // Completed: the words of the place, and the names that are declared.
    let words = editor.ask("textDocument/completion", &at(&uri, POLICY, "prot"));
    let (words, all) = (labels(&words), words);
    assert!(words.contains(&"port".to_owned()) && !words.contains(&"server".to_owned()), "{words:?}");
    let port = all.as_array().unwrap().iter().find(|item| item["label"] == "port").unwrap();
    assert_eq!(port["textEdit"]["range"], said[0]["range"], "the whole word is replaced");
    let names = labels(&editor.ask("textDocument/completion", &at(&uri, POLICY, "wbe")));
    assert_eq!(names, ["web"]);

    // Hovered: what is wrong, in full; and what a word means.
    let hover = editor.ask("textDocument/hover", &at(&uri, POLICY, "prot"));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("**E0201**"), "{hover}");
    let hover = editor.ask("textDocument/hover", &at(&uri, POLICY, "rules site"));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("the rules that decide"), "{hover}");

    // Mended: by what the editor offers.
    let actions = editor.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": { "uri": uri }, "range": said[1]["range"], "context": { "diagnostics": [] } }),
    );
    assert_eq!(actions[0]["title"], "Change to `web`", "{actions}");
    assert_eq!(actions[0]["edit"]["changes"][&uri][0], json!({ "range": said[1]["range"], "newText": "web" }));
    let mended = POLICY.replace("wbe", "web");
    editor.change(&uri, &mended);
    assert_eq!(editor.underlined(&uri).len(), 1);
    let mended = mended.replace("prot", "port");
    editor.change(&uri, &mended);
    assert_eq!(editor.underlined(&uri), [] as [Value; 0]);

    // A mend of several changes, and one that no word was meant for.
    let two =
        mended.replace("rules site {", "rules site {\n    rule a { when path is \"/a\" or path is \"/b\"; close }");
    editor.change(&uri, &two);
    let said = editor.underlined(&uri);
    let actions = editor.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": { "uri": uri }, "range": said[0]["range"], "context": { "diagnostics": [] } }),
    );
    let changes: Vec<_> = actions[0]["edit"]["changes"][&uri].as_array().unwrap().iter().collect();
    let texts: Vec<_> = changes.iter().map(|change| change["newText"].as_str().unwrap()).collect();
    assert_eq!(texts, ["any { ", "; ", " }"], "{actions}");
    editor.change(&uri, &mended);
    assert_eq!(editor.underlined(&uri), [] as [Value; 0]);

    // Formatted, into what `fmt` would write.
    let edits = editor.ask(
        "textDocument/formatting",
        &json!({ "textDocument": { "uri": uri }, "options": { "tabSize": 4, "insertSpaces": true } }),
    );
    let formatted = edits[0]["newText"].as_str().unwrap();
    assert!(formatted.contains("ü𝄞\"\n        forward web\n"), "{formatted}");
    editor.change(&uri, formatted);
    let edits = editor.ask(
        "textDocument/formatting",
        &json!({ "textDocument": { "uri": uri }, "options": { "tabSize": 4, "insertSpaces": true } }),
    );
    assert_eq!(edits, json!([]), "once is enough");

    // Found: where a name is declared.
    let found = editor.ask("textDocument/definition", &at(&uri, formatted, "web\n    }\n    otherwise"));
    assert_eq!((found["uri"].as_str(), &found["range"]["start"]), (Some(uri.as_str()), &place(formatted, "web {")));
    let outline = editor.ask("textDocument/documentSymbol", &json!({ "textDocument": { "uri": uri } }));
    assert_eq!(outline[2]["children"][0]["name"], "api", "{outline}");

    assert_eq!(editor.ask("shutdown", &Value::Null), Value::Null);
    editor.tell("exit", &Value::Null);
    assert_eq!(editor.end(), (Some(0), String::new()));
}

#[test]
fn a_second_place_is_told_with_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let uri = uri(&folder.path().join("policy.gate"));
    let mut editor = Editor::start(folder.path());
    let text = "tidegate 1\nlist a [10.0.0.0/8]\nlist a [10.0.0.0/8]\n";
    editor.open(&uri, text);
    let said = editor.underlined(&uri);
    let twice = said.iter().find(|said| said["code"] == "E0302").unwrap();
    let first = &twice["relatedInformation"][0];
    assert_eq!(
        (first["location"]["uri"].as_str(), &first["location"]["range"]["start"]["line"]),
        (Some(uri.as_str()), &json!(1))
    );
}

/// A mistake in an included file that is open and not saved is seen there, and names go from file to file.
#[test]
fn documents_that_are_not_saved_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("sites")).unwrap();
    let root = "tidegate 1\ninclude \"sites/*.gate\"\nlistener http main {\n    port 8080\n    rules shop\n}\nserver-group web { server 127.0.0.1:8081 }\n";
    let shop = "rules shop {\n    otherwise { forward web }\n}\n";
    std::fs::write(path("main.gate"), root).unwrap();
    std::fs::write(path("sites/shop.gate"), shop).unwrap();
    let (root_uri, shop_uri) = (uri(&path("main.gate")), uri(&path("sites/shop.gate")));
    let mut editor = Editor::start(folder.path());
    // The fragment alone: the policy that includes it is found beside it, so nothing is missing.
    editor.open(&shop_uri, shop);
    assert_eq!(editor.underlined(&shop_uri), [] as [Value; 0]);
    let changed = shop.replace("forward web", "forward we");
    editor.change(&shop_uri, &changed);
    assert_eq!(editor.underlined(&shop_uri)[0]["code"], "E0301");
    assert_eq!(labels(&editor.ask("textDocument/completion", &at(&shop_uri, &changed, "we }"))), ["web"]);
    // Renamed in the other file, and not saved there either.
    editor.open(&root_uri, &root.replace("group web", "group we"));
    assert_eq!(editor.underlined(&shop_uri), [] as [Value; 0]);
    let found = editor.ask("textDocument/definition", &at(&shop_uri, &changed, "we }"));
    assert_eq!(found["uri"], root_uri);
    // Closed without saving: the files count again.
    editor.tell("textDocument/didClose", &json!({ "textDocument": { "uri": root_uri } }));
    assert_eq!(editor.underlined(&shop_uri)[0]["code"], "E0301");
}

#[test]
fn shipped_policies_have_nothing_underlined() {
    guest("client_headers");
    let folder = shipped("policies");
    let mut editor = Editor::start(&folder);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gate") {
            continue;
        }
        let uri = uri(&path);
        editor.open(&uri, &std::fs::read_to_string(&path).unwrap());
        assert_eq!(editor.underlined(&uri), [] as [Value; 0], "{uri}");
    }
}

#[test]
fn an_editor_that_leaves_rudely_is_told_by_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(folder.path());
    editor.tell("exit", &Value::Null);
    assert_eq!(editor.end().0, Some(1), "`exit` without `shutdown`");
    assert_eq!(Editor::start(folder.path()).end().0, Some(1), "end of input without `exit`");
    assert_eq!(Editor::start_rudely(folder.path()).end().0, Some(1), "end of input without a word");
}

/// What is no message is refused, and what follows is answered; only where a message begins must be clear.
#[test]
fn broken_messages_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let uri = uri(&folder.path().join("policy.gate"));
    let mut editor = Editor::start(folder.path());
    for (broken, code) in
        [("no JSON", -32700), ("", -32700), ("{\"a\":", -32700), ("[]", -32600), ("{\"a\":1}", -32600)]
    {
        editor.send(broken);
        assert_eq!(editor.refused(), code, "{broken}");
    }
    // Notifications without what they need are passed over.
    editor.tell("textDocument/didOpen", &Value::Null);
    editor.tell("textDocument/didChange", &json!({ "textDocument": { "uri": uri }, "contentChanges": [] }));
    editor.open(&uri, POLICY);
    assert_eq!(editor.underlined(&uri).len(), 2);
    editor.send_raw(b"Content-Length: soon\r\n\r\n");
    let (status, said) = editor.end();
    assert!(status == Some(1) && said.contains("cannot be read"), "{status:?}: {said}");
}

/// A document larger than a policy may be, one of very many rules, one of very deep blocks: each is answered.
#[test]
fn documents_beyond_every_bound_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let uri = uri(&folder.path().join("policy.gate"));
    let mut editor = Editor::start(folder.path());
    let head = "tidegate 1\nserver-group web { server 127.0.0.1:8081 }\nlistener http main { port 80; rules main; }\n";
    let rules: String =
        (0..5000).map(|at| format!("rule r{at} {{ when host is \"h{at}.example\"; forward web; }}\n")).collect();
    let many = format!("{head}rules main {{\n{rules}otherwise {{ forward wbe; }}\n}}\n");
    let large = format!("{head}{}", "# A comment.\n".repeat(400_000));
    let deep = format!("{head}rules main {{ rule a {{ when {}", "any { ".repeat(10_000));
    for (text, code) in [(&many, "E0301"), (&large, "E0108"), (&deep, "E0107")] {
        editor.open(&uri, text);
        let said = editor.underlined(&uri);
        assert!(said.iter().any(|said| said["code"] == code), "{code}: {said:?}");
        let end = json!({ "textDocument": { "uri": uri }, "position": { "line": 2_000_000_000, "character": 2_000_000_000 } });
        for method in ["textDocument/completion", "textDocument/hover", "textDocument/definition"] {
            editor.ask(method, &end);
        }
    }
    editor.open(&uri, head.replace("rules main", "forward web").as_str());
    assert_eq!(editor.underlined(&uri), [] as [Value; 0]);
}

/// Faster typing than anyone's: what counts at the end is the last text.
#[test]
fn the_last_of_many_edits_counts() {
    let folder = tempfile::tempdir().unwrap();
    let uri = uri(&folder.path().join("policy.gate"));
    let mut editor = Editor::start(folder.path());
    let mended = POLICY.replace("wbe", "web").replace("prot", "port");
    editor.open(&uri, POLICY);
    let cuts = (0..mended.len()).filter(|at| mended.is_char_boundary(*at));
    for at in cuts {
        editor.change(&uri, &mended[..at]);
    }
    editor.change(&uri, &mended);
    // Answers are about the text as it stands, whatever was checked of it.
    let hover = editor.ask("textDocument/hover", &at(&uri, &mended, "rules site"));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("the rules that decide"), "{hover}");
    // What is said of another document that is opened now comes with the last text's check, or after it.
    let other = format!("{}/z.gate", uri.trim_end_matches("/policy.gate"));
    editor.open(&other, POLICY);
    assert_eq!(editor.underlined(&other).len(), 2);
    let said = std::iter::from_fn(|| editor.said(&uri)).last().unwrap();
    assert_eq!(said, [] as [Value; 0]);
}

const RUN: &str = "runModules";

/// A policy with an extension, and the bytes of its module beside it.
fn extension(folder: &Path, settings: &str) -> (String, String) {
    std::fs::copy(guest("tidegate_hostile_guest"), folder.join("guest.wasm")).unwrap();
    let text = format!(
        "tidegate 1\nlistener http main {{\n    port 8080\n    run hostile\n    forward web\n}}\nserver-group web {{ server 127.0.0.1:8081 }}\nextension hostile {{\n    module \"guest.wasm\"\n    {settings}\n}}\n"
    );
    (uri(&folder.join("policy.gate")), text)
}

const EVERYTHING: &str = "allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, \
                          route, respond, body, vars, log, clock, random, metrics, store]";

fn codes(said: &[Value]) -> Vec<&str> {
    said.iter().map(|said| said["code"].as_str().unwrap()).collect()
}

/// Opening a file runs nothing that it names: its modules are looked at.
#[test]
fn modules_run_only_if_the_editor_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (uri, loops) = extension(folder.path(), &format!("config {{ init \"loop\" }}; {EVERYTHING}"));
    let refuses = loops.replace("\"loop\"", "\"refuse\"");
    let lacks = loops.replace("route, ", "");
    for options in [Value::Null, json!({ RUN: false }), json!({ RUN: "true" }), json!({})] {
        let mut editor = Editor::start_with(folder.path(), &options);
        editor.open(&uri, &lacks);
        assert_eq!(codes(&editor.underlined(&uri)), ["E0602"], "{options}: inspected");
        for runs in [&loops, &refuses] {
            editor.open(&uri, runs);
            assert_eq!(editor.underlined(&uri), [] as [Value; 0], "{options}");
            editor.open(&uri, &lacks);
            editor.underlined(&uri);
        }
    }
    let mut editor = Editor::start_with(folder.path(), &json!({ RUN: true }));
    for (text, code) in [(&refuses, "E0604"), (&loops, "E0607")] {
        editor.open(&uri, text);
        assert_eq!(codes(&editor.underlined(&uri)), [code]);
    }
}

/// While a check hangs, here in an `init` that uses all the time it has, everything else is answered, and the server ends at once.
#[test]
fn nothing_waits_for_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("config {{ init \"loop\" }}; limits {{ time 50ms }}; {EVERYTHING}");
    let (uri, loops) = extension(folder.path(), &settings);
    let mut editor = Editor::start_with(folder.path(), &json!({ RUN: true }));
    let mistaken = POLICY.replace("wbe", "web");
    editor.open(&uri, &mistaken);
    let said = editor.underlined(&uri);
    assert_eq!(codes(&said), ["E0201"]);
    let begun = Instant::now();
    let before = ticks_of(editor.id(), "checks");
    editor.change(&uri, &loops);
    eventually("the check runs", || {
        let ticks = ticks_of(editor.id(), "checks") - before;
        if ticks > 2 { Ok(()) } else { Err(ticks) }
    });
    let names = labels(&editor.ask("textDocument/completion", &at(&uri, &loops, "web\n}")));
    assert_eq!(names, ["web"], "of the text as it stands");
    let hover = editor.ask("textDocument/hover", &at(&uri, &loops, "limits"));
    assert!(hover["contents"]["value"].is_string(), "{hover}");
    let found = editor.ask("textDocument/definition", &at(&uri, &loops, "web\n}"));
    assert_eq!(found["range"]["start"], place(&loops, "web { server"));
    let document = json!({ "uri": uri });
    let edits = editor.ask(
        "textDocument/formatting",
        &json!({ "textDocument": document, "options": { "tabSize": 4, "insertSpaces": true } }),
    );
    assert!(edits[0]["newText"].is_string(), "{edits}");
    // A mend of the text before would be written at a place that is another one now.
    let everywhere = json!({ "start": place(&loops, "tidegate"), "end": { "line": 99, "character": 0 } });
    let actions = editor.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": document, "range": everywhere, "context": { "diagnostics": said } }),
    );
    assert_eq!(actions, json!([]));
    assert_eq!(editor.ask("shutdown", &Value::Null), Value::Null);
    assert_eq!(editor.said(&uri), None, "nothing of all this waited for the check");
    editor.tell("exit", &Value::Null);
    assert_eq!(editor.end(), (Some(0), String::new()));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: `init` alone takes 5 s of a processor");
}

/// One check is under way at a time, and what follows is the last text, not each.
#[test]
fn what_was_typed_while_a_check_ran_is_checked_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("config {{ init \"loop\" }}; limits {{ time 20ms }}; {EVERYTHING}");
    let (uri, loops) = extension(folder.path(), &settings);
    let mut editor = Editor::start_with(folder.path(), &json!({ RUN: true }));
    editor.open(&uri, &loops);
    eventually("the first check runs", || {
        let ticks = ticks_of(editor.id(), "checks");
        if ticks > 2 { Ok(()) } else { Err(ticks) }
    });
    editor.change(&uri, POLICY);
    editor.change(&uri, &POLICY.replace("wbe", "web"));
    assert_eq!(codes(&editor.underlined(&uri)), ["E0607"]);
    assert_eq!(codes(&editor.underlined(&uri)), ["E0201"]);
}

/// A section of a Wasm module, and a number in it.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A module of so many functions with this body, which has its local variables before it.
fn module(functions: usize, body: &[u8]) -> Vec<u8> {
    let declared = [leb(functions), vec![0; functions]].concat();
    let body = [leb(body.len()), body.to_vec()].concat();
    let code = [leb(functions), body.repeat(functions)].concat();
    [&b"\0asm\x01\0\0\0"[..], &section(1, &[1, 0x60, 0, 0]), &section(3, &declared), &section(10, &code)].concat()
}

/// Files that would hold up whoever compiles or reads them: each is underlined, whether modules may run or not.
#[test]
fn files_that_would_hold_it_up_are_underlined() {
    let folder = tempfile::tempdir().unwrap();
    let (uri, text) = extension(folder.path(), EVERYTHING);
    let loops = [&[1][..], &leb(10_000), &[0x7e], &[0x03, 0x40, 0x0b].repeat(2000), &[0x0b]].concat();
    std::fs::write(folder.path().join("loops.wasm"), module(1, &loops)).unwrap();
    std::fs::write(folder.path().join("many.wasm"), module(1_000_000, &[0, 0x0b])).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.wasm")).status().unwrap().success());
    for options in [Value::Null, json!({ RUN: true })] {
        let mut editor = Editor::start_with(folder.path(), &options);
        for (name, code) in [("loops.wasm", "E0606"), ("many.wasm", "E0606"), ("pipe.wasm", "E0601")] {
            editor.open(&uri, &text.replace("guest.wasm", name));
            assert_eq!(codes(&editor.underlined(&uri)), [code], "{name}");
        }
        editor.open(&uri, "tidegate 1\ninclude \"/dev/stdin\"\n");
        let said = editor.underlined(&uri);
        let read = said.iter().find(|said| said["message"].as_str().unwrap().contains("a regular file is needed"));
        assert!(read.is_some(), "{said:?}");
    }
}

#[test]
fn what_the_server_does_not_know_is_an_error_and_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(folder.path());
    assert_eq!(editor.try_ask("textDocument/rename", &json!({}))["error"]["code"], -32601);
    assert_eq!(editor.try_ask("textDocument/hover", &json!({ "nonsense": 1 }))["error"]["code"], -32602);
    let nowhere = json!({ "textDocument": { "uri": "untitled:1" }, "position": { "line": 9, "character": 9 } });
    assert_eq!(editor.ask("textDocument/hover", &nowhere), Value::Null);
    // A document without a file, and one with a broken text.
    editor.open("untitled:1", "tidegate 1\nlistener http \"\u{0}{ ][ ${");
    assert!(!editor.underlined("untitled:1").is_empty());
    assert!(editor.ask("textDocument/completion", &nowhere).is_array());
    editor.ask("shutdown", &Value::Null);
    assert_eq!(editor.try_ask("textDocument/hover", &nowhere)["error"]["code"], -32600);
}
