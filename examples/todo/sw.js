// Keeps the page itself, so that it opens without a network. The rows are kept by tidebase/offline.
const PAGE = ["./", "style.css", "todo.js"].map((path) => new URL(path, location.href).href);
const opened = caches.open("page");

addEventListener("install", (event) => event.waitUntil(opened.then((cache) => cache.addAll(PAGE))));
addEventListener("fetch", (event) => {
  if (!PAGE.includes(event.request.url)) return;
  const keep = (answer) => (answer.ok && opened.then((cache) => cache.put(event.request, answer.clone())), answer.clone());
  event.respondWith(fetch(event.request).then(keep, () => caches.match(event.request)));
});
