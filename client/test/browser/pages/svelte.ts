// Components with stores, as Svelte compiles them.

import { mount } from "svelte";
import App from "./App.svelte";
import { db } from "./db.js";

Object.assign(globalThis, { db });
mount(App, { target: document.querySelector("#app")! });
