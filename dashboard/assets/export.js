// Two buttons that save the figure of the same container, drawn by the browser itself: nothing is sent anywhere.
// data: {figure: the container's key, name: the file's name without ending}

const SCALE = 2; // of a PNG: sharp on a slide

export default function ({ parentElement, data }) {
  for (const kind of ["png", "svg"]) {
    parentElement.querySelector(`#${kind}`).onclick = () => save(data, kind);
  }
}

async function save({ figure, name }, kind) {
  const container = document.querySelector(`.st-key-${CSS.escape(figure)}`);
  const plotly = container?.querySelector(".js-plotly-plot");
  if (plotly) {
    savePlotly(plotly, name, kind);
    return;
  }
  const drawn = container?.querySelector("[data-testid=stVegaLiteChart] svg");
  if (!drawn) return;
  const { text, width, height } = standalone(drawn);
  const svg = new Blob([text], { type: "image/svg+xml" });
  offer(kind === "svg" ? svg : await painted(svg, width, height), `${name}.${kind}`);
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

// The drawn chart as a file of its own: with its size, the page's ground under it, and no trace of the page.
function standalone(drawn) {
  const { width, height } = drawn.getBoundingClientRect();
  const copy = drawn.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const under = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  under.setAttribute("width", "100%");
  under.setAttribute("height", "100%");
  under.setAttribute("fill", ground(drawn));
  copy.prepend(under);
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}

async function painted(svg, width, height) {
  const url = URL.createObjectURL(svg);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(width * SCALE);
    canvas.height = Math.ceil(height * SCALE);
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
