// The page: a picture goes to the server, what comes back is filtered and drawn here.

import { decode, drawBoxes, drawMask, drawPicture, paintLabels, readLabels, savePng } from "./canvas.js";

const START_THRESHOLD = 0.3;
const LEAST_SHARE = 0.5; // of the window's height that a picture may take
const CAPTION = 56; // pixels below it
const UNTYPED = "application/octet-stream";
const STEPS = { read: "Decode the picture", prepare: "Prepare", run: "Network", finish: "Finish", total: "Total" };

const at = (id) => document.getElementById(id);
const model = await describeModel();
const detects = model.task === "detection";
const hidden = new Set(model.classes.flatMap(({ background }, label) => (background ? [label] : [])));
let seen = null; // what came back of the last picture
let asked = new AbortController();

async function describeModel() {
  try {
    return await (await fetch("model")).json();
  } catch (problem) {
    showProblem("The server does not say what its network is; is it still running? Then load the page again.");
    throw problem;
  }
}

function showProblem(message) {
  at("error").textContent = message;
  at("error").hidden = false;
  at("error").scrollIntoView({ block: "nearest" });
}

function showModel() {
  document.title = `${model.weights} - try it`;
  at("title").textContent = detects ? "Find objects in a picture" : "Label every pixel of a picture";
  const [height, width] = model.input_size;
  const facts = [model.weights, model.engine, `${width} x ${height} input`, model.precision];
  at("facts").replaceChildren(...facts.map((fact) => made("li", { textContent: fact })));
  const megabytes = Math.round((model.max_bytes / 2 ** 20) * 10) / 10;
  at("limits").textContent = `${model.formats.join(", ")}; at most ${megabytes} MB. Nothing is kept.`;
  at("threshold").min = model.lowest_score;
  at("threshold").value = START_THRESHOLD;
  at("threshold-row").hidden = at("boxes-card").hidden = !detects;
  at("opacity-row").hidden = detects;
}

async function look(file) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const name = file.name || "the pasted picture";
  at("error").hidden = true;
  at("status").textContent = `Looking at ${name} ...`;
  at("stage").setAttribute("aria-busy", "true");
  try {
    const answer = await ask(file, signal);
    const bitmap = await decode(answer.picture, "image/jpeg");
    const labels = answer.label_map && readLabels(await decode(answer.label_map, "image/png"));
    if (signal.aborted) return;
    seen = { ...answer, name, bitmap, labels };
    showAnswer();
  } catch (problem) {
    if (signal.aborted) return;
    showProblem(`${name}: ${problem.message}`);
    draw(); // there is less room now
  }
  at("status").textContent = "";
  at("stage").removeAttribute("aria-busy");
}

