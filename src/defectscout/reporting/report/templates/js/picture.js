// A still picture of a structure as SVG: before a viewer is there, without WebGL, and on paper.
scout.picture = (() => {
  const { plus, times } = scout.crystal;
  const RIM = "#3a4350";
  let pictures = 0;

  const point = (place) => `${place[0].toFixed(3)} ${(-place[1]).toFixed(3)}`;

  function line(from, to, colour, width, extra = "") {
    return `<path d="M${point(from)}L${point(to)}" stroke="${colour}" stroke-width="${width}" ${extra}/>`;
  }

  // A stick from atom to atom, in the colours of both, with a dark rim.
  function stick(one, other, colours, width) {
    const middle = times(plus(one.seen, other.seen), 0.5);
    const rim = line(one.seen, other.seen, RIM, width + 0.08);
    return rim + line(one.seen, middle, colours[0], width) + line(other.seen, middle, colours[1], width);
  }

  // `view`: orientation, and how much of the surroundings is seen (Å from the middle to the upper edge).
  function draw(environment, view, style) {
    const id = `shine${pictures++}`;
    const see = (place) => scout.orientation.rotate(view.orientation, place);
    const atoms = environment.atoms.map((atom) => ({ ...atom, seen: see(atom.place) }));
    const parts = [];
    const put = (depth, text) => parts.push({ depth, text });
    const depthOf = (one, other) => (one.seen[2] + other.seen[2]) / 2;
    environment.bonds.forEach(({ from, to }) => {
      const ends = [atoms[from], atoms[to]];
      put(depthOf(...ends), stick(...ends, ends.map(style.atomColour), 0.2));
    });
    environment.newBonds.forEach(({ from, to }) => {
      const ends = [atoms[from], atoms[to]];
      put(depthOf(...ends) + 0.05, stick(...ends, [style.bond, style.bond], 0.42));
    });
    atoms.forEach((atom) => {
      const circle = `cx="${atom.seen[0].toFixed(3)}" cy="${(-atom.seen[1]).toFixed(3)}" r="${style.size(atom).toFixed(3)}"`;
      put(
        atom.seen[2],
        `<circle ${circle} fill="${style.atomColour(atom)}" stroke="${RIM}" stroke-width=".05"/><circle ${circle} fill="url(#${id})"/>`,
      );
    });
    if (style.cell) {
      environment.edges.forEach(([one, other]) => {
        const ends = [environment.corners[one], environment.corners[other]].map((place) => ({ seen: see(place) }));
        put(depthOf(...ends), line(ends[0].seen, ends[1].seen, style.edge, 0.05));
      });
    }
    if (environment.empty) {
      const dashes = `stroke="${style.site}" stroke-width=".12" stroke-dasharray=".3 .22"`;
      put(0, `<circle cx="0" cy="0" r=".85" fill="${style.site}" fill-opacity=".12" ${dashes}/>`);
    }
    parts.sort((one, other) => one.depth - other.depth);
    const reach = view.reach;
    return (
      `<svg viewBox="${-reach * 1.25} ${-reach} ${reach * 2.5} ${reach * 2}" preserveAspectRatio="xMidYMid meet" aria-hidden="true" focusable="false" fill="none" stroke-linecap="round">` +
      `<defs><radialGradient id="${id}" cx=".36" cy=".32" r=".75"><stop offset="0" stop-color="#fff" stop-opacity=".75"/>` +
      `<stop offset=".45" stop-color="#fff" stop-opacity=".08"/><stop offset="1" stop-color="#000" stop-opacity=".28"/></radialGradient></defs>` +
      parts.map(({ text }) => text).join("") +
      "</svg>"
    );
  }

  return { draw };
})();
