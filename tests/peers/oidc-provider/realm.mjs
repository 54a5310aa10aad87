// A realm is one provider with an issuer, keys, people and clients of its own, so that tests that
// run beside each other can each have a Dana whose groups they change.

import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import Provider, { interactionPolicy } from 'oidc-provider';
import { form, page } from './pages.mjs';
import { Store } from './store.mjs';

const DAY = 24 * 3600;

/** What outlives a restart of the server: keys, people and clients, but nobody's session. */
export async function newRealm(name) {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
  return { name, keys: [key], cookieKey: randomBytes(32).toString('hex'), people: {}, clients: {} };
}

export class Realm {
  constructor(kept, origin) {
    this.kept = kept;
    this.store = new Store();
    this.provider = new Provider(`${origin}/${kept.name}`, this.configuration());
    for (const client of Object.values(kept.clients)) this.keepClient(client);
    // Without this, a refusal says only that it is one.
    this.provider.on('server_error', (_context, error) => console.error(error));
    this.provider.on('backchannel.error', (_context, error) => console.error(error));
  }

  configuration() {
    return {
      adapter: this.store.adapter,
      jwks: { keys: this.kept.keys },
      // A sign-out that is posted holds its token in no address; this one takes GET alone unless told so.
      enableHttpPostMethods: true,
      cookies: { keys: [this.kept.cookieKey], long: { sameSite: 'none' } },
      pkce: { required: () => true },
      claims: {
        // Elsewhere these two come unasked.
        openid: ['sub', 'acr', 'amr'],
        profile: ['name', 'preferred_username'],
        email: ['email', 'email_verified'],
        // The last two are how Entra says that it has left groups out.
        groups: ['groups', '_claim_names', 'hasgroups'],
        auth_time: null,
        iss: null,
        sid: null,
      },
      scopes: ['openid', 'offline_access'],
      // Most providers in the wild put a scope's claims into the ID token, too.
      conformIdTokenClaims: false,
      acrValues: ['basic', 'mfa', 'phishing-resistant'],
      features: {
        devInteractions: { enabled: false },
        backchannelLogout: { enabled: true },
        deviceFlow: { enabled: true },
        revocation: { enabled: true },
        introspection: { enabled: true },
        claimsParameter: { enabled: true },
        rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
      },
      // Its guard against requests to inside addresses would refuse every back channel on loopback.
      fetch: (url, { dispatcher: _guard, ...options }) => fetch(url, options),
      interactions: {
        policy: interactionPolicy.base(),
        url: (_context, interaction) => `/${this.kept.name}/interaction/${interaction.uid}`,
      },
      // A refresh token is good once: whoever uses one again has stolen it, or lost the one after it.
      rotateRefreshToken: true,
      findAccount: (_context, id) => this.account(id),
      loadExistingGrant,
      ttl: {
        AccessToken: 600,
        AuthorizationCode: 60,
        DeviceCode: 600,
        Grant: 14 * DAY,
        IdToken: 600,
        Interaction: 3600,
        RefreshToken: 14 * DAY,
        Session: DAY,
      },
    };
  }

  keepClient(client) {
    this.kept.clients[client.client_id] = client;
    this.store.adapter('Client').upsert(client.client_id, client);
  }

  /** Claims are read when they are asked for, so a refresh shows today's groups. */
  account(id) {
    if (!this.kept.people[id]) return undefined;
    return { accountId: id, claims: async () => ({ sub: id, ...this.kept.people[id].claims }) };
  }

  /** Ends a person's sessions here and tells the clients that asked to be told. */
  async logOut(id) {
    const told = [];
    for (const { payload } of [...this.store.model('Session').values()]) {
      if (payload.accountId !== id) continue;
      for (const [clientId, { sid }] of Object.entries(payload.authorizations ?? {})) {
        told.push(await this.tell(clientId, id, sid));
      }
      this.store.model('Session').delete(payload.jti);
    }
    return told.filter(Boolean);
  }

  async tell(clientId, id, sid) {
    const client = await this.provider.Client.find(clientId);
    if (!client?.backchannelLogoutUri) return undefined;
    try {
      await client.backchannelLogout(id, sid);
      return { client_id: clientId, sid, ok: true };
    } catch (error) {
      return { client_id: clientId, sid, ok: false, error: String(error) };
    }
  }

  /** The page that a person sees, and what she sends from it. */
  async interact(request, response, fields) {
    const details = await this.provider.interactionDetails(request, response);
    if (!fields) return response.end(this.ask(details));
    if (fields.abort) return this.finish(request, response, { error: 'access_denied' });
    if (details.prompt.name === 'consent') return this.consent(request, response, details);
    const person = this.kept.people[fields.login];
    if (!person) return response.end(this.ask(details, `There is no ${fields.login} here.`));
    return this.finish(request, response, { login: login(fields.login, person, details) });
  }

  ask({ uid, prompt }, problem) {
    const fields = prompt.name === 'login' ? ['login'] : [];
    return page(prompt.name, form(`/${this.kept.name}/interaction/${uid}`, fields), problem);
  }

  async consent(request, response, { params, session, grantId, prompt }) {
    const grant = grantId
      ? await this.provider.Grant.find(grantId)
      : new this.provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope([...(prompt.details.missingOIDCScope ?? []), ...params.scope.split(' ')].join(' '));
    return this.finish(request, response, { consent: { grantId: await grant.save() } });
  }

  finish(request, response, result) {
    return this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  }
}

/**
 * How she signed in. Somebody asked to step up does so if she can (`step_up`: from acr to amr);
 * who cannot comes back with less than was asked for, as from any provider.
 */
function login(id, person, { params, prompt }) {
  const essential = prompt.details.acr;
  const asked = [...(essential?.values ?? []), essential?.value, ...(params.acr_values ?? '').split(' ')];
  const acr = asked.find((value) => value && person.step_up?.[value]);
  return { accountId: id, acr: acr ?? person.acr, amr: acr ? person.step_up[acr] : person.amr, remember: true };
}

/** Nobody is asked for consent unless the client insists (`prompt=consent`). */
async function loadExistingGrant({ oidc }) {
  const { client, session, params, provider } = oidc;
  const id = oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const found = id && (await provider.Grant.find(id));
  if (found?.accountId === session.accountId) return found;
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
  grant.addOIDCScope(params.scope);
  await grant.save();
  return grant;
}

async function logoutSource(context, ownForm) {
  const button = '<button name="logout" value="yes" type="submit" form="op.logoutForm">Sign out</button>';
  context.body = page('sign out', `${ownForm}${button}`);
}

async function postLogoutSuccessSource(context) {
  context.body = page('signed out', '');
}
