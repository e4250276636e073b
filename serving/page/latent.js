// The way between two latent vectors.

import { predict, uri } from "./api.js";
import { $, during, element, enlarged, fill } from "./dom.js";

const STEPS = 33;
const SHOWN = 9; // of them, in a row
let model;
let pictures = [];

/** Uniform numbers in (0, 1) from a seed: Mulberry32 (T. Ettinger 2017). */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** Standard normal vector of a seed (Box and Muller 1958). */
export function normal(seed, dimensions) {
  const next = uniform(seed);
  return Array.from({ length: dimensions }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
}

/** Spherical interpolation (Shoemake 1985): on a straight line, vectors between two normal ones would be too short. */
export function between(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)))));
  const [p, q] = angle < 1e-6 ? [1 - t, t] : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  return a.map((value, i) => p * value + q * b[i]);
}

export function show(served) {
  model = served;
  $("latent").hidden = !(served.signatures.includes("latent") && served.latent_dim);
  if ($("latent").hidden) return;
  fill($("latent-class"), served.classes);
  run();
}

async function draw() {
  const label = $("latent-class").selectedIndex;
  const [a, b] = ["from", "to"].map((id) => normal(Number($(id).value), model.latent_dim));
  const z = Array.from({ length: STEPS }, (_, i) => between(a, b, i / (STEPS - 1)));
  const images = await predict(model.name, "latent", { label: z.map(() => label), z });
  const wrong = images.find((image) => image.status !== "ok");
  if (wrong) throw new Error(wrong.status);
  pictures = images.map((image) => uri(image.png));
  const every = (STEPS - 1) / (SHOWN - 1);
  $("way").replaceChildren(
    ...Array.from({ length: SHOWN }, (_, i) => {
      const image = enlarged(element("img", { alt: "" }), 64);
      image.src = pictures[i * every];
      return image;
    }),
  );
  slide();
}

function slide() {
  const at = Number($("position").value);
  const position = (at / (STEPS - 1)).toFixed(2);
  $("position-value").textContent = position;
  if (!pictures.length) return;
  $("between").src = pictures[at];
  $("between").alt = `${$("latent-class").value}, at ${position} of the way`;
}

const run = () => during($("latent-form").querySelector("button"), draw);

enlarged($("between"), 128);
$("position").max = STEPS - 1;
$("position").addEventListener("input", slide);
$("latent-class").addEventListener("change", run);
$("latent-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
