// On paper all sections are open, structures are still pictures, and figures are dark on white.
scout.print = (() => {
  const WIDTH = 660; // of a figure, pixels: fits A4 and letter
  const FIGURES = 60; // beyond so many, figures that were never looked at give way to their numbers
  let opened = [];

  function before() {
    opened = scout.all("details.one").filter((section) => !section.open);
    opened.forEach((section) => { section.open = true; });
    scout.pair.drawAllStills();
    scout.plots.areas.forEach((area, index) => {
      if (index < FIGURES) scout.plots.onPaper(area, WIDTH);
      else {
        const numbers = area.parentElement.querySelector("details");
        numbers.open = true;
        opened.push(numbers);
      }
    });
  }

  function after() {
    opened.forEach((section) => { section.open = false; });
    opened = [];
    scout.plots.onScreen();
  }

  window.addEventListener("beforeprint", before);
  window.addEventListener("afterprint", after);
})();
