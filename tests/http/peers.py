"""usher and others side by side, each lane of each in front of an origin of its own."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

# Where tests/run has installed what Debian does not have.
PYTHON = pathlib.Path(__file__).resolve().parents[2] / "target/python/bin"
OTHERS = ("haproxy", "nginx", "envoy", "caddy")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.I)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.I)
REQUEST = re.compile(rb"\S+ \S+ HTTP/1\.[01]\r\n")
SECONDS_MAX = 20

USHER = """
listeners: [{{ bind: 127.0.0.1:0 }}]
control: off
metrics: off
access_log: off
workers: 1
drain: {{ grace: 0s }}
limits: {{ head_wait: 2s, keep_alive: 2s }}
audiences: [{{ name: everyone, pool: rails }}]
pools: {{ rails: {{ endpoints: ["unix:{origin}"], capacity: 5 }} }}
"""

HAPROXY = """
global
  maxconn 200
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout server 5s
  timeout client 2s
  timeout http-request 2s
  timeout http-keep-alive 2s
"""

HAPROXY_LANE = """
listen lane{lane}
  bind unix@{door}
  server origin unix@{origin}
"""

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_header_timeout 2s;
  client_body_timeout 2s;
  keepalive_timeout 2s;
  client_max_body_size 1g;
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
{lanes}
}}
"""

NGINX_LANE = """
  upstream lane{lane} {{ server unix:{origin}; keepalive 4; }}
  server {{ listen unix:{door}; location / {{ proxy_pass http://lane{lane}; }} }}
"""

ENVOY_ACCESS = "type.googleapis.com/envoy.extensions.filters"


def envoy(doors):
    """Envoy's configuration: HTTP/1.1, WebSockets and HTTP/1.0, which are off otherwise, and timeouts."""

    def listener(door):
        manager = {
            "@type": f"{ENVOY_ACCESS}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "lane",
            "codec_type": "HTTP1",
            "http_protocol_options": {"accept_http_10": True},
            "use_remote_address": True,
            "request_headers_timeout": "2s",
            "stream_idle_timeout": "2s",
            "common_http_protocol_options": {"idle_timeout": "2s"},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {"@type": f"{ENVOY_ACCESS}.http.router.v3.Router"},
                }
            ],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [
                            {
                                "match": {"prefix": "/"},
                                "route": {"cluster": f"lane{door['lane']}"},
                            }
                        ],
                    }
                ]
            },
        }
        filters = [{"name": "http", "typed_config": manager}]
        return {"address": pipe(door["door"]), "filter_chains": [{"filters": filters}]}

    def cluster(door):
        name = f"lane{door['lane']}"
        endpoint = {"endpoint": {"address": pipe(door["origin"])}}
        members = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
        return {"name": name, "connect_timeout": "5s", "load_assignment": members}

    def pipe(path):
        return {"pipe": {"path": path}}

    resources = {
        "listeners": [listener(door) | {"name": f"lane{door['lane']}"} for door in doors],
        "clusters": [cluster(door) for door in doors],
    }
    return json.dumps({"static_resources": resources})


def caddy(doors):
    """Caddy's configuration: HTTP/1.1, and timeouts."""

    def server(door):
        proxy = {"handler": "reverse_proxy", "upstreams": [{"dial": f"unix/{door['origin']}"}]}
        return {
            "listen": [f"unix/{door['door']}"],
            "protocols": ["h1"],
            "read_header_timeout": "2s",
            "read_timeout": "2s",
            "idle_timeout": "2s",
            "automatic_https": {"disable": True},
            "routes": [{"handle": [proxy]}],
        }

    servers = {f"lane{door['lane']}": server(door) for door in doors}
    return json.dumps(
        {
            "admin": {"disabled": True},
            "logging": {"logs": {"default": {"level": "PANIC"}}},
            "apps": {"http": {"servers": servers}},
        }
    )


