// A real OpenID Connect provider for tests: `node oidc_provider.mjs PORT REDIRECT_URI`. Whoever signs in is the address
// that they give; addresses that begin with "unverified" are not verified.
import { Provider } from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "roost", client_secret: "a secret: 100%", redirect_uris: [redirectUri] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["for tests"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified"), name: "Somebody New" }),
  }),
});
provider.listen(port, "127.0.0.1", () => console.log("listening"));
