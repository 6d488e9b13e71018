// Asks serving with the `fetch` of Node.js, which is that of browsers; prints what it was told.
const [url, model] = process.argv.slice(2);
let text = "";
for await (const part of process.stdin) text += part;
const rows = JSON.parse(text);
const infer = `${url}/v2/models/${model}/infer`;
const tensor = {
  name: "image",
  shape: [rows.length, rows[0].length, rows[0][0].length],
  datatype: "UINT8",
};
const told = {};

// A text as body, and no word about its type: `fetch` calls it text/plain.
const body = JSON.stringify({id: "from-node", inputs: [{...tensor, data: rows.flat(2)}]});
const json = await fetch(infer, {method: "POST", body});
told.json = {status: json.status, encoding: json.headers.get("content-encoding"), answer: await json.json()};

const predict = `${url}/v1/models/${model}:predict`;
const forms = new Blob([JSON.stringify({instances: rows})]);
told.v1 = await (await fetch(predict, {method: "POST", body: forms})).json();

const raw = new Uint8Array(rows.flat(2));
const head = new TextEncoder().encode(JSON.stringify({
  inputs: [{...tensor, parameters: {binary_data_size: raw.length}}],
  outputs: [{name: "probabilities", parameters: {binary_data: true}}],
}));
const answer = await fetch(infer, {
  method: "POST",
  body: new Blob([head, raw]),
  headers: {"Inference-Header-Content-Length": `${head.length}`},
});
const bytes = await answer.arrayBuffer();
const end = Number(answer.headers.get("inference-header-content-length"));
told.raw = [...new Float32Array(bytes.slice(end))];

const stream = new Blob([body]).stream();
const chunked = await fetch(infer, {method: "POST", body: stream, duplex: "half"});
told.chunked = chunked.status;

const refusal = await fetch(infer, {method: "POST", body: "{"});
told.refusal = {status: refusal.status, ...(await refusal.json())};
told.alive = await (await fetch(url)).json();
console.log(JSON.stringify(told));
