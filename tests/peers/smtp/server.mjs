// server.mjs FOLDER PORT: keeps every message with its envelope, and refuses what FOLDER/refuse names.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { SMTPServer } from 'smtp-server';

const [folder, port] = process.argv.slice(2);
const messages = `${folder}/messages`;
mkdirSync(messages, { recursive: true });
let number = 0;

// One address a line: whoever is in it does not take e-mail now.
const refused = (address) =>
  existsSync(`${folder}/refuse`) && readFileSync(`${folder}/refuse`, 'utf8').split('\n').includes(address);

const options = {
  key: readFileSync(`${folder}/server.key`),
  cert: readFileSync(`${folder}/server.crt`),
  authMethods: ['PLAIN', 'LOGIN'],
  disableReverseLookup: true,
  onAuth({ username, password }, _session, answer) {
    const known = username === 'port-control' && password === 'a-password';
    answer(known ? null : new Error('wrong'), known ? { user: username } : undefined);
  },
  onRcptTo({ address }, _session, answer) {
    answer(refused(address) ? Object.assign(new Error('not now'), { responseCode: 451 }) : null);
  },
  onData(stream, session, answer) {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      number += 1;
      const taken = {
        secure: session.secure,
        user: session.user,
        from: session.envelope.mailFrom.address,
        to: session.envelope.rcptTo.map(({ address }) => address),
        text: Buffer.concat(chunks).toString('utf8'),
      };
      // Whoever reads the folder never sees half a message.
      writeFileSync(`${folder}/new`, JSON.stringify(taken));
      renameSync(`${folder}/new`, `${messages}/${process.pid}-${number}.json`);
      answer();
    });
  },
};

const listen = (server, at) =>
  new Promise((resolve, reject) => {
    server.on('error', reject);
    const listening = server.listen(at, '127.0.0.1', () => resolve(listening.address().port));
  });

const implicit = await listen(new SMTPServer({ ...options, secure: true }), 0);
writeFileSync(`${folder}/implicit-port`, String(implicit));
await listen(new SMTPServer(options), Number(port));
console.log(`ready ${port}`);
