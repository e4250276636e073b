// What the page asks of the endpoint.

async function asked(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The endpoint does not answer.");
  }
  const answer = await response.json().catch(() => ({ error: `HTTP ${response.status}` }));
  if (!response.ok) throw new Error(answer.error || `HTTP ${response.status}`);
  return answer;
}

export const models = () => asked("/ui/models");
export const results = (model) => asked(`/ui/results?model=${encodeURIComponent(model)}`);
export const question = (body) => asked("/ui/question", body);
export const answer = (body) => asked("/ui/answer", body);

/** Images of a signature with `image_bytes` and `status`, by TensorFlow Serving's interface: [{png (base64), status}]. */
export async function predict(model, signature, inputs) {
  const { outputs } = await asked(`/v1/models/${encodeURIComponent(model)}:predict`, { signature_name: signature, inputs });
  return outputs.status.map((status, row) => ({ status, png: outputs.image_bytes[row].b64 }));
}

export const uri = (png) => `data:image/png;base64,${png}`;
