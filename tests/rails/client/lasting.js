// Stays with the echo channel by Action Cable's own JavaScript client, which comes back by itself
// when its connection has ended.
//
//   NODE_PATH=/usr/share/nodejs node lasting.js ws://HOST:PORT/cable ORIGIN
//
// Sends each line of standard input, and writes what happens, one JSON object a line: what the
// channel says, and `{"disconnected":true}` with whether the client will come back. Ends with its
// standard input.
"use strict";

const [url, origin] = process.argv.slice(2);
if (!origin) {
  console.error("usage: lasting.js URL ORIGIN");
  process.exit(2);
}

const say = (event) => console.log(JSON.stringify(event));
// A handshake that is refused is no end: the client tries again.
const consumer = require("./consumer")(url, origin, (status) => say({ answered: status }));

const subscription = consumer.subscriptions.create("EchoChannel", {
  rejected: () => say({ rejected: true }),
  disconnected: (event) => say({ disconnected: true, comes_back: event.willAttemptReconnect }),
  received: say,
});

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (text) => subscription.perform("echo", { text }))
  .on("close", () => process.exit(0));
