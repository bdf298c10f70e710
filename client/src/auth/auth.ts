// Who has signed in here, and their token, for as long as the server takes it.
//
// What ends a session is the server's word or the user's, never a server that cannot be reached. What was asked for before
// somebody signed in or out has no say afterwards. Where the session is kept: store.ts; one tab at a time: alone.ts.

import { pause, sleep } from "../backoff.js";
import type { Core } from "../core.js";
import { callAll, TidebaseError, type Code } from "../error.js";
import { Http, type Ask } from "../http.js";
import type { Limits } from "../limits.js";
import type { Stop } from "../live/loop.js";
import type { Asking } from "../sql.js";
import { Token, type GetToken } from "../token.js";
import { parse, write } from "../value.js";
import { alone } from "./alone.js";
import { keptOf, named, type Kept, type Session, type User } from "./session.js";
import { Store, usualPlace, type Place } from "./store.js";

/** What somebody signs in with. */
export interface Credentials {
  email: string;
  password: string;
}

/** How people sign in. */
export interface AuthOptions {
  /** Where the session is kept: localStorage where it is, else the memory of this process. */
  storage?: Place;
}

/**
 * `current`: how it stands, told once to each listener. `expired`: the server takes the session no more. `changed`: the
 * user is the same and has an account now, say.
 */
export type AuthEvent = "current" | "signed_in" | "signed_out" | "refreshed" | "expired" | "changed";

type Listener = (user: User | undefined, event: AuthEvent) => void;

/** Who has signed in, and all that has to do with it: what `auth(db)` gives. */
export class Auth {
  /** What was kept has been read. At once, unless the storage gives promises. */
  readonly ready: Promise<void>;
  #db: Core;
  #http: Http;
  /** Of what is sent once: nobody can know what became of it if the answer is lost. */
  #limits: Limits;
  #stranger: Http;
  #name: string;
  #store: Store;
  #isReady = false;
  #kept: Kept | undefined;
  #user: User | undefined;
  #renewing: Promise<void> | undefined;
  #listeners = new Set<Listener>();
  /** Sign-ins and sign-outs are counted as they are called; and the last of those that had an effect. */
  #calls = 0;
  #settled = 0;
  /** Changes made here: what was read before one is out of date. */
  #changes = 0;
  /** Where the client's token is from now. */
  #source: GetToken | undefined;

