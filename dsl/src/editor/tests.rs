use super::*;

/// The words and values that are expected at the `|` of a text.
fn expected(text: &str) -> Vec<Expected> {
    let at_mark = text.find('|').expect("a mark");
    at(&text.replacen('|', "", 1), at_mark).expected
}

#[test]
fn words_of_the_block_are_expected_where_a_line_begins() {
    for (text, place) in [
        ("|", Place::File),
        ("tidegate 1\nlis|", Place::File),
        ("listener http a {\n    |", Place::Listener),
        ("listener http a { port 80; | }", Place::Listener),
        ("listener http a {\n limits {\n  he|", Place::ListenerLimits),
        ("listener http a {\n on-response {\n  |", Place::OnResponse),
        ("rules a {\n|", Place::Rules),
        ("rules a {\n rule b {\n  when host is [\"a\",\n \"b\"]\n  |", Place::Rule),
        ("rules a {\n rule b {\n  when any {\n   |", Place::Subject),
        ("rules a {\n rule b { forward web\n on-response { when all {\n |", Place::ResponseSubject),
        ("extension a {\n limits { |", Place::ExtensionLimits),
        ("test \"x\" {\n |", Place::Test),
        // Broken above: an unclosed text, an unclosed list.
        ("list a [10.0.0.0/8\nrules a {\n rule b { when path is \"/a\n  |", Place::Rule),
    ] {
        assert_eq!(expected(text), [Expected::Word(place)], "{text}");
    }
}

#[test]
fn arguments_are_expected_where_a_word_takes_them() {
    let rule = |line: &str| expected(&format!("rules a {{\n rule b {{\n  {line}"));
    assert_eq!(rule("forward |"), [Expected::Name(Kind::Group)]);
    assert_eq!(rule("forward w|"), [Expected::Name(Kind::Group)]);
    assert_eq!(rule("forward web weight 1, |"), [Expected::Name(Kind::Group)]);
    assert_eq!(rule("forward web |"), [Expected::Word(Place::Target)]);
    assert_eq!(rule("when |"), [Expected::Word(Place::Subject)]);
    assert_eq!(rule("when path |"), [Expected::Word(Place::Predicate)]);
    assert_eq!(rule("when header |"), []);
    assert_eq!(rule("when header \"a\" |"), [Expected::Word(Place::Predicate)]);
    assert_eq!(rule("when client-ip in |"), [Expected::Name(Kind::List)]);
    assert_eq!(rule("when client-ip in [office, |"), [Expected::Name(Kind::List)]);
    assert_eq!(rule("when client-ip in [office |"), []);
    assert_eq!(rule("when protocol is |"), [Expected::Value(&["h1", "h2", "h3"])]);
    assert_eq!(rule("limit 5/s |"), [Expected::Word(Place::Limit)]);
    assert_eq!(rule("limit 5/s per |"), [Expected::Word(Place::LimitKey)]);
    assert_eq!(rule("run |"), [Expected::Name(Kind::Extension)]);
    assert_eq!(rule("respond 200 \"a\" |"), [Expected::Word(Place::Respond)]);
    let listener = |line: &str| expected(&format!("listener https a {{\n  {line}"));
    assert_eq!(listener("state |"), [Expected::Word(Place::State)]);
    assert_eq!(listener("access-log |"), [Expected::Value(&["on", "off"])]);
    assert_eq!(listener("certificate |"), [Expected::Name(Kind::Certificate)]);
    assert_eq!(listener("forwarded [for, |"), [Expected::Word(Place::Forwarded)]);
    assert_eq!(listener("client-ip x-forwarded-for |"), [Expected::Word(Place::Trusted)]);
    let group = |line: &str| expected(&format!("server-group a {{\n  {line}"));
    assert_eq!(group("server env \"A\" |"), [Expected::Word(Place::Server), Expected::Value(&["default"])]);
    assert_eq!(group("server env \"A\" default \"a:1\" |"), [Expected::Word(Place::Server)]);
    assert_eq!(expected("listener |"), [Expected::Word(Place::ListenerProtocol)]);
    assert_eq!(expected("test \"x\" {\n expect rule |"), [Expected::Rule, Expected::Value(&["otherwise"])]);
}

#[test]
fn insertions_are_expected_in_texts_and_nothing_else_is() {
    let rule = |line: &str| expected(&format!("rules a {{\n rule b {{\n  {line}"));
    assert_eq!(rule("log \"a ${|"), [Expected::Word(Place::Insert)]);
    assert_eq!(rule("log \"a ${cli|ent-ip}\""), [Expected::Word(Place::Insert)]);
    assert_eq!(rule("on-response { log \"a ${sta|"), [Expected::Word(Place::ResponseInsert)]);
    assert_eq!(expected("access-log { format template \"${sta|"), [Expected::Word(Place::LogInsert)]);
    for nothing in ["log \"a |", "log \"a $${|", "log \"a ${host} |", "log \"a\"|", "# forward |", "when path is \"|"] {
        assert_eq!(rule(nothing), [], "{nothing}");
    }
    assert_eq!(expected("extension a { config {\n  |"), []);
}

#[test]
fn the_word_at_the_cursor_is_found_whole() {
    let text = "rules a { rule b { set-header \"x\" \"${header.host}\" } }";
    let within = |piece: &str| word_at(text, text.find(piece).expect("a piece") + 2);
    assert_eq!(within("set-header").written, "set-header");
    assert_eq!(within("set-header").word().map(|(place, word)| (place, word.name)), Some((Place::Rule, "set-header")));
    assert_eq!(within("header.host").written, "header.host");
    assert_eq!(within("header.host").word().map(|(place, word)| (place, word.name)), Some((Place::Insert, "header")));
}

#[test]
fn declarations_are_found_in_a_broken_file() {
    let text = "list office [10/8\nserver-group web {\nlistener http main { prot }\nrules r { rule x { } }";
    let names: Vec<String> = declarations(text).into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["office", "web", "main", "r", "x"]);
}
