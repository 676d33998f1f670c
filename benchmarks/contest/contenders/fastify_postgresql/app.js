// The REST face: every request carries a JWT (HS256).
import jwt from "@fastify/jwt";
import Fastify from "fastify";

const year = { type: "integer", minimum: 1888, maximum: 2100 };
const fields = {
  title: { type: "string", minLength: 1, maxLength: 200 },
  genre: { type: "string", minLength: 1, maxLength: 200 },
  year,
};
const body = { type: "object", required: ["title", "genre", "year"], properties: fields };
const movie = {
  type: "object",
  properties: { id: { type: "integer" }, ...fields, created_at: { type: "string" } },
};
const link = { type: "string", nullable: true };
const page = {
  type: "object",
  properties: {
    count: { type: "integer" },
    next: link,
    previous: link,
    results: { type: "array", items: movie },
  },
};
const querystring = {
  type: "object",
  properties: {
    page: { type: "integer", minimum: 1, default: 1 },
    page_size: { type: "integer", minimum: 1, maximum: 100, default: 10 },
    title: { type: "string" },
    year__gte: { type: "integer" },
    year__lte: { type: "integer" },
    ordering: { type: "string" },
  },
};
const params = { type: "object", properties: { id: { type: "integer" } } };

function linkTo(request, number) {
  const parameters = new URLSearchParams(request.query);
  parameters.set("page", number);
  return `/movies/?${parameters}`;
}

export function createApp(store, secret) {
  const app = Fastify();
  app.register(jwt, { secret });
  app.addHook("onRequest", (request) => request.jwtVerify());

  app.get("/movies/", { schema: { querystring, response: { 200: page } } }, async (request) => {
    const { page: number, page_size: size } = request.query;
    const { count, results } = await store.list(request.query);
    return {
      count,
      next: number * size < count ? linkTo(request, number + 1) : null,
      previous: number > 1 ? linkTo(request, number - 1) : null,
      results,
    };
  });

  const creation = { schema: { body, response: { 201: movie } } };
  app.post("/movies/", creation, async (request, reply) => {
    reply.code(201);
    return store.create(request.body);
  });

  const reading = { schema: { params, response: { 200: movie } } };
  app.get("/movies/:id/", reading, async (request, reply) => {
    const found = await store.get(request.params.id);
    return found ?? reply.callNotFound();
  });

  const change = { schema: { params, body, response: { 200: movie } } };
  app.put("/movies/:id/", change, async (request, reply) => {
    const changed = await store.update(request.params.id, request.body);
    return changed ?? reply.callNotFound();
  });
  return app;
}
