// Where the provider keeps what it issued: in memory, without a limit. Its own memory adapter
// forgets the oldest beyond a thousand entries, which a whole run of tests exceeds, and the first
// that it forgets are the clients.

export class Store {
  constructor() {
    this.models = new Map();
  }

  model(name) {
    if (!this.models.has(name)) this.models.set(name, new Map());
    return this.models.get(name);
  }

  /** What the provider calls for each of its models. */
  adapter = (name) => new Adapter(this, this.model(name));

  /** Forgets every token that rests on one consent, of whatever kind. */
  revoke(grantId) {
    for (const entries of this.models.values()) {
      for (const [id, { payload }] of entries) if (payload.grantId === grantId) entries.delete(id);
    }
  }
}

class Adapter {
  constructor(store, entries) {
    this.store = store;
    this.entries = entries;
  }

  async upsert(id, payload, expiresIn) {
    const ends = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
    this.entries.set(id, { payload, ends });
  }

  async find(id) {
    const entry = this.entries.get(id);
    if (!entry || entry.ends > Date.now()) return entry?.payload;
    this.entries.delete(id);
    return undefined;
  }

  async search(field, value) {
    for (const [id, { payload }] of this.entries) if (payload[field] === value) return this.find(id);
    return undefined;
  }

  async findByUid(uid) {
    return this.search('uid', uid);
  }

  async findByUserCode(userCode) {
    return this.search('userCode', userCode);
  }

  async consume(id) {
    this.entries.get(id).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.entries.delete(id);
  }

  async revokeByGrantId(grantId) {
    this.store.revoke(grantId);
  }
}
