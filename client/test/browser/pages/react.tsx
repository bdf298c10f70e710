// Components under StrictMode, which mounts everything twice.

import { Component, StrictMode, Suspense, useEffect, useState, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { useConnection, useDoc, usePresence, useQuery, useSuspenseQuery, useTopic } from "tidebase/react";
import { db, told, type Todo } from "./db.js";

interface State {
  done: number | undefined;
  lists: number;
  isFull: boolean;
  other: number;
}

function List({ name, done }: { name: string; done: number | undefined }) {
  const query = done === undefined ? null : db.sql<Todo>`SELECT title FROM todo WHERE done = ${done} ORDER BY title`;
  const { rows, error, isLoading } = useQuery(query);
  return <p id={name}>{error ? error.message : isLoading ? "loading" : (rows?.map(({ title }) => title).join(", ") ?? "nothing")}</p>;
}

function Count() {
  const { rows } = useSuspenseQuery(db.sql<{ n: number }>`SELECT count(*) AS n FROM todo`);
  const { doc } = useDoc(db.sql<{ n: number }>`SELECT count(*) AS n FROM todo`);
  return <p id="count">{doc && doc.rows === rows && rows[0]!.n}</p>;
}

/** Two queries in one component must be of one revision whenever it is shown. */
function Sum() {
  const all = useQuery(db.sql<Todo>`SELECT id, done FROM todo`);
  const open = useQuery(db.sql<{ n: number }>`SELECT count(*) AS n FROM todo WHERE done = 0`);
  if (all.rows && open.rows && all.rows.filter(({ done }) => done === 0).length !== open.rows[0]!.n) console.error("torn");
  return null;
}

/** As one shows an error with a way to try again. */
class Boundary extends Component<{ id: string; children: ReactNode }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError = (error: Error) => ({ error });
  override render() {
    const { error } = this.state;
    return error ? <button id={this.props.id} onClick={() => this.setState({ error: undefined })}>{error.message}</button> : this.props.children;
  }
}

function Harbour() {
  const { rows } = useSuspenseQuery(db.sql`SELECT * FROM harbour`);
  return <p id="harbour">{rows.length}</p>;
}

function Radio() {
  const [heard, setHeard] = useState<string[]>([]);
  const topic = db.topic<string>("radio");
  useTopic(topic, ({ data }) => setHeard((heard) => [...heard, data]));
  const { members, error } = usePresence(topic, { name: "Ida" });
  return <p id="radio">{error?.message ?? `${members.map(({ state }) => state.name)}: ${heard.join(", ")}`}</p>;
}

function App() {
  const [{ done, lists, isFull, other }, setState] = useState<State>({ done: 0, lists: 2, isFull: false, other: 0 });
  useEffect(() => told("state", (change: State) => setState((state) => ({ ...state, ...change }))), []);
  const connection = useConnection(db);
  return (
    <>
      {Array.from({ length: lists }, (_, index) => <List key={index} name={`list${index}`} done={done} />)}
      {isFull && (
        <>
          <Sum />
          <Radio />
          <Boundary id="count">
            <Suspense fallback={<p id="count">suspended</p>}>
              <Count />
            </Suspense>
          </Boundary>
          <Boundary id="harbour">
            <Suspense fallback={<p id="harbour">suspended</p>}>
              <Harbour />
            </Suspense>
          </Boundary>
        </>
      )}
      <p id="connection">{connection}</p>
      <p id="other">{other}</p>
    </>
  );
}

Object.assign(globalThis, { db });
const app = <StrictMode><App /></StrictMode>;
createRoot(document.querySelector("#app")!, { onCaughtError: () => {} }).render(app);
