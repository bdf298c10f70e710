// The components of the guide to frameworks, as they stand there, in a real browser.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { bundle } from "./browser/bundle.js";
import { inBrowser } from "./browser/chromium.js";
import { unpack } from "./browser/guide.js";
import { open, serve, shows } from "./browser/stage.js";
import { Server } from "./world/index.js";

async function shown(context: TestContext, framework: string, entry: string) {
  const server = await Server.start(context);
  const folder = unpack("frameworks", framework, server.url);
  writeFileSync(join(folder, "App.svelte"), PARENT);
  const origin = await serve(context, await bundle(entry, folder));
  return { server, ...(await open(context, origin)) };
}

/** Parameters of Svelte's components change where they are given. */
const PARENT = `
  <script>
    import Boats from "./svelte0.svelte";
    let pier = $state("north");
    addEventListener("pier", () => (pier = "south"));
  </script>
  <Boats {pier} />`;

const APP = 'document.querySelector("#app")!';

/** Each shows `Boats` of the north pier, and of the other one when the page is told so. */
const ENTRIES = {
  React: `
    import { StrictMode, Suspense, useEffect, useState } from "react";
    import { createRoot } from "react-dom/client";
    import { Boats } from "./tsx0";
    import { Fleet } from "./tsx1";
    import { Radio } from "./tsx2";
    function App() {
      const [pier, setPier] = useState("north");
      useEffect(() => addEventListener("pier", () => setPier("south")), []);
      return <><Boats pier={pier} /><div id="fleet"><Suspense><Fleet /></Suspense></div><div id="radio"><Radio /></div></>;
    }
    createRoot(${APP}).render(<StrictMode><App /></StrictMode>);`,
  Svelte: `
    import { mount } from "svelte";
    import App from "./App.svelte";
    mount(App, { target: ${APP} });`,
  Vue: `
    import { createApp, h, ref } from "vue";
    import Boats from "./vue0.vue";
    const pier = ref("north");
    addEventListener("pier", () => (pier.value = "south"));
    createApp(() => h(Boats, { pier: pier.value })).mount("#app");`,
};

for (const [framework, entry] of Object.entries(ENTRIES)) {
  inBrowser(`the component of the guide to ${framework} shows what others write`, async (context) => {
    const { server, page } = await shown(context, framework, entry);
    await shows(page, "ul", "Ida");
    await server.query("insert into boat (name, pier) values ('Vega', 'north')");
    await shows(page, "ul", "IdaVega");
    await page.evaluate(() => void dispatchEvent(new Event("pier")));
    await shows(page, "ul", "Otter");
    if (framework === "React") {
      await shows(page, "#fleet", "3 boats");
      await server.call("topics/radio", { data: "casting off" });
      await shows(page, "#radio", "1 here, open: casting off");
    }
    if (framework === "React") return;
    await server.query("drop table boat");
    await shows(page, "p", "no such table: boat");
  });
}
