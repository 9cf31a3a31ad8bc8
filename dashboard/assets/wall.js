// A wall of cells in groups: every cell is a button with a text, the chosen one is kept in view.
// data: {sheet: a picture with a square for each cell, `columns` a row, in the order of the groups' cells, columns,
// groups: [{heading, colour, cells: [{id, text, caption}]}], chosen: an id, label: what the wall holds}

const SIDE = 96; // px of a cell on the page, as in wall.css

export default function ({ parentElement, data, setTriggerValue }) {
  const wall = parentElement.querySelector("#wall");
  const drawn = data.sheet + JSON.stringify(data.groups);
  if (wall.drawn !== drawn) {
    wall.drawn = drawn;
    wall.replaceChildren(...draw(data));
  }
  wall.setAttribute("aria-label", data.label);
  wall.onclick = (event) => {
    const cell = event.target.closest("button");
    if (!cell) return;
    choose(wall, cell.dataset.id);
    setTriggerValue("picked", cell.dataset.id);
  };
  choose(wall, data.chosen);
}

function draw({ sheet, columns, groups }) {
  const parts = [];
  let number = 0;
  for (const { heading, colour, cells } of groups) {
    const group = parts[parts.push(document.createElement("div")) - 1];
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", heading);
    group.appendChild(document.createElement("p")).textContent = heading;
    const row = group.appendChild(document.createElement("div"));
    row.className = "cells";
    for (const { id, text, caption } of cells) {
      const cell = row.appendChild(document.createElement("button"));
      cell.type = "button";
      cell.dataset.id = id;
      cell.title = text;
      cell.setAttribute("aria-label", text.replaceAll("\n", ", "));
      const picture = cell.appendChild(document.createElement("span"));
      picture.className = "picture";
      const [left, top] = [number % columns, Math.floor(number / columns)];
      Object.assign(picture.style, {
        borderColor: colour,
        backgroundImage: `url(${sheet})`,
        backgroundSize: `${columns * SIDE}px auto`,
        backgroundPosition: `${-left * SIDE}px ${-top * SIDE}px`,
      });
      if (caption) cell.appendChild(document.createElement("span")).textContent = caption;
      number += 1;
    }
  }
  return parts;
}

// Marks one cell, which alone is reached by the tab key, and brings it into view without moving the page.
function choose(wall, id) {
  for (const cell of wall.querySelectorAll("button")) {
    const chosen = cell.dataset.id === id;
    cell.setAttribute("aria-pressed", chosen);
    cell.tabIndex = chosen ? 0 : -1;
    if (!chosen) continue;
    const [inside, around] = [cell.getBoundingClientRect(), wall.getBoundingClientRect()];
    if (inside.top < around.top) wall.scrollTop -= around.top - inside.top + SIDE / 2;
    else if (inside.bottom > around.bottom) wall.scrollTop += inside.bottom - around.bottom + SIDE / 2;
  }
}
