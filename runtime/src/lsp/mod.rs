//! `tidegate lsp`: a language server on standard input and output (Language Server Protocol 3.17).
//!
//! What the compiler says of a policy, what may stand at the cursor, what a word means, where a name is declared, the one
//! layout. All of it is the `dsl` crate's knowledge; here it is put into the editor's terms. One thread answers, in the order
//! asked, by what the last finished check found. Another one checks; a check begins when no message waits, so that fast typing
//! costs few of them. Modules are inspected; they are compiled and run only if the editor says `runModules`, for opening a file
//! that came from elsewhere is no reason to run what it names.

mod actions;
mod answers;
mod checks;
mod diagnostics;
mod files;
mod session;
mod stdio;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossbeam_channel::select;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument, Exit,
    Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    CodeActionRequest, Completion, DocumentSymbolRequest, Formatting, GotoDefinition, HoverRequest, Request as _,
    Shutdown,
};
use lsp_types::{
    CodeActionProviderCapability, CompletionOptions, Diagnostic, HoverProviderCapability, InitializeResult, OneOf,
    PublishDiagnosticsParams, ServerCapabilities, ServerInfo, TextDocumentSyncCapability, TextDocumentSyncKind,
    TextDocumentSyncOptions,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_dsl::Compilation;

use self::checks::Checks;
use self::session::Session;
use crate::cli::{Failed, host};

/// Serves an editor until it says `exit`.
///
/// # Errors
/// The editor left without a word, or said something that is no message.
pub(crate) fn run() -> Result<(), Failed> {
    let (connection, threads) = stdio::connect();
    let served = serve(connection);
    // The reader knows why there are no more messages.
    threads.join().map_err(|error| Failed::Because(format!("what the editor said cannot be read: {error}")))?;
    served
}

fn serve(connection: Connection) -> Result<(), Failed> {
    let mut server = Server::greet(connection)?;
    loop {
        match server.next()? {
            Event::Said(Message::Request(request)) => server.request(request)?,
            Event::Said(Message::Notification(said)) if said.method == Exit::METHOD => {
                let rude = || Failed::Because("the editor left before it said `shutdown`".to_owned());
                return if server.ends { Ok(()) } else { Err(rude()) };
            }
            Event::Said(Message::Notification(said)) => server.notification(said),
            Event::Said(Message::Response(_)) => {}
            Event::Checked(policies) => server.publish(policies)?,
        }
    }
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            // Policies are small, and are compiled whole.
            change: Some(TextDocumentSyncKind::FULL),
            save: Some(true.into()),
            ..TextDocumentSyncOptions::default()
        })),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([" ", "{", "[", ","].map(str::to_owned).to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        code_action_provider: Some(CodeActionProviderCapability::Simple(true)),
        ..ServerCapabilities::default()
    }
}

struct Server {
    connection: Connection,
    session: Session,
    checks: Checks,
    /// What the editor was told of each file last.
    published: BTreeMap<PathBuf, Vec<Diagnostic>>,
    /// The editor said `shutdown`.
    ends: bool,
}

/// An event that the server waits for.
enum Event {
    /// The editor said something.
    Said(Message),
    /// A check has finished.
    Checked(Vec<Compilation>),
}

