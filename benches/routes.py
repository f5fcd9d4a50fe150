#!/usr/bin/env python3
"""What a gateway spends on a request as its routes grow: Tidegate beside nginx and Envoy.

    benches/routes.py tidegate=target/dist/tidegate [nginx=nginx] [envoy=envoy]

Each gateway gets 10 routes, then 10,000, and answers them itself, so that nothing but the way to the route differs. Routes are
host names, or regular expressions on the path; requests go evenly over them, one after the other, on one connection. Printed is the
processor time of the gateway for a request, in microseconds: the median of some rounds, few and many routes in turn.
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

FEW, MANY = 10, 10_000
ROUNDS, REQUESTS = 5, 1000
KINDS = ["hosts", "regexes"]


def host(at):
    return f"shop{at}.example"


def tidegate(kind, count, port, folder):
    test = {
        "hosts": lambda at: f'host is "{host(at)}"',
        "regexes": lambda at: f'path matches "^/shop/{at}/[a-z]+$"',
    }[kind]
    rules = "".join(f'rule r{at} {{ when {test(at)}; respond 204; }}\n' for at in range(count))
    path = f"{folder}/policy.gate"
    with open(path, "w") as file:
        file.write(
            f"tidegate 1\ngateway {{ workers 1 }}\nlistener http main {{ address 127.0.0.1:{port}; access-log off; idle-timeout 3600s; rules main; }}\n"
            f"rules main {{\n{rules}otherwise {{ respond 404 }}\n}}\n"
        )
    return [program("tidegate"), "run", path]


def nginx(kind, count, port, folder):
    if kind == "hosts":
        servers = "".join(f"server {{ listen 127.0.0.1:{port}; server_name {host(at)}; return 204; }}\n" for at in range(count))
    else:
        places = "".join(f"location ~ ^/shop/{at}/[a-z]+$ {{ return 204; }}\n" for at in range(count))
        servers = f"server {{ listen 127.0.0.1:{port}; {places} location / {{ return 404; }} }}"
    path = f"{folder}/nginx.conf"
    with open(path, "w") as file:
        file.write(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;\n"
            "events { worker_connections 64; }\n"
            "http { access_log off; keepalive_requests 1000000; server_names_hash_max_size 65536; "
            "server_names_hash_bucket_size 128; "
            f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; "
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{servers}\n}}\n"
        )
    return [program("nginx"), "-c", path]


def envoy(kind, count, port, folder):
    answer = {"direct_response": {"status": 204}}
    if kind == "hosts":
        hosts = [
            {"name": f"v{at}", "domains": [host(at), f"{host(at)}:*"], "routes": [{"match": {"prefix": "/"}, **answer}]}
            for at in range(count)
        ]
    else:
        routes = [{"match": {"safe_regex": {"regex": f"/shop/{at}/[a-z]+"}}, **answer} for at in range(count)]
        hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "s",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    path = f"{folder}/envoy.json"
    with open(path, "w") as file:
        json.dump({"static_resources": {"listeners": [listener]}}, file)
    return [program("envoy"), "-c", path, "--concurrency", "1", "-l", "off", "--use-dynamic-base-id"]


GATEWAYS = {"tidegate": tidegate, "nginx": nginx, "envoy": envoy}
PROGRAMS = {}


def program(name):
    return PROGRAMS[name]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def processor_seconds(pid):
    """Time that the threads of a process, and of those that it started, were on a processor."""
    nanos = 0
    for entry in [pid, *children(pid)]:
        for task in os.listdir(f"/proc/{entry}/task"):
            with open(f"/proc/{entry}/task/{task}/schedstat") as file:
                nanos += int(file.read().split()[0])
    return nanos / 1e9


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


class Running:
    """A gateway with routes of one kind, and a connection to it."""

    def __init__(self, name, kind, count):
        self.kind, self.count, self.next = kind, count, 0
        self.folder = tempfile.TemporaryDirectory()
        port = free_port()
        command = GATEWAYS[name](kind, count, port, self.folder.name)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while True:
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                self.connection.connect()
                break
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    sys.exit(f"{name} does not start with {count} {kind}")
                time.sleep(0.05)
        # Each route once: what is made at first use is made.
        self.ask(count)

    def ask(self, requests):
        for _ in range(requests):
            self.next = (self.next + 7919) % self.count
            name, path = (host(self.next), "/") if self.kind == "hosts" else ("shop.example", f"/shop/{self.next}/cart")
            self.connection.request("GET", path, headers={"Host": name})
            answer = self.connection.getresponse()
            answer.read()
            if answer.status != 204:
                sys.exit(f"status {answer.status} for {name}{path}")

    def round(self):
        """Microseconds of processor time for a request."""
        before = processor_seconds(self.process.pid)
        self.ask(REQUESTS)
        return (processor_seconds(self.process.pid) - before) / REQUESTS * 1e6

    def end(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def main():
    for argument in sys.argv[1:]:
        name, _, path = argument.partition("=")
        if name not in GATEWAYS or not path:
            sys.exit(__doc__)
        PROGRAMS[name] = path
    if not PROGRAMS:
        sys.exit(__doc__)
    print(f"{'CPU µs a request':20} {FEW:>8} {MANY:>8} {'growth':>8}")
    for kind in KINDS:
        for name in PROGRAMS:
            running = [Running(name, kind, count) for count in (FEW, MANY)]
            rounds = [[gateway.round() for gateway in running] for _ in range(ROUNDS)]
            few, many = (statistics.median(column) for column in zip(*rounds))
            for gateway in running:
                gateway.end()
            print(f"{kind + ', ' + name:20} {few:8.1f} {many:8.1f} {many / max(few, 0.1):8.2f}", flush=True)


main()
