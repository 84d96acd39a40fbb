"use strict";
for (const table of document.querySelectorAll("table[data-filter]")) {
  const rows = Array.from(table.tBodies[0].rows);
  const box = document.createElement("span");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const shown = document.createElement("span");
  box.className = "filter";
  input.type = "search";
  shown.setAttribute("aria-live", "polite");
  label.append("Show rows that contain ", input);
  box.append(label, " ", shown);
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = count + " of " + rows.length + " rows";
  };
  input.addEventListener("input", filter);
  table.caption.append(box);
  filter();
}
