"use strict";
(function () {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  if (!data.samples.length) return;
  const at = (id) => document.getElementById(id);
  const make = (name, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const draw = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return element;
  };
  const percent = (x) => (100 * x).toFixed(1) + " %";
  // As number_text.py writes them.
  const decimal = (x, digits, sign) => {
    const text = Math.abs(x).toFixed(digits);
    return (Number(text) === 0 ? "" : x < 0 ? "−" : sign ? "+" : "") + text;
  };
  const wide = (letter) => (letter > "\u2e7f" ? 2 : 1);
  // At most 16 letters, or 8 ideographs, which are twice as wide.
  function shortened(name) {
    let room = 16;
    const letters = [...name], fits = letters.findIndex((letter) => (room -= wide(letter)) < 0);
    return fits < 0 ? name : letters.slice(0, fits - 1).join("") + "…";
  }
  const groups = [...new Set(data.valence)];
  const order = data.emotions.map((_, c) => c).sort((a, b) => groups.indexOf(data.valence[a]) - groups.indexOf(data.valence[b]) || a - b);
  const most = Math.max(...data.samples.map((s) => Math.max(...s.reported, ...s.predicted)));

  function bars(sample) {
    at("bars").replaceChildren(...order.map((c) => {
      const row = make("div"), name = make("span", data.emotions[c]), track = make("div");
      row.className = "bar"; track.className = "track";
      const reported = make("i"), predicted = make("b");
      reported.style.width = 100 * sample.reported[c] / most + "%";
      predicted.style.width = 100 * sample.predicted[c] / most + "%";
      row.title = data.emotions[c] + ": reported " + percent(sample.reported[c]) + ", predicted " + percent(sample.predicted[c]);
      track.append(reported, predicted);
      const share = (x) => (100 * x).toFixed(1);
      row.append(name, track, make("small", share(sample.reported[c]) + " | " + share(sample.predicted[c])));
      return row;
    }));
    const legend = make("p", "Wide bar and first number: reported. Narrow bar and second number: predicted.");
    legend.className = "note";
    at("bars").append(legend);
  }

  // Lightness grows with the value: dark blue to yellow.
  function colour(x) {
    const low = [0, 34, 78], middle = [124, 123, 120], high = [254, 232, 56];
    const [a, b, t] = x < 0.5 ? [low, middle, 2 * x] : [middle, high, 2 * x - 1];
    return "rgb(" + a.map((v, i) => Math.round(v + t * (b[i] - v))).join(",") + ")";
  }

  function map(sample) {
    const n = data.emotions.length, size = 260 / n, room = 110;
    const svg = draw("svg", { viewBox: "0 0 " + (room + 262) + " " + (room + 262), role: "img" });
    let top = 1;
    order.forEach((a) => order.forEach((b) => { if (a !== b) top = Math.max(top, sample.map[a * n + b]); }));
    order.forEach((a, i) => {
      order.forEach((b, j) => {
        const value = sample.map[a * n + b];
        const cell = draw("rect", { x: room + j * size, y: room + i * size, width: size - 0.5, height: size - 0.5, fill: a === b ? "var(--shade)" : colour(value / top) });
        const hint = draw("title", {});
        hint.textContent = data.emotions[a] + " retrieves " + data.emotions[b] + ": " + value + " %";
        cell.append(hint);
        svg.append(cell);
      });
      const label = { fill: "currentColor", "font-size": Math.min(11, size * 0.9), "dominant-baseline": "middle" };
      const short = shortened(data.emotions[a]);
      const left = draw("text", { ...label, x: room - 5, y: room + (i + 0.5) * size, "text-anchor": "end" });
      const above = draw("text", { ...label, transform: "translate(" + (room + (i + 0.5) * size) + "," + (room - 5) + ") rotate(-90)" });
      left.textContent = short; above.textContent = short;
      svg.append(left, above);
    });
    const scale = make("p"), unit = make("p", "Weight with which the emotion of the row retrieves the emotion of the column; a row sums to 100 % with its diagonal, which is not shown.");
    scale.className = "scale note"; unit.className = "note";
    scale.append(make("span", "0 %"), make("i"), make("span", top + " %"));
    at("map").replaceChildren(svg, scale, unit);
  }

  function show(sample) {
    at("kl").textContent = "KL " + decimal(sample.kl, 4);
    bars(sample);
    map(sample);
    const list = (id, lines) => at(id).replaceChildren(...(lines.length ? lines : ["not recorded"]).map((line) => make("li", line)));
    list("recalled", sample.recalled.map((x) => percent(x[3]) + " " + x[1] + " " + x[2] + ", " + x[0]));
    list("modality_groups", data.modality_groups.map((group, g) => percent(sample.modality_groups[g]) + " " + group));
    list("gains", sample.gains.map((x) => decimal(x[1], 4, true) + " " + x[0]));
  }

  const subject = at("subject"), chosen = at("window");
  const subjects = [...new Set(data.samples.map((s) => s.subject))];
  subjects.forEach((name, i) => { const option = make("option", name); option.value = i; subject.append(option); });
  function fill() {
    const mine = data.samples.map((s, i) => [s, i]).filter((pair) => pair[0].subject === subjects[subject.value]);
    chosen.replaceChildren(...mine.map(([s, i]) => { const option = make("option", s.id + " · KL " + decimal(s.kl, 4)); option.value = i; return option; }));
    show(data.samples[chosen.value]);
  }
  subject.addEventListener("change", fill);
  chosen.addEventListener("change", () => show(data.samples[chosen.value]));
  if (data.samples.length < data.total) {
    at("few").textContent = data.samples.length + " of " + data.total + " windows are in this page: those with the highest KL and an even choice of the others.";
    at("few").hidden = false;
  }
  at("live").hidden = false;
  fill();
})();
