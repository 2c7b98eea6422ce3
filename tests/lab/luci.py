"""LuCI on a Router: its client code in a browser, OpenWrt's ubusd and rpcd behind it, and our package between them.

The tests need two folders from outside the tree, each named by an environment variable:

WGEMBED_LUCI     LuCI's sources, of OpenWrt 24.10
WGEMBED_OPENWRT  a root with OpenWrt's ubusd, ubus, rpcd (with its plugins for files and ucode) and ucode (with the
                 modules fs, socket, uci) in it, built for this machine

On a router, uhttpd and LuCI's dispatcher are between browser and ubus. Here Gateway replaces both.
"""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from . import net
from .need import Missing, NotInstalled, programs

RESOURCES = ("modules/luci-base/htdocs", "libs/luci-lib-uqr/htdocs", "themes/luci-theme-bootstrap/htdocs",
             "modules/luci-mod-network/htdocs")  # fmt: skip
# LuCI's page of network interfaces, and the rights to use it.
OF_NETWORK = ("usr/share/luci/menu.d/luci-mod-network.json", "usr/share/rpcd/acl.d/luci-mod-network.json")
STOCK = "protocols/luci-proto-wireguard"
# For root, "secret".
PASSWORD = "$1$wgembed$6G3KrjUoBKP4OWf5RvGPy1"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png", ".json": "text/json"}
NOT_FOUND, DENIED = 4, 6
NETWORKS = {"interface": [{
    "interface": "wan", "up": True, "ipv4-address": [{"address": "198.51.100.7", "mask": 24}],
    "route": [{"target": "0.0.0.0", "mask": 0, "nexthop": "198.51.100.1"}],
}]}  # fmt: skip
USERS = f"""
config login
	option username 'root'
	option password '{PASSWORD}'
	list read '*'
	list write '*'

config login
	option username 'watcher'
	option password '{PASSWORD}'
	list read 'luci-base'
	list read 'luci-app-wgembed-status'
"""
FIREWALL = """
config zone
	option name 'lan'
	list network 'lan'

config zone
	option name 'wan'
	list network 'wan'
"""
PAGE = """<!DOCTYPE html>
<html lang="en" data-darkmode="false"><head><meta charset="utf-8"><title>LuCI</title>
<meta name="viewport" content="initial-scale=1.0">
<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">
<script src="/cgi-bin/luci/admin/translations/en"></script><script src="/luci-static/resources/cbi.js"></script></head>
<body class="lang_en" data-page="{page}"><header><a class="brand" href="/">OpenWrt</a>
<ul class="nav" id="topmenu" style="display:none"></ul><div id="indicators" class="pull-right"></div></header>
<div id="maincontent" class="container"><div id="tabmenu" style="display:none"></div>
<script src="/luci-static/resources/luci.js"></script><script>L = new LuCI({about});</script>
<div id="view"><div class="spinning">Loading</div>
<script>L.require('ui').then(ui => ui.instantiateView('{view}'));</script></div></div>
<footer><ul class="breadcrumb pull-right" id="modemenu" style="display:none"></ul></footer>
<script>L.require('menu-bootstrap')</script></body></html>"""


def folder(variable):
    path = os.environ.get(variable)
    if not path:
        raise Missing(f"{variable} names no folder: see tests/lab/luci.py")
    if not Path(path).is_dir():
        raise Missing(f"{variable}: there is no folder {path}")
    return Path(path)


def prepare():
    programs("chromium", "ldd")
    folder("WGEMBED_LUCI")
    folder("WGEMBED_OPENWRT")
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise NotInstalled("playwright") from None


