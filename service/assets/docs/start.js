// Shows the description. HEAD and OPTIONS are in it, but would only make the page three times as long.
const description = document.currentScript.dataset.description;

function shorten(response) {
  if (!response.url.endsWith(description) || !response.ok) return response;
  const shown = JSON.parse(response.text);
  for (const path of Object.values(shown.paths)) {
    delete path.head;
    delete path.options;
  }
  response.text = JSON.stringify(shown);
  return response;
}

SwaggerUIBundle({
  url: description,
  dom_id: "#docs",
  responseInterceptor: shorten,
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
});
