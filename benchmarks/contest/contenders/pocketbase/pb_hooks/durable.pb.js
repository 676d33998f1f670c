/// <reference path="../pb_data/types.d.ts" />
// Commits are on disk before they are answered: PocketBase opens SQLite with synchronous=NORMAL,
// which in WAL mode syncs at checkpoints only. One connection does all writes; it is closed after
// three idle minutes, so the setting is renewed every minute.
onBootstrap((e) => {
  e.next();
  e.app.nonconcurrentDB().newQuery("PRAGMA synchronous = FULL").execute();
});

cronAdd("durable", "* * * * *", () => {
  $app.nonconcurrentDB().newQuery("PRAGMA synchronous = FULL").execute();
});