async function ask(file, signal) {
  if (file.size > model.max_bytes) {
    throw new Error(`larger than ${model.max_bytes / 2 ** 20} MB; give a smaller file`);
  }
  const request = { method: "POST", body: file, headers: { "Content-Type": file.type || UNTYPED }, signal };
  let response;
  try {
    response = await fetch("predict", request);
  } catch {
    const readable = await file.slice(0, 1).arrayBuffer().catch(() => null);
    throw new Error(readable ? "the server does not answer; is it still running?" : "cannot be read; is it a folder?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? "the server failed; its terminal says why");
  return answer;
}

function showAnswer() {
  at("view").hidden = at("panel").hidden = false;
  at("drop").classList.add("small");
  const [height, width] = seen.size;
  at("caption").textContent = `${seen.name}, ${width} x ${height}`;
  at("engine").textContent = `${seen.engine}, as measured by the server`;
  at("times").replaceChildren(
    ...Object.entries(STEPS).map(([step, name]) => row([name, `${milliseconds(seen.times[step])} ms`], step)),
  );
  listClasses();
  update();
}

function listClasses() {
  const scores = detects ? countBoxes(model.lowest_score) : seen.shares;
  const present = scores.flatMap((score, label) => (score ? [label] : []));
  present.sort((one, other) => scores[other] - scores[one] || one - other);
  at("classes").replaceChildren(...present.map(classRow));
  at("classes").classList.toggle("empty", !present.length);
}

function classRow(label) {
  const { name, color } = model.classes[label];
  const box = made("input", { type: "checkbox", checked: !hidden.has(label) });
  box.dataset.label = label;
  box.addEventListener("change", () => {
    box.checked ? hidden.delete(label) : hidden.add(label);
    update();
  });
  const swatch = made("span", { className: "swatch" });
  swatch.style.background = `rgb(${color.join(" ")})`;
  const line = made("label", {}, box, swatch, made("span", { className: "name", textContent: name }),
    made("span", { className: "count" }));
  return made("li", {}, line);
}

function update() {
  if (!seen) return;
  at("threshold-value").textContent = Number(at("threshold").value).toFixed(2);
  at("opacity-value").textContent = `${Math.round(100 * at("opacity").value)} %`;
  const reached = detects ? countBoxes(Number(at("threshold").value)) : seen.shares;
  for (const box of at("classes").querySelectorAll("input")) {
    const value = reached[box.dataset.label];
    box.checked = !hidden.has(Number(box.dataset.label));
    const line = box.closest("label");
    line.querySelector(".count").textContent = detects ? value : share(value);
    line.classList.toggle("nothing", !value);
  }
  detects ? showBoxes() : showMask();
  draw();
}

function showBoxes() {
  const boxes = shownBoxes();
  const [height, width] = seen.size;
  const text = `${boxes.length} of ${seen.boxes.length} ${seen.boxes.length === 1 ? "box" : "boxes"} shown`;
  at("shown").textContent = seen.boxes.length ? text : "Nothing was found in this picture.";
  at("canvas").setAttribute("aria-label", `${at("caption").textContent}: ${text}`);
  at("boxes").replaceChildren(...boxes.map(({ box, score, label }) => {
    const corners = box.map((value, side) => Math.round(value * (side % 2 ? height : width)));
    return row([model.classes[label].name, score.toFixed(3), corners.join(", ")]);
  }));
}

function showMask() {
  const present = seen.shares.flatMap((value, label) => (value ? [label] : []));
  const shown = present.filter((label) => !hidden.has(label));
  const text = `${shown.length} of ${present.length} ${present.length === 1 ? "class" : "classes"} shown`;
  const empty = present.every((label) => model.classes[label].background);
  at("shown").textContent = empty ? "Nothing but background was found in this picture." : text;
  at("canvas").setAttribute("aria-label", `${at("caption").textContent}: ${text}`);
  seen.painted = paintLabels(seen.labels, model.classes, (label) => label < model.classes.length && !hidden.has(label));
}

function draw() {
  if (!seen) return;
  const canvas = at("canvas");
  const left = innerHeight - canvas.getBoundingClientRect().top - scrollY - CAPTION;
  const height = Math.max(left, innerHeight * LEAST_SHARE);
  const scale = drawPicture(canvas, seen.bitmap, at("view").clientWidth, height);
  if (detects) drawBoxes(canvas, shownBoxes(), model.classes, scale);
  else drawMask(canvas, seen.painted, Number(at("opacity").value));
}

function shownBoxes() {
  const threshold = Number(at("threshold").value);
  return seen.boxes.filter(({ score, label }) => score >= threshold && !hidden.has(label));
}

/** How many boxes of each class reach a score. */
function countBoxes(threshold) {
  const counts = model.classes.map(() => 0);
  for (const { score, label } of seen.boxes) counts[label] += score >= threshold;
  return counts;
}

function choose(shown) {
  for (const { dataset } of at("classes").querySelectorAll("input")) {
    shown ? hidden.delete(Number(dataset.label)) : hidden.add(Number(dataset.label));
  }
  update();
}

function row(texts, className = "") {
  const [head, ...rest] = texts;
  return made("tr", { className }, made("th", { scope: "row", textContent: head }),
    ...rest.map((textContent) => made("td", { textContent })));
}

function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const milliseconds = (seconds) => (1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0);
const share = (value) => (value && value < 0.0005 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
const lookAtFirst = (files) => files?.length && look(files[0]);

showModel();
at("file").addEventListener("change", () => {
  lookAtFirst(at("file").files);
  at("file").value = ""; // so that the same file can be chosen again
});
for (const id of ["threshold", "opacity"]) at(id).addEventListener("input", update);
at("all").addEventListener("click", () => choose(true));
at("none").addEventListener("click", () => choose(false));
at("save").addEventListener("click", () => savePng(at("canvas"), `${seen.name.replace(/\.[^.]*$/, "")}_seen.png`));
addEventListener("resize", draw);
addEventListener("paste", (event) => lookAtFirst(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || at("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files.length) lookAtFirst(event.dataTransfer.files);
  else showProblem("What was dropped is no file; save the picture first, or copy and paste it.");
});
