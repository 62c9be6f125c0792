// The panels over what was counted: one class each, all with `node` and `update(frame)`.

import { TimeChart } from "./chart.js";
import { h, keyed, say } from "./dom.js";
import { ago, bytes, count, duration, moment, NONE, percent, rate } from "./format.js";
import { Panel } from "./panel.js";
import { categoryColour, hue, OUTCOMES, REASONS } from "./words.js";

const HIT = 0;
const MISS = 1;
const AVOIDED = 5;
const SPENT = 6;

const names = (frame) => Object.keys(frame.categories);
const minutes = (frame) => `last ${Math.round(frame.window_s / 60)} min`;

// The time axis: the whole window, or as much of it as was seen, five minutes at least.
const over = (frame) => {
  const until = (Math.floor(frame.at / frame.bin_s) + 1) * frame.bin_s;
  const seen = until - (frame.bins[0]?.t ?? until);
  const extent = Math.min(frame.window_s, Math.max(300, seen));
  return { times: frame.bins.map((bin) => bin.t), step: frame.bin_s, extent, until };
};
const share = (hits, misses) => (hits + misses ? hits / (hits + misses) : null);

// A rate over the minute that ends with each bin: ten seconds of little traffic say nothing.
const rolling = (frame, name) => {
  const bins = Math.max(1, Math.round(60 / frame.bin_s));
  return frame.bins.map((bin, i) => {
    let hits = 0;
    let misses = 0;
    for (let k = i; k >= 0 && frame.bins[k].t > bin.t - bins * frame.bin_s; k -= 1) {
      const found = frame.bins[k].categories[name];
      if (found) {
        hits += found[HIT];
        misses += found[MISS];
      }
    }
    return share(hits, misses);
  });
};

export class Tiles {
  constructor() {
    this.node = h("dl", { class: "tiles" });
  }

  update(frame) {
    const { window: now, total } = frame;
    const lookups = (one) => one.hit + one.miss + one.stale + one.error + one.bypass;
    const spent = (one) => one.avoided_s - one.spent_s;
    const seen = Math.max(frame.bin_s, Math.min(frame.window_s, frame.at - (frame.bins[0]?.t ?? frame.at)));
    const tiles = [
      ["Hit rate", percent(share(now.hit, now.miss)), `${minutes(frame)}; ${percent(share(total.hit, total.miss))} in all`],
      ["Lookups", `${rate(lookups(now) / seen)} /s`, `${count(lookups(total))} in all`],
      ["A hit takes", duration(now.hit_s?.[0]), `p99 ${duration(now.hit_s?.[1])}; a miss ${duration(now.miss_s?.[0])}`],
      ["Time saved", duration(spent(total)), `${duration(total.avoided_s)} avoided, ${duration(total.spent_s)} spent`],
      ["Trouble", percent(lookups(now) ? now.error / lookups(now) : null), `${count(now.error)} errors, ${count(now.stale)} stale, ${minutes(frame)}`],
    ];
    keyed(
      this.node,
      tiles,
      ([name]) => name,
      ([name]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", { class: "big" }), h("dd", { class: "note" })),
      (node, [, big, note]) => {
        say(node.children[1], big);
        say(node.children[2], note);
      },
    );
  }
}

export class HitRate {
  constructor() {
    this.chart = new TimeChart({
      kind: "lines", label: "Hit rate by category over the last minutes.", height: 288, top: 1,
      show: (n) => percent(n), axis: (n) => percent(n, 0),
    });
    this.panel = new Panel({
      title: "Hit rate by category", wide: 8, body: this.chart.node, legend: true,
      note: "Hits of hits and misses, over the minute that ends at each point",
      columns: [["Time", (r) => r.time], ["Category", (r) => r.name], ["Hits", (r) => count(r.hits), true], ["Misses", (r) => count(r.misses), true], ["Hit rate", (r) => percent(share(r.hits, r.misses)), true]],
    });
    this.node = this.panel.node;
  }

  update(frame) {
    const shown = names(frame).filter((name) => frame.categories[name].total.hit + frame.categories[name].total.miss > 0);
    const series = shown.map((name) => ({ name, colour: categoryColour(name), values: rolling(frame, name) }));
    this.chart.update({ ...over(frame), series });
    this.panel.legendIs(
      series.map((one) => {
        const { hit, miss } = frame.categories[one.name].window;
        return { ...one, value: percent(share(hit, miss)), title: minutes(frame) };
      }),
      this.chart,
    );
    this.panel.rowsAre(
      frame.bins.toReversed().flatMap((bin) => Object.entries(bin.categories)
        .map(([name, found]) => ({ time: moment(bin.t), name, hits: found[HIT], misses: found[MISS] }))),
    );
  }
}

export class Outcomes {
  constructor() {
    this.chart = new TimeChart({
      kind: "bars", label: "How lookups ended over the last minutes.", height: 214, floor: 1,
      show: (n) => `${rate(n)} /s`, axis: (n) => `${rate(n)}/s`,
    });
    this.panel = new Panel({
      title: "How lookups ended", body: this.chart.node, legend: true, note: "Lookups a second, in bins of 10 s",
      columns: [["Time", (r) => r.time], ...Object.keys(OUTCOMES).map((name) => [name, (r) => count(r[name] ?? 0), true])],
    });
    this.node = this.panel.node;
  }

