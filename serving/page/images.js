// The grid: a row a class, a column a seed.

import { predict, uri } from "./api.js";
import { $, during, element, enlarged } from "./dom.js";

const MOST = 400; // images at once
let model;

const chosen = () => [...$("classes").querySelectorAll(":checked")].map((box) => Number(box.value));

export function show(served) {
  model = served;
  const many = served.classes.length > 10; // then it is for the user to choose
  $("classes").replaceChildren(
    ...served.classes.map((name, label) =>
      element("label", {}, element("input", { type: "checkbox", value: label, checked: !many || label < 10 }), ` ${name}`),
    ),
  );
  $("truncation-control").hidden = !served.signatures.includes("truncated");
  $("truncation").value = 1;
  told();
  run();
}

function told() {
  $("truncation-value").textContent = Number($("truncation").value).toFixed(2);
}

async function make() {
  const [labels, first, count] = [chosen(), Number($("seed").value), Number($("count").value)];
  if (!labels.length) throw new Error("Choose at least one class.");
  if (labels.length * count > MOST) throw new Error(`${labels.length} classes of ${count} images: at most ${MOST} images at once.`);
  if (!Number.isSafeInteger(first + count)) throw new Error("A browser knows seeds up to 2^53; tailgan sample takes all.");
  const rows = labels.flatMap((label) => Array.from({ length: count }, (_, i) => ({ label, seed: first + i })));
  const inputs = { label: rows.map((row) => row.label), seed: rows.map((row) => row.seed) };
  const truncation = Number($("truncation").value);
  const truncated = truncation !== 1 && !$("truncation-control").hidden;
  if (truncated) inputs.truncation = rows.map(() => truncation);
  const start = performance.now();
  const images = await predict(model.name, truncated ? "truncated" : "serving_default", inputs);
  const took = Math.round(performance.now() - start);
  $("images-told").textContent = `${images.length} images in ${took} ms.`;
  draw(labels, first, count, rows, images);
}

function draw(labels, first, count, rows, images) {
  const corner = element("td", { className: "soft", textContent: "seed" });
  const seeds = Array.from({ length: count }, (_, i) => element("th", { scope: "col", textContent: first + i }));
  const cell = (row, at) => {
    if (images[at].status !== "ok") return element("td", { className: "off", textContent: images[at].status });
    const name = model.classes[row.label];
    const source = uri(images[at].png);
    const image = enlarged(element("img", { alt: `${name}, seed ${row.seed}` }), 48);
    image.src = source;
    return element("td", {}, element("a", { href: source, download: `${name}-${row.seed}.png`, title: `Save ${name}, seed ${row.seed}` }, image));
  };
  $("grid").replaceChildren(
    element("tr", {}, corner, ...seeds),
    ...labels.map((label, at) =>
      element(
        "tr", {},
        element("th", { scope: "row", textContent: model.classes[label] }),
        ...rows.slice(at * count, (at + 1) * count).map((row, i) => cell(row, at * count + i)),
      ),
    ),
  );
  $("save").hidden = !$("grid").querySelector("img");
}

/** The grid as one PNG, at the images' own size, with a gap as `tailgan sample` leaves it. */
async function download() {
  const rows = [...$("grid").rows].slice(1).map((row) => [...row.querySelectorAll("td")].map((cell) => cell.querySelector("img")));
  await Promise.all(rows.flat().map((image) => image?.decode()));
  const { naturalWidth: width, naturalHeight: height } = rows.flat().find(Boolean);
  const gap = Math.max(1, Math.floor(width / 16));
  const canvas = element("canvas", { width: rows[0].length * (width + gap) - gap, height: rows.length * (height + gap) - gap });
  const context = canvas.getContext("2d");
  context.fillStyle = "grey";
  context.fillRect(0, 0, canvas.width, canvas.height);
  rows.forEach((row, y) => row.forEach((image, x) => image && context.drawImage(image, x * (width + gap), y * (height + gap))));
  const name = `${model.name}-${model.version}-seed-${$("seed").value}.png`;
  element("a", { href: canvas.toDataURL("image/png"), download: name }).click();
}

const run = () => during($("images").querySelector(".main"), make);

$("images").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
$("more").addEventListener("click", () => {
  $("seed").value = Number($("seed").value) + Number($("count").value);
  run();
});
$("truncation").addEventListener("input", told);
$("truncation").addEventListener("change", run);
$("download").addEventListener("click", () => during($("download"), download));
for (const [id, checked] of [["all", true], ["none", false]]) {
  $(id).addEventListener("click", () => {
    for (const box of $("classes").querySelectorAll("input")) box.checked = checked;
  });
}
