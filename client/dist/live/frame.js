// The frames of the live protocol, as the server writes them: `docs/reference/live.md` says what they mean.
//
// Made by hand and held to the server's own: a test of the engine writes one of each kind into
// `test/frames.json`, a test here reads them all.
export const PROTOCOL = 1;
