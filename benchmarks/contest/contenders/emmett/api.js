// The REST face: every request carries a JWT (HS256).
import { createSecretKey, randomUUID } from "node:crypto";

import { ValidationError } from "@event-driven-io/emmett";
import { getApplication, HttpResponse, NotFound, OK, on } from "@event-driven-io/emmett-expressjs";
import jwt from "jsonwebtoken";

import { create, handle, streamOf, update } from "./movie.js";
import { findMovie, listMovies } from "./movies.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function authenticate(secret) {
  // From a string, jsonwebtoken would try to read a public key on each request.
  const key = createSecretKey(Buffer.from(secret));
  return (request, response, next) => {
    try {
      const [scheme, token] = (request.headers.authorization ?? "").split(" ");
      if (scheme !== "Bearer") throw new Error("no token");
      request.user = jwt.verify(token, key, { algorithms: ["HS256"] });
    } catch {
      response.status(401).json({ detail: "A valid token is required." });
      return;
    }
    next();
  };
}

function fieldsOf({ title, genre, year }) {
  const isText = (text) => typeof text === "string" && text.length >= 1 && text.length <= 200;
  if (!isText(title) || !isText(genre)) throw new ValidationError("title and genre are texts");
  if (!Number.isInteger(year) || year < 1888 || year > 2100) throw new ValidationError("year");
  return { title, genre, year };
}

function numberOf(query, name, absent, most = Infinity) {
  const number = Number(query[name] ?? absent);
  if (!Number.isInteger(number) || number < 1 || number > most) throw new ValidationError(name);
  return number;
}

function checkYears(query) {
  for (const name of ["year__gte", "year__lte"]) if (query[name]) numberOf(query, name);
}

function linkTo(request, number) {
  const parameters = new URLSearchParams(request.query);
  parameters.set("page", number);
  return `/movies/?${parameters}`;
}

const moviesApi = (eventStore, pool, secret) => (router) => {
  router.use(authenticate(secret));

  router.get(
    "/movies/",
    on(async (request) => {
      checkYears(request.query);
      const number = numberOf(request.query, "page", 1);
      const size = numberOf(request.query, "page_size", 10, 100);
      const { count, results } = await listMovies(pool, request.query, number, size);
      return OK({
        body: {
          count,
          next: number * size < count ? linkTo(request, number + 1) : null,
          previous: number > 1 ? linkTo(request, number - 1) : null,
          results,
        },
      });
    }),
  );
  router.post(
    "/movies/",
    on(async (request) => {
      const id = randomUUID();
      const at = new Date().toISOString();
      const fields = fieldsOf(request.body);
      await handle(eventStore, streamOf(id), create({ id, ...fields, at }), {
        expectedStreamVersion: "STREAM_DOES_NOT_EXIST",
      });
      return HttpResponse(201, { body: { id, ...fields, created_at: at } });
    }),
  );
  router.get(
    "/movies/:id/",
    on(async ({ params: { id } }) => {
      const movie = UUID.test(id) && (await findMovie(pool, id));
      return movie ? OK({ body: movie }) : NotFound();
    }),
  );
  router.put(
    "/movies/:id/",
    on(async ({ params: { id }, body }) => {
      const fields = fieldsOf(body);
      const at = new Date().toISOString();
      const { newState } = await handle(eventStore, streamOf(id), update({ id, ...fields, at }));
      return OK({ body: { id, ...fields, created_at: newState.created_at } });
    }),
  );
  router.get(
    "/movies/:id/history/",
    on(async ({ params: { id } }) => {
      const { events, streamExists } = await eventStore.readStream(streamOf(id));
      if (!streamExists) return NotFound();
      const results = events.map(({ type, data, metadata }) => ({
        version: Number(metadata.streamPosition),
        position: Number(metadata.globalPosition),
        type,
        data,
      }));
      return OK({ body: { count: results.length, results } });
    }),
  );
};

export const createApp = (eventStore, pool, secret) =>
  getApplication({ apis: [moviesApi(eventStore, pool, secret)] });