class Bus:
    """ubusd and rpcd in a Router; with `netifd`, a RealNetifd, its ubusd, and OpenWrt's own WireGuard pages."""

    def __init__(self, router, netifd=None):
        self._router = router
        self.netifd = netifd
        self.sources = folder("WGEMBED_LUCI")
        self._install(folder("WGEMBED_OPENWRT"))
        if netifd is None:
            self._children = [self._spawn("/usr/sbin/ubusd")]
        else:
            self._children = [netifd.ubusd]
            self._install_stock()
        # ubusd makes its socket some time before it listens.
        net.poll(lambda: self.call("nobody", "nothing")[0] == NOT_FOUND, 5, what="ubusd")
        self._children.append(self._spawn("/usr/sbin/rpcd", "-s", "/var/run/ubus/ubus.sock"))
        net.poll(lambda: self.call("luci.wgembed", "names")[0] != NOT_FOUND, 5, what="rpcd with our plugin")
        self.session = self.login("root")

    def close(self):
        for child in reversed(self._children[1:] if self.netifd else self._children):
            child.terminate()
            child.wait(5)

    @property
    def pids(self):
        """The pids of ubusd and rpcd, in this machine's process namespace."""
        return [child.pid for child in self._children]

    @property
    def rpcd(self):
        return self.pids[1]

    def _spawn(self, *argv):
        with open(self._router.messages, "ab") as log:
            return subprocess.Popen(self._router.command(*argv), env=self._environment(), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)  # fmt: skip

    def _environment(self):
        return {**self._router.environment, "LD_LIBRARY_PATH": "/usr/lib/bus"}

    def _install(self, built):
        root = self._router.root
        # The real netifd uses the modules of ucode, so they are there, and must not be overwritten.
        for name in ("usr/lib/rpcd",) if self.netifd else ("usr/lib/rpcd", "usr/lib/ucode"):
            shutil.copytree(built / name, root / name, dirs_exist_ok=True)
        (root / "usr/lib/bus").mkdir()
        for library in built.glob("usr/lib/*.so*"):
            shutil.copy(library, root / "usr/lib/bus", follow_symlinks=True)
        # Beside the replacement that the init script calls.
        (root / "usr/libexec").mkdir(exist_ok=True)
        shutil.copy(built / "usr/bin/ubus", root / "usr/libexec")
        for name in ("rpcd",) if self.netifd else ("ubusd", "rpcd"):
            shutil.copy(built / "usr/sbin" / name, root / "usr/sbin")
        self._bring_libraries(built)
        (root / "tmp/run/ubus").mkdir(parents=True, exist_ok=True)
        # ubusd asks for the user of a caller.
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        (root / "etc/config/rpcd").write_text(USERS)
        (root / "etc/config/firewall").write_text(FIREWALL)
        # LuCI of 25.12 reads its own configuration, which every router has.
        (root / "etc/config/luci").write_text("config core 'main'\n\toption lang 'auto'\n")
        acl = "usr/share/rpcd/acl.d"
        shutil.copy(self.sources / f"modules/luci-base/root/{acl}/luci-base.json", root / acl)

    def _install_stock(self):
        """luci-proto-wireguard and the page of network interfaces, as their packages do."""
        root = self._router.root
        shutil.copytree(self.sources / STOCK / "root", root, dirs_exist_ok=True)
        shutil.copytree(self.sources / STOCK / "htdocs", root / "www", dirs_exist_ok=True)
        for name in OF_NETWORK:
            shutil.copy(self.sources / "modules/luci-mod-network/root" / name, root / name)
        for name in ("dhcp", "system"):
            (root / "etc/config" / name).touch()

    def _bring_libraries(self, built):
        """The libraries of this machine that they need. The C library is already in the router."""
        found = subprocess.run(
            ["ldd", *(built / name for name in ("usr/sbin/rpcd", "usr/sbin/ubusd", "usr/lib/ucode/fs.so"))],
            env={**os.environ, "LD_LIBRARY_PATH": str(built / "usr/lib")}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for path in set(re.findall(r"=> (/\S+)", found)):
            if not path.startswith(str(built)) and not re.search(r"/lib(c|m|dl|pthread)\.so", path):
                shutil.copy(path, self._router.root / "usr/lib/bus")

    def call(self, kind, method, message=None):
        """(ubus status, answer or None) of a call without a session, which may do everything."""
        said = json.dumps(message or {})
        command = self._router.command("/usr/libexec/ubus", "-S", "-t", "30", "call", kind, method, said)
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None

    def login(self, name):
        """The session of a user: root, or watcher, who may only see the status page."""
        return self.call("session", "login", {"username": name, "password": "secret"})[1]["ubus_rpc_session"]

    def allows(self, session, kind, method):
        about = {"ubus_rpc_session": session, "scope": "ubus", "object": kind, "function": method}
        answer = self.call("session", "access", about)[1]
        return bool(answer and answer["access"])


class Gateway(http.server.ThreadingHTTPServer):
    """Serves LuCI's files and ours at `url`, and passes the calls of the browser to the bus.

    calls    the calls, each ("object.method", arguments)
    answers  the answers, as text
    session  the session of the browser: root, unless a test changes it
    """

    daemon_threads = True

    def __init__(self, router, bus):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.router, self.bus, self.calls, self.answers = router, bus, [], []
        self.session = bus.session
        self._roots = [router.root / "www", *(bus.sources / name for name in RESOURCES)]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()

    def file(self, path):
        for root in self._roots:
            found = (root / path.lstrip("/")).resolve()
            if found.is_file() and found.is_relative_to(root.resolve()):
                return found
        return None

    def menu(self):
        """The menu from menu.d, in the form in which LuCI's dispatcher sends it to the browser."""
        tree = {"children": {"admin": {"title": "Administration", "action": {"type": "firstchild"}, "satisfied": True,
                                       "children": {"vpn": {"title": "VPN", "action": {"type": "firstchild"},
                                                            "satisfied": True, "children": {}}}}}}  # fmt: skip
        for file in (self.router.root / "usr/share/luci/menu.d").iterdir():
            for path, node in json.loads(file.read_text()).items():
                here = tree
                for name in path.split("/"):
                    here = here.setdefault("children", {}).setdefault(name, {"satisfied": True})
                here.update(node)
        return tree

    def page(self, path):
        view = self.menu()
        for name in path.split("/"):
            view = view["children"][name]
        about = {
            "media": "/luci-static/bootstrap", "resource": "/luci-static/resources", "scriptname": "/cgi-bin/luci",
            "pathinfo": "/" + path, "requestpath": path.split("/"), "dispatchpath": path.split("/"), "pollinterval": 1,
            "ubuspath": "/ubus/", "sessionid": self.session, "token": "t", "nodespec": view, "apply_rollback": 90,
            "apply_holdoff": 1, "apply_timeout": 5, "apply_display": 1.5,
        }  # fmt: skip
        made = PAGE.replace("{page}", path.replace("/", "-")).replace("{view}", view["action"]["path"])
        return made.replace("{about}", json.dumps(about))

    def ubus(self, request):
        if request["method"] == "list":
            return {"jsonrpc": "2.0", "id": request["id"], "result": {}}
        session, kind, method, arguments = request["params"]
        self.calls.append((f"{kind}.{method}", arguments))
        result = self._result(session, kind, method, arguments)
        self.answers.append(json.dumps(result))
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def _result(self, session, kind, method, arguments):
        if (kind, method) == ("luci", "getFeatures"):
            return [0, {}]
        # A file of rpcd's package lists the calls that everybody may make.
        if (kind, method) != ("session", "access") and not self.bus.allows(session, kind, method):
            return [DENIED]
        if kind == "network.interface" and not self.bus.netifd:
            return [0, NETWORKS]
        if kind == "luci-rpc":
            return [0, self._devices() if method == "getNetworkDevices" else {}]
        status, answer = self.bus.call(kind, method, {**arguments, "ubus_rpc_session": session})
        return [status] if answer is None else [status, answer]

    def _devices(self):
        """The answer of rpcd-mod-luci, which needs libraries for wireless devices: what the pages use of it."""
        links = json.loads(self.router.namespace.run("ip", "-j", "-s", "address", "show")[1])
        found = {}
        for link in links:
            stats = {f"{way}_{what}": link["stats64"][way][what] for way in ("rx", "tx") for what in ("bytes", "packets")}
            found[link["ifname"]] = {
                "name": link["ifname"], "up": "UP" in link["flags"], "type": 1, "mtu": link["mtu"], "stats": stats,
                "flags": {flag: flag.upper() in link["flags"] for flag in ("up", "loopback", "noarp", "pointtopoint")},
            }  # fmt: skip
        return found

    def change(self, verb):
        """Apply, confirm or revert, as LuCI does. Returns 0, or the status of the call that failed."""
        who = {"ubus_rpc_session": self.session}
        changed = self.bus.call("uci", "changes", who)[1]["changes"]
        if verb == "confirm":
            return self.bus.call("uci", "confirm", who)[0]
        if verb == "revert":
            return max([self.bus.call("uci", "revert", {**who, "config": name})[0] for name in changed], default=0)
        rollback = verb == "apply_rollback"
        status = self.bus.call("uci", "apply", {**who, "rollback": rollback, "timeout": 90})[0]
        # The request of rpcd to procd.
        for name in changed if status == 0 else ():
            if self.bus.netifd:
                self.bus.netifd.changed(name)
            else:
                self.router.procd.event("config.change", package=name)
        return status


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *what):
        pass

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/cgi-bin/luci/admin/menu":
            self._answer(json.dumps(self.server.menu()), "application/json")
        elif path.startswith("/cgi-bin/luci/admin/translations"):
            self._answer("", "text/javascript")
        elif path.startswith("/cgi-bin/luci/"):
            self._answer(self.server.page(path.removeprefix("/cgi-bin/luci/")), "text/html; charset=utf-8")
        else:
            file = self.server.file(path)
            if file is None:
                self.send_error(404)
            else:
                self._answer(file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = urlsplit(self.path).path
        verb = path.rpartition("/")[2]
        if verb == "cgi-exec":
            # LuCI asks over which network the browser is connected.
            self._answer("", "text/plain")
            return
        if verb in ("apply_rollback", "apply_unchecked", "confirm", "revert"):
            failed = self.server.change(verb)
            token = parse_qs(body).get("token", ["t"])[0]
            self._answer(json.dumps({"token": token}), "application/json", 500 if failed else 200)
            return
        asked = json.loads(body)
        answers = [self.server.ubus(one) for one in (asked if isinstance(asked, list) else [asked])]
        self._answer(json.dumps(answers if isinstance(asked, list) else answers[0]), "application/json")

    do_HEAD = do_GET

    def _answer(self, content, kind, status=200):
        data = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
