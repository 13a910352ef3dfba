// Basic accessibility rules, checked in the page. Evaluates to a list of sentences; an empty list is good.
() => {
  const problems = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)];
  const describe = (element) => `<${element.localName}${element.id ? ` id=${element.id}` : ""}>`;

  const textOf = (ids) => ids.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const nameOf = (element) =>
    (
      element.getAttribute("aria-label") ||
      (element.hasAttribute("aria-labelledby") ? textOf(element.getAttribute("aria-labelledby")) : "") ||
      [...(element.labels ?? [])].map((label) => label.textContent).join(" ") ||
      (element.matches("a, button") ? element.textContent : "")
    ).trim();

  for (const element of all("a[href], button, input, select, textarea, progress, meter, video, audio, [role=meter]")) {
    if (!nameOf(element)) problems.push(`${describe(element)} has no name`);
  }
  for (const image of all("img")) if (visible(image) && !image.alt) problems.push(`${describe(image)} has no text alternative`);
  for (const svg of all("svg")) if (!svg.closest("[aria-hidden=true]")) problems.push("a decorative <svg> is not hidden from screen readers");

  const ids = all("[id]").map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`id ${id} is there twice`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const element of all(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/)) {
        if (!ids.includes(id)) problems.push(`${describe(element)}: ${attribute} points to no #${id}`);
      }
    }
  }

  if (!document.documentElement.lang) problems.push("the page has no language");
  if (!document.title) problems.push("the page has no title");
  if (all("main").length !== 1) problems.push("there is not exactly one <main>");
  if (all("h1").filter(visible).length !== 1) problems.push("there is not exactly one <h1>");
  let level = 0;
  for (const heading of all("h1, h2, h3, h4").filter(visible)) {
    const next = Number(heading.localName[1]);
    if (next > level + 1) problems.push(`${describe(heading)} skips a heading level`);
    level = next;
  }
  if (all("[tabindex]").some((element) => element.tabIndex > 0)) problems.push("a positive tabindex changes the focus order");

  // WCAG 2.2, 1.4.3: contrast of text with what is behind it, at least 4.5:1 (3:1 for large text).
  const channels = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const backgroundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a] = channels(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const element of all("body *")) {
    const ownText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!ownText || !visible(element) || element.closest("noscript, .unseen, fieldset:disabled")) continue;
    const style = getComputedStyle(element);
    const [lighter, darker] = [luminance(channels(style.color)), luminance(backgroundOf(element))].sort((a, b) => b - a);
    const ratio = (lighter + 0.05) / (darker + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) problems.push(`${describe(element)} “${element.textContent.trim().slice(0, 30)}” has a contrast of ${ratio.toFixed(2)}`);
  }
  return problems;
}
