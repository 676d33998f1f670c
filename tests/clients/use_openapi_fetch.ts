// Uses openapi-fetch with the types of openapi-typescript: URL, username, password as arguments.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, username, password] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url });
const refused = await client.POST("/api/v1/auth/token/", { body: { username, password: "wrong" } });
assert.equal(refused.error?.code, "no_active_account");
const tokens = await client.POST("/api/v1/auth/token/", { body: { username, password } });
assert(tokens.data);
const headers = { Authorization: `Bearer ${tokens.data.access}` };
const body = { title: "Made by openapi-fetch", genre: "Test", year: 1979 };
const movie = await client.POST("/api/v1/movies/", { body, headers });
assert.equal(movie.data?.creator, username);
const page = await client.GET("/api/v1/movies/", {
  params: { query: { title: body.title.toUpperCase(), page: "last" } },
  headers,
});
assert.deepEqual(page.data?.results.map((one) => one.id), [movie.data.id]);
const params = { path: { movie_id: movie.data.id } };
const removed = await client.DELETE("/api/v1/movies/{movie_id}/", { params, headers });
assert.equal(removed.response.status, 204);
