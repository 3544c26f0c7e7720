// Interactive figures, drawn when they come into view, in the page's colours.
scout.plots = (() => {
  const PAPER = { ink: "#1b2430", muted: "#566273", grid: "#e6eaef", line: "#8b96a5", page: "#ffffff", surface: "#f5f7f9" };
  const drawn = new Map();

  const screen = () => Object.fromEntries(Object.keys(PAPER).map((name) => [name, scout.colour(name)]));
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  function merged(under, over) {
    const both = { ...under };
    Object.entries(over).forEach(([key, value]) => {
      both[key] = isObject(value) && isObject(under[key]) ? merged(under[key], value) : value;
    });
    return both;
  }

  // Black is ink: it turns light where the page is dark.
  function inked(value, colours) {
    if (typeof value === "string") return /^(black|#000|#000000)$/i.test(value) ? colours.ink : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => inked(item, colours));
    if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inked(item, colours)]));
    return value;
  }

  function layout(given, colours, width, room = width) {
    const aside = room < 640
      ? { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" }
      : {};
    const axis = {
      gridcolor: colours.grid, linecolor: colours.line, zerolinecolor: colours.line, tickcolor: colours.line,
      automargin: true, zeroline: false, showline: true, ticks: "outside", ticklen: 4,
      title: { standoff: 10 },
    };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colours.ink, size: 13, family: getComputedStyle(document.body).fontFamily },
      colorway: ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C8C8C"],
      hoverlabel: { bgcolor: colours.page, bordercolor: colours.line, font: { color: colours.ink } },
      legend: { bgcolor: "rgba(0,0,0,0)", font: { size: 12 }, ...aside },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.ink },
      margin: { l: 60, r: 20, t: 30, b: 50 },
      height: 380,
      autosize: !width,
      xaxis: {}, yaxis: {},
    };
    const themed = merged(base, inked(given, colours));
    Object.keys(themed).filter((key) => /^[xy]axis\d*$/.test(key)).forEach((key) => {
      themed[key] = merged(axis, themed[key]);
    });
    if (width) Object.assign(themed, { width, height: Math.min(themed.height, 300) });
    return themed;
  }

  // The axes of a trace's marker bars carry their own text.
  const traces = (data, colours) => data.map((trace) => inked(trace, colours));

  function save(area, format) {
    const { data, layout: given } = drawn.get(area);
    const figure = {
      data: traces(data, PAPER),
      layout: { ...layout(given, PAPER, area.clientWidth), paper_bgcolor: PAPER.page },
    };
    window.Plotly.downloadImage(figure, {
      format, filename: area.dataset.plot, scale: format === "png" ? 3 : 1,
      width: area.clientWidth, height: figure.layout.height,
    });
  }

  const button = (format, area) => ({
    name: `save-${format}`, title: `Save as ${format.toUpperCase()}`,
    icon: format === "png" ? window.Plotly.Icons.camera : window.Plotly.Icons.disk,
    click: () => save(area, format),
  });

  function draw(area, colours = screen(), width = undefined) {
    const { data, layout: given } = drawn.get(area);
    const config = {
      responsive: true, displaylogo: false, scrollZoom: false,
      modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d", "autoScale2d"],
      modeBarButtonsToAdd: [button("png", area), button("svg", area)],
    };
    return window.Plotly.react(area, traces(data, colours), layout(given, colours, width, width ?? area.clientWidth), config);
  }

  const script = (area) => scout.json(area.closest(".plot").querySelector(":scope > script"));

  function begin(area) {
    if (drawn.has(area)) return;
    drawn.set(area, script(area));
    draw(area);
  }

  const areas = scout.all("[data-plot]");
  const watcher = new IntersectionObserver((entries) => {
    entries.forEach((entry) => {
      if (entry.isIntersecting && !drawn.has(entry.target)) scout.later(() => begin(entry.target));
    });
  }, { rootMargin: "300px" });
  areas.forEach((area) => watcher.observe(area));
  document.addEventListener("toggle", (event) => {
    // What is drawn in a section that was closed when the window changed has a wrong width.
    if (event.target.open) scout.all("[data-plot]", event.target).filter((area) => drawn.has(area))
      .forEach((area) => window.Plotly.Plots.resize(area));
  }, true);
  scout.theme.onChange(() => drawn.forEach((_, area) => draw(area)));

  let forPaper = [];
  return {
    areas,
    onPaper(area, width) {
      if (!drawn.has(area)) {
        forPaper.push(area);
        drawn.set(area, script(area));
      }
      draw(area, PAPER, width);
    },
    onScreen() {
      forPaper.forEach((area) => {
        window.Plotly.purge(area);
        drawn.delete(area);
      });
      forPaper = [];
      drawn.forEach((_, area) => draw(area));
    },
  };
})();
