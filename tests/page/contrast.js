// Text and marks that do not stand out enough from what is behind them, as WCAG 2.2 computes it.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
  const light = (colour) => colour.slice(0, 3).reduce((sum, n, i) => sum + linear(n / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (front, back) => front.slice(0, 3).map((n, i) => (n * front[3]) / 255 + back[i] * (1 - front[3] / 255));
  const ground = (element) => {
    const chain = [];
    for (let node = element; node; node = node.parentElement) chain.unshift(rgba(getComputedStyle(node).backgroundColor));
    return chain.reduce((back, front) => over(front, back), [255, 255, 255]);
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const found = [];
  const mark = (element, colour, least) => {
    const back = ground(element);
    const n = ratio(over(rgba(colour), back), back);
    if (n < least) found.push(`${n.toFixed(2)} ${element.outerHTML.slice(0, 90)}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest("[hidden]") || element.closest(".unseen") || element.closest(".skip, title")) continue;
    const style = getComputedStyle(element);
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (text) mark(element, element instanceof SVGElement ? style.fill : style.color, 4.5);
    if (element.matches(".swatch")) mark(element.parentElement, style.backgroundColor, 3);
    if (element.matches(".line")) mark(element.closest(".card"), style.stroke, 3);
    if (element.matches(".bars rect")) mark(element.closest(".card"), style.fill, 3);
  }
  return [...new Set(found)];
}