  update(frame) {
    const sums = frame.bins.map((bin) => {
      const sum = frame.outcomes.map(() => 0);
      for (const found of Object.values(bin.categories)) sum.forEach((_, i) => (sum[i] += found[i]));
      return sum;
    });
    const series = frame.outcomes.map((name, i) => ({
      name, colour: hue(OUTCOMES, name), values: sums.map((sum, k) => sum[i] / Math.max(1, frame.bins[k].seconds)),
    }));
    this.chart.update({ ...over(frame), series });
    const shown = series.filter((one) => ["hit", "miss"].includes(one.name) || frame.total[one.name] > 0);
    this.panel.legendIs(
      shown.map((one) => ({ ...one, value: count(frame.window[one.name]), title: OUTCOMES[one.name]?.[1] })),
      this.chart,
    );
    this.panel.rowsAre(
      frame.bins.map((bin, i) => ({ time: moment(bin.t), ...Object.fromEntries(frame.outcomes.map((name, k) => [name, sums[i][k]])) })).toReversed(),
    );
  }
}

export class Reasons {
  constructor() {
    this.rows = h("div", { class: "stack" });
    this.list = h("ul", { class: "reasons" });
    this.panel = new Panel({
      title: "Why it missed", body: [this.rows, this.list], note: "",
      columns: [["Category", (r) => r.name], ["Reason", (r) => r.reason], ["Misses", (r) => count(r.n), true], ["Share", (r) => percent(r.share), true]],
    });
    this.node = this.panel.node;
  }

  update(frame) {
    const quiet = frame.window.miss === 0;
    const scope = quiet ? "total" : "window";
    say(this.panel.note, quiet ? `Misses by reason, since counting began: none in the ${minutes(frame)}` : `Misses by reason, ${minutes(frame)}`);
    const shown = names(frame).filter((name) => frame.categories[name].total.miss > 0);
    const most = Math.max(1, ...shown.map((name) => frame.categories[name][scope].miss));
    keyed(
      this.rows,
      shown,
      (name) => name,
      (name) => h("div", { class: "stack-row" }, h("span", { class: "stack-name" }, h("i", { class: "swatch", colour: categoryColour(name) }), name), h("div", { class: "stack-bar", role: "img" }), h("b", { class: "stack-n" })),
      (node, name) => {
        const { reasons, miss } = frame.categories[name][scope];
        const bar = node.children[1];
        bar.setAttribute("aria-label", Object.entries(reasons).map(([reason, n]) => `${reason} ${n}`).join(", ") || "none");
        keyed(bar, Object.entries(reasons), ([reason]) => reason, ([reason]) => h("i", { class: "part", colour: hue(REASONS, reason), title: reason }), (part, [, n]) => part.style.setProperty("width", `${(n / most) * 100}%`));
        say(node.children[2], count(miss));
      },
    );
    // the five chief ones, always in the same order: two that are close do not change places all the time
    const every = Object.entries(frame[scope].reasons);
    const chief = every.toSorted((a, b) => b[1] - a[1]).slice(0, 5).map(([reason]) => reason);
    const sums = every.filter(([reason]) => chief.includes(reason));
    const all = frame[scope].miss;
    keyed(
      this.list,
      sums,
      ([reason]) => reason,
      ([reason]) => h("li", {}, h("i", { class: "swatch", colour: hue(REASONS, reason) }), h("b", {}, reason), h("span", { class: "reason-share" }), h("span", { class: "reason-words" }, `${REASONS[reason]?.[1] ?? ""}. `, h("em", {}, REASONS[reason]?.[2] ?? ""))),
      (node, [, n]) => say(node.children[2], percent(all ? n / all : null)),
    );
    this.panel.rowsAre(shown.flatMap((name) => {
      const { reasons, miss } = frame.categories[name][scope];
      return Object.entries(reasons).map(([reason, n]) => ({ name, reason, n, share: n / miss }));
    }));
  }
}

export class Saved {
  constructor() {
    this.rows = h("div", { class: "stack" });
    this.sum = h("p", { class: "sum" });
    this.panel = new Panel({
      title: "Time saved", body: [this.rows, this.sum], note: "",
      columns: [["Category", (r) => r.name], ["Avoided", (r) => duration(r.avoided), true], ["Spent", (r) => duration(r.spent), true], ["Saved", (r) => duration(r.avoided - r.spent), true], ["Stored", (r) => bytes(r.stored), true]],
    });
    this.node = this.panel.node;
  }

