// A structure in a viewer of 3Dmol.js; places are relative to the site, which is the middle of every view.
scout.scene = (() => {
  const { plus, times } = scout.crystal;
  const FIELD = Math.tan((20 * Math.PI) / 180); // of 3Dmol.js's orthographic camera
  const CAMERA = 150;
  const xyz = ([x, y, z]) => ({ x, y, z });

  const aspect = (viewer) => {
    const canvas = viewer.getCanvas();
    return canvas.clientHeight ? canvas.clientWidth / canvas.clientHeight : 1;
  };

  function view(viewer) {
    const [, , , z, ...orientation] = viewer.getView();
    return { orientation, reach: ((CAMERA - z) * FIELD) / Math.max(aspect(viewer), 1) };
  }

  function setView(viewer, { orientation, reach }) {
    const z = CAMERA - (reach * Math.max(aspect(viewer), 1)) / FIELD;
    viewer.setView([0, 0, 0, z, ...orientation]);
  }

  // What makes a viewer draw at once is called only where it must be.
  const labelled = new WeakSet();
  const shown = new WeakMap();

  function clear(viewer) {
    if (labelled.delete(viewer)) viewer.removeAllLabels();
    viewer.removeAllShapes();
    viewer.removeAllModels();
  }

  function draw(viewer, environment, style, tell) {
    clear(viewer);
    const stage = scout.colour("stage");
    if (shown.get(viewer) !== stage) viewer.setBackgroundColor(stage, 1);
    shown.set(viewer, stage);

    const model = viewer.addModel();
    model.addAtoms(environment.atoms.map((atom, serial) => ({
      ...xyz(atom.place), elem: atom.symbol, serial, bonds: [], bondOrder: [], properties: { atom },
    })));
    const colorfunc = (atom) => style.atomColour(atom.properties.atom);
    new Set(environment.atoms.map((atom) => atom.symbol)).forEach((symbol) => {
      const radius = style.size(environment.atoms.find((atom) => atom.symbol === symbol));
      model.setStyle({ elem: symbol }, { sphere: { radius, colorfunc } });
    });

    // Each half in the colour of its atom, and one shape for all sticks of a colour: a shape has one only. (Sticks of
    // the atoms' own style get ragged outlines.)
    const place = (index) => environment.atoms[index].place;
    const shapes = new Map();
    const stick = (start, end, radius, color, cap = 0) => {
      if (!shapes.has(color)) shapes.set(color, viewer.addShape({ color }));
      shapes.get(color).addCylinder({ start: xyz(start), end: xyz(end), radius, color, fromCap: cap, toCap: cap });
    };
    environment.bonds.forEach(({ from, to }) => {
      const middle = times(plus(place(from), place(to)), 0.5);
      stick(place(from), middle, 0.1, style.atomColour(environment.atoms[from]));
      stick(place(to), middle, 0.1, style.atomColour(environment.atoms[to]));
    });
    environment.newBonds.forEach(({ from, to }) => stick(place(from), place(to), 0.21, scout.colour("bond"), 2));
    if (style.cell) {
      environment.edges.forEach(([one, other]) => {
        stick(environment.corners[one], environment.corners[other], 0.03, scout.colour("muted"), 1);
      });
    }
    if (environment.empty) {
      viewer.addSphere({ center: xyz([0, 0, 0]), radius: 0.85, color: scout.colour("site"), alpha: 0.55 });
    }
    if (style.labels) label(viewer, environment);
    model.setHoverable({}, true, (atom) => tell.over(atom.properties.atom), () => tell.out());
    model.setClickable({}, true, (atom) => tell.pick(atom.properties.atom));
    const size = Math.max(...[...environment.atoms.map((atom) => atom.place), ...environment.corners].map(scout.crystal.length));
    viewer.setSlab(-1.7 * size, 1.7 * size);
    viewer.render();
  }

  function label(viewer, environment) {
    labelled.add(viewer);
    const add = (text, style) => viewer.addLabel(text, style, undefined, true);
    const look = {
      fontSize: 12, fontColor: scout.colour("ink"), backgroundColor: scout.colour("page"), backgroundOpacity: 0.75,
      inFront: true, alignment: "center", padding: 1,
    };
    environment.atoms.forEach((atom) => {
      add(`${atom.symbol}${atom.index + 1}`, { ...look, position: xyz(atom.place) });
    });
    environment.newBonds.forEach(({ from, to, length }) => {
      const middle = times(plus(environment.atoms[from].place, environment.atoms[to].place), 0.5);
      add(`${length.toFixed(2)} Å`, {
        ...look, fontSize: 13, fontColor: scout.colour("bond"), backgroundOpacity: 0.9, position: xyz(middle),
      });
    });
  }

  return { draw, view, setView };
})();
