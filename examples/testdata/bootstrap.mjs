// What Lambda's runtime for Node.js does for a handler, as far as the Runtime API (2018-06-01) asks for it.
import { pathToFileURL } from "node:url";

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

async function post(path, body, type) {
  const headers = type ? { "Lambda-Runtime-Function-Error-Type": type } : {};
  const answer = await fetch(api + path, { method: "POST", headers, body: JSON.stringify(body) });
  await answer.arrayBuffer();
}

const described = (e) => ({ errorType: e.name, errorMessage: e.message, stackTrace: [] });

const [file, name] = process.env._HANDLER.split(".");
let handler;
try {
  const module = await import(pathToFileURL(`${process.env.LAMBDA_TASK_ROOT}/${file}.mjs`));
  handler = module[name];
} catch (e) {
  await post("/init/error", described(e), e.name);
  process.exit(1);
}

for (;;) {
  const next = await fetch(`${api}/invocation/next`);
  const id = next.headers.get("Lambda-Runtime-Aws-Request-Id");
  const event = await next.json();
  try {
    await post(`/invocation/${id}/response`, await handler(event, { awsRequestId: id }));
  } catch (e) {
    await post(`/invocation/${id}/error`, described(e), e.name);
  }
}
