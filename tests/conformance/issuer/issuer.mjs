// A real OpenID provider on this machine, for tests: node issuer.mjs PORT KEYSET ALGORITHM SECONDS
//
// It gives access tokens as JWT (RFC 9068) for client credentials, with discovery and a key set, and says `ready ISSUER` once
// it listens. PORT 0 takes a free one; another KEYSET means other keys with other names. Its clients are `hr` and `reader`,
// whose secrets are `hr-secret` and `reader-secret`.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Provider } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

const [port, set, algorithm, seconds] = process.argv.slice(2);
const audience = 'urn:matrikel';

const server = createServer();
server.listen(Number(port), '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

async function key(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, kid: `${set}-${alg}`, use: 'sig' };
}

function machine(name) {
  return {
    client_id: name,
    client_secret: `${name}-secret`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_basic',
  };
}

const lifetime = Number(seconds);
const provider = new Provider(issuer, {
  jwks: { keys: await Promise.all(['RS256', 'ES256', 'EdDSA'].map(key)) },
  clients: [machine('hr'), machine('reader')],
  cookies: { keys: ['a key for cookies that nobody gets'] },
  ttl: { ClientCredentials: lifetime },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '',
        audience,
        accessTokenTTL: lifetime,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});
server.on('request', provider.callback());
console.log('ready', issuer);
