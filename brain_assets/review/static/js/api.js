// Asking the server. An answer belongs to one version of a dataset; a version that is gone asks for a reload.

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Tells `lost` when the server can no longer be reached, and `back` when it can be again. */
export const connection = new EventTarget();
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 10_000;
let mending = null;

/** Whether the server could not be reached the last time. */
export const isLost = () => mending !== null;

/** Fetches; what only asks is asked again once the connection is back, what says something is not said twice. */
async function reach(address, options = {}, asks = true) {
  for (;;) {
    try {
      return await fetch(address, options);
    } catch {
      mending ??= mend().finally(() => (mending = null));
      if (!asks) throw new Failed(0, "Not noted: the server cannot be reached. Say it again once the connection is back.");
      await mending;
    }
  }
}

async function mend() {
  connection.dispatchEvent(new Event("lost"));
  for (let wait = FIRST_WAIT; ; wait = Math.min(LONGEST_WAIT, wait * 1.5)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (await fetch("/api/datasets").catch(() => null)) break;
  }
  connection.dispatchEvent(new Event("back"));
}

async function answer(response) {
  if (response.ok) return response;
  let message =
    response.status === 401 ? "Your session has ended: sign in again." : "";
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

const asking = async (dataset, name, given) => answer(await reach(`${path(dataset, name)}?${query(given)}`));

/** What is asked with a body and changes nothing. */
const ASKS = new Set(["find", "rows", "alike", "suppose", "take"]);

const posting = async (dataset, name, given) =>
  answer(
    await reach(
      path(dataset, name),
      { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given) },
      ASKS.has(name),
    ),
  );

export const ask = async (dataset, name, given = {}) => (await asking(dataset, name, given)).json();
export const post = async (dataset, name, given = {}) => (await posting(dataset, name, given)).json();
export const askArrays = async (dataset, name, given = {}) =>
  unpack(await (await asking(dataset, name, given)).arrayBuffer());
export const postForArrays = async (dataset, name, given = {}) =>
  unpack(await (await posting(dataset, name, given)).arrayBuffer());

export const postForFile = async (dataset, name, given = {}) => (await posting(dataset, name, given)).blob();

export const askDatasets = async () => (await answer(await reach("/api/datasets"))).json();

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
