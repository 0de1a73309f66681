// Shows the OpenAPI document of this hub, and lets its operations be tried with a key.
const main = document.getElementById("reference");
SwaggerUIBundle({
  url: main.dataset.document,
  domNode: main,
  deepLinking: true,
  filter: true,
  docExpansion: "none",
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null,
});
