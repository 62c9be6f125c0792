// A card: what is asked, a chart that answers, and the same as a table.

import { h, keyed, say } from "./dom.js";

let made = 0;

export class Panel {
  // wide: columns of twelve; body: the chart's node; columns: [title, cell -> text, numeric] of the table.
  constructor({ title, note, wide = 6, body, columns, legend = false }) {
    made += 1;
    const id = `panel-${made}`;
    this.columns = columns;
    this.note = h("p", { class: "note" }, note);
    this.chart = h("div", { class: "panel-chart" }, body);
    this.legend = legend ? h("div", { class: "legend", role: "group", "aria-label": "Series" }) : null;
    this.node = h("section", { class: `card wide-${wide}`, "aria-labelledby": id });
    const head = h("div", { class: "head" }, h("div", {}, h("h2", { id }, title), this.note));
    this.body = h("div", { class: "panel-body" }, this.legend, this.chart);
    if (columns) {
      this.toggle = h("button", { class: "quiet", type: "button", "aria-pressed": "false", onclick: () => this.turn() }, "Table");
      this.toggle.setAttribute("aria-label", `Table: ${title}`);
      head.append(this.toggle);
      this.rows = h("tbody");
      const heads = columns.map(([name, , numeric]) => h("th", { scope: "col", class: numeric ? "n" : null }, name));
      this.table = h(
        "div",
        { class: "table", tabindex: 0, role: "region", "aria-labelledby": id, hidden: true },
        h("table", {}, h("thead", {}, h("tr", {}, heads)), this.rows),
      );
      this.body.append(this.table);
    }
    this.node.append(head, this.body);
    this.data = [];
  }

  turn() {
    const shown = this.table.hidden;
    // the card keeps its height: nothing below it moves
    this.body.style.setProperty("--keep", `${this.body.offsetHeight}px`);
    this.table.hidden = !shown;
    this.chart.hidden = shown;
    if (this.legend) this.legend.hidden = shown;
    this.body.classList.toggle("kept", shown);
    this.toggle.setAttribute("aria-pressed", String(shown));
    this.fill();
  }

  rowsAre(data) {
    this.data = data;
    this.fill();
  }

  fill() {
    if (!this.table || this.table.hidden) return;
    keyed(
      this.rows,
      this.data.map((row, index) => ({ row, index })),
      (item) => item.index,
      () => h("tr", {}, this.columns.map(([, , numeric], i) => h(i ? "td" : "th", { class: numeric ? "n" : null, scope: i ? null : "row" }))),
      (node, item) => this.columns.forEach(([, cell], i) => say(node.children[i], String(cell(item.row)))),
    );
  }

  // items: { name, colour, value }; a name that is pressed stands out in the chart.
  legendIs(items, chart) {
    keyed(
      this.legend,
      items,
      (item) => item.name,
      (item) => {
        const press = (event) => {
          const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
          for (const other of this.legend.children) other.setAttribute("aria-pressed", "false");
          event.currentTarget.setAttribute("aria-pressed", String(on));
          this.pressed = on ? item.name : null;
          chart.highlight(this.pressed);
        };
        return h(
          "button",
          {
            class: "key", type: "button", "aria-pressed": "false", colour: item.colour, title: item.title,
            onclick: press,
            onpointerenter: () => chart.highlight(item.name),
            onpointerleave: () => chart.highlight(this.pressed ?? null),
          },
          h("i", { class: "swatch", "aria-hidden": "true" }),
          h("span", {}, item.name),
          h("b", {}),
        );
      },
      (node, item) => say(node.lastChild, item.value),
    );
  }
}
