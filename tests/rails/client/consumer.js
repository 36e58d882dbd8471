// Action Cable's own JavaScript client, as in a browser: a consumer of the cable at `url`, from a
// page of `origin`. `refused` is told the status with which a handshake was answered.
"use strict";

const WebSocket = require("ws");

// What the client expects of a browser.
globalThis.self = globalThis;
globalThis.document = { visibilityState: "visible" };
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};

const ActionCable = require("@rails/actioncable");

module.exports = (url, origin, refused) => {
  ActionCable.adapters.WebSocket = class extends WebSocket {
    constructor(address, protocols) {
      super(address, protocols, { origin });
      this.on("unexpected-response", (_, answer) => refused(answer.statusCode));
    }
  };
  return ActionCable.createConsumer(url);
};
