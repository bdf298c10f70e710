// Waiting on a condition, for as long as a machine with much to do may need.

const TIME_MAX = 30_000;

/** Resolves with what the condition gives, once that is truthy. */
export async function until<Value>(what: string, condition: () => Value | Promise<Value>): Promise<NonNullable<Value>> {
  const deadline = Date.now() + TIME_MAX;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`It did not come to this: ${what}.`);
    await new Promise((done) => setTimeout(done, 2));
  }
}
