// Two buttons that save the figure of the same container, drawn by the browser itself: nothing is sent anywhere.
// data: {figure: the container's key, name: the file's name without ending}

const SCALE = 2; // of a PNG: sharp on a slide
const MARGIN = 12; // around a figure, pixels
const SVG = "http://www.w3.org/2000/svg";

export default function ({ parentElement, data }) {
  for (const kind of ["png", "svg"]) {
    parentElement.querySelector(`#${kind}`).onclick = () => save(data, kind);
  }
}

async function save({ figure, name }, kind) {
  const container = document.querySelector(`.st-key-${CSS.escape(figure)}`);
  const plotly = container?.querySelector(".js-plotly-plot");
  if (plotly?.querySelector(".gl-container canvas")) {
    savePlotly(plotly, name, kind); // not drawn as SVG alone: only Plotly can put the parts together
    return;
  }
  const layers = [...(plotly?.querySelectorAll(".main-svg") ?? [])];
  if (!layers.length) return;
  const { width, height } = layers[0].getBoundingClientRect();
  if (kind === "svg") {
    offer(asFile(layers, width, height, ""), `${name}.svg`);
    return;
  }
  // A picture made from SVG knows no font of the page: it must bring its own.
  offer(await painted(asFile(layers, width, height, await fonts(layers[0]))), `${name}.png`);
}

// Plotly saves by its own button, which knows one format and no ground: both are lent to it for this click.
function savePlotly(plot, name, kind) {
  const before = plot._context.toImageButtonOptions;
  const { paper_bgcolor } = plot.layout;
  plot._context.toImageButtonOptions = { format: kind, filename: name, scale: kind === "png" ? SCALE : 1 };
  plot.layout.paper_bgcolor = ground(plot);
  try {
    plot.querySelector('.modebar-btn[data-title^="Download plot"]').click();
  } finally {
    plot._context.toImageButtonOptions = before;
    plot.layout.paper_bgcolor = paper_bgcolor;
  }
}

// The drawing as a file of its own: its layers one above the other, the page's ground under them.
function asFile(layers, width, height, style) {
  const file = document.createElementNS(SVG, "svg");
  file.setAttribute("xmlns", SVG);
  const [wide, high] = [width + 2 * MARGIN, height + 2 * MARGIN];
  const place = { width: wide, height: high, viewBox: `${-MARGIN} ${-MARGIN} ${wide} ${high}` };
  for (const [key, value] of Object.entries(place)) file.setAttribute(key, value);
  if (style) file.appendChild(document.createElementNS(SVG, "style")).textContent = style;
  const under = file.appendChild(document.createElementNS(SVG, "rect"));
  const all = { x: -MARGIN, y: -MARGIN, width: wide, height: high, fill: ground(layers[0]) };
  for (const [key, value] of Object.entries(all)) under.setAttribute(key, value);
  for (const layer of layers) {
    const copy = file.appendChild(layer.cloneNode(true));
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.removeAttribute("class");
  }
  // Where the page has an address of its own, references within the drawing name it.
  const text = new XMLSerializer().serializeToString(file).replace(/url\((&quot;|['"])?[^)#]*#/g, "url($1#");
  return new Blob([text], { type: "image/svg+xml" });
}

// The page's font of this element as CSS that holds the font itself.
async function fonts(element) {
  const text = element.querySelector("text");
  const wanted = text ? getComputedStyle(text).fontFamily.split(",")[0].replaceAll(/["']/g, "").trim() : "";
  const faces = [];
  for (const sheet of document.styleSheets) {
    let rules = [];
    try {
      rules = sheet.cssRules;
    } catch {
      continue; // of another origin
    }
    for (const rule of rules) {
      if (!(rule instanceof CSSFontFaceRule)) continue;
      const { style } = rule;
      const family = style.getPropertyValue("font-family").replaceAll(/["']/g, "").trim();
      const address = style.getPropertyValue("src").match(/url\(["']?([^"')]+)/)?.[1];
      if (family !== wanted || !address || style.getPropertyValue("font-style") === "italic") continue;
      const from = new URL(address, sheet.href ?? document.baseURI);
      const font = await inline(from);
      const weight = style.getPropertyValue("font-weight") || "400";
      faces.push(`@font-face{font-family:"${family}";font-weight:${weight};src:url(${font})}`);
    }
  }
  return faces.join("");
}

async function inline(address) {
  const blob = await (await fetch(address)).blob();
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = reject;
    reader.readAsDataURL(blob);
  });
}

async function painted(svg) {
  const url = URL.createObjectURL(svg);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(image.naturalWidth * SCALE);
    canvas.height = Math.ceil(image.naturalHeight * SCALE);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}

// The colour behind an element: that of the nearest one around it which has any.
function ground(element) {
  for (let around = element; around; around = around.parentElement) {
    const colour = getComputedStyle(around).backgroundColor;
    if (colour && colour !== "transparent" && colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "white";
}

function offer(blob, filename) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
