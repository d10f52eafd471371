// A real OAuth 2 server for tests: oidc-provider, with a sign-in that asks for no password. Its only argument is the port,
// on the loopback address.
//
// - Refresh tokens are rotated; one that comes again ends its grant.
// - PKCE is required. Clients: `basic`, `post` and `public`, and `loopback` for a Polity on any port of 127.0.0.1. Their
//   secret protects nothing.
// - Whoever is sent to it is signed in as the `login_hint`, and has agreed to everything. Without a hint a page asks who
//   they are; no password is wanted.
// - It keeps nothing: what it knows is in memory.
//
// It is the last version that runs on the Node.js of Debian 12.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const secret = 'test-only:oidc secret+%/0123456789';
const shared = {
  redirect_uris: ['https://me.example.com/back'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: [
    {
      ...shared,
      client_id: 'basic',
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: [...shared.grant_types, 'client_credentials'],
    },
    { ...shared, client_id: 'post', client_secret: secret, token_endpoint_auth_method: 'client_secret_post' },
    { ...shared, client_id: 'public', token_endpoint_auth_method: 'none' },
    // RFC 8252, 7.3: the port does not count.
    {
      ...shared,
      client_id: 'loopback',
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_basic',
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/api/v1/integration/oauth/callback'],
    },
  ],
  claims: { openid: ['sub'], email: ['email'], profile: ['name'] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    revocation: { enabled: true },
  },
  jwks: { keys: [{ ...key, kid: 'test', alg: 'RS256', use: 'sig' }] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access', 'read', 'write'],
  ttl: { AccessToken: 30, AuthorizationCode: 60, ClientCredentials: 30, Grant: 3600, IdToken: 60, Interaction: 60, RefreshToken: 3600, Session: 3600 },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, name: id.toUpperCase() }),
  }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  // Everybody has agreed to what they are asked for.
  async loadExistingGrant(ctx) {
    const { client, session, params } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope ?? '');
    await grant.save();
    return grant;
  },
});

const page = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Sign in</title>
<link rel="icon" href="data:,"><h1>Sign in</h1>
<form method="post"><label>Name <input name="login" required autofocus></label> <button>Sign in</button></form></html>`;

// What was typed into the page, or nothing yet.
async function typed(req) {
  if (req.method !== 'POST') return undefined;
  let body = '';
  for await (const part of req) body += part;
  return new URLSearchParams(body).get('login') || undefined;
}

const callback = provider.callback();
const server = createServer(async (req, res) => {
  if (!req.url.startsWith('/interaction/')) return callback(req, res);
  try {
    const { params, prompt, session } = await provider.interactionDetails(req, res);
    if (prompt.name === 'consent') {
      // A native client is asked each time (RFC 8252, 8.6).
      const grant = new provider.Grant({ clientId: params.client_id, accountId: session.accountId });
      grant.addOIDCScope(params.scope ?? '');
      return await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
    }
    const accountId = params.login_hint ?? (await typed(req));
    if (!accountId) return res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
    await provider.interactionFinished(req, res, { login: { accountId } });
  } catch (error) {
    res.writeHead(400).end(error.message);
  }
});
server.listen(port, '127.0.0.1');
