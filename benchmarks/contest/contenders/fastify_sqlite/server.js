// Serve from WORKERS processes: PORT, WORKERS, DATABASE (a path), JWT_SECRET,
// TITLE_INDEX ("trigram" or nothing).
import cluster from "node:cluster";

import { createApp } from "./app.js";
import { openStore } from "./store.js";

const { PORT = "8000", WORKERS = "2", DATABASE = "movies.db", JWT_SECRET } = process.env;
const options = { trigrams: process.env.TITLE_INDEX === "trigram" };

if (cluster.isPrimary) {
  openStore(DATABASE, options);
  for (let n = 0; n < Number(WORKERS); n += 1) cluster.fork();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
} else {
  const app = createApp(openStore(DATABASE, options), JWT_SECRET);
  await app.listen({ port: Number(PORT), host: "127.0.0.1" });
}
