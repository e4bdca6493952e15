// Pictures, boxes and label maps on the canvas, at the screen's own resolution.

const CONTOUR = [255, 255, 255, 255];
const LETTERS = 24; // of a class's name on the picture
const ENLARGED = 4; // times that a picture may be
const SMALLEST = 160; // CSS pixels of the longer side, however small the picture

/** Bitmap of a picture that came in base64; its pixel values are those in the file. */
export async function decode(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(new Blob([bytes], { type }), options);
}

/** Labels of a label map's bitmap, row by row. */
export function readLabels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const labels = new Uint8Array(data.length / 4);
  for (let pixel = 0; pixel < labels.length; pixel++) labels[pixel] = data[4 * pixel];
  return { labels, width: bitmap.width, height: bitmap.height };
}

/** A label map in the colours of the classes that are shown, white where one of them ends. */
export function paintLabels({ labels, width, height }, classes, isShown) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const shown = classes.map((_, label) => isShown(label));
  for (let place = 0, y = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      const label = labels[place];
      const right = x + 1 < width ? labels[place + 1] : label;
      const below = y + 1 < height ? labels[place + width] : label;
      const border = label !== right || label !== below;
      if (border && (shown[label] || shown[right] || shown[below])) {
        image.data.set(CONTOUR, 4 * place);
      } else if (shown[label]) {
        image.data.set([...classes[label].color, 255], 4 * place);
      }
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draws a picture, fitted into the width and height in CSS pixels, and returns the scale. */
export function drawPicture(canvas, bitmap, width, height) {
  const most = Math.max(ENLARGED, SMALLEST / Math.max(bitmap.width, bitmap.height));
  const fit = Math.min(width / bitmap.width, height / bitmap.height, most);
  const scale = window.devicePixelRatio || 1;
  canvas.style.width = `${Math.max(1, Math.round(bitmap.width * fit))}px`;
  canvas.width = Math.max(1, Math.round(bitmap.width * fit * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * fit * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return scale;
}

/** Draws boxes, given best first in shares of the picture; the best lie on top. */
export function drawBoxes(canvas, boxes, classes, scale) {
  const context = canvas.getContext("2d");
  context.lineWidth = 2.5 * scale;
  context.lineJoin = "round";
  for (const { box, label } of [...boxes].reverse()) {
    const [left, top, right, bottom] = inPixels(canvas, box);
    context.strokeStyle = "rgb(0 0 0 / 45%)";
    context.strokeRect(left - scale, top - scale, right - left + 2 * scale, bottom - top + 2 * scale);
    context.strokeStyle = `rgb(${classes[label].color.join(" ")})`;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  const letter = 13 * scale;
  context.font = `600 ${letter}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  for (const { box, label, score } of boxes) {
    drawCaption(context, inPixels(canvas, box), classes[label], score, letter, taken);
  }
}

/** Names a box, unless that would hide the name of a better one. */
function drawCaption(context, [left, top], { name, color }, score, letter, taken) {
  const text = `${name.length > LETTERS ? `${name.slice(0, LETTERS - 3)}...` : name} ${score.toFixed(2)}`;
  const width = context.measureText(text).width + letter * 0.8;
  const height = letter * 1.5;
  // Above the box where there is room, else inside it; never out of the picture.
  const x = Math.max(0, Math.min(left - context.lineWidth / 2, context.canvas.width - width));
  const y = top >= height ? top - height : top;
  if (taken.some((other) => Math.abs(other.y - y) < height && x < other.x + other.width && other.x < x + width)) return;
  taken.push({ x, y, width });
  context.fillStyle = `rgb(${color.join(" ")})`;
  context.fillRect(x, y, width, height);
  context.fillStyle = isDark(color) ? "#fff" : "#000";
  context.fillText(text, x + letter * 0.4, y + height / 2);
}

/** Draws a painted label map over the picture. */
export function drawMask(canvas, painted, opacity) {
  const context = canvas.getContext("2d");
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = false;
  context.drawImage(painted, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
}

/** Gives what is drawn to the user as a file. */
export function savePng(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    Object.assign(link, { href: URL.createObjectURL(blob), download: name }).click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

/** Whether white is the easier to read on a colour; by the luma of Rec. 601. */
function isDark([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue < 110;
}

function inPixels(canvas, [left, top, right, bottom]) {
  return [left * canvas.width, top * canvas.height, right * canvas.width, bottom * canvas.height];
}
