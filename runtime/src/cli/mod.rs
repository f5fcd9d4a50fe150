//! The command line.
//!
//! Answers go to standard output, everything else to standard error. The exit status is 0 if all is well, 1 if a
//! policy has errors or the command failed, 2 if the command line is wrong.

mod certificates;
mod check;
mod completion;
mod demo;
mod explain;
mod extension;
mod fmt;
mod help;
mod new;
mod plan;
mod print;
mod remote;
mod run;
mod test;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use tidegate_wasm_host::{Host, HostOptions, LogLevel, LogRecord};
use tracing::{error, info, warn};

use crate::policy::code_cache;
use crate::request::explain::Question;
use crate::telemetry::events;

/// A gateway with a policy language of its own, extensible by WebAssembly.
#[derive(Parser)]
#[command(name = "tidegate", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a policy; reload it when one of its files changes, or on SIGHUP. SIGTERM drains, a second one stops.
    Run {
        /// The policy file.
        file: PathBuf,
    },
    /// Compile policies, Wasm modules included, and report every mistake.
    Check {
        /// The policy files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How mistakes are written.
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Put policies into the one layout.
    Fmt {
        /// Change nothing; exit 1 if a file would change.
        #[arg(long)]
        check: bool,
        /// The policy files; `-` reads standard input and writes standard output.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a policy as it was understood.
    Print {
        /// The policy file.
        file: PathBuf,
        /// `policy`: with its defaults filled in; `plan`: the execution plan, for people; `json`: for programs.
        #[arg(long = "as", value_enum, default_value = "policy")]
        form: Form,
        /// Show what came from the environment, in place of the variables' names.
        #[arg(long)]
        show_env: bool,
    },
    /// Compare two policies: what a reload would add, change, replace and drop, and which connections it ends.
    Plan {
        /// The policy in service; with `--admin`, the new one.
        old: PathBuf,
        /// The new policy.
        new: Option<PathBuf>,
        /// Compare with what the gateway serves that answers at this address, in place of a file.
        #[arg(long, conflicts_with = "new")]
        admin: Option<String>,
        /// How the changes are written.
        #[arg(long, value_enum, default_value = "human")]
        format: AnswerFormat,
        /// Show what came from the environment, in place of the variables' names.
        #[arg(long)]
        show_env: bool,
    },
    /// Follow one request through a policy: which rule takes it, and why the others do not.
    Explain {
        /// The policy file.
        file: PathBuf,
        /// The request: `GET http://host/path`.
        request: String,
        /// A header of the request: `name: value`.
        #[arg(short = 'H', long = "header", value_parser = explain::header)]
        headers: Vec<(String, String)>,
        /// The address of the peer.
        #[arg(long, default_value = "127.0.0.1")]
        from: std::net::IpAddr,
        /// The subject of the certificate that the client shows, where the listener asks for one.
        #[arg(long, value_name = "SUBJECT")]
        client_cert: Option<String>,
        /// The status that a server would answer with, for what is done on the way back
        #[arg(long, value_name = "STATUS", default_value = "200", value_parser = answer_status)]
        answer: http::StatusCode,
        /// The listener; else the one whose port the URL names, else the first of its scheme.
        #[arg(long)]
        listener: Option<String>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
        /// Show what came from the environment, in place of the variables' names.
        #[arg(long)]
        show_env: bool,
    },
    /// Run the `test` blocks of policies, without sockets.
    Test {
        /// The policy files; a directory means every `*.gate` in it.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Show what came from the environment, in place of the variables' names.
        #[arg(long)]
        show_env: bool,
    },
    /// Make what you go on from.
    New {
        #[command(subcommand)]
        what: New,
    },
    /// Look at a Wasm module, or measure it.
    Extension {
        #[command(subcommand)]
        what: Extension,
    },
    /// Ask a running gateway how it is.
    Status {
        #[command(flatten)]
        remote: remote::Remote,
    },
    /// Show the last requests that failed at a running gateway.
    Errors {
        #[command(flatten)]
        remote: remote::Remote,
    },
    /// Follow the requests of a running gateway as they end.
    Log {
        /// A condition of the language, as a rule has it: `path under "/api"`.
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        #[command(flatten)]
        remote: remote::Remote,
    },
    /// Look at the listeners of a running gateway; start and stop them.
    Listener {
        #[command(subcommand)]
        what: remote::Listener,
    },
    /// Look at the server groups of a running gateway.
    Group {
        #[command(subcommand)]
        what: remote::Group,
    },
    /// Drain, stop and start a server of a running gateway.
    Server {
        #[command(subcommand)]
        what: remote::Server,
    },
    /// Serve an editor: the language server, on standard input and output.
    Lsp {
        /// For editors that say so; there is no other way.
        #[arg(long, hide = true)]
        stdio: bool,
    },
    /// Print the script that completes the command line in a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Explain a diagnostic or a word of the language, with an example; without either, list the commands.
    Help {
        /// The code of a diagnostic, `E0401`; a word of the language, `limit`; or a command, `check`.
        #[arg(value_name = "CODE|WORD|COMMAND")]
        topic: Option<String>,
    },
    /// Serve the quickstart policy with a backend of its own.
    #[command(args_conflicts_with_subcommands = true)]
    Demo {
        /// What else there is to try things with.
        #[command(subcommand)]
        what: Option<Demo>,
        /// The port to listen on; the backend takes the next one. Without it, the first free pair from 8080.
        #[arg(long)]
        port: Option<u16>,
    },
}

/// What `new` makes.
#[derive(Subcommand)]
enum New {
    /// Make an extension in Rust in a folder of its name: a crate that builds, with a test, a policy and the SDK.
    Extension {
        /// The name of the extension, as the policy writes it: `country`.
        name: String,
    },
}

/// What `extension` does.
#[derive(Subcommand)]
enum Extension {
    /// Print what a module is: its hooks, its imports, the `allow` words that they need, its size, and what its `init` says.
    Inspect {
        #[command(flatten)]
        module: extension::Module,
        /// How the answer is written.
        #[arg(long, value_enum, default_value = "human")]
        format: AnswerFormat,
    },
    /// Measure a module: time of each hook in reused and in fresh instances, memory, cost of an instance.
    Bench {
        #[command(flatten)]
        module: extension::Module,
        /// How the answer is written.
        #[arg(long, value_enum, default_value = "human")]
        format: AnswerFormat,
    },
}

/// What `demo` makes.
#[derive(Subcommand)]
enum Demo {
    /// Make an authority, and certificates for names and what is below them, such as those that the shipped policies name.
    Certificates {
        /// Where they are written: `ca.pem`, and `NAME.pem` and `NAME.key` for each name.
        folder: PathBuf,
        /// Host names or addresses.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// How diagnostics are written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// With the source, for people.
    Human,
    /// One JSON object a line.
    Json,
    /// Workflow commands, which annotate a pull request.
    Github,
}

/// How answers are written.
#[derive(Clone, Copy, ValueEnum)]
enum AnswerFormat {
    /// Text for people.
    Human,
    /// One JSON object.
    Json,
}

/// What `print` prints.
#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// The language.
    Policy,
    /// Text for people.
    Plan,
    /// The plan as JSON.
    Json,
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    events::start();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run { file } => run::run(file),
        Command::Check { files, format } => check::check(&files, format),
        Command::Fmt { check, files } => fmt::fmt(&files, check),
        Command::Print { file, form, show_env } => print::print(&file, form, show_env),
        Command::Plan { old, new, admin, format, show_env } => {
            plan::plan(&old, new.as_deref(), admin.as_deref(), format, show_env)
        }
        Command::Explain { file, request, headers, from, client_cert, answer, listener, json, show_env } => {
            let question = Question { request, headers, from, client_cert, answer, listener };
            explain::explain(&file, question, &explain::Shown { json, show_env })
        }
        Command::Test { files, show_env } => test::test(&files, show_env),
        Command::New { what: New::Extension { name } } => new::extension(&name),
        Command::Extension { what: Extension::Inspect { module, format } } => extension::inspect(&module, format),
        Command::Extension { what: Extension::Bench { module, format } } => extension::bench(&module, format),
        Command::Status { remote } => remote::status(&remote),
        Command::Errors { remote } => remote::errors(&remote),
        Command::Log { when, remote } => remote::log(&remote, when.as_deref()),
        Command::Listener { what } => remote::listener(&what),
        Command::Group { what } => remote::group(&what),
        Command::Server { what } => remote::server(&what),
        Command::Lsp { stdio: _ } => crate::lsp::run(),
        Command::Completion { shell } => completion::completion(shell),
        Command::Help { topic } => help::help(topic.as_deref()),
        Command::Demo { what: Some(Demo::Certificates { folder, names }), .. } => {
            certificates::certificates(&folder, &names)
        }
        Command::Demo { what: None, port } => demo::run(port),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Said) => ExitCode::FAILURE,
        Err(Failed::Because(reason)) => {
            eprintln!("tidegate: {reason}");
            ExitCode::FAILURE
        }
        Err(Failed::Usage(reason)) => {
            eprintln!("tidegate: {reason}\nTry `tidegate --help`.");
            ExitCode::from(2)
        }
    }
}

