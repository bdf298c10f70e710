// Keeps the page itself, so that it opens without a network. The rows are kept by tidebase/offline.

const PAGE = ["./", "style.css", "todo.js"].map((path) => new URL(path, location.href).href);

addEventListener("install", (event) => event.waitUntil(caches.open("page").then((cache) => cache.addAll(PAGE))));
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  if (!PAGE.includes(event.request.url)) return;
  const fetched = fetch(event.request).then(async (answer) => {
    if (answer.ok) await (await caches.open("page")).put(event.request, answer.clone());
    return answer;
  });
  event.respondWith(fetched.catch(() => caches.match(event.request)));
});
