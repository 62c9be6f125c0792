// Charts over time as SVG: lines or stacked bars, read by pointer or by arrow keys.

import { h, s, say } from "./dom.js";
import { moment, timeOfDay } from "./format.js";

const MARGIN = { top: 10, right: 10, bottom: 24, left: 46 };

// Round steps for an axis from 0 to at least `top`.
export const ticks = (top, most = 4) => {
  const raw = top / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.9999);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
};

// The size that a node has, again whenever it changes.
export const onSize = (node, draw) => {
  let last = "";
  new ResizeObserver((entries) => {
    const width = Math.floor(entries[0].contentRect.width);
    const height = Math.floor(entries[0].contentRect.height);
    if (`${width} ${height}` !== last && width > 0) {
      last = `${width} ${height}`;
      draw(width, height);
    }
  }).observe(node);
};

// What lies between gaps, as runs of points.
const runsOf = (values, x, y) => {
  const runs = [];
  let run = [];
  values.forEach((value, index) => {
    if (value === null) {
      if (run.length) runs.push(run);
      run = [];
    } else run.push([x(index), y(value)]);
  });
  if (run.length) runs.push(run);
  return runs;
};

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export class TimeChart {
  // kind: "lines" or "bars"; top: where the axis ends at least; show: a value in words; axis: the same, short.
  constructor({ kind, label, height = 220, top, show, axis, floor = 0 }) {
    Object.assign(this, { kind, top, show, axis, floor, height, at: null, only: null, width: 0, model: null });
    this.label = label;
    this.svg = s("svg", { role: "group", "aria-roledescription": "chart", tabindex: 0, class: "plot" });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.spoken = h("p", { class: "unseen", role: "status" });
    this.node = h("div", { class: "chart grows" }, this.svg, this.tip, this.spoken);
    this.node.style.setProperty("--h", `${height}px`);
    onSize(this.node, (width, tall) => {
      Object.assign(this, { width, height: tall });
      this.draw();
    });
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.look(null));
    this.svg.addEventListener("blur", () => this.look(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  // model: { times, step, series: [{ name, colour, values }] }
  update(model) {
    const before = this.model?.times[this.at];
    this.model = model;
    if (before !== undefined) {
      const now = model.times.indexOf(before);
      this.at = now < 0 ? null : now;
    }
    this.draw();
  }

  // One series by itself, the others faded; null: all.
  highlight(name) {
    this.only = name;
    this.draw();
  }

  key(event) {
    if (!this.model) return;
    const last = this.model.times.length - 1;
    const at = this.at ?? last + 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, Escape: null }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.look(to === null ? null : Math.max(0, Math.min(last, to)));
    say(this.spoken, this.at === null ? "" : this.sentence());
  }

  point(event) {
    if (!this.model) return;
    const { times, step } = this.model;
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / this.inner();
    const time = this.first() + share * this.extent() - (this.kind === "bars" ? step / 2 : 0);
    let nearest = 0;
    times.forEach((one, index) => {
      if (Math.abs(one - time) < Math.abs(times[nearest] - time)) nearest = index;
    });
    this.look(nearest);
  }

  look(at) {
    if (at !== this.at) {
      this.at = at;
      this.draw();
    }
  }

  sentence() {
    const told = this.model.series
      .filter((one) => one.values[this.at] !== null)
      .map((one) => `${one.name} ${this.show(one.values[this.at])}`);
    return `${moment(this.model.times[this.at])}: ${told.join(", ") || "no lookups"}`;
  }

  inner() {
    return Math.max(10, this.width - MARGIN.left - MARGIN.right);
  }

  extent() {
    return this.model.extent;
  }

  first() {
    return this.model.until - this.model.extent;
  }

  draw() {
    if (!this.model || !this.width) return;
    const { width, height } = this;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("aria-label", `${this.label} Arrow keys read single values.`);
    const steps = this.steps();
    const low = steps[0];
    const high = steps.at(-1);
    const bottom = height - MARGIN.bottom;
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - MARGIN.top);
    const x = (time) => MARGIN.left + ((time - this.first()) / this.extent()) * this.inner();
    this.svg.replaceChildren(
      s("g", { class: "axis", "aria-hidden": "true" }, this.rules(steps, y), this.hours(x, bottom)),
      s("g", { class: "marks", "aria-hidden": "true" }, this.kind === "bars" ? this.bars(x, y) : this.lines(x, y)),
      ...this.cross(x, y, bottom),
    );
    this.tell(x);
  }

  steps() {
    if (this.top === 1) return [0, 0.25, 0.5, 0.75, 1];
    const { series, times } = this.model;
    const sums = times.map((_, i) =>
      this.kind === "bars"
        ? series.reduce((sum, one) => sum + (one.values[i] ?? 0), 0)
        : Math.max(0, ...series.map((one) => one.values[i] ?? 0)));
    return ticks(Math.max(this.floor || 1e-9, ...sums));
  }

  rules(steps, y) {
    return steps.map((value) => [
      s("line", { class: "rule", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, this.axis(value)),
    ]);
  }

  hours(x, bottom) {
    const most = Math.max(2, this.inner() / 90);
    const size = [60, 120, 180, 300, 600].find((n) => this.extent() / n <= most) ?? 900;
    const begin = Math.ceil(this.first() / size) * size;
    const marks = [];
    for (let time = begin; time <= this.model.until; time += size) marks.push(time);
    return marks
      .filter((time) => x(time) > MARGIN.left + 14 && x(time) < this.width - MARGIN.right - 14)
      .map((time) => s("text", { class: "tick", x: x(time), y: bottom + 18, "text-anchor": "middle" }, timeOfDay(time)));
  }

  lines(x, y) {
    const { series, times, step } = this.model;
    return series.map((one) => {
      const runs = runsOf(one.values, (i) => x(times[i] + step), y);
      const faded = this.only !== null && this.only !== one.name;
      return s(
        "g",
        { class: faded ? "series faded" : "series", colour: one.colour },
        runs.map((run) => [
          s("path", { class: "line", d: path(run) }),
          run.length === 1 ? s("circle", { class: "dot", cx: run[0][0], cy: run[0][1], r: 2.5 }) : null,
        ]),
      );
    });
  }

  bars(x, y) {
    const { series, times, step } = this.model;
    const wide = Math.max(1, (step / this.extent()) * this.inner() - 1.5);
    const base = times.map(() => 0);
    return series.map((one) => {
      const faded = this.only !== null && this.only !== one.name;
      const rects = one.values.map((value, i) => {
        if (!value) return null;
        const from = base[i];
        base[i] += value;
        const tall = Math.max(0.5, y(from) - y(from + value));
        return s("rect", { x: x(times[i]), y: y(from + value), width: wide, height: tall });
      });
      return s("g", { class: faded ? "bars faded" : "bars", colour: one.colour }, rects);
    });
  }

  cross(x, y, bottom) {
    if (this.at === null) return [];
    const { series, times, step } = this.model;
    const where = x(times[this.at] + (this.kind === "bars" ? step / 2 : step));
    const dots = this.kind === "bars" ? [] : series
      .filter((one) => one.values[this.at] !== null)
      .map((one) => s("circle", { class: "knob", colour: one.colour, cx: where, cy: y(one.values[this.at]), r: 4 }));
    return [s("line", { class: "cross", x1: where, x2: where, y1: MARGIN.top, y2: bottom }), ...dots];
  }

  tell(x) {
    this.tip.hidden = this.at === null;
    if (this.at === null) return;
    const { series, times, step } = this.model;
    const rows = series
      .filter((one) => one.values[this.at] !== null && (this.kind === "lines" || one.values[this.at] > 0))
      .map((one) => h("p", {}, h("i", { class: "swatch", colour: one.colour }), one.name, h("b", {}, this.show(one.values[this.at]))));
    const time = times[this.at] + (this.kind === "bars" ? 0 : step);
    this.tip.replaceChildren(h("p", { class: "tip-time" }, moment(time)), ...(rows.length ? rows : [h("p", {}, "no lookups")]));
    const where = x(time);
    const left = where > this.width / 2 ? where - this.tip.offsetWidth - 14 : where + 14;
    this.tip.style.setProperty("transform", `translate(${Math.max(0, Math.round(left))}px, 8px)`);
  }
}
