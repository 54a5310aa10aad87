// node server.mjs FOLDER [PORT]: serves every realm below one port of loopback (0 picks one), and
// below /test what the tests change. Keys, people and clients are kept in FOLDER, so that a server
// started again is the same provider. Prints `ready http://127.0.0.1:PORT` when it listens.

import { createServer } from 'node:http';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Realm, newRealm } from './realm.mjs';

const [folder, port = '0'] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node server.mjs FOLDER [PORT]');
  process.exit(2);
}
const file = join(folder, 'realms.json');
const realms = new Map();
let origin;

function keep() {
  const text = JSON.stringify([...realms.values()].map((realm) => realm.kept));
  // A server killed while it writes must not leave half a file to its successor.
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function load() {
  if (!existsSync(file)) return;
  for (const kept of JSON.parse(readFileSync(file, 'utf8'))) realms.set(kept.name, new Realm(kept, origin));
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** What a test may change. Each answers with what it made or found. */
const changes = {
  'PUT realm': async (name) => {
    if (!realms.has(name)) realms.set(name, new Realm(await newRealm(name), origin));
    return { issuer: `${origin}/${name}` };
  },
  'PUT people': (name, id, person) => {
    realms.get(name).kept.people[id] = person;
    return person;
  },
  'DELETE people': (name, id) => {
    delete realms.get(name).kept.people[id];
    return {};
  },
  'PUT clients': (name, id, client) => {
    realms.get(name).keepClient({ ...client, client_id: id });
    return client;
  },
  'POST logout': (name, id) => realms.get(name).logOut(id),
};

/** METHOD /test/REALM[/THING/ID] */
async function change(request, response, [realm, thing = 'realm', id]) {
  const act = changes[`${request.method} ${thing}`];
  if (!act || (thing !== 'realm' && !realms.has(realm))) return notFound(response);
  const text = await body(request);
  const answer = await act(realm, id && decodeURIComponent(id), text ? JSON.parse(text) : {});
  keep();
  response.writeHead(200, { 'content-type': 'application/json' });
  return response.end(JSON.stringify(answer));
}

function notFound(response) {
  response.writeHead(404, { 'content-type': 'text/plain' });
  response.end('there is no such realm or thing here\n');
}

async function interact(realm, request, response) {
  const fields = request.method === 'POST' && Object.fromEntries(new URLSearchParams(await body(request)));
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.setHeader('cache-control', 'no-store');
  await realm.interact(request, response, fields);
}

async function serve(request, response) {
  const [, first, second, ...rest] = new URL(request.url, origin).pathname.split('/');
  if (first === 'test') return change(request, response, [second, ...rest]);
  const realm = realms.get(first);
  if (!realm) return notFound(response);
  if (second === 'interaction') return interact(realm, request, response);
  // The provider finds the path that it is mounted at by comparing these two.
  request.originalUrl = request.url;
  request.url = request.url.slice(first.length + 1) || '/';
  return realm.provider.callback()(request, response);
}

const server = createServer((request, response) => {
  serve(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(error.status ?? 500, { 'content-type': 'text/plain' });
    response.end(`${error.message}: ${error.error_description ?? ''}\n`);
  });
});
server.listen(Number(port), '127.0.0.1', () => {
  origin = `http://127.0.0.1:${server.address().port}`;
  load();
  console.log(`ready ${origin}`);
});
