// A function that signs a message with a secret. It reads the secret, and a parameter, over plain HTTP from the extension
// beside it, each time: it comes from the extension's cache, and a rotation is seen without a restart.
import { createHmac } from "node:crypto";

const extension = `http://localhost:${process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT ?? 2773}`;

async function read(path, name) {
  const answer = await fetch(`${extension}${path}${encodeURIComponent(name)}`, {
    headers: { "X-Aws-Parameters-Secrets-Token": process.env.AWS_SESSION_TOKEN },
  });
  // The body of a refusal says why, and has no value in it.
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

export async function handler(event) {
  const [secret, parameter] = await Promise.all([
    read("/secretsmanager/get?secretId=", process.env.SIGNING_SECRET),
    read("/systemsmanager/parameters/get?withDecryption=true&name=", process.env.SIGNER_PARAMETER),
  ]);
  const signature = createHmac("sha256", secret.SecretString).update(event.message).digest("hex");
  return { signer: parameter.Parameter.Value, signature, version: secret.VersionId };
}
