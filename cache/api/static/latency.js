// How long a hit takes beside what it stands for: p50 to p99 of each category, on a logarithmic axis.

import { onSize } from "./chart.js";
import { h, s } from "./dom.js";
import { duration, span } from "./format.js";
import { Panel } from "./panel.js";

const ROW = 42;
const LEFT = 92;
const RIGHT = 16;
const KINDS = [["hit_s", "a hit", "var(--green)", -7], ["compute_s", "a computation", "var(--amber)", 7]];

export class Latency {
  constructor() {
    this.svg = s("svg", { class: "plot", role: "img" });
    this.node_ = h("div", { class: "chart" }, this.svg);
    this.panel = new Panel({
      title: "Latency", note: "From p50 (dot) to p99 (bar's end) of the last minutes, interpolated inside the histogram's buckets", body: [this.keys(), this.node_],
      columns: [["Category", (r) => r.name], ["Of", (r) => r.kind], ["p50", (r) => duration(r.p50), true], ["p99", (r) => duration(r.p99), true], ["Counted", (r) => r.scope]],
    });
    this.node = this.panel.node;
    this.rows = [];
    onSize(this.node_, (width) => {
      this.width = width;
      this.draw();
    });
  }

  keys() {
    return h("p", { class: "keys" }, KINDS.map(([, name, colour]) => h("span", { class: "plain-key" }, h("i", { class: "swatch", colour }), name)));
  }

  update(frame) {
    this.rows = Object.entries(frame.categories).map(([name, found]) => ({
      name,
      kinds: KINDS.map(([key, kind, colour, shift]) => {
        const recent = found.window[key];
        return { kind, colour, shift, values: recent ?? found.total[key], scope: recent ? "last minutes" : "in all" };
      }).filter((one) => one.values),
    })).filter((one) => one.kinds.length);
    this.draw();
    this.panel.rowsAre(this.rows.flatMap(({ name, kinds }) => kinds.map(({ kind, values, scope }) => ({ name, kind, p50: values[0], p99: values[1], scope }))));
  }

  draw() {
    if (!this.width) return;
    const all = this.rows.flatMap((row) => row.kinds.flatMap((one) => one.values)).filter((n) => n > 0);
    const low = Math.floor(Math.log10(Math.min(1e-5, ...all)));
    const high = Math.max(Math.ceil(Math.log10(Math.max(1e-2, ...all))), low + 1);
    const height = Math.max(3, this.rows.length) * ROW + 28;
    const x = (n) => LEFT + ((Math.log10(Math.max(n, 10 ** low)) - low) / (high - low)) * (this.width - LEFT - RIGHT);
    const powers = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", height);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    this.svg.setAttribute("aria-label", this.rows.map(({ name, kinds }) => `${name}: ${kinds.map(({ kind, values }) => `${kind} ${duration(values[0])} to ${duration(values[1])}`).join(", ")}`).join("; ") || "no durations yet");
    this.svg.replaceChildren(
      s("g", { class: "axis" }, powers.map((n, i) => [
        s("line", { class: "rule", x1: x(n), x2: x(n), y1: 4, y2: height - 24 }),
        this.width > 420 || i % 2 === 0 ? s("text", { class: "tick", x: x(n), y: height - 6, "text-anchor": i === powers.length - 1 ? "end" : "middle" }, span(n)) : null,
      ])),
      ...this.rows.map((row, i) => s("g", {}, s("text", { class: "row-name", x: 0, y: i * ROW + ROW / 2 + 5 }, row.name), row.kinds.map((one) => this.range(one, x, i * ROW + ROW / 2 + one.shift)))),
    );
  }

  range({ values, colour, kind }, x, y) {
    const [p50, p99] = values;
    return s("g", { class: "range", colour },
      s("title", {}, `${kind}: p50 ${duration(p50)}, p99 ${duration(p99)}`),
      s("line", { class: "reach", x1: x(p50), x2: Math.max(x(p50) + 1, x(p99)), y1: y, y2: y }),
      s("line", { class: "stop", x1: x(p99), x2: x(p99), y1: y - 4, y2: y + 4 }),
      s("circle", { class: "dot", cx: x(p50), cy: y, r: 4.5 }));
  }
}
