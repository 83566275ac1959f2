// Keeps the app itself ready for offline use. It never touches the queue: not the database, not
// api/, not deliveries. (The background courier is another registration with its own scope.)
import { cacheNames } from 'workbox-core';
import { addPlugins, precacheAndRoute } from 'workbox-precaching';

/* global FIELDPOST_ASSETS, FIELDPOST_VERSION -- put in by the build from dist/assets.json */

// Revalidate instead of Workbox's "reload": what the page has just loaded is not sent twice, and
// the integrity in the list refuses anything that is not of this build.
addPlugins([
  { requestWillFetch: async ({ request }) => new Request(request, { cache: 'no-cache' }) },
]);

// Only what is listed is answered, whatever its query (the lock's version, a start URL's source);
// "./" is index.html, which carries its Content-Security-Policy. All else goes to the network.
precacheAndRoute(FIELDPOST_ASSETS, { ignoreURLParametersMatching: [/./], cleanURLs: false });

// Deliveries pass by here unanswered, yet Chromium keeps the body of each in this worker's memory
// until garbage is collected, and does not count it as a reason to: 90 MB of files took 90 MB. These
// bytes are never touched, so they cost nothing, but they count. (Static routing would spare the
// deliveries the way; Chromium does not apply it to the requests of workers.)
self.addEventListener('fetch', ({ request: { method } }) => {
  if (method === 'PUT') new ArrayBuffer(32 * 1024 * 1024);
});

const status = async () => {
  const cache = await caches.open(cacheNames.precache);
  const kept = new Set((await cache.keys()).map(({ url }) => url));
  const ready = FIELDPOST_ASSETS.every(({ url, revision }) => {
    const key = new URL(url, self.location);
    key.searchParams.set('__WB_REVISION__', revision);
    return kept.has(key.href);
  });
  return { type: 'STATUS', ready, version: FIELDPOST_VERSION };
};

const tellAll = async () => {
  const said = await status();
  for (const client of await self.clients.matchAll()) client.postMessage(said);
};

// Chromium stops the old worker to let the new one take over. A request that comes in that moment
// starts it again, and the new one then waits until no request has come for 30 s, or for 5 minutes.
// So every tab is asked to hold its requests first, and the old worker whether it is through with
// those it has. One that is frozen does not answer.
const ANSWER_MS = 2000;
const asked = (whom, type) =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    setTimeout(resolve, ANSWER_MS);
    whom.postMessage({ type }, [port2]);
  });
const takeOver = async () => {
  const { scope, active } = self.registration;
  const tabs = await self.clients.matchAll({ includeUncontrolled: true });
  const ours = tabs.filter(({ url }) => url.startsWith(scope));
  await Promise.all(ours.map((tab) => asked(tab, 'HOLD')));
  if (active) await asked(active, 'STATUS');
  await self.skipWaiting();
};

self.addEventListener('message', (event) => {
  const { type } = event.data ?? {};
  if (type === 'SKIP_WAITING') {
    event.waitUntil(takeOver());
  } else if (type === 'STATUS') {
    const to = event.ports[0] ?? event.source;
    event.waitUntil(status().then((said) => to?.postMessage(said)));
  }
});

// The first visit is controlled without a reload. An update waits until the person accepts it: until
// then the version before and all its files stay as they are.
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim().then(tellAll)));
