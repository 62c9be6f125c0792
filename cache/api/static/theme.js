// Light or dark as the system says, or as the reader chose; runs before anything is drawn.
"use strict";
{
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") ?? "auto";
  } catch {
    // a browser that stores nothing follows the system
  }
  document.documentElement.dataset.theme = chosen;
}
