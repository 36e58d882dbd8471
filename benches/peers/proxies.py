"""usher and its peers, each set up for the same job by its own configuration.

The job: one worker; choose one of four audiences by path or header; tell the origin the audience, a
request id, the arrival, X-Forwarded-For, -Proto, -Host and -Port, and Via; keep connections on both
sides; HTTP/1.1 in plain, and HTTP/1.1 and HTTP/2 over TLS; no access log. `job.py` holds each to
it.
"""

import json
import os
import shutil

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PYTHON = os.path.join(TOP, "target", "python", "bin")
AUDIENCES = ("admin", "driver", "restaurant", "customer")


def behind(ports, audience):
    """The origin of an audience: that of `admin` speaks WebSocket."""
    return ports["echo" if audience == "admin" else "origin"]


USHER = """\
listeners:
  - {{ bind: 127.0.0.1:{plain} }}
  - bind: 127.0.0.1:{tls}
    tls: {{ certificates: [{{ cert: {room}/server.crt, key: {room}/server.key }}] }}
control: off
metrics: off
access_log: off
workers: {workers}
drain: {{ grace: 0s }}
limits: {{ per_client: 20000 }}
audiences:
  - {{ name: admin, pool: admin, match: [{{ path: /admin/** }}] }}
  - name: driver
    pool: driver
    match: [{{ path: /api/driver/** }}, {{ header: {{ X-App: driver }} }}]
  - name: restaurant
    pool: restaurant
    match: [{{ path: /restaurant/** }}, {{ header: {{ X-App: restaurant }} }}]
  - name: customer
    pool: customer
    slo: {{ availability: 99.9%, latency: {{ within: 300ms, target: 99% }} }}
pools:
"""


def usher(room, ports, workers):
    text = USHER.format(room=room, workers=workers, **ports)
    for audience in AUDIENCES:
        endpoint = f"127.0.0.1:{behind(ports, audience)}"
        text += f'  {audience}: {{ endpoints: ["{endpoint}"], capacity: 256 }}\n'
    path = write(room, "usher.yaml", text)
    return [PROGRAMS["usher"](), "run", "--config", path]


# Prefixes rather than patterns choose; 1 MiB fits into the buffers of one request, and no file is
# written; heads of phones fit into the first buffer.
NGINX = """\
daemon off; worker_processes {workers}; pid {room}/nginx.pid; error_log {room}/nginx.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 1g;
  client_header_buffer_size 4k; client_body_buffer_size 64k;
  proxy_buffer_size 16k; proxy_buffers 32 32k; proxy_busy_buffers_size 512k;
  proxy_max_temp_file_size 0;
  client_body_temp_path {room}/nginx-body; proxy_temp_path {room}/nginx-proxy;
  fastcgi_temp_path {room}/nginx-f; uwsgi_temp_path {room}/nginx-u; scgi_temp_path {room}/nginx-s;
  map $http_x_app $by_header {{ driver driver; restaurant restaurant; default customer; }}
  map $http_upgrade $onwards {{ default upgrade; "" ""; }}
  {upstreams}
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl http2 backlog=4096;
    ssl_certificate {room}/server.crt; ssl_certificate_key {room}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off;
    proxy_http_version 1.1;
    proxy_set_header Connection $onwards;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Host $http_host;
    proxy_set_header Via "1.1 nginx";
    proxy_set_header X-Audience $proxy_host;
    proxy_set_header X-Request-Id $request_id;
    proxy_set_header X-Request-Start "t=$msec";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    location = /admin {{ proxy_pass http://admin; }}
    location /admin/ {{ proxy_pass http://admin; }}
    location = /api/driver {{ proxy_pass http://driver; }}
    location /api/driver/ {{ proxy_pass http://driver; }}
    location = /restaurant {{ proxy_pass http://restaurant; }}
    location /restaurant/ {{ proxy_pass http://restaurant; }}
    location / {{ proxy_pass http://$by_header; }}
  }}
}}
"""


def nginx(room, ports, workers):
    upstreams = "\n  ".join(
        f"upstream {audience} {{ server 127.0.0.1:{behind(ports, audience)}; keepalive 256; "
        "keepalive_requests 100000000; }" for audience in AUDIENCES)
    text = NGINX.format(room=room, workers=workers, upstreams=upstreams, **ports)
    return [PROGRAMS["nginx"](), "-c", write(room, "nginx.conf", text)]


