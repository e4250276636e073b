// The page of the endpoint: which model, and what there is to show of it.

import { models } from "./api.js";
import { $, fault, fill } from "./dom.js";
import * as guess from "./guess.js";
import * as images from "./images.js";
import * as latent from "./latent.js";
import { rendered } from "./markdown.js";

const AGAIN = 2000; // ms, while no model is served
let served = [];

function show(model) {
  const usable = Boolean(model.classes);
  $("content").hidden = !usable;
  $("about").textContent = model.version
    ? `${model.name}, version ${model.version}${usable ? `, ${model.classes.length} classes` : ": not a generator of tailgan's; its interface is that of TensorFlow Serving"}`
    : `${model.name}: waiting for a version`;
  if (!usable) return;
  document.title = `tailgan: ${model.name}`;
  $("card").hidden = !model.card;
  document.querySelector(".columns").classList.toggle("carded", Boolean(model.card));
  $("card").replaceChildren(...rendered(model.card ?? ""));
  images.show(model);
  latent.show(model);
  guess.show(model);
}

async function begin() {
  try {
    served = await models();
    fault(null);
  } catch (error) {
    fault(error);
  }
  if (!served.some((model) => model.version)) {
    if (served.length) show(served[0]);
    setTimeout(begin, AGAIN);
    return;
  }
  fill($("model"), served.map((model) => model.name));
  $("model-choice").hidden = served.length < 2;
  $("model").selectedIndex = served.findIndex((model) => model.version);
  show(served[$("model").selectedIndex]);
}

$("model").addEventListener("change", () => show(served[$("model").selectedIndex]));
begin();
