"""A WebSocket over HTTP/2 (RFC 8441), by the packages h2 and wsproto.

    python websocket.py http://HOST:PORT | https://HOST:PORT

Opens one by extended CONNECT, sends messages of several sizes and reads them back, closes it, and
writes what came of it.
"""

import socket
import ssl
import sys
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection

SIZES = (0, 1, 125, 126, 65535, 65536, 1_000_000)


class Client:
    def __init__(self, url):
        parts = urlsplit(url)
        self.authority = parts.netloc
        self.scheme = parts.scheme
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=20)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock)
            assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.frames = Connection(ConnectionType.CLIENT)
        self.status = None
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def turn(self):
        """Reads once; the stream's bytes go into the WebSocket's frames."""
        data = self.sock.recv(65536)
        assert data, "usher has closed"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.status = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.frames.receive_data(event.data)
            elif isinstance(event, h2.events.StreamReset):
                raise AssertionError(f"reset: {event.error_code}")
        self.flush()

    def open(self):
        while not self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL):
            self.turn()
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(
            self.stream,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", self.scheme),
                (":path", "/"),
                (":authority", self.authority),
                ("sec-websocket-version", "13"),
            ],
        )
        self.flush()
        while self.status is None:
            self.turn()
        assert self.status == "200", self.status

    def send(self, event):
        data = self.frames.send(event)
        while data:
            room = self.h2.local_flow_control_window(self.stream)
            room = min(room, self.h2.max_outbound_frame_size, len(data))
            if room <= 0:
                self.turn()
                continue
            self.h2.send_data(self.stream, data[:room])
            data = data[room:]
            self.flush()

    def echoed(self, message):
        self.send(BytesMessage(data=message))
        received = b""
        while True:
            for event in self.frames.events():
                assert isinstance(event, BytesMessage), event
                received += event.data
                if event.message_finished:
                    return received == message
            self.turn()

    def close(self):
        self.send(CloseConnection(code=1000))
        while self.frames.state is not ConnectionState.CLOSED:
            for event in self.frames.events():
                if isinstance(event, CloseConnection):
                    self.h2.end_stream(self.stream)
                    self.flush()
                    return event.code
            self.turn()


client = Client(sys.argv[1])
client.open()
sizes = [size for size in SIZES if client.echoed(bytes(range(256)) * (size // 256) + b"x" * (size % 256))]
print("echoed", *sizes)
print("closed", client.close())
