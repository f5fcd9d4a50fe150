"""Loads a page with Chromium until HTTP/3 carries it: chromium.py PORT PUBLIC-KEY. Writes the protocol of each load.

PUBLIC-KEY is a file with the SubjectPublicKeyInfo of the server's certificate, which Chromium is told to trust. Nothing
forces HTTP/3 on the port: `Alt-Svc` has to bring it.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

LOADS = 30


class Browser:
    """Chromium, driven over a pair of pipes (the DevTools protocol: JSON, each message ended by a zero byte)."""

    def __init__(self, profile, fingerprint):
        command = [
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--ignore-certificate-errors-spki-list={fingerprint}",
            # Over QUIC, Chromium trusts private authorities only for hosts that are named here. The port is another
            # one than the test's: on the test's, nothing is forced.
            "--origin-to-force-quic-on=localhost:1",
            # The gateway listens on IPv4 alone; nobody else is to be asked for anything.
            "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND",
        ]
        from_us, self.out = os.pipe()
        self.come, to_us = os.pipe()

        def pipes():
            # Chromium reads from descriptor 3 and writes to 4.
            os.dup2(from_us, 63)
            os.dup2(to_us, 64)
            os.dup2(63, 3)
            os.dup2(64, 4)

        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, preexec_fn=pipes, close_fds=False, stdin=quiet, stdout=quiet, stderr=quiet
        )
        os.close(from_us)
        os.close(to_us)
        self.left, self.calls, self.events = b"", 0, []

    def read(self):
        while b"\0" not in self.left:
            data = os.read(self.come, 65536)
            if not data:
                raise EOFError("chromium has ended")
            self.left += data
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **params):
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def load(self, session, url):
        """Loads a page; returns the protocol that brought it, and its text."""
        self.events.clear()
        failed = self.call("Page.navigate", session, url=url).get("errorText")
        if failed:
            raise RuntimeError(f"{url}: {failed}")
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read())
        script = "[performance.getEntries()[0].nextHopProtocol, document.body.innerText]"
        return self.call("Runtime.evaluate", session, expression=script, returnByValue=True)["result"]["value"]


def main(port, public_key):
    with open(public_key, "rb") as file:
        fingerprint = base64.b64encode(hashlib.sha256(file.read()).digest()).decode()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile, fingerprint)
        try:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            browser.call("Page.enable", session)
            loads = []
            # The connection is made beside the next request, which may still win.
            while len(loads) < LOADS and (not loads or loads[-1][0] != "h3"):
                loads.append(browser.load(session, f"https://localhost:{port}/page/{len(loads)}"))
            print(json.dumps(loads))
            browser.call("Browser.close")
        finally:
            try:
                browser.process.wait(10)
            except subprocess.TimeoutExpired:
                browser.process.kill()


main(*sys.argv[1:])
