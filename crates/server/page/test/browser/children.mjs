// Programs the test starts and folders it makes. Whatever happens, none of them outlives it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const children = new Set();
const folders = new Set();

/** Like `spawn`, in a process group of its own, so that its children end with it. `ended` resolves to words on how. */
export function start(program, args, options) {
  const child = spawn(program, args, { ...options, detached: true });
  child.ended = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with exit code ${code}`));
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
  });
  children.add(child);
  child.ended.then(() => {
    stop(child, "SIGKILL");
    children.delete(child);
  });
  return child;
}

/** Sends a signal to a program and to what it started. */
export function stop(child, signal) {
  try {
    if (child.pid) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

export function folder() {
  const path = mkdtempSync(join(tmpdir(), "tidebase-browser-test-"));
  folders.add(path);
  return path;
}

process.on("exit", () => {
  for (const child of children) stop(child, "SIGKILL");
  for (const path of folders) rmSync(path, { recursive: true, force: true, maxRetries: 10 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
