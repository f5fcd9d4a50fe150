//! Commands that ask a running gateway, through its admin API.

mod client;
mod place;
mod table;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::client::Client;
use self::table::Table;
use super::{AnswerFormat, Failed, answer};

/// Where the gateway is, and how it answers.
#[derive(Args)]
pub struct Remote {
    /// The admin address of the gateway: `127.0.0.1:9901`, `unix:run/admin.sock`. Else `TIDEGATE_ADMIN`, else that of the policy in the working folder.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// A file with the token that the gateway asks for; else `TIDEGATE_TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "human")]
    format: AnswerFormat,
}

/// What `listener` does.
#[derive(Subcommand)]
pub enum Listener {
    /// List the listeners, with the state of each.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one listener.
    Show {
        /// The listener.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Open the sockets of a listener that is stopped.
    Start {
        /// The listener.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Close the sockets of a listener, and end its connections at once. It stays so until it is started, or the policy changes its state.
    Stop {
        /// The listener.
        name: String,
        /// Let its connections finish their requests, for as long as `drain` of `gateway`.
        #[arg(long)]
        drain: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// What `group` does.
#[derive(Subcommand)]
pub enum Group {
    /// List the server groups.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the servers of a group, and what is known of them.
    Show {
        /// The server group.
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// What `server` does.
#[derive(Subcommand)]
pub enum Server {
    /// Send a server no new requests, and let it finish those that it has.
    Drain(Which),
    /// Send a server no requests and no checks.
    Stop(Which),
    /// Send a server requests again.
    Start(Which),
}

/// A server of a group.
#[derive(Args)]
pub struct Which {
    /// The server group.
    group: String,
    /// The address of the server, as the policy has it.
    address: String,
    /// Let the next reload end the change; else it holds until the policy changes the server.
    #[arg(long)]
    until_reload: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Remote {
    fn client(&self) -> Result<Client, Failed> {
        Client::new(self.admin.as_deref(), self.token_file.as_deref())
    }

    /// Writes an answer.
    fn write(&self, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failed> {
        match self.format {
            AnswerFormat::Human => answer(&human(value)),
            AnswerFormat::Json => {
                answer(&serde_json::to_string_pretty(value).map_err(|error| Failed::Because(error.to_string()))?)
            }
        }
    }

    fn order(&self, path: &str, order: &Value, done: &str) -> Result<(), Failed> {
        let value = self.client()?.post(path, "application/json", order.to_string())?;
        self.write(&value, |value| match value["changed"].as_bool() {
            Some(true) => format!("{done} (generation {})", value["generation"]),
            _ => format!("it was so already: {done}"),
        })
    }
}

/// `tidegate status`
pub(super) fn status(remote: &Remote) -> Result<(), Failed> {
    let client = remote.client()?;
    let value = client.get("/v1/status")?;
    remote.write(&value, |status| {
        let text = |name: &str| status[name].as_str().unwrap_or("-").to_owned();
        let counts = |name: &str| {
            let counts = status[name].as_object().into_iter().flatten();
            let some: Vec<_> =
                counts.filter(|(_, count)| **count != 0).map(|(what, count)| format!("{count} {what}")).collect();
            if some.is_empty() { "none".to_owned() } else { some.join(", ") }
        };
        let last = &status["last_read"];
        let last = format!(
            "{}, {} ({})",
            last["result"].as_str().unwrap_or("-"),
            last["at"].as_str().unwrap_or("-"),
            last["cause"].as_str().unwrap_or("-")
        );
        let lines = [
            ("gateway", format!("{}, version {}, process {}", text("state"), text("version"), status["pid"])),
            ("since", text("started")),
            ("policy", format!("{}, generation {}", text("policy"), status["generation"])),
            ("last read", last),
            ("workers", status["workers"].to_string()),
            ("listeners", counts("listeners")),
            ("connections", status["connections"].to_string()),
            ("servers", counts("servers")),
        ];
        lines.iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
    })
}

/// `tidegate listener`
pub(super) fn listener(what: &Listener) -> Result<(), Failed> {
    match what {
        Listener::List { remote } => {
            let value = remote.client()?.get("/v1/listeners")?;
            remote.write(&value, |value| listeners(value["listeners"].as_array().map_or(&[], Vec::as_slice)))
        }
        Listener::Show { name, remote } => {
            let value = remote.client()?.get(&format!("/v1/listeners/{}", client::segment(name)))?;
            remote.write(&value, |value| listeners(std::slice::from_ref(value)))
        }
        Listener::Start { name, remote } => {
            let path = format!("/v1/listeners/{}/start", client::segment(name));
            remote.order(&path, &json!({}), &format!("listener {name} runs"))
        }
        Listener::Stop { name, drain, remote } => {
            let path = format!("/v1/listeners/{}/stop", client::segment(name));
            remote.order(&path, &json!({ "drain": drain }), &format!("listener {name} is stopped"))
        }
    }
}

fn listeners(listeners: &[Value]) -> String {
    let mut table = Table::new(["listener", "protocol", "at", "state", "connections", "since", "why"]);
    for listener in listeners {
        let columns = ["name", "protocol", "bind", "state", "connections", "since", "reason"];
        table.row(columns.map(|column| table::cell(&listener[column])));
    }
    table.to_string()
}

/// `tidegate group`
pub(super) fn group(what: &Group) -> Result<(), Failed> {
    match what {
        Group::List { remote } => {
            let value = remote.client()?.get("/v1/groups")?;
            remote.write(&value, |value| {
                let mut table = Table::new(["group", "protocol", "servers", "available"]);
                for group in value["groups"].as_array().into_iter().flatten() {
                    let servers = group["servers"].as_array().map_or(0, Vec::len).to_string();
                    let cell = |name: &str| table::cell(&group[name]);
                    table.row([cell("name"), cell("protocol"), servers, cell("available")]);
                }
                table.to_string()
            })
        }
        Group::Show { name, remote } => {
            let value = remote.client()?.get(&format!("/v1/groups/{}", client::segment(name)))?;
            remote.write(&value, |value| {
                let mut table = Table::new(["server", "state", "weight", "health", "last check", "error"]);
                for server in value["servers"].as_array().into_iter().flatten() {
                    let cell = |name: &str| table::cell(&server[name]);
                    let check = |name: &str| table::cell(&server["last_check"][name]);
                    table.row([
                        cell("address"),
                        cell("state"),
                        cell("weight"),
                        cell("health"),
                        check("at"),
                        check("error"),
                    ]);
                }
                table.to_string()
            })
        }
    }
}

/// `tidegate server`
pub(super) fn server(what: &Server) -> Result<(), Failed> {
    let (which, state, done) = match what {
        Server::Drain(which) => (which, "draining", "gets no new requests"),
        Server::Stop(which) => (which, "stopped", "is stopped"),
        Server::Start(which) => (which, "running", "gets requests"),
    };
    let path = format!("/v1/groups/{}/servers/{}", client::segment(&which.group), client::segment(&which.address));
    let mut order = json!({ "state": state });
    if which.until_reload {
        order["until"] = "reload".into();
    }
    which.remote.order(&path, &order, &format!("server {} of {} {done}", which.address, which.group))
}

/// `tidegate errors`
pub(super) fn errors(remote: &Remote) -> Result<(), Failed> {
    let value = remote.client()?.get("/v1/errors")?;
    remote.write(&value, |value| {
        let mut table = Table::new(["time", "status", "failure", "side", "client", "request", "server", "ms"]);
        for error in value["errors"].as_array().into_iter().flatten() {
            let cell = |name: &str| table::cell(&error[name]);
            let request = format!("{} {}{}", cell("method"), error["host"].as_str().unwrap_or_default(), cell("uri"));
            table.row([
                cell("time"),
                cell("status"),
                cell("failure"),
                cell("side"),
                cell("client_ip"),
                request,
                cell("server"),
                cell("ms"),
            ]);
        }
        table.to_string()
    })
}

/// `tidegate log`
pub(super) fn log(remote: &Remote, when: Option<&str>) -> Result<(), Failed> {
    let query = when.map(|when| format!("?when={}", client::segment(when))).unwrap_or_default();
    let json = matches!(remote.format, AnswerFormat::Json);
    remote.client()?.follow(&format!("/v1/log{query}"), |event, data| match event {
        "watching" => true,
        "skipped" => {
            let value: Value = serde_json::from_str(data).unwrap_or_default();
            eprintln!("{} lines were left out: they came too fast", value["count"]);
            true
        }
        // A reader that has seen enough, such as `head`, ends it.
        _ => write_line(&if json { data.to_owned() } else { log_line(data) }),
    })
}

fn write_line(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// A line of the access log for people.
fn log_line(data: &str) -> String {
    let line: Value = serde_json::from_str(data).unwrap_or_default();
    let cell = |name: &str| table::cell(&line[name]);
    let url = format!("{}://{}{}", cell("scheme"), cell("host"), cell("uri"));
    let failure = line["failure"].as_str().map(|failure| format!("  {failure}")).unwrap_or_default();
    let (rule, server) = (cell("rule"), cell("server"));
    format!(
        "{}  {}  {} {url}  {}  {} ms  rule {rule}  server {server}{failure}",
        cell("time"),
        cell("client_ip"),
        cell("method"),
        cell("status"),
        cell("ms")
    )
}

/// `tidegate plan NEW --admin ADDRESS`: the text of a policy against what a gateway serves.
pub(super) fn plan(admin: &str, policy: String, format: AnswerFormat) -> Result<(), Failed> {
    let remote = Remote { admin: Some(admin.to_owned()), token_file: None, format };
    let value = remote.client()?.post("/v1/plan", "text/plain", policy)?;
    let refused = value["result"] != "accepted";
    remote.write(&value, |value| {
        let reason = value["reason"].as_str().map(|reason| format!("the policy cannot be used: {reason}\n"));
        format!("{}{}", value["shown"].as_str().unwrap_or_default(), reason.unwrap_or_default())
    })?;
    if refused { Err(Failed::Said) } else { Ok(()) }
}
