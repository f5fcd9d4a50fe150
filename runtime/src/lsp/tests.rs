//! An editor whose words come as JSON, with documents that no file has.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::thread::JoinHandle;

use serde_json::json;

use super::*;

const MAIN: &str = "tidegate 1
include \"site.gate\"
listener http main {
    port 8080
    rules site
}
server-group web { server 127.0.0.1:8081 }
";
const SITE: &str = "rules site {
    rule api {
        when path under \"/api\"
        forward web
    }
    otherwise { close }
}
rules other {
    otherwise { close }
}
";

struct Editor {
    server: Server,
    editor: Connection,
}

impl Editor {
    /// An editor with these documents open, which are not checked yet.
    fn with(documents: &[(&str, &str)]) -> Self {
        let (connection, editor) = Connection::memory();
        let checks = Checks::start(None).unwrap();
        let server =
            Server { connection, session: Session::default(), checks, published: BTreeMap::new(), ends: false };
        let mut editor = Self { server, editor };
        documents.iter().for_each(|(name, text)| editor.open(name, text));
        editor
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.server.notification(Notification { method: method.to_owned(), params });
    }

    fn open(&mut self, name: &str, text: &str) {
        let document = json!({ "uri": uri(name), "languageId": "tidegate", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
    }

    fn change(&mut self, name: &str, text: &str) {
        let changes = json!([{ "text": "what was typed before" }, { "text": text }]);
        let document = json!({ "uri": uri(name), "version": 2 });
        self.tell("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    /// Has everything checked that changed; what the editor is told, by document.
    fn check(&mut self) -> BTreeMap<String, Vec<Value>> {
        let Ok(Event::Checked(policies)) = self.server.next() else { panic!("nothing is to be checked") };
        self.server.publish(policies).ok().unwrap();
        let told = self.editor.receiver.try_iter().map(|message| {
            let Message::Notification(told) = message else { panic!("{message:?}") };
            assert_eq!(told.method, "textDocument/publishDiagnostics");
            let name = told.params["uri"].as_str().unwrap().replace("file:///nowhere/", "");
            (name, told.params["diagnostics"].as_array().unwrap().clone())
        });
        told.collect()
    }

    /// The answer to a request, or the code of the error.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, i32> {
        self.server.request(Request { id: 7.into(), method: method.to_owned(), params }).ok().unwrap();
        let Ok(Message::Response(answer)) = self.editor.receiver.try_recv() else { panic!("there is no answer") };
        assert_eq!(answer.id, 7.into());
        answer.response_result.map_err(|error| error.code)
    }

    /// Asks about the first place of a piece of an open document.
    fn ask_at(&mut self, what: &str, name: &str, piece: &str) -> Value {
        let place = self.place(name, piece);
        self.ask(&format!("textDocument/{what}"), json!({ "textDocument": { "uri": uri(name) }, "position": place }))
            .unwrap()
    }

    /// The place of a piece of a document, whose columns are those of ASCII.
    fn place(&self, name: &str, piece: &str) -> Value {
        let text = self.server.session.text(&uri(name).parse().unwrap()).unwrap();
        let before = text.split_once(piece).unwrap().0;
        let line = before.matches('\n').count();
        json!({ "line": line, "character": before.len() - before.rfind('\n').map_or(0, |at| at + 1) })
    }

    /// The mends of a document at a line.
    fn mends(&mut self, name: &str, line: usize) -> Value {
        let place = json!({ "line": line, "character": 8 });
        let asked = json!({
            "textDocument": { "uri": uri(name) },
            "range": { "start": place, "end": place },
            "context": { "diagnostics": [] },
        });
        self.ask("textDocument/codeAction", asked).unwrap()
    }
}

fn uri(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("file:///nowhere/{name}") }
}

fn codes(said: &[Value]) -> Vec<&str> {
    said.iter().map(|said| said["code"].as_str().unwrap()).collect()
}

fn names(items: &Value, key: &str) -> Vec<String> {
    items.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn only_what_changed_is_told() {
    let mut editor = Editor::with(&[("main.gate", &MAIN.replace("port", "prot")), ("site.gate", SITE)]);
    let told = editor.check();
    assert_eq!(codes(&told["main.gate"]), ["E0201"]);
    assert_eq!(told["main.gate"][0]["range"]["start"], json!({ "line": 3, "character": 4 }));
    assert_eq!(told["site.gate"], [] as [Value; 0]);
    editor.tell("textDocument/didSave", json!({ "textDocument": { "uri": uri("main.gate") } }));
    assert!(editor.check().is_empty(), "the same is not told again");
    editor.change("main.gate", MAIN);
    let told = editor.check();
    assert_eq!((told.len(), codes(&told["main.gate"]).len()), (2, 0), "the mend is, and what comes of it: {told:?}");
    assert_eq!(codes(&told["site.gate"]), ["W0901"], "`other` is not used");
    assert_eq!(told["site.gate"][0]["tags"], json!([1]), "an editor fades it");
}

#[test]
fn a_document_is_a_part_of_the_policies_that_include_it_and_has_its_mistakes_once() {
    let site = SITE.replace("forward web", "forward wbe");
    let mut editor = Editor::with(&[("site.gate", &site)]);
    let alone = editor.check();
    assert!(codes(&alone["site.gate"]).len() > 1, "it is no policy by itself: {alone:?}");
    editor.open("main.gate", MAIN);
    editor.open("second.gate", &MAIN.replace("8080", "8081"));
    let told = editor.check();
    assert_eq!(codes(&told["site.gate"]), ["E0301"]);
    // Its text is gone with it: there is no such file.
    editor.tell("textDocument/didClose", json!({ "textDocument": { "uri": uri("site.gate") } }));
    let told = editor.check();
    assert_eq!(told["site.gate"], [] as [Value; 0]);
    assert!(!told["main.gate"].is_empty() && !told["second.gate"].is_empty());
}

#[test]
fn the_policy_of_a_document_is_searched_three_folders_up() {
    let folder = tempfile::tempdir().unwrap();
    for (depth, found) in [(0, true), (3, true), (4, false)] {
        let below = format!("{}site.gate", "x/".repeat(depth));
        std::fs::write(folder.path().join("main.gate"), MAIN.replace("site.gate", &below)).unwrap();
        let site = folder.path().join(&below);
        let uri = text::uri(&site).unwrap().to_string();
        let mut editor = Editor::with(&[(&uri, SITE)]);
        let told = editor.check();
        assert_eq!(codes(&told[&uri]) == ["W0901"], found, "{below}: {told:?}");
        // Nobody includes it any more.
        std::fs::write(folder.path().join("main.gate"), "tidegate 1\n").unwrap();
        editor.tell("textDocument/didSave", json!({ "textDocument": { "uri": uri } }));
        let told = editor.check();
        assert_eq!(told.get(&uri).is_some_and(|said| said.len() > 1), found, "it is no part of that: {told:?}");
    }
}

#[test]
fn another_place_is_told_with_the_file_that_it_is_in() {
    let again = format!("{SITE}server-group web {{ server 127.0.0.1:8082 }}\n");
    let mut editor = Editor::with(&[("main.gate", MAIN), ("site.gate", &again)]);
    let told = editor.check();
    let twice: Vec<_> = told.values().flatten().filter(|said| said["code"] == "E0302").collect();
    let [twice] = twice[..] else { panic!("{told:?}") };
    let other = &twice["relatedInformation"][0]["location"];
    let here = if told["main.gate"].contains(twice) { "main.gate" } else { "site.gate" };
    let there = if here == "main.gate" { "site.gate" } else { "main.gate" };
    assert_eq!(other["uri"], uri(there));
    assert_eq!(other["range"]["start"], editor.place(there, "web { server"));
}

#[test]
fn a_mend_is_offered_where_it_is_asked_for_and_while_its_places_hold() {
    // As the editor writes the name, so it is told.
    let name = "file:///nowhere/m%61in.gate";
    let text =
        "tidegate 1\nlistener http main {\n    prot 8080\n    ruels site\n}\nrules site { otherwise { close } }\n";
    let mut editor = Editor::with(&[(name, text)]);
    assert_eq!(editor.check().into_keys().collect::<Vec<_>>(), ["m%61in.gate"]);
    let mends = editor.mends(name, 2);
    assert_eq!(names(&mends, "title"), ["Change to `port`"]);
    assert_eq!((&mends[0]["isPreferred"], &mends[0]["kind"]), (&json!(true), &json!("quickfix")));
    let start = json!({ "line": 2, "character": 4 });
    let change = json!([{ "range": { "start": start, "end": { "line": 2, "character": 8 } }, "newText": "port" }]);
    assert_eq!(mends[0]["edit"]["changes"], json!({ name: change }));
    assert_eq!(names(&editor.mends(name, 3), "title"), ["Change to `rules`"]);
    assert_eq!(editor.mends(name, 1), json!([]));
    // What was typed since may have moved it.
    editor.change(name, &format!("# moved\n{text}"));
    assert_eq!(editor.mends(name, 2), json!([]));
    editor.check();
    assert_eq!(names(&editor.mends(name, 3), "title"), ["Change to `port`"]);
}

#[test]
fn names_are_those_that_are_declared_now_in_the_policies_of_a_document() {
    let mut editor =
        Editor::with(&[("main.gate", MAIN), ("site.gate", SITE), ("far.gate", "tidegate 1\nlist far []\n")]);
    editor.open("foreign.gate", "tidegate 1\nserver-group foreign { server 127.0.0.1:1 }\n");
    editor.check();
    let offered = editor.ask_at("completion", "site.gate", "web\n");
    assert_eq!(names(&offered, "label"), ["web"]);
    assert_eq!(offered[0]["detail"], "server-group");
    let found = editor.ask_at("definition", "site.gate", "web\n");
    assert_eq!(
        (&found["uri"], &found["range"]["start"]),
        (&json!(uri("main.gate")), &editor.place("main.gate", "web {"))
    );
    // Typed since the last check.
    let renamed = MAIN.replace("group web", "group shop") + "server-group more { server 127.0.0.1:1 }\n";
    editor.change("main.gate", &renamed);
    assert_eq!(names(&editor.ask_at("completion", "site.gate", "web\n"), "label"), ["shop", "more"]);
    assert_eq!(editor.ask_at("definition", "site.gate", "web\n"), Value::Null);
    // A group of the name is no rule set of it.
    assert_eq!(names(&editor.ask_at("completion", "main.gate", "site\n}"), "label"), ["site", "other"]);
}

#[test]
fn words_are_offered_in_the_order_of_the_vocabulary_and_replace_the_one_at_the_cursor() {
    let mut editor = Editor::with(&[("main.gate", MAIN), ("site.gate", SITE)]);
    let offered = editor.ask_at("completion", "main.gate", "rt 8080");
    let labels = names(&offered, "label");
    assert_eq!(labels.first().map(String::as_str), Some("port"));
    let order = names(&offered, "sortText");
    assert!(order.is_sorted() && order.len() == labels.len(), "editors sort by it");
    let range = json!({ "start": { "line": 3, "character": 4 }, "end": { "line": 3, "character": 8 } });
    assert_eq!(offered[0]["textEdit"], json!({ "range": range, "newText": "port" }));
    // Nothing is open there.
    let closed = json!({ "textDocument": { "uri": uri("gone.gate") }, "position": { "line": 0, "character": 0 } });
    for what in ["completion", "documentSymbol"] {
        assert_eq!(editor.ask(&format!("textDocument/{what}"), closed.clone()), Ok(json!([])), "{what}");
    }
    for what in ["hover", "definition"] {
        assert_eq!(editor.ask(&format!("textDocument/{what}"), closed.clone()), Ok(Value::Null), "{what}");
    }
}

#[test]
fn a_hover_tells_what_is_wrong_what_a_word_means_and_where_a_name_comes_from() {
    let mut editor = Editor::with(&[("main.gate", &MAIN.replace("8080", "99999")), ("site.gate", SITE)]);
    editor.check();
    let said = |hover: &Value| hover["contents"]["value"].as_str().unwrap_or_default().to_owned();
    let wrong = said(&editor.ask_at("hover", "main.gate", "99999"));
    assert!(wrong.starts_with("**E0"), "{wrong}");
    let word = said(&editor.ask_at("hover", "main.gate", "port"));
    assert!(word.contains("port") && !word.contains("**E0") && !word.contains("---\n"), "{word}");
    let name = editor.ask_at("hover", "site.gate", "web\n");
    assert_eq!(said(&name), "```tidegate\nserver-group web\n```\n\ndeclared in `main.gate`");
    assert_eq!(name["range"]["start"], editor.place("site.gate", "web\n"));
    assert_eq!(editor.ask_at("hover", "site.gate", "}\n}\nrules other"), Value::Null);
}

#[test]
fn an_outline_has_rules_below_the_set_that_they_are_of() {
    let mut editor = Editor::with(&[("site.gate", SITE)]);
    let asked = json!({ "textDocument": { "uri": uri("site.gate") } });
    let outline = editor.ask("textDocument/documentSymbol", asked).unwrap();
    assert_eq!(names(&outline, "name"), ["site", "other"]);
    assert_eq!(names(&outline[0]["children"], "name"), ["api"]);
    assert_eq!(outline[0]["children"][0]["selectionRange"]["start"], editor.place("site.gate", "api {"));
    assert!(outline[1]["children"].is_null());
}

#[test]
fn a_document_is_laid_out_as_a_whole_or_not_at_all() {
    let mut editor = Editor::with(&[("right.gate", SITE), ("loose.gate", &SITE.replace("    ", " "))]);
    editor.open("broken.gate", "rules site {");
    let mut laid_out = |name: &str| {
        let options = json!({ "tabSize": 2, "insertSpaces": false });
        editor
            .ask("textDocument/formatting", json!({ "textDocument": { "uri": uri(name) }, "options": options }))
            .unwrap()
    };
    let edits = laid_out("loose.gate");
    assert_eq!(names(&edits, "newText"), [SITE], "the one layout, whatever the editor would like");
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 10, "character": 0 } });
    assert_eq!(edits[0]["range"], whole);
    for name in ["right.gate", "broken.gate", "gone.gate"] {
        assert_eq!(laid_out(name), json!([]), "{name}");
    }
}

