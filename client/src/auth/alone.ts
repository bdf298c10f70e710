// One at a time: a refresh token serves once, so tabs that share a session must not both bring it.
//
// Web Locks where they are. Elsewhere those of this process wait for each other, and the server forgives the others for
// as long as two tabs may come at one time.

const tails = new Map<string, Promise<unknown>>();

/** Waits `time` at most: a tab that sleeps with the lock in its hand holds up nobody for ever. */
export async function alone<Done>(name: string, time: number, work: () => Promise<Done>): Promise<Done> {
  const { locks } = globalThis.navigator ?? {};
  if (!locks) {
    const done = (tails.get(name) ?? Promise.resolve()).then(work, work);
    tails.set(name, done);
    return done;
  }
  let isTurn = false;
  try {
    return await locks.request(name, { signal: AbortSignal.timeout(time) }, () => {
      isTurn = true;
      return work();
    });
  } catch (error) {
    if (isTurn) throw error;
    return work();
  }
}