  /** @internal */
  constructor(db: Core, { storage = usualPlace() }: AuthOptions) {
    this.#db = db;
    this.#http = db.http;
    const { base, limits } = db.http;
    this.#limits = { ...limits, attempts: 1 };
    this.#stranger = new Http(base, new Token(undefined), this.#limits);
    this.#name = `tidebase ${base.href}`;
    this.#store = new Store(this.#name, storage);
    const stop = this.#store.watch(() => void this.ready.then(() => this.#reread()));
    db.connection.subscribe((state) => state === "closed" && stop());
    const text = this.#store.readNow();
    const isLate = text instanceof Promise;
    this.ready = isLate ? text.then((text) => this.#begin(text)) : Promise.resolve();
    if (!isLate) this.#begin(text);
    this.#present(isLate || this.#kept !== undefined);
  }

  /** Who has signed in. The same object until something of it changes. */
  get user(): User | undefined {
    return this.#user;
  }

  /** Calls back with how it stands, as soon as that is known, and after each change. */
  subscribe(listener: Listener): Stop {
    const call: Listener = (...told) => listener(...told);
    this.#listeners.add(call);
    if (this.#isReady) callAll([call], (call) => call(this.#user, "current"));
    return () => void this.#listeners.delete(call);
  }

  /** A new account, signed in. Sent once. `forbidden` where sign-up is closed, `conflict` for an address that has an account. */
  signUp({ email, password }: Credentials, asking?: Asking): Promise<User> {
    return this.#enter("signup", { email, password }, asking);
  }

  /** Who was signed in before is signed out. `unauthorized` for a wrong address or password; `too_many` after some. Sent once. */
  signIn({ email, password }: Credentials, asking?: Asking): Promise<User> {
    return this.#enter("login", { email, password }, asking);
  }

  /** A new user without an account, who lasts as long as the session, or gets one by `upgrade`. */
  signInAnonymously(asking?: Asking): Promise<User> {
    return this.#enter("anonymous", {}, asking);
  }

  /** Gives an account to whoever has come in without one: the id, and so the rows, stay. */
  async upgrade({ email, password }: Credentials, asking?: Asking): Promise<User> {
    const user = (await this.#ask(this.#once(), "upgrade", { email, password }, asking)).result;
    const kept = this.#kept;
    if (kept?.user.id === user.id) {
      await this.#take({ ...kept!, user }, "changed");
      // The token still says that they have none, to others who read it. It is good all the same.
      await this.#renew(this.#kept!).catch(() => {});
    }
    return this.#user?.id === user.id ? this.#user! : named(user);
  }

  /** At once here. True if the server knows too; if not, it ends the session when it has not been used for long. */
  async signOut({ signal }: Asking = {}): Promise<boolean> {
    this.#settled = ++this.#calls;
    if (!this.#isReady) await this.ready;
    const kept = this.#kept;
    const isWritten = this.#take(undefined, "signed_out");
    const isTold = !kept || (await this.#leave(kept, signal));
    await isWritten;
    return isTold;
  }

  /** The other sessions end. */
  async changePassword(
    { oldPassword, password }: { oldPassword: string; password: string },
    asking?: Asking,
  ): Promise<void> {
    await this.#ask(this.#once(), "password", { old_password: oldPassword, password }, asking);
  }

  /** With a token that the administrator has handed over. All sessions of the user end. */
  async resetPassword({ token, password }: { token: string; password: string }, asking?: Asking): Promise<void> {
    await this.#ask(this.#stranger, "reset", { token, password }, asking);
  }

  /** Where the user has signed in, the latest first. */
  async sessions({ signal }: Asking = {}): Promise<Session[]> {
    const { body } = await this.#http.ask({ method: "GET", path: "auth/sessions", signal });
    return body.result.map(named<Session>);
  }

  /** Ends one of them. True if it was there. */
  async revoke(id: string, { signal }: Asking = {}): Promise<boolean> {
    try {
      await this.#http.ask({ method: "DELETE", path: `auth/sessions/${encodeURIComponent(id)}`, signal });
      return true;
    } catch (error) {
      if (codeOf(error) === "not_found") return false;
      throw error;
    }
  }

  /** Ends all but this one. */
  async revokeOthers({ signal }: Asking = {}): Promise<void> {
    await this.#http.ask({ method: "DELETE", path: "auth/sessions", signal });
  }

  /** Asks for the user and the tokens anew, now. */
  async refresh(): Promise<User | undefined> {
    await this.ready;
    if (this.#kept) await this.#renew(this.#kept);
    return this.#user;
  }

  /** As whoever it is now. */
  #once(): Http {
    return new Http(this.#http.base, this.#http.token, this.#limits);
  }

  #begin(text: string | null | undefined): void {
    this.#isReady = true;
    if (this.#changes === 0) this.#become(read(text), "current");
  }

  /** The token of this session, and of those that it turns into; of none behind another sign-in or sign-out. */
  #sourceOfOne(): GetToken {
    let given: string | undefined;
    const source: GetToken = async (refused) => {
      await this.ready;
      const kept = this.#kept;
      if (kept && this.#source === source) {
        const isOver = kept.access_token === refused || kept.until <= Date.now();
        // Who asks for it again has it for three quarters of its life.
        if (isOver || kept.access_token === given) {
          await this.#renew(kept).catch((error) => {
            if (isOver || !this.#kept) throw error;
          });
        }
      }
      // What was begun as one user is not carried out as another.
      if (this.#source !== source) throw overtaken("unauthorized");
      return (given = this.#kept?.access_token);
    };
    return source;
  }

  #present(isSomebody: boolean): void {
    this.#source = isSomebody ? this.#sourceOfOne() : undefined;
    this.#db.setToken(this.#source);
  }

  #renew(kept: Kept): Promise<void> {
    const { requestTime } = this.#http.limits;
    return (this.#renewing ??= alone(this.#name, requestTime, () => this.#exchange(kept)).finally(() => {
      this.#renewing = undefined;
    }));
  }

  /** New tokens for old ones, unless another tab has got them already. */
  async #exchange({ refresh_token }: Kept): Promise<void> {
    const { base, limits } = this.#http;
    const isCurrent = () => this.#kept?.refresh_token === refresh_token;
    for (let attempt = 1; ; attempt++) {
      await this.#reread();
      if (!isCurrent()) return;
      try {
        const next = keptFrom(await this.#ask(new Http(base, new Token(undefined), limits), "refresh", { refresh_token }));
        // Somebody may have signed out meanwhile, here or in another tab.
        await this.#reread();
        if (isCurrent()) await this.#take(next, "refreshed");
        // Who came with the same token at the same time was given the same.
        else if (placeOf(this.#kept) !== placeOf(next)) void this.#leave(next);
        return;
      } catch (error) {
        const code = codeOf(error);
        // A tab that does not wait for its turn has just used it: soon it has kept what it got.
        if (code === "conflict" && attempt < limits.attempts) {
          await sleep(pause(attempt, limits));
          continue;
        }
        if (code !== "unauthorized") throw error;
        await this.#reread();
        if (!isCurrent()) return;
        await this.#take(undefined, "expired");
        throw error;
      }
    }
  }

  /** Signs in. Whoever was signed in here before is signed out. */
  async #enter(path: string, body: object, asking?: Asking): Promise<User> {
    const call = ++this.#calls;
    const kept = keptFrom(await this.#ask(this.#stranger, path, body, asking));
    if (call < this.#settled) {
      void this.#leave(kept);
      throw overtaken("conflict");
    }
    this.#settled = call;
    const former = this.#kept;
    const isWritten = this.#take(kept, "signed_in");
    const user = this.#user!;
    if (former) void this.#leave(former);
    await isWritten;
    return user;
  }

  /** Tells the server that a session is over, with a new token if need be. True if it knows. */
  async #leave({ access_token, refresh_token }: Kept, signal?: AbortSignal): Promise<boolean> {
    const { base, limits } = this.#http;
    const source: GetToken = async (refused) =>
      refused === undefined ? access_token : keptFrom(await this.#ask(this.#stranger, "refresh", { refresh_token })).access_token;
    try {
      await new Http(base, new Token(source), limits).ask({ path: "auth/logout", signal });
      return true;
    } catch (error) {
      return codeOf(error) === "unauthorized";
    }
  }

  /** What is kept now, by another tab perhaps. */
  async #reread(): Promise<void> {
    const changes = this.#changes;
    const kept = read(await this.#store.read());
    if (changes !== this.#changes) return;
    const [before, after] = [this.#kept, kept];
    if (before?.user.id !== after?.user.id) this.#become(after, after ? "signed_in" : "signed_out");
    else if (before?.access_token !== after?.access_token) this.#become(after, "refreshed");
    else if (write(before?.user) !== write(after?.user)) this.#become(after, "changed");
  }

  /** Changes it for all tabs. Resolves when it is kept. */
  #take(kept: Kept | undefined, event: AuthEvent): Promise<void> {
    this.#changes++;
    const isWritten = this.#store.write(kept && write(kept));
    this.#become(kept, event);
    return isWritten;
  }

  #become(kept: Kept | undefined, event: AuthEvent): void {
    const before = this.#kept;
    this.#kept = kept;
    if (write(kept?.user) !== write(before?.user)) this.#user = kept && named(kept.user);
    // Of the same session the client gets the next token when it asks.
    if (event.startsWith("signed") || event === "expired") this.#present(kept !== undefined);
    callAll(this.#listeners, (listener) => listener(this.#user, event));
  }

  async #ask(http: Http, path: string, body: object, { signal }: Asking = {}): Promise<any> {
    const ask: Ask = { path: `auth/${path}`, body: write(body), signal };
    return (await http.ask(ask)).body;
  }
}

const overtaken = (code: Code) => new TidebaseError(code, "Somebody has signed in or out since, so this has no effect.");
const codeOf = (error: unknown) => (error instanceof TidebaseError ? error.code : undefined);

function read(text: string | null | undefined): Kept | undefined {
  try {
    return keptOf(parse(text!));
  } catch {
    return undefined;
  }
}

/** The session that an answer tells of. */
function keptFrom(body: any): Kept {
  const { result } = body ?? {};
  const kept = keptOf({ ...result, until: Date.now() + result?.expires_in * 1000 });
  if (!kept) throw new TidebaseError("internal", "The answer tells of no session.");
  return kept;
}

/** Names the session, whatever turn its refresh token has come to. */
const placeOf = (kept: Kept | undefined) => kept?.refresh_token.split(".")[0];
