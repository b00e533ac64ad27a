// Sends requests in the forms in which published clients of the AWS extension send them, and answers with the values.
const base = `http://localhost:${process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT ?? 2773}`;

export async function handler(requests) {
  const values = {};
  for (const { client, path } of requests) {
    const answer = await fetch(base + path, {
      headers: { "User-Agent": client, "X-Aws-Parameters-Secrets-Token": process.env.AWS_SESSION_TOKEN },
    });
    const body = await answer.text();
    if (!answer.ok) throw new Error(`${client}: ${answer.status} ${body}`);
    const { SecretString, Parameter } = JSON.parse(body);
    values[client] = SecretString ?? Parameter.Value;
  }
  return values;
}
