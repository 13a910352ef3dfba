// The tabs in the masthead, as described by the ARIA practices. The page's address contains the chosen one.

import { byId } from "./dom.js";

const NAMES = ["clip", "live"];

/** @param {(name: string) => void} onShow  called with the name of the view that becomes visible */
export function setUpTabs(onShow) {
  let shown = NAMES[0];
  const show = (name) => {
    if (name === shown) return;
    shown = name;
    for (const each of NAMES) {
      const tab = byId(`tab-${each}`);
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      byId(`view-${each}`).hidden = each !== name;
    }
    onShow(name);
  };
  const choose = (name) => {
    history.replaceState(null, "", name === NAMES[0] ? location.pathname + location.search : `#${name}`);
    show(name);
  };
  const fromAddress = () => {
    const name = location.hash.slice(1) || NAMES[0];
    if (NAMES.includes(name)) show(name); // other fragments are anchors within the view
  };

  for (const [index, name] of NAMES.entries()) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      const to = key === "Home" ? 0 : key === "End" ? NAMES.length - 1 : step && (index + step + NAMES.length) % NAMES.length;
      if (to === undefined) return;
      choose(NAMES[to]);
      byId(`tab-${NAMES[to]}`).focus();
    });
  }
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}
