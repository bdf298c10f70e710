// A frame that cannot be: it does not go on from where this client stands. Nothing of it is applied, the socket is given
// up, and on the next one everything is resumed from what is surely right.

export class Fault extends Error {
  constructor(what: string) {
    super(`A frame does not fit: ${what}.`);
  }
}