#[test]
fn what_is_not_understood_is_an_error_and_the_server_goes_on() {
    let mut editor = Editor::with(&[("main.gate", MAIN)]);
    assert_eq!(editor.ask("textDocument/rename", json!({})), Err(ErrorCode::MethodNotFound as i32));
    for wrong in [Value::Null, json!({ "textDocument": {} }), json!([1])] {
        assert_eq!(editor.ask("textDocument/hover", wrong), Err(ErrorCode::InvalidParams as i32));
    }
    editor.tell("textDocument/didOpen", json!({ "textDocument": 1 }));
    editor.tell(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": uri("main.gate"), "version": 2 }, "contentChanges": [] }),
    );
    editor.tell("$/unknown", Value::Null);
    assert_eq!(editor.server.session.text(&uri("main.gate").parse().unwrap()), Some(MAIN));
    assert_eq!(editor.ask("shutdown", Value::Null), Ok(Value::Null));
    let asked = json!({ "textDocument": { "uri": uri("main.gate") } });
    assert_eq!(editor.ask("textDocument/documentSymbol", asked), Err(ErrorCode::InvalidRequest as i32));
}

/// A server that has been greeted, and the editor's end.
fn served() -> (Connection, JoinHandle<Result<(), Failed>>) {
    let (connection, editor) = Connection::memory();
    let server = std::thread::spawn(move || serve(connection));
    let greeting = Request { id: 1.into(), method: "initialize".to_owned(), params: json!({ "capabilities": {} }) };
    editor.sender.send(greeting.into()).unwrap();
    let Ok(Message::Response(answer)) = editor.receiver.recv() else { panic!("there is no answer") };
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["result"]["serverInfo"]["name"], "tidegate", "{answer}");
    assert_eq!(answer["result"]["capabilities"]["textDocumentSync"]["change"], 1, "whole texts");
    editor.sender.send(Notification { method: "initialized".to_owned(), params: json!({}) }.into()).unwrap();
    (editor, server)
}

#[test]
fn how_an_editor_leaves_decides_how_the_server_ends() {
    let exit = || Message::from(Notification { method: "exit".to_owned(), params: Value::Null });
    let shutdown = || Message::from(Request { id: 2.into(), method: "shutdown".to_owned(), params: Value::Null });
    for (last, said) in [
        (vec![shutdown(), exit()], None),
        (vec![exit()], Some("the editor left before it said `shutdown`")),
        (vec![], Some("the editor left without saying so")),
        (vec![shutdown()], Some("the editor left without saying so")),
    ] {
        let (editor, server) = served();
        last.into_iter().for_each(|message| editor.sender.send(message).unwrap());
        drop(editor.sender);
        let ended = match server.join().unwrap() {
            Ok(()) => None,
            Err(Failed::Because(said)) => Some(said),
            Err(_) => panic!("it has a reason"),
        };
        assert_eq!(ended.as_deref(), said);
    }
    // An editor that ends at once does not keep the server.
    let (connection, editor) = Connection::memory();
    drop(editor);
    let Err(Failed::Because(said)) = serve(connection) else { panic!("nobody greeted it") };
    assert!(said.starts_with("the editor does not begin as it should"), "{said}");
}