/// Why a command failed.
pub(crate) enum Failed {
    /// The user has been told.
    Said,
    /// For this reason.
    Because(String),
    /// The command line is wrong.
    Usage(String),
}

/// Writes an answer to standard output. A reader that has seen enough, such as `head`, is no mistake.
pub(crate) fn answer(text: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed::Because(format!("cannot write the answer: {error}")))
        }
        _ => Ok(()),
    }
}

/// The host for this process's extensions; their log lines go to the gateway's log.
pub(crate) fn host() -> Result<Host, Failed> {
    let log = |record: LogRecord<'_>| match record.level {
        LogLevel::Error => error!(extension = record.extension, "{}", record.message),
        LogLevel::Warn => warn!(extension = record.extension, "{}", record.message),
        _ => info!(extension = record.extension, "{}", record.message),
    };
    let mut options = HostOptions::new(Arc::new(log));
    if let Some(folder) = code_cache::folder() {
        options.code = Some(folder.path.clone());
        options.code_is_ours = Arc::new(move || folder.look_again());
    }
    Host::new(options).map_err(|error| Failed::Because(error.to_string()))
}

/// A status that ends a request (RFC 9110, 15).
fn answer_status(text: &str) -> Result<http::StatusCode, String> {
    let status = text.parse::<http::StatusCode>().ok().filter(|status| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| "a status is a number from 200 to 599".to_owned())
}
