// The page is whole without this: it adds the filter, opens what a link points to, and prints everything.
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const cases = [...document.querySelectorAll("details.case")];
  const groups = [...document.querySelectorAll("section.group")];
  const texts = cases.map((one) => one.textContent.toLowerCase());
  const shown = () => cases.filter((one) => !one.hidden);

  const label = () => {
    const all = shown();
    form.elements.toggle.textContent = all.length && all.every((one) => one.open) ? "Close all" : "Open all";
  };
  const apply = () => {
    const { verdict, area, text } = Object.fromEntries(new FormData(form));
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    cases.forEach((one, index) => {
      const wanted = verdict === "all" || one.dataset.verdict === verdict
        || (verdict === "emulated" && "emulated" in one.dataset);
      one.hidden = !wanted || (area && one.dataset.area !== area) || !words.every((word) => texts[index].includes(word));
    });
    groups.forEach((group) => { group.hidden = !group.querySelector("details.case:not([hidden])"); });
    form.elements.count.textContent = `${shown().length} of ${cases.length}`;
    label();
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.toggle.addEventListener("click", () => {
    const open = !shown().every((one) => one.open);
    shown().forEach((one) => { one.open = open; });
    label();
  });
  document.addEventListener("toggle", label, true);

  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !cases.includes(target)) return;
    if (target.hidden) { form.reset(); apply(); }
    target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));

  form.hidden = false;
  apply();
  follow();
})();
