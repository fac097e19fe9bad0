// Node's `ws`, broadcasting as its README does; nothing stored. Whoever connects to /send is not among the receivers.
//
//     node node_ws.js PORT
"use strict";

const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
  port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096, perMessageDeflate: false, clientTracking: false,
});
const receivers = new Set();

server.on("connection", (socket, request) => {
  if (request.url !== "/send") receivers.add(socket);
  socket.on("close", () => receivers.delete(socket));
  socket.on("error", () => receivers.delete(socket)); // clients under test leave without a close frame
  socket.on("message", (data, isBinary) => {
    for (const receiver of receivers) receiver.send(data, { binary: isBinary });
  });
});
