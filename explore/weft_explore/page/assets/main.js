// The page, put together.

function counts() {
  const of = state => designs.filter(design => design.state === state).length;
  const parts = [counted(designs.length, "design"), ...STATES.map(state => `${of(state)} ${state}`), `${front.length} on the front`];
  const confirmed = designs.filter(isConfirmed).length;
  const failed = designs.filter(isUnconfirmed).length;
  parts.push(confirmed || failed ? `${confirmed} confirmed${failed ? `, ${failed} could not be` : ""}` : "none confirmed yet");
  return parts.join(" · ");
}

function applyTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = byId("theme").value || (dark ? "dark" : "light");
  tell("theme");
}

function followAddress() {
  const id = /^#design=(-?\d+)$/.exec(location.hash)?.[1];
  const named = id === undefined ? undefined : designs.find(design => design.id === Number(id));
  select(named ?? selection.design ?? front[0] ?? designs[0]);
}

byId("title").textContent = `Exploration: ${exploration.workloads.map(workload => shown(workload.name)).join(", ")}`;
byId("counts").textContent = counts();
byId("theme").addEventListener("change", applyTheme);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
window.addEventListener("hashchange", followAddress);
applyTheme();
buildFilters();
buildPareto();
buildParallel();
buildDetails();
buildTable();
buildSearch();
followAddress();
filtersChanged();
document.documentElement.dataset.ready = "yes";
