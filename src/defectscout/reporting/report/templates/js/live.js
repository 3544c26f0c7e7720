// While the searches run: how far they are, and whether there is something new to read.
scout.live = (() => {
  const EVERY = 5000; // ms
  const bar = document.querySelector("[data-live]");
  const text = bar.querySelector("p");
  const button = bar.querySelector("button");
  // The version that the page was made of, where the server has named it; else the first that is heard of.
  const [path, made] = bar.dataset.live.split("#");
  let first = made;
  let reading = false; // whoever has begun to read is not thrown back to the top

  const begun = () => { reading = true; };
  window.addEventListener("scroll", () => { if (scrollY > 0) begun(); }, { passive: true });
  document.addEventListener("focusin", begun);
  document.addEventListener("pointerdown", begun);
  button.addEventListener("click", () => location.reload());

  function told({ version, finished, lines }) {
    const words = [finished ? "Finished." : "", ...lines].filter(Boolean).join(" · ");
    if (text.textContent !== words) text.textContent = words;
    first ??= version;
    if (version !== first) {
      // The event of a scroll that has just begun may still be on its way.
      if (!reading && scrollY === 0 && !location.hash) location.reload();
      button.hidden = false;
    }
    return finished;
  }

  async function ask() {
    let finished = false;
    try {
      const answer = await fetch(path, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      finished = told(await answer.json());
    } catch {
      text.textContent = "No answer from defectscout view: is it still running?";
    }
    setTimeout(ask, finished ? 6 * EVERY : EVERY);
  }

  ask();
})();
