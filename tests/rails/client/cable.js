// Speaks to the echo channel with Action Cable's own JavaScript client.
//
//   NODE_PATH=/usr/share/nodejs node cable.js ws://HOST:PORT/cable ORIGIN TEXT...
//
// Sends each text once the one before it has come back, and writes what the channel says, one JSON
// object a line. Ends with 0 after the last echo, with 1 when the connection or subscription fails.
"use strict";

const [url, origin, ...texts] = process.argv.slice(2);
if (texts.length === 0) {
  console.error("usage: cable.js URL ORIGIN TEXT...");
  process.exit(2);
}

const consumer = require("./consumer")(url, origin, (status) => fail(`answered ${status}`));

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

const subscription = consumer.subscriptions.create("EchoChannel", {
  rejected: () => fail("rejected"),
  disconnected: () => fail("disconnected"),
  received(message) {
    console.log(JSON.stringify(message));
    if (!message.welcome && message.echo !== texts.shift()) fail("not what was sent");
    if (texts.length > 0) return subscription.perform("echo", { text: texts[0] });
    consumer.disconnect();
    process.exit(0);
  },
});
