// A wire between a page and the server that can be cut: the page has an address of its own, the server stays up.

import { connect, createServer } from "node:net";

export class Wire {
  url;
  #ends = new Set();
  #relay = createServer((near) => this.#join(near));
  #server;

  constructor(server) {
    this.#server = server;
  }

  async lay() {
    await new Promise((resolve) => this.#relay.listen(0, "127.0.0.1", resolve));
    this.#relay.unref();
    this.url = `http://127.0.0.1:${this.#relay.address().port}`;
  }

  /** Every connection breaks at once, as when a network goes; new ones are taken. */
  cut() {
    for (const end of this.#ends) end.destroy();
  }

  #join(near) {
    const { hostname, port } = new URL(this.#server.url);
    const far = connect(port, hostname);
    for (const [end, other] of [[near, far], [far, near]]) {
      this.#ends.add(end);
      end.pipe(other);
      end.on("error", () => {});
      end.on("close", () => {
        this.#ends.delete(end);
        other.destroy();
      });
    }
  }
}
