// The edge to the network in Node. Where there is a WebSocket it is used as in a browser; where there is none, one of our
// own is loaded, which sends the token in a header and so needs no ticket.
import { address, openSocket as openStandard } from "../live/socket.js";
export function openSocket(http, token, events) {
    if (typeof WebSocket === "function")
        return openStandard(http, token, events);
    let socket;
    let isClosed = false;
    const open = async () => {
        const { connect } = await import("./websocket.js");
        const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
        if (!isClosed)
            socket = connect(address(http), headers, events);
    };
    // A token that no header can hold, for one.
    open().catch((error) => events.lost(0, "", error));
    return {
        send: (text) => socket.send(text),
        close: () => {
            isClosed = true;
            socket?.close();
        },
    };
}
