"use strict";
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const resolve = (api, schema) => {
  const ref = schema && schema.$ref;
  return ref ? ref.slice(2).split("/").reduce((at, key) => at && at[key], api) || {} : schema || {};
};
const nameOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const variants = schema.anyOf || schema.oneOf;
  if (variants) return variants.map(nameOf).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "any";
  return type === "array" ? `array of ${nameOf(schema.items)}` : type + (schema.format ? ` (${schema.format})` : "");
};
const limits = (schema) =>
  ["default", "minLength", "maxLength", "minimum", "maximum", "pattern", "examples"]
    .filter((key) => schema[key] !== undefined)
    .map((key) => `${key} ${JSON.stringify(schema[key])}`)
    .join(", ");
const table = (head, rows) => {
  const element = make("table");
  const top = element.appendChild(make("tr"));
  head.forEach((text) => top.append(make("th", text)));
  rows.forEach((cells) => {
    const row = element.appendChild(make("tr"));
    cells.forEach((text, at) => row.appendChild(make("td")).append(at === 0 ? make("code", text) : text));
  });
  return element;
};
const fields = (api, schema) => {
  const target = resolve(api, schema);
  const required = new Set(target.required || []);
  return Object.entries(target.properties || {}).map(([name, field]) => [
    name + (required.has(name) ? " *" : ""),
    nameOf(field),
    [field.description || resolve(api, field).description || "", limits(field)].filter(Boolean).join(" — "),
  ]);
};
const body = (api, target, title, content) => {
  const [type, media] = Object.entries(content || {})[0] || [];
  if (!media || !media.schema) return;
  target.append(make("h4", `${title}: ${nameOf(media.schema)} (${type})`));
  const rows = fields(api, media.schema);
  if (rows.length) target.append(table(["field", "type", "meaning"], rows));
};
const draw = (api, path, method, operation) => {
  const article = make("article", undefined, { id: operation.operationId });
  const heading = article.appendChild(make("h3"));
  heading.append(make("span", method.toUpperCase(), { class: "method" }), make("code", path));
  article.append(make("p", operation.summary));
  if (operation.description) article.append(make("p", operation.description));
  article.append(make("p", `Requires: ${operation["x-guard"] || "see description"} · id: ${operation.operationId}`));
  const parameters = (operation.parameters || []).map((parameter) => [
    parameter.name + (parameter.required ? " *" : ""),
    `${parameter.in}: ${nameOf(parameter.schema)}`,
    [parameter.description || "", limits(parameter.schema || {})].filter(Boolean).join(" — "),
  ]);
  if (parameters.length) article.append(table(["parameter", "where", "meaning"], parameters));
  if (operation.requestBody) body(api, article, "Body", operation.requestBody.content);
  for (const [status, response] of Object.entries(operation.responses || {})) {
    if (status.startsWith("2")) body(api, article, `Answer ${status}`, response.content);
  }
  const problems = Object.entries(operation.responses || {}).filter(([status]) => !status.startsWith("2"));
  article.append(table(["status", "problems"], problems.map(([status, response]) => [status, response.description])));
  return article;
};
const start = async () => {
  const main = document.getElementById("main");
  const nav = document.getElementById("nav");
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
  const api = await answer.json();
  main.replaceChildren(make("p", api.info.description || ""));
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, operation]);
    }
  }
  const entries = [];
  for (const [tag, operations] of groups) {
    nav.append(make("h2", tag));
    main.append(make("h2", tag));
    for (const [path, method, operation] of operations) {
      const link = make("a", `${method.toUpperCase()} ${path}`, { href: `#${operation.operationId}` });
      const article = draw(api, path, method, operation);
      nav.append(link);
      main.append(article);
      entries.push([`${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase(), link, article]);
    }
  }
  document.getElementById("search").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const [text, link, article] of entries) link.hidden = article.hidden = !text.includes(wanted);
  });
};
start().catch((error) => document.getElementById("main").replaceChildren(make("p", `The reference could not be drawn: ${error.message}`)));