  update(frame) {
    say(this.panel.note, `Computation that hits avoided, less what the cache itself took; since ${ago(frame.at - frame.about.since)}`);
    const data = names(frame).map((name) => {
      const { avoided_s: avoided, spent_s: spent, bytes_stored: stored } = frame.categories[name].total;
      return { name, avoided, spent, stored };
    }).filter((one) => one.avoided + one.spent > 0);
    const most = Math.max(1e-9, ...data.map((one) => Math.max(one.avoided, one.spent)));
    keyed(
      this.rows,
      data,
      (one) => one.name,
      (one) => h("div", { class: "stack-row" }, h("span", { class: "stack-name" }, h("i", { class: "swatch", colour: categoryColour(one.name) }), one.name), h("div", { class: "pair", role: "img" }, h("i", { class: "part", colour: "var(--green)" }), h("i", { class: "part", colour: "var(--red)" })), h("b", { class: "stack-n" })),
      (node, one) => {
        const pair = node.children[1];
        pair.setAttribute("aria-label", `avoided ${duration(one.avoided)}, spent ${duration(one.spent)}`);
        pair.children[0].style.setProperty("width", `${(one.avoided / most) * 100}%`);
        pair.children[1].style.setProperty("width", `${(one.spent / most) * 100}%`);
        say(node.children[2], duration(one.avoided - one.spent));
        node.children[2].classList.toggle("loss", one.spent > one.avoided);
      },
    );
    const now = frame.bins.reduce((sum, bin) => Object.values(bin.categories).reduce((n, found) => n + found[AVOIDED] - found[SPENT], sum), 0);
    say(this.sum, `In the ${minutes(frame)}: ${duration(now)}`);
    this.panel.rowsAre(data);
  }
}

const SIGNS = { ok: ["✓", "all is well"], warn: ["!", "to be looked at"], fail: ["✕", "does not work"] };

export class Health {
  constructor() {
    this.list = h("ul", { class: "findings" });
    this.well = h("ul", { class: "well" });
    this.sum = h("summary", {});
    this.rest = h("details", { class: "rest", open: true }, this.sum, this.well);
    this.panel = new Panel({ title: "Health", wide: 4, note: "", body: [this.list, this.rest] });
    this.node = this.panel.node;
    this.node.classList.add("health");
    // it scrolls where it is full, and then it is reached by keyboard
    this.panel.chart.tabIndex = 0;
    this.panel.chart.setAttribute("role", "region");
    this.panel.chart.setAttribute("aria-label", "Findings");
    this.was = 0;
  }

  update(frame) {
    const bad = frame.findings.filter((one) => one.level !== "ok").sort((a, b) => (a.level === "fail" ? 0 : 1) - (b.level === "fail" ? 0 : 1));
    const well = frame.findings.filter((one) => one.level === "ok");
    const words = bad.length === 1 ? "One finding, with its cure" : `${bad.length} findings, each with its cure`;
    say(this.panel.note, frame.findings.length === 0 ? "Not examined yet" : bad.length ? words : "All that was examined is well");
    keyed(
      this.list,
      bad,
      (one) => `${one.level} ${one.what} ${one.cure}`,
      (one) => h("li", { class: `finding ${one.level}` }, h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[one.level]?.[0] ?? "?"), h("div", {}, h("p", {}, h("span", { class: "unseen" }, `${SIGNS[one.level]?.[1] ?? one.level}: `), h("b", {}, one.what), " ", h("span", { class: "found" })), one.cure ? h("p", { class: "cure" }, one.cure) : null)),
      (node, one) => say(node.querySelector(".found"), one.found || NONE),
    );
    // room for what is wrong: what is well folds up once, and stays as the reader leaves it
    if (bad.length > 1 && this.was <= 1) this.rest.open = false;
    this.was = bad.length;
    this.rest.hidden = well.length === 0;
    say(this.sum, `${well.length} ${well.length === 1 ? "check is" : "checks are"} well`);
    keyed(
      this.well,
      well,
      (one) => one.what,
      (one) => h("li", {}, h("span", { class: "sign", "aria-hidden": "true" }, "✓"), h("b", {}, one.what), h("span", { class: "found" })),
      (node, one) => say(node.lastChild, one.found),
    );
  }
}
