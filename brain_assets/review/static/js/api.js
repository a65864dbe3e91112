// Asking the server. An answer belongs to one version of a dataset; a version that is gone asks for a reload.

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response;
  let message =
    response.status === 401 ? "Your session has ended. Open the link that was printed when the page was started." : "";
  if (response.headers.get("content-type")?.startsWith("application/json")) message ||= (await response.json()).error;
  throw new Failed(response.status, message || `the server answered ${response.status}`);
}

const path = (dataset, name) => `/api/${encodeURIComponent(dataset)}/${name}`;

function query(given) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(given))
    if (value !== undefined && value !== null) parameters.set(name, value);
  return parameters;
}

const asking = async (dataset, name, given) => answer(await fetch(`${path(dataset, name)}?${query(given)}`));

const posting = async (dataset, name, given) =>
  answer(
    await fetch(path(dataset, name), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(given),
    }),
  );

export const ask = async (dataset, name, given = {}) => (await asking(dataset, name, given)).json();
export const post = async (dataset, name, given = {}) => (await posting(dataset, name, given)).json();
export const askArrays = async (dataset, name, given = {}) =>
  unpack(await (await asking(dataset, name, given)).arrayBuffer());
export const postForArrays = async (dataset, name, given = {}) =>
  unpack(await (await posting(dataset, name, given)).arrayBuffer());

export const askDatasets = async () => (await answer(await fetch("/api/datasets"))).json();

const TYPES = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** The header of a message and its arrays, which are views of the message's memory. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let start = 4 + length;
  const arrays = {};
  for (const [name, [type, count]] of Object.entries(header.arrays)) {
    arrays[name] = new TYPES[type](buffer, start, count);
    start += Math.ceil(arrays[name].byteLength / 8) * 8;
  }
  return { ...header, ...arrays };
}

/** Where the picture of a subject is: thumb, large, or full with every pixel of it. */
export function pictureUrl(dataset, subject, size = "thumb", crop = true) {
  const object = crop ? subject.object_id : undefined;
  const asked = query({ size, object, content: subject.content_hash?.slice(0, 16) });
  return `/image/${encodeURIComponent(dataset)}/${encodeURIComponent(subject.sample_id)}?${asked}`;
}