impl Server {
    /// Exchanges what each side can do, and learns what the editor wants.
    fn greet(connection: Connection) -> Result<Self, Failed> {
        let lost = |error: lsp_server::ProtocolError| {
            Failed::Because(format!("the editor does not begin as it should: {error}"))
        };
        let (id, asked) = connection.initialize_start().map_err(lost)?;
        let run_modules = asked["initializationOptions"]["runModules"] == Value::Bool(true);
        let host = if run_modules { Some(host()?) } else { None };
        let checks = Checks::start(host)
            .map_err(|error| Failed::Because(format!("the thread that checks policies does not start: {error}")))?;
        let about = InitializeResult {
            capabilities: capabilities(),
            server_info: Some(ServerInfo {
                name: "tidegate".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
        };
        connection.initialize_finish(id, serde_json::to_value(about).unwrap_or_default()).map_err(lost)?;
        Ok(Self { connection, session: Session::default(), checks, published: BTreeMap::new(), ends: false })
    }

    /// Waits for the next event. With nothing left to answer, what was typed is checked.
    fn next(&mut self) -> Result<Event, Failed> {
        if let Ok(message) = self.connection.receiver.try_recv() {
            return Ok(Event::Said(message));
        }
        if self.session.stale && !self.checks.are_under_way() {
            self.checks.begin(self.session.begin_check());
        }
        let failed = |why: &str| Failed::Because(why.to_owned());
        select! {
            recv(self.connection.receiver) -> message => {
                message.map(Event::Said).map_err(|_| failed("the editor left without saying so"))
            }
            recv(self.checks.finished()) -> policies => {
                policies.map(Event::Checked).map_err(|_| failed("the thread that checks policies has failed"))
            }
        }
    }

    fn send(&self, message: impl Into<Message>) -> Result<(), Failed> {
        let gone = |_| Failed::Because("the editor does not listen any more".to_owned());
        self.connection.sender.send(message.into()).map_err(gone)
    }

    fn notification(&mut self, said: Notification) {
        match said.method.as_str() {
            DidOpenTextDocument::METHOD => {
                if let Some(opened) = parameters::<lsp_types::DidOpenTextDocumentParams>(said.params) {
                    self.session.put(&opened.text_document.uri, opened.text_document.text);
                }
            }
            DidChangeTextDocument::METHOD => {
                let changed = parameters::<lsp_types::DidChangeTextDocumentParams>(said.params);
                if let Some(mut changed) = changed
                    && let Some(last) = changed.content_changes.pop()
                {
                    self.session.put(&changed.text_document.uri, last.text);
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Some(closed) = parameters::<lsp_types::DidCloseTextDocumentParams>(said.params) {
                    self.session.close(&closed.text_document.uri);
                }
            }
            // A file was written: what includes it may mean something else now.
            DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => self.session.stale = true,
            _ => {}
        }
    }

    fn request(&mut self, request: Request) -> Result<(), Failed> {
        let Request { id, method, params } = request;
        if self.ends {
            let code = ErrorCode::InvalidRequest as i32;
            return self.send(Response::new_err(id, code, "the server was told to shut down".to_owned()));
        }
        let session = &self.session;
        let answer = match method.as_str() {
            Shutdown::METHOD => {
                self.ends = true;
                Some(Value::Null)
            }
            Completion::METHOD => parameters(params).map(|asked| json(&answers::completion(session, &asked))),
            HoverRequest::METHOD => {
                parameters(params).map(|asked| json(&answers::hover(session, &self.published, &asked)))
            }
            GotoDefinition::METHOD => parameters(params).map(|asked| json(&answers::definition(session, &asked))),
            DocumentSymbolRequest::METHOD => parameters(params).map(|asked| json(&answers::symbols(session, &asked))),
            Formatting::METHOD => parameters(params).map(|asked| json(&actions::format(session, &asked))),
            CodeActionRequest::METHOD => {
                parameters(params).map(|asked| json(&actions::mends(session, &self.published, &asked)))
            }
            _ => {
                let code = ErrorCode::MethodNotFound as i32;
                return self.send(Response::new_err(id, code, format!("`{method}` is not known here")));
            }
        };
        match answer {
            Some(answer) => self.send(Response::new_ok(id, answer)),
            None => {
                let code = ErrorCode::InvalidParams as i32;
                self.send(Response::new_err(id, code, format!("the parameters of `{method}` cannot be read")))
            }
        }
    }

    /// A check has finished: tells the editor what changed.
    fn publish(&mut self, policies: Vec<Compilation>) -> Result<(), Failed> {
        self.checks.end();
        self.session.checked(policies);
        let mut now = diagnostics::by_file(&self.session);
        for path in self.published.keys() {
            // What was underlined in a file that is no part of a policy any more.
            now.entry(path.clone()).or_default();
        }
        for (path, diagnostics) in &now {
            if self.published.get(path).is_some_and(|before| before == diagnostics) {
                continue;
            }
            let Some(uri) = self.session.uri(path) else { continue };
            let told = PublishDiagnosticsParams { uri, diagnostics: diagnostics.clone(), version: None };
            self.send(Notification::new(PublishDiagnostics::METHOD.to_owned(), told))?;
        }
        self.published = now;
        Ok(())
    }
}

fn parameters<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn json(answer: &impl serde::Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests;
