// Serve from WORKERS processes: PORT, WORKERS, DATABASE_URL, JWT_SECRET.
import cluster from "node:cluster";

import { createApp } from "./api.js";
import { openEventStore, openPool } from "./store.js";

const { PORT = "8000", WORKERS = "2", DATABASE_URL, JWT_SECRET } = process.env;
const pool = openPool(DATABASE_URL);

if (cluster.isPrimary) {
  await openEventStore(DATABASE_URL, pool, { migrate: true });
  for (let n = 0; n < Number(WORKERS); n += 1) cluster.fork();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
} else {
  const app = createApp(await openEventStore(DATABASE_URL, pool), pool, JWT_SECRET);
  app.listen(Number(PORT), "127.0.0.1");
}
