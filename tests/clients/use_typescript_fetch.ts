// Uses the typescript-fetch client of OpenAPI Generator: URL, username, password as arguments.
import assert from "node:assert/strict";
import { Configuration, MoviesApi, ResponseError, TokensApi } from "./typescript-fetch/index.js";

const [url, username, password] = process.argv.slice(2) as [string, string, string];
const tokens = new TokensApi(new Configuration({ basePath: url }));
const wrong = tokens.signIn({ credentials: { username, password: "wrong" } });
await assert.rejects(wrong, (error) => error instanceof ResponseError && error.response.status === 401);
const { access } = await tokens.signIn({ credentials: { username, password } });
const movies = new MoviesApi(new Configuration({ basePath: url, accessToken: access }));
const movieFields = { title: "Made by typescript-fetch", genre: "Test", year: 1979 };
const movie = await movies.createMovie({ movieFields });
assert.equal(movie.creator, username);
const page = await movies.listMovies({ title: movieFields.title.toUpperCase(), pageSize: 5 });
assert.deepEqual(page.results.map((one) => one.id), [movie.id]);
await movies.deleteMovie({ movieId: movie.id });
