// Numbers as people read them, each with its unit.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const NONE = "–";

export const count = (n) => (n < 100000 ? whole.format(n) : short.format(n));

export const percent = (share, digits = 1) => (share === null ? NONE : `${(share * 100).toFixed(digits)} %`);

const digits = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

// A duration in seconds: three figures below a minute, two units above.
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return NONE;
  const sign = seconds < 0 ? "−" : "";
  const n = Math.abs(seconds);
  if (n === 0) return "0 s";
  if (n < 0.0009995) return `${sign}${digits(n * 1e6)} µs`;
  if (n < 0.9995) return `${sign}${digits(n * 1e3)} ms`;
  if (n < 59.95) return `${sign}${digits(n)} s`;
  const total = Math.round(n);
  if (total < 3600) return `${sign}${Math.floor(total / 60)} min ${total % 60} s`;
  if (total < 86400) return `${sign}${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
  return `${sign}${Math.floor(total / 86400)} d ${Math.floor((total % 86400) / 3600)} h`;
};

// A round duration on an axis or of a setting: 30 min, 24 h.
export const span = (seconds) => {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]]) {
    if (seconds >= size * 0.9999 && (unit !== "d" || seconds > 86400 * 1.5)) {
      return `${Number((seconds / size).toPrecision(3))} ${unit}`;
    }
  }
  return "0 s";
};

export const rate = (perSecond) => (perSecond >= 10 ? whole.format(perSecond) : Number(perSecond.toFixed(1)).toString());

export const bytes = (n) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = n;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(size) : digits(size)} ${units[unit]}`;
};

export const ago = (seconds) => {
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
};

export const lasting = (seconds) => ago(Math.max(5, seconds)).replace(" ago", "");
export const timeOfDay = (epoch) => clock.format(new Date(epoch * 1000));
export const moment = (epoch) => exact.format(new Date(epoch * 1000));
