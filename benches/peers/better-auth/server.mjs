// better-auth as its documentation sets it up: e-mail and password, PostgreSQL, sessions in the database.
// Limits are off, as they are for Polity in the same run; the bearer plugin lets a load generator send the session.
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { bearer } from "better-auth/plugins";
import pg from "pg";

const port = Number(process.env.PORT);
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: "bench-only-secret-0123456789abcdef",
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [bearer(), apiKey({ rateLimit: { enabled: false } })],
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
// Keys are verified by its server's own API; this is the thinnest way to ask for it over HTTP.
const handler = toNodeHandler(auth);
createServer(async (request, response) => {
  if (request.url !== "/verify") return handler(request, response);
  const { valid } = await auth.api.verifyApiKey({ body: { key: request.headers["x-api-key"] } });
  response.writeHead(valid ? 200 : 401, { "Content-Type": "application/json" }).end(JSON.stringify({ valid }));
}).listen(port, "127.0.0.1");
