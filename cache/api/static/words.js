// One colour and one explanation for each word; the colours are those of the dashboards.

const HUES = ["blue", "amber", "green", "pink", "sky", "violet", "teal", "brown", "yellow", "red"];

const FIXED = {
  context: "blue",
  embedding: "amber",
  tool: "green",
  prompt: "pink",
  static: "sky",
  other: "grey",
  general: "pale",
};

// A category that an application registers takes a colour by its name.
export const categoryColour = (name) => {
  const fixed = FIXED[name];
  if (fixed !== undefined) return `var(--${fixed})`;
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  const free = HUES.slice(5);
  return `var(--${free[sum % free.length]})`;
};

export const OUTCOMES = {
  hit: ["green", "answered by a fresh entry"],
  miss: ["amber", "nothing was there, it was computed"],
  stale: ["violet", "an expired entry, served on purpose"],
  error: ["red", "the store did not answer properly"],
  bypass: ["grey", "caching was off, or it cannot be cached"],
};

export const REASONS = {
  cold: ["sky", "asked for the first time", "warm what is sure to be asked for"],
  expired: ["amber", "its time to live was over", "a longer TTL, if the values stay right"],
  invalidated: ["pink", "somebody made it invalid", "narrower tags, if it happens too often"],
  evicted: ["brown", "the server needed the room", "raise maxmemory"],
  changed: ["blue", "a file that it was made from changed", "nothing: a hit would have been wrong"],
  version: ["teal", "another version wrote it", "passes once all run the same version"],
  corrupt: ["red", "what was stored could not be believed", "see who else writes there"],
  collision: ["yellow", "another key's entry was in its place", "nothing: it was noticed in time"],
  unknown: ["violet", "nobody can tell any more", "nothing: it is counted, not guessed"],
  "not told": ["grey", "the application counted it without a reason", "give one"],
};

export const hue = (table, word) => `var(--${(table[word] ?? ["grey"])[0]})`;
