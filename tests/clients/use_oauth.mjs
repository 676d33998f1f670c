// Uses the service with openid-client and oauth4webapi; prints what each call ends with.
import * as oauth from "oauth4webapi"
import * as client from "openid-client"

const [issuer, username, password, library] = process.argv.slice(2)
const outcomes = {}
const said = (error) =>
  error.error ?? error.cause?.[0]?.parameters?.error ?? error.code ?? String(error)
const attempt = async (name, call) => {
  try {
    outcomes[name] = (await call()) ?? "done"
  } catch (error) {
    outcomes[name] = `${error.constructor.name} ${error.status ?? ""} ${said(error)}`
  }
  return outcomes[name]
}

const useOpenidClient = async () => {
  const options = {algorithm: "oauth2", execute: [client.allowInsecureRequests]}
  const discover = (...auth) => client.discovery(new URL(issuer), "my-app", ...auth, options)
  const config = await discover(undefined, client.None())
  const secret = await discover(undefined, client.ClientSecretBasic("s3cret"))
  const grant = (config, type, fields) => client.genericGrantRequest(config, type, fields)
  const right = {username, password}
  const pair = await grant(config, "password", right)
  const next = await client.refreshTokenGrant(config, pair.refresh_token)
  await attempt("revoke", () => client.tokenRevocation(config, next.refresh_token))
  await attempt("refresh a revoked token", () => client.refreshTokenGrant(config, next.refresh_token))
  await attempt("wrong password", () => grant(config, "password", {...right, password: "x"}))
  await attempt("scope", () => grant(config, "password", {...right, scope: "admin"}))
  await attempt("missing", () => grant(config, "password", {}))
  await attempt("grant", () => client.clientCredentialsGrant(config))
  await attempt("secret", () => grant(secret, "password", right))
  await attempt("revoke with a secret", () => client.tokenRevocation(secret, "x"))
}

const useOauth4webapi = async () => {
  const insecure = {[oauth.allowInsecureRequests]: true}
  const at = new URL(issuer)
  const found = await oauth.discoveryRequest(at, {algorithm: "oauth2", ...insecure})
  const server = await oauth.processDiscoveryResponse(at, found)
  const app = {client_id: "my-app"}
  const none = oauth.None()
  const grant = async (type, fields, auth = none) => {
    const sent = [server, app, auth, type, new URLSearchParams(fields), insecure]
    const response = await oauth.genericTokenEndpointRequest(...sent)
    return oauth.processGenericTokenEndpointResponse(server, app, response)
  }
  const refresh = async (token) => {
    const response = await oauth.refreshTokenGrantRequest(server, app, none, token, insecure)
    return oauth.processRefreshTokenResponse(server, app, response)
  }
  const revoke = async (auth, token) =>
    oauth.processRevocationResponse(await oauth.revocationRequest(server, app, auth, token, insecure))
  const right = {username, password}
  const pair = await grant("password", right)
  const next = await refresh(pair.refresh_token)
  await attempt("revoke", () => revoke(none, next.refresh_token))
  await attempt("refresh a revoked token", () => refresh(next.refresh_token))
  await attempt("wrong password", () => grant("password", {...right, password: "x"}))
  await attempt("scope", () => grant("password", {...right, scope: "admin"}))
  await attempt("missing", () => grant("password", {}))
  await attempt("grant", () => grant("client_credentials", {}))
  await attempt("secret", () => grant("password", right, oauth.ClientSecretBasic("s3cret")))
  await attempt("revoke with a secret", () => revoke(oauth.ClientSecretBasic("s3cret"), "x"))
}

await (library === "openid-client" ? useOpenidClient() : useOauth4webapi())
console.log(JSON.stringify(outcomes))
