// Real or made? The server decides what is shown, and tells what it was only after the guess.

import { answer, question, results, uri } from "./api.js";
import { $, during, element, enlarged } from "./dom.js";

const EVERY = "every class, by chance";
let model;
let session = null;
let open = null; // the question
let [asked, right] = [0, 0];

export function show(served) {
  model = served;
  $("guess").hidden = !served.guess.length;
  if ($("guess").hidden) return;
  $("guess-class").replaceChildren(
    element("option", { value: "", textContent: EVERY }),
    ...served.guess.map((name) => element("option", { value: name, textContent: name })),
  );
  counted();
}

async function next() {
  const got = await question({ model: model.name, class: $("guess-class").value || null, session });
  session = got.session;
  open = got.token && got;
  $("asked").hidden = !open;
  if (!open) {
    $("told").textContent += ` You have seen all real images of ${$("guess-class").value || "all classes"}.`;
    return;
  }
  $("shown").src = uri(got.image);
  $("asked-text").textContent = `Class ${got.class}: a real image, or a made one?`;
}

async function guess(kind) {
  if (!open) return;
  const { token } = open;
  open = null; // a second key press is no second guess
  const { shown } = await answer({ token, guess: kind });
  asked += 1;
  right += shown === kind;
  $("told").className = shown === kind ? "right" : "wrong";
  $("told").textContent = `${shown === kind ? "Right" : "Wrong"}: it was ${shown}. You were right ${right} of ${asked} times.`;
  await next();
  await counted();
}

async function counted() {
  const rows = Object.entries(await results(model.name));
  $("results").hidden = !rows.length;
  $("results").querySelector("tbody").replaceChildren(
    ...rows.map(([name, { shown, right, lo, hi }]) =>
      element(
        "tr", {},
        element("th", { scope: "row", textContent: name }),
        ...[shown, right, (right / shown).toFixed(2), `${lo.toFixed(2)} to ${hi.toFixed(2)}`].map((text) => element("td", { textContent: text })),
      ),
    ),
  );
}

const start = () =>
  during($("start"), async () => {
    $("told").textContent = "";
    await next();
    $("asked").hidden || $("real").focus();
  });

enlarged($("shown"), 128);
$("start").addEventListener("click", start);
$("guess-class").addEventListener("change", () => $("asked").hidden || start());
for (const kind of ["real", "made"]) $(kind).addEventListener("click", () => during($("start"), () => guess(kind)));
$("guess").addEventListener("keydown", (event) => {
  const kind = { r: "real", m: "made" }[event.key.toLowerCase()];
  if (kind && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "SELECT") $(kind).click();
});