# Large answers go from socket to socket without being copied; pipes for that take descriptors.
HAPROXY = """\
global
  nbthread {workers}
  maxconn 9000
  maxpipes 256
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 60s
  timeout tunnel 60s
  http-reuse always
  option splice-response
frontend all
  bind 127.0.0.1:{plain}
  bind 127.0.0.1:{tls} ssl crt {room}/both.pem alpn h2,http/1.1
  option forwardfor
  http-request set-header Via "1.1 haproxy"
  http-request set-header X-Request-Id %[uuid()]
  http-request set-header X-Request-Start t=%[date(0,ms)]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  use_backend admin if {{ path /admin }} || {{ path_beg /admin/ }}
  use_backend driver if {{ path_beg /api/driver/ }} || {{ req.hdr(x-app) driver }}
  use_backend restaurant if {{ path_beg /restaurant/ }} || {{ req.hdr(x-app) restaurant }}
  default_backend customer
"""


def haproxy(room, ports, workers):
    text = HAPROXY.format(room=room, workers=workers, **ports)
    for audience in AUDIENCES:
        text += (f"backend {audience}\n  http-request set-header X-Audience {audience}\n"
                 f"  server s 127.0.0.1:{behind(ports, audience)}\n")
    return [PROGRAMS["haproxy"](), "-db", "-f", write(room, "haproxy.cfg", text)]


FILTERS = "type.googleapis.com/envoy.extensions.filters"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def envoy(room, ports, workers):
    def route(match, audience):
        return {"match": match, "route": {"cluster": audience},
                "request_headers_to_add": [added("x-audience", audience)]}

    def added(name, value):
        return {"header": {"key": name, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}

    def app(name):
        return {"prefix": "/", "headers": [{"name": "x-app", "string_match": {"exact": name}}]}

    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "use_remote_address": True,
        "via": "1.1 envoy",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [{"name": "router",
                          "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router",
                                           "suppress_envoy_headers": True}}],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "request_headers_to_add": [
                added("x-request-start", "t=%START_TIME(%s%3f)%"),
                added("x-forwarded-host", "%REQ(:authority)%"),
                added("x-forwarded-port", "%DOWNSTREAM_LOCAL_PORT%")],
            "routes": [
                route({"path_separated_prefix": "/admin"}, "admin"),
                route({"path_separated_prefix": "/api/driver"}, "driver"),
                route(app("driver"), "driver"),
                route({"path_separated_prefix": "/restaurant"}, "restaurant"),
                route(app("restaurant"), "restaurant"),
                route({"prefix": "/"}, "customer"),
            ]}]},
    }

    def listener(port, context=None):
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        if context:
            chain["transport_socket"] = {"name": "tls", "typed_config": context}
        return {"address": address(port), "filter_chains": [chain]}

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def cluster(name):
        members = {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address(behind(ports, name))}}]}]}
        limits = [{"max_connections": 9000, "max_pending_requests": 9000, "max_requests": 9000}]
        return {"name": name, "connect_timeout": "1s", "load_assignment": members,
                "circuit_breakers": {"thresholds": limits}}

    context = {"@type": TLS, "common_tls_context": {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [{"certificate_chain": {"filename": f"{room}/server.crt"},
                              "private_key": {"filename": f"{room}/server.key"}}]}}
    resources = {"listeners": [listener(ports["plain"]), listener(ports["tls"], context)],
                 "clusters": [cluster(audience) for audience in AUDIENCES]}
    path = write(room, "envoy.json", json.dumps({"static_resources": resources}))
    return [PROGRAMS["envoy"](), "--config-path", path, "--concurrency", str(workers),
            "--disable-hot-restart", "--log-level", "error"]


