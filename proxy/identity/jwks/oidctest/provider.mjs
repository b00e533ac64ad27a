// An OpenID provider on a loopback port, whose arguments are the files of a certificate and its key. It prints its URL, and gives access tokens to the one
// client it has. POST /rotate makes new keys for all algorithms, with which it signs from then on; the old ones are
// published as well, unless ?drop says otherwise.
import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import Provider from 'oidc-provider'

const [certificate, key] = process.argv.slice(1)
const kinds = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
}
const pem = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } }
let keys = []
let handle

// By way of PEM: in Node.js 20 the export of a key that was just generated, rather than read, can wait for itself for ever.
function generate([type, options]) {
  return createPrivateKey(generateKeyPairSync(type, { ...options, ...pem }).privateKey).export({ format: 'jwk' })
}

function rotate(issuer, drop) {
  const fresh = Object.entries(kinds).map(([alg, kind]) => ({
    ...generate(kind), alg, use: 'sig', kid: randomUUID(),
  }))
  keys = drop ? fresh : [...fresh, ...keys]
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{ client_id: 'app', client_secret: 'app', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    enabledJWA: { idTokenSigningAlgValues: Object.keys(kinds) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // The last part of the resource is the algorithm that its tokens are signed with.
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'read', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 300,
          jwt: { sign: { alg: resource.split('/').pop() } },
        }),
      },
    },
  })
  handle = provider.callback()
}

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (req, res) => {
  const url = new URL(req.url, 'https://localhost')
  if (req.method === 'POST' && url.pathname === '/rotate') {
    rotate(`https://127.0.0.1:${server.address().port}`, url.searchParams.has('drop'))
    res.writeHead(204).end()
    return
  }
  handle(req, res)
})
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`
  rotate(issuer, true)
  console.log(`serving ${issuer}`)
})
process.stdin.resume().on('end', () => process.exit()) // with whoever started it
