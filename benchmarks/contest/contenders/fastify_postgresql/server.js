// Serve from WORKERS processes: PORT, WORKERS, DATABASE_URL, JWT_SECRET.
import cluster from "node:cluster";

import { createApp } from "./app.js";
import { createSchema, openStore } from "./store.js";

const { PORT = "8000", WORKERS = "2", DATABASE_URL, JWT_SECRET } = process.env;

if (cluster.isPrimary) {
  await createSchema(DATABASE_URL);
  for (let n = 0; n < Number(WORKERS); n += 1) cluster.fork();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
} else {
  const app = createApp(openStore(DATABASE_URL), JWT_SECRET);
  await app.listen({ port: Number(PORT), host: "127.0.0.1" });
}