def caddy(room, ports, workers):
    def route(audience, *matches):
        proxy = {"handler": "reverse_proxy",
                 "upstreams": [{"dial": f"127.0.0.1:{behind(ports, audience)}"}],
                 "transport": {"protocol": "http",
                               "keep_alive": {"max_idle_conns_per_host": 256}},
                 "headers": {"request": {"set": {
                     "X-Audience": [audience],
                     "X-Request-Id": ["{http.request.uuid}"],
                     "X-Request-Start": ["t={time.now.unix_ms}"],
                     "X-Forwarded-Port": ["{http.request.local.port}"]}}}}
        return {"match": list(matches), "handle": [proxy], "terminal": True}

    def server(port):
        return {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": [
            route("admin", {"path": ["/admin", "/admin/*"]}),
            route("driver", {"path": ["/api/driver/*"]}, {"header": {"X-App": ["driver"]}}),
            route("restaurant", {"path": ["/restaurant/*"]}, {"header": {"X-App": ["restaurant"]}}),
            route("customer"),
        ]}

    certificates = [{"certificate": f"{room}/server.crt", "key": f"{room}/server.key"}]
    tls = server(ports["tls"]) | {"tls_connection_policies": [{}]}
    text = json.dumps({
        "admin": {"disabled": True},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": {"plain": server(ports["plain"]), "tls": tls}},
                 "tls": {"certificates": {"load_files": certificates}}}})
    # It has no workers of its own; the runtime's threads are bound instead.
    return ["env", f"GOMAXPROCS={workers}", f"HOME={room}", PROGRAMS["caddy"](), "run", "--config",
            write(room, "caddy.json", text)]


def pingora(room, ports, workers):
    doors = [str(ports[name]) for name in ("plain", "tls", "origin", "echo")]
    return [PROGRAMS["pingora"](), room, *doors, str(workers)]


ALL = {"usher": usher, "haproxy": haproxy, "nginx": nginx, "envoy": envoy, "caddy": caddy,
       "pingora": pingora}

# Where each is; USHER and PINGORA_PEER may say otherwise.
PROGRAMS = {
    "usher": lambda: os.environ.get("USHER", os.path.join(TOP, "target", "release", "usher")),
    "haproxy": lambda: system("haproxy"),
    "nginx": lambda: system("nginx"),
    "envoy": lambda: os.path.join(PYTHON, "envoy"),
    "caddy": lambda: os.path.join(PYTHON, "caddy"),
    "pingora": lambda: os.environ.get(
        "PINGORA_PEER", os.path.join(HERE, "pingora", "target", "release", "pingora-peer")),
}


def system(name):
    """A program of Debian's for root, which not everybody's PATH has."""
    return shutil.which(name) or os.path.join("/usr/sbin", name)


def missing(name):
    """Why a proxy cannot run, if it cannot."""
    program = PROGRAMS[name]()
    return None if os.access(program, os.X_OK) else f"{os.path.basename(program)} is not there"


# How each tells its version.
VERSIONS = {"usher": ["--version"], "haproxy": ["-v"], "nginx": ["-v"], "envoy": ["--version"],
            "caddy": ["version"], "pingora": ["--version"]}

ORIGIN = """\
daemon off; worker_processes 1; pid {room}/origin.pid; error_log {room}/origin.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h; client_max_body_size 1g;
  sendfile on; open_file_cache max=10;
  client_body_temp_path {room}/origin-body; proxy_temp_path {room}/origin-proxy;
  client_body_buffer_size 64k;
  fastcgi_temp_path {room}/origin-f; uwsgi_temp_path {room}/origin-u;
  scgi_temp_path {room}/origin-s;
  server {{
    listen 127.0.0.1:{origin} backlog=4096;
    location / {{ return 200 "{small}"; }}
    location /orders {{ return 200 "{small}"; {fields} }}
    location /large {{ root {room}; }}
  }}
  server {{
    listen 127.0.0.1:{count};
    location / {{ stub_status; }}
  }}
}}
"""


def origin(room, ports, fields):
    """nginx, which answers out of its memory, and tells how many requests it had."""
    write(room, "large", "x" * (1 << 20))
    lines = "".join(f"add_header {name} '{value}';" for name, value in fields)
    text = ORIGIN.format(room=room, small="x" * 1024, fields=lines, **ports)
    return [system("nginx"), "-c", write(room, "origin.conf", text)]


def write(room, name, text):
    path = os.path.join(room, name)
    with open(path, "w") as file:
        file.write(text)
    return path
