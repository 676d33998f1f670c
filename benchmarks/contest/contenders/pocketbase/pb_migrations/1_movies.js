/// <reference path="../pb_data/types.d.ts" />
// The collection of movies, and the account that the load generator signs in with.
migrate((app) => {
  const signedIn = "@request.auth.id != ''";
  app.save(
    new Collection({
      type: "base",
      name: "movies",
      listRule: signedIn,
      viewRule: signedIn,
      createRule: signedIn,
      updateRule: signedIn,
      fields: [
        { name: "title", type: "text", required: true, max: 200 },
        { name: "genre", type: "text", required: true, max: 200 },
        { name: "year", type: "number", required: true, onlyInt: true, min: 1888, max: 2100 },
        { name: "created", type: "autodate", onCreate: true },
        { name: "updated", type: "autodate", onCreate: true, onUpdate: true },
      ],
      indexes: [
        "CREATE INDEX movies_created ON movies (created DESC, id DESC)",
        "CREATE INDEX movies_year ON movies (year)",
      ],
    }),
  );

  const account = new Record(app.findCollectionByNameOrId("users"));
  account.setEmail("ann@example.com");
  account.setPassword($os.getenv("JWT_SECRET"));
  account.setVerified(true);
  app.save(account);

  // Like the other contenders, keep no log of requests.
  const settings = app.settings();
  settings.logs.maxDays = 0;
  app.save(settings);
});
