// Uses the fetch client of orval: URL, username and password as arguments.
import assert from "node:assert/strict";
import { createMovie, deleteMovie, listMovies, signIn } from "./orval.js";

const [url, username, password] = process.argv.slice(2) as [string, string, string];
const bare = globalThis.fetch;
globalThis.fetch = (path, options) => bare(new URL(String(path), url), options);
const refused = await signIn({ username, password: "wrong" });
assert.equal(refused.status, 401);
const tokens = await signIn({ username, password });
assert(tokens.status === 200);
const options = { headers: { Authorization: `Bearer ${tokens.data.access}` } };
const fields = { title: "Made by orval", genre: "Test", year: 1979 };
const movie = await createMovie(fields, options);
assert(movie.status === 201);
assert.equal(movie.data.creator, username);
const page = await listMovies({ title: fields.title.toUpperCase(), page_size: 5 }, options);
assert(page.status === 200);
assert.deepEqual(page.data.results.map((one) => one.id), [movie.data.id]);
assert.equal((await deleteMovie(movie.data.id, options)).status, 204);
