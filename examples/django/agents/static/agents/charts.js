"use strict";
// Charts of the days that are listed; the table below them has the same numbers.
const { days, sums, latency } = JSON.parse(document.getElementById("charts")?.textContent ?? '{"days": []}');
const colours = ["#1b6ca8", "#b3401f", "#6b6f76", "#3b7d3f", "#8a4fa3", "#9a6b00"];
const series = (names, values) => names.map((name, n) => ({ label: name.replace("_", " "), data: values(name), backgroundColor: colours[n % 6], borderColor: colours[n % 6] }));
const summed = (...names) => series(names, (name) => sums[name]);

function draw(name, type, datasets, stacked) {
  // Nothing but zeros is no chart.
  if (!datasets.some(({ data }) => data.some((value) => value))) {
    document.querySelector(`[data-chart="${name}"]`).closest("figure").hidden = true;
    return;
  }
  new Chart(document.querySelector(`[data-chart="${name}"]`), {
    type,
    data: { labels: days, datasets },
    options: { maxBarThickness: 48, maintainAspectRatio: false, animation: false, spanGaps: true, scales: { x: { stacked }, y: { stacked, beginAtZero: true } } },
  });
}

if (days.length) {
  draw("runs", "bar", summed("done", "failed", "cancelled"), true);
  // A line needs two days.
  draw("latency", days.length > 1 ? "line" : "bar", series(Object.keys(latency), (name) => latency[name]), false);
  draw("tokens", "bar", summed("input_tokens", "output_tokens"), true);
  draw("cost", "bar", summed("cost"), false);
  draw("errors", "bar", summed("errors"), false);
}
