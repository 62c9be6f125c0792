// The page: listens to the stream and hands each frame to the panels.

import { h, say } from "./dom.js";
import { lasting } from "./format.js";
import { Latency } from "./latency.js";
import { Health, HitRate, Outcomes, Reasons, Saved, Tiles } from "./panels.js";

const HIDDEN_MS = 60000;
const LONGEST_PAUSE_MS = 30000;

const find = (id) => document.getElementById(id);
const board = find("board");

const state = (word, text) => {
  find("state").dataset.state = word;
  say(find("state-text"), text);
};

const THEMES = ["auto", "light", "dark"];

const themes = () => {
  const button = find("theme");
  const show = () => say(button, `Theme: ${document.documentElement.dataset.theme}`);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // it is for this page alone then
    }
    show();
  });
  show();
};

const about = (frame) => {
  const { scope, workers } = frame.about;
  const who = scope === "fleet" ? `${workers} ${workers === 1 ? "process" : "processes"}` : "this process";
  say(find("about"), `${who}, counting for ${lasting(frame.at - frame.about.since)}`);
  const links = find("links");
  if (!links.childElementCount) {
    for (const [name, url] of Object.entries(frame.links)) {
      if (url) links.append(h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name, h("span", { "aria-hidden": "true" }, " ↗"), h("span", { class: "unseen" }, " in a new tab")));
    }
  }
};

const EMPTY = [
  ["Cache something", "from cache import Cache\nwith Cache.from_settings() as cache:\n    cache.get_or_compute(\"prompt\", \"hello\", lambda: \"world\")"],
  ["Or let the shipped workflow run", "glasscache traffic"],
];

const empty = () => h(
  "section", { class: "card wide-8 empty", "aria-labelledby": "empty" },
  h("h2", { id: "empty" }, "Nothing was looked up yet"),
  h("p", { class: "note" }, "The figures come by themselves with the first lookup of a process that reports to this store."),
  EMPTY.map(([title, code]) => [h("h3", {}, title), h("pre", { tabindex: 0 }, code)]),
);

// Panels that are there from the first lookup on, in the order in which they are read.
const shown = new Map();

const arrange = (wanted) => {
  const nodes = wanted.map(([name, make]) => {
    if (!shown.has(name)) shown.set(name, make());
    return shown.get(name);
  });
  const same = nodes.length === board.childElementCount && nodes.every((one, i) => one.node === board.children[i]);
  if (!same) board.replaceChildren(...nodes.map((one) => one.node));
  return nodes;
};

const render = (frame) => {
  const any = Object.values(frame.categories).some(({ total }) => frame.outcomes.some((name) => total[name] > 0));
  const panels = any
    ? [["tiles", () => new Tiles()], ["rate", () => new HitRate()], ["health", () => new Health()], ["outcomes", () => new Outcomes()], ["reasons", () => new Reasons()], ["latency", () => new Latency()], ["saved", () => new Saved()]]
    : [["empty", () => ({ node: empty(), update: () => {} })], ["health", () => new Health()]];
  const arranged = arrange(panels);
  board.hidden = false;
  find("waiting").hidden = true;
  about(frame);
  for (const panel of arranged) panel.update(frame);
  document.documentElement.dataset.frame = String(Number(document.documentElement.dataset.frame ?? 0) + 1);
};

let source = null;
let pause = 1000;

const listen = () => {
  source?.close();
  source = new EventSource("/cache/stream");
  source.addEventListener("message", (event) => {
    pause = 1000;
    state("live", "Live");
    render(JSON.parse(event.data));
  });
  source.addEventListener("end", () => {
    source.close();
    state("gone", "The server has ended");
    later();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CONNECTING) state("waiting", "Reconnecting");
    else refused();
  });
};

const later = () => {
  setTimeout(listen, pause);
  pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
};

// An answer that is no stream: too many pages are open, or the cookie is too old.
const refused = async () => {
  state("gone", "Not connected; trying again");
  try {
    const answer = await fetch("/cache/stream", { method: "HEAD" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (answer.status === 503) state("gone", "Too many pages are open; trying again");
  } catch {
    // it does not answer at all
  }
  later();
};

let hidden = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => { source?.close(); source = null; }, HIDDEN_MS);
  else if (source === null) listen();
});

themes();
listen();
