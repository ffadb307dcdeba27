// Shows openapi.json. It builds nodes and never parses text as HTML.
"use strict";

const methods = ["get", "put", "post", "delete"];

function node(tag, attributes, ...children) {
  const n = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) n.setAttribute(name, value);
  n.append(...children.filter((c) => c !== undefined && c !== null && c !== ""));
  return n;
}

function refName(ref) { return ref.split("/").pop(); }

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return node("a", { href: "#schema-" + refName(schema.$ref) }, refName(schema.$ref));
  const types = [].concat(schema.type || "any").filter((t) => t !== "null");
  if (types[0] === "array") return node("span", {}, "array of ", typeOf(schema.items));
  if (types[0] === "object" && schema.additionalProperties && schema.additionalProperties !== true) {
    return node("span", {}, "map of ", typeOf(schema.additionalProperties));
  }
  return types.join(" or ") + (schema.format ? " (" + schema.format + ")" : "");
}

function notes(schema, extra) {
  const parts = [extra || schema.description || ""];
  if (schema.enum) parts.push("One of " + schema.enum.join(", ") + ".");
  if (schema.examples && schema.examples.length) parts.push("Such as " + JSON.stringify(schema.examples[0]) + ".");
  return parts.filter(Boolean).join(" ");
}

function rows(title, head, lines) {
  if (lines.length === 0) return null;
  return node("div", {}, node("h4", {}, title),
    node("table", {}, node("thead", {}, node("tr", {}, ...head.map((h) => node("th", {}, h)))),
      node("tbody", {}, ...lines.map((cells) => node("tr", {}, ...cells.map((c) => node("td", {}, c)))))));
}

function properties(schema) {
  const required = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, s]) =>
    [node("code", {}, name), typeOf(s), required.has(name) ? "always" : "optional", notes(s)]);
}

function firstSchema(holder) {
  const content = holder && holder.content;
  return content ? Object.values(content)[0].schema : null;
}

function curl(method, path, op) {
  const body = op.requestBody ? " \\\n  -H 'Content-Type: application/json' -d @body.json" : "";
  const verb = method === "get" ? "" : " -X " + method.toUpperCase();
  return "curl" + verb + " " + location.origin + path + body;
}

function article(method, path, op) {
  const parameters = (op.parameters || []).map((p) =>
    [node("code", {}, p.name), p.in, typeOf(p.schema), p.required ? "required" : "optional", notes(p.schema, p.description)]);
  const answers = Object.entries(op.responses || {}).sort()
    .map(([status, r]) => [node("code", {}, status), r.description, firstSchema(r) ? typeOf(firstSchema(r)) : ""]);
  const body = firstSchema(op.requestBody);
  return node("article", { id: op.operationId },
    node("h3", {}, node("span", { class: "method" }, method.toUpperCase()), node("span", { class: "path" }, path),
      node("span", { class: "quiet" }, op.summary)),
    node("p", {}, op.description),
    node("pre", {}, curl(method, path, op)),
    rows("Parameters", ["Name", "In", "Type", "", ""], parameters),
    body ? node("p", {}, "Body: ", typeOf(body), op.requestBody.required ? "" : " (may be left out)") : null,
    rows("Answers", ["Status", "Meaning", "Body"], answers));
}

function show(spec) {
  document.getElementById("title").textContent = spec.info.title + " API, version " + spec.info.version;
  document.getElementById("intro").textContent = spec.info.description;
  const main = document.getElementById("operations");
  const list = node("ul", {});
  for (const tag of spec.tags) {
    main.append(node("h2", {}, tag.name), node("p", {}, tag.description));
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const method of methods) {
        const op = item[method];
        if (!op || !op.tags.includes(tag.name)) continue;
        main.append(article(method, path, op));
        list.append(node("li", {}, node("a", { href: "#" + op.operationId }, op.summary)));
      }
    }
  }
  document.getElementById("contents").append(list);
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(spec.components.schemas)) {
    schemas.append(node("article", { id: "schema-" + name }, node("h3", {}, name), node("p", {}, schema.description || ""),
      rows("Fields", ["Name", "Type", "", ""], properties(schema))));
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("openapi.json").then((r) => r.json()).then(show).catch((err) => {
  document.getElementById("intro").textContent = "The description of this interface could not be read: " + err;
});