class Origin:
    """Counts the requests that reach it whole, and answers each."""

    def __init__(self, path):
        self.whole = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            line, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(line,), daemon=True).start()

    def serve(self, line):
        try:
            with line, line.makefile("rb") as reader:
                while self.read(reader):
                    self.whole += 1
                    line.sendall(ANSWER)
        except (OSError, ValueError, OverflowError):
            pass  # It broke off, or announced what nobody could send.

    @staticmethod
    def read(reader):
        """Whether a whole request came."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return False
            head += line
        if not REQUEST.match(head):
            raise ValueError("junk")
        if length := LENGTH.search(head):
            return len(reader.read(int(length[1]))) == int(length[1])
        if CHUNKED.search(head):
            while size := int(reader.readline(), 16):
                reader.read(size + 2)
            while (line := reader.readline()) != b"\r\n":
                if not line:
                    return False
        return True


class Lane:
    """One door of one proxy, and the origin behind it."""

    def __init__(self, folder, proxy, lane):
        self.door, self.at = f"{folder}/{proxy}-{lane}", f"{folder}/{proxy}-origin-{lane}"
        self.origin = Origin(self.at)

    def ask(self, data, leaves):
        """The statuses of the answers, and how many requests reached the origin whole."""
        before = self.origin.whole
        came = b""
        with self.connect() as line:
            line.settimeout(SECONDS_MAX)
            sender = threading.Thread(target=send, args=(line, data, leaves))
            sender.start()
            try:
                while part := line.recv(65536):
                    came += part
            except ConnectionError:
                pass
            finally:
                sender.join()
        return statuses(came), self.origin.whole - before

    def connect(self):
        if isinstance(self.door, tuple):
            return socket.create_connection(self.door)
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.door)
        return line


class Peers:
    """All proxies with all their lanes, until the end of the `with`."""

    def __init__(self, folder, usher, lanes):
        self.folder, self.processes, self.lanes = pathlib.Path(folder), [], {}
        for proxy in ("usher", *OTHERS):
            self.lanes[proxy] = [Lane(folder, proxy, lane) for lane in range(lanes)]
        self.usher = usher

    def __enter__(self):
        for number, lane in enumerate(self.lanes["usher"]):
            config = self.write(f"usher-{number}.yaml", USHER.format(origin=lane.at))
            process = self.start(self.usher, "run", "--config", config, stderr=subprocess.PIPE)
            lane.door = announced(process)
        doors = {
            proxy: [
                {"lane": number, "door": lane.door, "origin": lane.at}
                for number, lane in enumerate(self.lanes[proxy])
            ]
            for proxy in OTHERS
        }
        lanes = "".join(HAPROXY_LANE.format(**door) for door in doors["haproxy"])
        self.start("haproxy", "-db", "-f", self.write("haproxy.cfg", HAPROXY + lanes))
        lanes = "".join(NGINX_LANE.format(**door) for door in doors["nginx"])
        config = self.write("nginx.conf", NGINX.format(folder=self.folder, lanes=lanes))
        self.start("nginx", "-e", f"{self.folder}/nginx.log", "-c", config)
        config = self.write("envoy.json", envoy(doors["envoy"]))
        alone = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "off")
        self.start("envoy", *alone, "--config-path", config)
        self.start("caddy", "run", "--config", self.write("caddy.json", caddy(doors["caddy"])))
        for proxy in OTHERS:
            for lane in self.lanes[proxy]:
                self.until_open(lane)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def start(self, *command, stderr=subprocess.DEVNULL):
        # Debian keeps the doors' programs where only root looks. Caddy keeps things at home.
        path = f"{PYTHON}:{os.environ['PATH']}:/usr/sbin"
        places = {"PATH": path, "HOME": str(self.folder)}
        environment = os.environ | places
        process = subprocess.Popen(command, stderr=stderr, env=environment, executable=shutil.which(command[0], path=path))
        self.processes.append(process)
        return process

    def until_open(self, lane):
        while all(process.poll() is None for process in self.processes):
            try:
                return lane.connect().close()
            except OSError:
                threading.Event().wait(0.02)
        raise SystemExit(f"a proxy does not start; see {self.folder}")


def announced(process):
    """Where usher says that it listens."""
    for line in process.stderr:
        if found := re.search(rb"serving on http://([\d.]+):(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1].decode(), int(found[2])
    raise SystemExit("usher does not start")


def send(line, data, leaves):
    try:
        line.sendall(data)
        if leaves:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It has refused before it had read all.


def statuses(came):
    """The statuses of final answers; an answer without a head is 0."""
    found = []
    while came:
        head, _, rest = came.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1."):
            return found + [0]
        status = int(head[9:12])
        if status >= 200:
            found.append(status)
            length = LENGTH.search(head + b"\r\n")
            rest = rest[int(length[1]) :] if length else b""
        came = rest
    return found
